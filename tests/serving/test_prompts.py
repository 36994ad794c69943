"""A file of prompts: plain lines or JSONL, and what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_tui.errors import LoraTuiError, UsageError
from lora_tui.serving.client import Message
from lora_tui.serving.prompts import LONGEST_PROMPT, Prompt, prompt_of, prompts_in, read_prompts


def test_each_line_is_a_prompt_and_empty_lines_are_none(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbfWhat is LoRA?\r\n\r\n  {not json} \n")
    found = read_prompts(file)
    assert [prompt.text for prompt in found] == ["What is LoRA?", "{not json}"]
    assert found[0].messages == (Message("user", "What is LoRA?"),)


def test_jsonl_has_prompts_or_messages_of_which_the_answer_is_left_out() -> None:
    text = (
        '{"prompt": "Hi\\nthere"}\n'
        '{"messages": [{"role": "system", "content": "Be brief."},'
        ' {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}\n'
    )
    first, second = prompts_in(text)
    assert first.text == "Hi\nthere"
    assert second == Prompt((Message("system", "Be brief."), Message("user", "Why?")))
    assert second.text == "Why?"


@pytest.mark.parametrize(
    ("text", "words", "where"),
    [
        ("\n \n", "no prompts", "p.jsonl"),
        ('{"prompt": "a"}\nnonsense', "no JSON object", "line 2 of p.jsonl"),
        ('{"question": "a"}', "neither prompt nor messages", "line 1"),
        ('{"prompt": " "}', "empty", "line 1"),
        ('{"messages": [{"role": "tool", "content": "a"}]}', "role", "line 1"),
        ('{"messages": [{"role": "system", "content": "a"}]}', "none of the user", "line 1"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "none of the user", "line 1"),
        ("a\n" * 1_001, "1,001 prompts", "p.jsonl"),
        ("a" * (LONGEST_PROMPT + 1), "no JSON object", "line 1"),
    ],
)
def test_what_is_no_prompt_is_named_with_its_line(text: str, words: str, where: str) -> None:
    with pytest.raises(UsageError) as caught:
        prompts_in(text, place="p.jsonl")
    assert words in str(caught.value)
    assert where in str(caught.value.details)
    assert caught.value.remedy


def test_files_that_are_none_are_told_in_one_line(tmp_path: Path) -> None:
    binary = tmp_path / "model.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing", tmp_path, binary):
        with pytest.raises(LoraTuiError) as caught:
            read_prompts(path)
        assert str(path) in str(caught.value.details)
    with pytest.raises(UsageError, match="characters"):
        prompt_of("a" * (LONGEST_PROMPT + 1))


def test_a_separator_of_unicode_within_a_text_does_not_end_its_line() -> None:
    lines = '{"prompt": "one\u2028two\x85three"}\r\n{"prompt": "four"}\n'
    assert [prompt.text for prompt in prompts_in(lines)] == ["one\u2028two\x85three", "four"]
    assert [prompt.text for prompt in prompts_in("a\x1cb\rc")] == ["a\x1cb", "c"]


def test_messages_in_which_the_user_says_nothing_are_not_asked() -> None:
    with pytest.raises(UsageError, match="none of the user"):
        prompts_in('{"messages": [{"role": "user", "content": " "}]}')
