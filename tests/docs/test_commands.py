"""Every command that the documents show is run, in the order in which a reader would type it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.vllm import LLAMA_8B, VllmStandIn
from tests.docs.documents import ROOT, USER_DOCUMENTS, Block, blocks, name
from tests.seeded import short_curves

LANGUAGES = {"sh", "sql", "toml", "json", "text"}
MOST_NOT_RUN = 9


def runs(block: Block) -> bool:
    return block.language == "sh" and block.reason is None


WITH_COMMANDS = [document for document in USER_DOCUMENTS if any(map(runs, blocks(document)))]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One project for all documents; a few models, a few jobs to harvest."""
    with short_curves(), Sandbox.start(models=6, waiting_jobs=3) as running:
        yield running


@pytest.fixture(scope="module")
def synced(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a reader who has signed in and synced, as all pages but the first suppose."""
    directory = tmp_path_factory.mktemp("reader")
    typed(["sync"], environment(sandbox, directory))
    return directory / "home"


@pytest.fixture(scope="module")
def models(sandbox: Sandbox, synced: Path) -> tuple[str, str]:
    """Two models that the server of `gpu` loads, by the beginnings of their ids."""
    settings = environment(sandbox, synced.parent)
    fits = ["--where", "base_model ~ llama", "--sort", "quality"]
    listed = json.loads(typed(["list", "--json", *fits], settings))
    first, second, *_ = listed["data"]["models"]
    return first["id"][:8], second["id"][:8]


@pytest.fixture
def gpu() -> Iterator[VllmStandIn]:
    """The server that the documents call gpu-1."""
    with VllmStandIn.start(base=LLAMA_8B, max_lora_rank=64, max_loras=2) as running:
        yield running


def typed(words: list[str], settings: Mapping[str, str]) -> bytes:
    """What a command prints."""
    command = [sys.executable, "-m", "lora_tui", *words]
    return subprocess.run(
        command, env=dict(settings), stdout=subprocess.PIPE, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize("document", WITH_COMMANDS, ids=name)
def test_a_reader_who_types_all_of_it_meets_no_error(
    document: Path,
    sandbox: Sandbox,
    synced: Path,
    models: tuple[str, str],
    gpu: VllmStandIn,
    tmp_path: Path,
) -> None:
    shutil.copytree(synced, tmp_path / "home")
    settings = environment(sandbox, tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    first, second = models
    fill_in = {
        "https://your-project.supabase.co": sandbox.url,
        "https://api.runpod.ai/v2/your-endpoint": sandbox.gpu_url,
        "http://gpu-1:8000": gpu.url,
        "sb_publishable_YOUR_KEY": sandbox.anon_key,
        "sb_secret_YOUR_KEY": sandbox.service_key,
        "rpa_YOUR_KEY": sandbox.gpu_key,
        "you@example.com": sandbox.email,
        "OTHER": second,
        "MODEL": first,
    }
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script_of(document, fill_in)],
        cwd=here,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=110,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_every_block_says_what_it_is(document: Path) -> None:
    assert {block.language for block in blocks(document)} <= LANGUAGES


def test_what_is_not_run_is_little_and_has_a_reason() -> None:
    reasons = [
        block.reason for document in USER_DOCUMENTS for block in blocks(document) if block.reason
    ]
    assert len(reasons) <= MOST_NOT_RUN
    assert [reason for reason in reasons if len(reason) < 15] == []


@pytest.mark.parametrize("document", USER_DOCUMENTS, ids=name)
def test_no_command_hides_in_a_block_of_another_kind(document: Path) -> None:
    typed = re.compile(r"^\$ |^lora-tui |^make |^git clone", re.MULTILINE)
    others = [block for block in blocks(document) if block.language != "sh"]
    assert [block.line for block in others if typed.search(block.text)] == []


def environment(sandbox: Sandbox, directory: Path) -> dict[str, str]:
    """An empty home, the project's settings, and the reader in place of `lora-tui`."""
    programs, home = directory / "bin", directory / "home"
    programs.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    reader = programs / "lora-tui"
    reader.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tests.docs.reader "$@"\n')
    reader.chmod(0o755)
    kept = {n: v for n, v in os.environ.items() if n in ("LANG", "LC_ALL", "TMPDIR", "TZ")}
    return (
        kept
        | sandbox.environment()
        | {
            "HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LORA_TUI_HOME": str(home / "lora-tui"),
            "LORA_TUI_NO_KEYRING": "1",
        }
    )


def script_of(document: Path, fill_in: Mapping[str, str]) -> str:
    """All blocks that are run, each line told before it, with the placeholders filled in."""
    parts = []
    for block in filter(runs, blocks(document)):
        text = block.text
        for placeholder, value in fill_in.items():
            text = re.sub(rf"(?<![\w-]){re.escape(placeholder)}(?![\w])", value, text)
        parts.append(f"printf '%s\\n' '--- {name(document)}:{block.line}'\n{text}")
    return "\n".join(parts)
