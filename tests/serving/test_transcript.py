"""Transcripts: Markdown that shows answers literally, JSONL that has them exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_tui.domain.answers import TIE, Answer, Contestant, Progress, Round, Settings
from lora_tui.errors import DiskError, UsageError
from lora_tui.serving.transcript import as_jsonl, as_markdown, broken, write_transcript

HOSTILE = "Sure!\n```\n# Not a heading <img src=x>\n\x1b[2J" + "word " * 40
ROUND = Round(
    "What is *LoRA*?\n- [ ] a task",
    "gpu",
    (Contestant("base", "base model", None), Contestant("id-1", "A_B | *c*", "ab-v1")),
    (
        Answer(Progress.DONE, HOSTILE, 0.085, 42.04, 64, is_counted=True, finish="stop"),
        Answer(Progress.FAILED, "", error="gpu [refused](http://evil.example)"),
    ),
    Settings(seed=3, system="Be brief."),
)


def test_markdown_shows_what_models_said_literally() -> None:
    text = as_markdown([ROUND, ROUND._replace(winner="id-1", blind=True)])
    assert text.startswith("# Answers side by side\n\n## Prompt 1\n\n```\nWhat is *LoRA*?\n")
    lines = text.splitlines()
    assert lines.count("# Answers side by side") == 1
    assert "'''" in lines  # the fence of an answer can't end ours
    assert sum(line == "```" for line in lines) % 2 == 0
    assert "### B: A\\_B \\| \\*c\\*" in lines
    assert "first token 85 ms, 42.0 tok/s, 64 tokens, done" in lines
    assert "*gpu \\[refused\\](http\\://evil.example)*" in lines
    assert "**Winner:** A\\_B \\| \\*c\\*, chosen blindly" in lines
    assert "Server `gpu`, temperature 0, at most 256 tokens, seed 3, one at a time." in lines
    assert "\x1b" not in text
    assert max(map(len, lines)) <= 100


def test_jsonl_has_one_line_for_each_answer_with_all_that_was_measured() -> None:
    first, second = map(json.loads, as_jsonl([ROUND._replace(winner=TIE, blind=True)]).splitlines())
    assert first["answer"] == HOSTILE
    assert first["model"] == "base"
    assert (second["model"], second["model_name"], second["adapter"]) == (
        *("id-1", "A_B | *c*", "ab-v1"),
    )
    assert (first["first_token_seconds"], first["tokens_per_second"]) == (0.085, 42.04)
    assert first["settings"]["seed"] == 3
    assert (first["winner"], first["won"], first["blind"]) == ("tie", False, True)
    assert second["error"].startswith("gpu [refused]")


def test_the_name_of_the_file_tells_the_form_and_it_is_written_in_one_step(tmp_path: Path) -> None:
    for name, begin in (("a.md", "# Answers"), ("a.MARKDOWN", "# Answers"), ("a.jsonl", "{")):
        write_transcript(tmp_path / name, [ROUND])
        assert (tmp_path / name).read_text().startswith(begin)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(UsageError, match=r"form is told by its name"):
        write_transcript(tmp_path / "a.txt", [ROUND])
    with pytest.raises(DiskError, match="can't be written"):
        write_transcript(tmp_path / "none" / "a.md", [ROUND])


def test_long_lines_break_between_words_and_keep_their_indentation() -> None:
    assert broken("  one two three", 9) == ["  one two", "  three"]
    assert broken("客户 客户", 6) == ["客户", "客户"]
    assert broken("verylongword x", 4) == ["verylongword", "x"]
