"""`prove`: whether an adapter on a server changes its answers, kept with model and server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.sandbox.vllm import VllmStandIn
from tests.commands.models import whole_model
from tests.conftest import Run
from tests.serving.adapter_folders import matrices, write_adapter


@pytest.fixture
def server(signed_in: Path, run: Run) -> Iterator[VllmStandIn]:
    """A server of the profile, `gpu-1`, that has nothing loaded."""
    with VllmStandIn.start() as stand_in:
        config = Path(run("config", "path", "--json").data["path"])
        config.parent.mkdir(parents=True, exist_ok=True)
        with config.open("a") as file:
            file.write(f'\n[profiles.default.servers.gpu-1]\nurl = "{stand_in.url}"\n')
        yield stand_in


def given(server: VllmStandIn, name: str, folder: Path) -> None:
    """Load it as somebody else would do."""
    server.engine.load(name, str(folder))


def test_an_effect_is_told_kept_and_shown_with_the_model(
    server: VllmStandIn, run: Run, tmp_path: Path
) -> None:
    given(server, "mine", write_adapter(tmp_path / "good"))
    model = whole_model(run)
    ran = run("prove", model, "--on", "gpu-1", "--as", "mine")
    assert ran.code == 0, ran
    assert "Changes the answers, 0." in ran.out
    assert "gpu-1, as mine" in ran.out
    ran = run("prove", model, "--on", "gpu-1", "--as", "mine", "--json")
    assert ran.data["verdict"] == "effect"
    assert ran.data["difference"] > ran.data["noise"] > 0
    assert ran.data["prompts"] == 8
    [kept] = run("show", model, "--json").data["proofs"]
    assert kept == ran.data
    assert "gpu-1" in run("show", model).out
    assert "changes the answers" in run("show", model).out


def test_an_adapter_without_effect_ends_with_6_and_the_reasons(
    server: VllmStandIn, run: Run, tmp_path: Path
) -> None:
    given(server, "zero", write_adapter(tmp_path / "zero", matrices(spread=0)))
    ran = run("prove", whole_model(run), "--on", "gpu-1", "--as", "zero")
    assert ran.code == 6
    assert "Loaded without effect: " in ran.out
    assert ran.err == ""


def test_garbage_ends_with_6_and_a_warning(server: VllmStandIn, run: Run, tmp_path: Path) -> None:
    given(server, "small", write_adapter(tmp_path / "small", matrices(hidden_size=32)))
    ran = run("prove", whole_model(run), "--on", "gpu-1", "--as", "small")
    assert ran.code == 6
    assert "probably into garbage" in ran.out
    assert "every prompt is less likely" in ran.out


def test_what_cannot_be_told_ends_with_7(
    signed_in: Path, run: Run, server: VllmStandIn, tmp_path: Path
) -> None:
    given(server, "tiny", write_adapter(tmp_path / "tiny", matrices(spread=1e-5)))
    ran = run("prove", whole_model(run), "--on", "gpu-1", "--as", "tiny")
    assert ran.code == 7
    assert "Can't tell whether it changes the answers: " in ran.out


def test_prompts_come_from_a_file(server: VllmStandIn, run: Run, tmp_path: Path) -> None:
    given(server, "mine", write_adapter(tmp_path / "good"))
    file = tmp_path / "prompts.jsonl"
    lines = [{"prompt": "Tell me about the sea."},
             {"messages": [{"role": "user", "content": "And about the mountains?"}]}]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, lines)))
    ran = run("prove", whole_model(run), "--on", "gpu-1", "--as", "mine", "--prompts", str(file),
              "--json")  # fmt: skip
    assert ran.data["prompts"] == 2
    asked = {r["body"]["prompt"] for r in server.requests() if "completions" in r["path"]}
    assert asked == {"Tell me about the sea.", "And about the mountains?"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no prompts"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"one\n" * 65, "too many prompts for a proof"),
        (b'{"prompt": 4}\n', "neither prompt nor messages"),
        (b"x" * 40_000, "characters"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_is_asked(
    server: VllmStandIn, run: Run, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content)
    ran = run("prove", whole_model(run), "--on", "gpu-1", "--prompts", str(file))
    assert ran.code in (1, 2)
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert not server.requests()


def test_a_model_that_is_not_loaded_there_is_told_with_the_command_that_loads_it(
    server: VllmStandIn, run: Run
) -> None:
    model = whole_model(run)
    ran = run("prove", model, "--on", "gpu-1")
    assert ran.code == 3
    assert "gpu-1 has not loaded this model" in ran.err
    assert "oad it there with `lora-tui load`" in ran.err
    assert run("prove", model, "--on", "gpu-1", "--as", "none").code == 3
    assert run("prove", model, "--on", "nowhere").code == 3


def test_a_server_that_is_gone_is_told_in_one_line(server: VllmStandIn, run: Run) -> None:
    server.stop()
    ran = run("prove", whole_model(run), "--on", "gpu-1")
    assert ran.code == 5
    assert ran.err.count("\n") == 1
