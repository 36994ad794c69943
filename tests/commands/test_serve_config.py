"""`serve-config`: the snippet names the files that are on this disk, or says to fetch them."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run
from tests.push.adapter import write_adapter


def test_before_and_after_the_download(configured: Sandbox, run: Run, tmp_path: Path) -> None:
    run("sync")
    model = whole_model(run)
    before = run("serve-config", model, "--for", "peft")
    assert before.code == 0
    ast.parse(before.out)
    assert f"lora-tui download {model[:8]}" in before.err
    place = tmp_path / "it's here"
    assert run("download", model, "--to", str(place)).code == 0
    after = run("serve-config", model, "--for", "peft")
    assert after.err == ""
    texts = [n.value for n in ast.walk(ast.parse(after.out)) if isinstance(n, ast.Constant)]
    assert str(place) in texts
    data = run("serve-config", model, "--for", "vllm", "--json").data
    assert data["directory"] == str(place)
    assert data["base_model"] in data["snippet"]
    assert data["rank"] > 0


def test_what_a_server_serves_wrongly_is_said_beside_the_snippet(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    dataset = run("list", "--json").data["models"][0]["dataset_id"]
    directory = write_adapter(tmp_path / "out", rank=16)
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"use_rslora": True}))
    model = run("push", str(directory), "--dataset", dataset, "--json").data["model_id"]
    run("sync")
    assert run("download", model, "--to", str(tmp_path / "back")).code == 0
    said = run("serve-config", model, "--for", "llama.cpp")
    assert said.code == 0
    assert "by 2 in place of 8, because it does not know rsLoRA" in said.err
    assert "is a placeholder" in said.err
    told = run("serve-config", model, "--for", "llama.cpp", "--json").data["remarks"]
    assert [line for line in told if "rsLoRA" in line]
    assert run("serve-config", model, "--for", "vllm").err == ""


def test_each_program_has_its_snippet_offline(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    before = len(configured.requests())
    for program in ("vllm", "peft", "llama.cpp", "ollama"):
        assert run("--offline", "serve-config", model, "--for", program).code == 0
    assert len(configured.requests()) == before


def test_a_program_that_is_not_known(configured: Sandbox, run: Run) -> None:
    assert run("serve-config", "x", "--for", "luck").code == 2


@pytest.mark.parametrize(
    ("program", "words"), [("ollama", "the name that Ollama has for"), ("llama.cpp", "GGUF")]
)
def test_what_replaces_the_placeholder_is_said_where_the_base_model_is_known(
    configured: Sandbox, run: Run, program: str, words: str
) -> None:
    run("sync")
    model = run("list", "--json").data["models"][0]["id"]
    base = run("serve-config", model, "--for", program, "--json").data["base_model"]
    said = run("serve-config", model, "--for", program).err
    assert words in said
    assert base in said
    assert "unknown" not in said
