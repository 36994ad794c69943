"""`try`: the same prompt to several models of a server, from the command line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.commands import streamed, try_models
from lora_tui.commands.output import Output
from lora_tui.config.load import load_profile
from lora_tui.config.servers import Server
from lora_tui.deployments.record import open_deployments, owner_key
from lora_tui.domain.servers import Loaded, ServerKind
from lora_tui.sandbox.vllm import VllmStandIn
from lora_tui.serving import tally
from lora_tui.serving.connect import connect
from tests.conftest import Run
from tests.serving.adapter_folders import matrices, write_adapter


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmStandIn]:
    """A server with two adapters."""
    folder = tmp_path_factory.mktemp("adapters")
    with VllmStandIn.start(max_loras=4) as server:
        with connect(Server("gpu", server.url, ServerKind.VLLM)) as client:
            for seed, name in enumerate(("support@1", "sql@1")):
                client.load(name, str(write_adapter(folder / name, matrices(seed))))
        yield server


@pytest.fixture
def models(signed_in: Path, vllm: VllmStandIn, run: Run) -> list[str]:
    """Ids of three models; the first two are loaded on the profile's only server."""
    vllm.behavior.fail_stream_after = vllm.behavior.cut_stream_after = None
    with (signed_in / "config.toml").open("a") as file:
        file.write(f'[profiles.default.servers.gpu]\nurl = "{vllm.url}"\nkind = "vllm"\n')
    rows = run("list", "--json").data["models"]
    profile = load_profile()
    owner = owner_key(profile, run("whoami", "--json").data["user_id"])
    with open_deployments(profile.paths) as deployments:
        for row, name in zip(rows, ("support@1", "sql@1"), strict=False):
            where = (row["id"], row["name"], "1", f"/srv/{name}", "", "2026-11-20")
            deployments.note_loaded(Loaded(owner, "gpu", vllm.url, name, *where))
    return [row["id"] for row in rows[:3]]


class Keys(io.StringIO):
    """What is typed at a terminal."""

    def isatty(self) -> bool:
        return True


def test_base_and_adapters_answer_and_a_pipe_gets_markdown(models: list[str], run: Run) -> None:
    ran = run("try", models[0][:8], models[1], "--prompt", "What is LoRA?", "--max-tokens", "8")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:5] == ["# Answers side by side", "", "## Prompt 1", "", "```"]
    headings = [line[:6] for line in lines if line.startswith("### ")]
    assert headings == ["### A:", "### B:", "### C:"]
    assert "### A: base model" in lines
    assert sum("8 tokens, stopped at the limit" in line for line in lines) == 3


def test_json_and_transcripts_have_every_figure(
    models: list[str], run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("One\nTwo\n")
    written = tmp_path / "answers.jsonl"
    line = ("try", models[0], "sql@1", "--on", "gpu", "--prompts", str(file), "--seed", "1")
    ran = run(*line, "--transcript", str(written), "--max-tokens", "6", "--json")
    answers = ran.data["answers"]
    assert ran.code == 0
    assert [(one["prompt"], one["adapter"]) for one in answers] == [
        *(("One", None), ("One", "support@1"), ("One", "sql@1")),
        *(("Two", None), ("Two", "support@1"), ("Two", "sql@1")),
    ]
    assert answers[2]["model"] == models[1]  # the record knows whose name it is
    assert answers[0]["answer"] != answers[1]["answer"]
    assert all(one["tokens_counted_by_server"] and one["tokens"] == 6 for one in answers)
    assert all(one["first_token_seconds"] > 0 for one in answers)
    assert [json.loads(one) for one in written.read_text().splitlines()] == answers
    again = run(*line, "--jsonl", "--max-tokens", "6").out.splitlines()
    assert [json.loads(one)["answer"] for one in again] == [one["answer"] for one in answers]


def test_a_broken_stream_is_told_and_the_others_go_on(
    models: list[str], vllm: VllmStandIn, run: Run
) -> None:
    vllm.behavior.cut_stream_after = 2
    ran = run("try", models[0], "--prompt", "Hi", "--jsonl")
    assert ran.code == 7
    states = [json.loads(line)["state"] for line in ran.out.splitlines()]
    assert states == ["failed", "failed"]
    assert "0 answers came, 2 did not" in ran.err


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (("try",), 2, "No model is named"),
        (("try", "{2}", "--prompt", "a"), 3, "is not loaded on gpu (it has support@1, sql@1)"),
        (("try", "nosuch", "--prompt", "a"), 3, "gpu has no adapter 'nosuch'"),
        (("try", "@nosuch", "--prompt", "a"), 3, "nosuch"),
        (("try", "{0}", "--on", "none", "--prompt", "a"), 3, "There is no server named 'none'"),
        (("try", "{0}", "--prompts", "/nonexistent"), 1, "The prompts can't be read"),
        (("try", "{0}", "--prompt", " "), 2, "The prompt is empty"),
        (("try", "{0}", "--prompt", "a", "--blind"), 2, "needs a terminal"),
        (("try", "{0}", "--prompt", "a", "--transcript", "a.txt"), 2, "End it in .md or .jsonl"),
        (("try", "{0}", "--prompt", "a", "--temperature", "3"), 2, "must be from 0 to 2"),
        (("try", "{0}", "--prompt", "a", "--offline"), 5, "--offline was given"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_can_not_be_asked_is_told_in_one_line_with_its_remedy(
    models: list[str], run: Run, line: tuple[str, ...], code: int, words: str
) -> None:
    ran = run(*(word.format(*models) for word in line))
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_blind_the_names_come_after_the_choice_and_the_tally_counts_it(
    models: list[str], run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("One\nTwo\nThree\n")
    with monkeypatch.context() as terminal:
        terminal.setattr(tally, "blind_order", lambda *_: [2, 0, 1])
        terminal.setattr(try_models, "width_of", lambda _: 100)
        terminal.setattr(Output, "isatty", lambda _: True)
        terminal.setattr(sys, "stdin", Keys("9\n2\nt\ns\n"))
        ran = run("try", *models[:2], "--prompts", str(file), "--blind", "--max-tokens", "4")
    assert ran.code == 0
    first = ran.out.partition("Prompt 2 of 3: Two")[0]
    asked, _, told = first.partition("* B  base model (first token")
    assert asked.startswith("Prompt 1 of 3: One\n\nA\n")
    for words in ("base model", "tok/s", "first token"):
        assert words not in asked.partition("  A  ")[0]
    assert "  C  " in told
    assert ran.err.count("Which is the best: 1, 2, 3, t for a tie, s to skip?") == 4  # 9 is none
    data = run("try", "--tally", "--json").data
    assert (data["votes"], data["ties"]) == (2, 1)
    assert {row["id"]: row["won"] for row in data["models"]} == {
        "base": 1,
        models[0]: 0,
        models[1]: 0,
    }
    text = run("try", "--tally", "--on", "gpu").out
    assert "base model" in text
    assert "nothing is claimed" in text
    assert "Nobody has chosen blindly yet." in run("try", "--tally", "--on", "other").out


def test_text_that_comes_in_pieces_breaks_between_words_and_controls_nothing() -> None:
    written: list[str] = []
    out = streamed.StreamedText(written.append, 16, indent="  ")
    text = "one two three\x1b[2J four\n\n\n    客户支持 x\nfive sixseveneightnineten\n\n"
    for character in text:
        out.feed(character)
    out.end()
    assert "".join(written).splitlines() == [
        *("  one two", "  three[2J four", "", "      客户支持 x"),
        *("  five", "  sixseveneightnineten"),
    ]
