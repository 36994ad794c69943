"""Every damage of the cache file is detected or harmless, and `cache clear` always works.

LORA_TUI_DAMAGES=2000 draws so many damages instead of the few of each kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from lora_tui.cli.run import main
from lora_tui.errors import ExitCode
from tests.cache.damage import DAMAGES, copy_home, damage
from tests.conftest import Run
from tests.fuzz.values import ROWS
from tests.sync.faulty_server import FaultyProject, served
from tests.sync.test_odd_rows import sign_in
from tests.tui.library import identifier, model_row, notice_row

SEEDS: Final = int(os.environ.get("LORA_TUI_DAMAGES", "0")) or len(DAMAGES) + 4
MODELS: Final = 12


@dataclass(frozen=True)
class Truth:
    """A project, a home that has synced, and what the commands then say."""

    url: str
    home: Path
    said: dict[str, Any] = field(default_factory=dict)
    """What `list` and `show` say, once they were asked."""


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Truth]:
    project = FaultyProject()
    project.tables = {
        "datasets": [
            ROWS["datasets"] | {"id": identifier("dataset", n), "name": f"Set {n}"}
            for n in range(5)
        ],
        "training_jobs": [
            ROWS["training_jobs"] | {"id": identifier("job", n), "external_job_id": f"rp-{n}"}
            for n in range(MODELS)
        ],
        "model_artifacts": [
            model_row(n, description=f"Words {'of it ' * n * 20}") for n in range(MODELS)
        ],
        "notifications": [notice_row(n) for n in range(4)],
        "metrics_points": [
            ROWS["metrics_points"]
            | {"id": identifier("point", n), "timestamp": f"2026-11-20T10:00:{n:02}+00:00"}
            for n in range(30)
        ],
    }
    home = tmp_path_factory.mktemp("truth") / "home"
    with served(project) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_TUI_NO_KEYRING", "1")
        sign_in(patch, url, home)
        assert main(["sync"]) == ExitCode.OK
        yield Truth(url, home)


def one_line(text: str) -> bool:
    return text.startswith("lora-tui: ") and text.count("\n") == 1 and len(text) > 40


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_damage_is_detected_or_harmless(
    truth: Truth, run: Run, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not truth.said:
        sign_in(monkeypatch, truth.url, truth.home)
        truth.said["list"] = run("list", "--json").data
        third = truth.said["list"]["models"][3]["id"]
        truth.said["show"] = run("show", third, "--json").data
    listed, shown = truth.said["list"], truth.said["show"]
    assert len(listed["models"]) == MODELS
    place = tmp_path / "home"
    cache = copy_home(truth.home, place)
    sign_in(monkeypatch, truth.url, place)
    what = damage(cache, seed)
    commands = (
        ("list", "--json"),
        ("show", shown["id"], "--json"),
        ("cache", "info"),
        ("list", "--sort", "name"),
        ("doctor", "--offline"),
    )
    for words in (commands[seed % len(commands)], commands[(seed + 2) % len(commands)]):
        ran = run(*words)
        assert "unexpected" not in ran.err, (what, words, ran.err)
        if words[0] == "doctor":
            continue
        said = ran.error["error"] if "--json" in words and ran.code else ran.err
        if ran.code:
            assert said, (what, words)
            assert "--json" in words or one_line(ran.err), (what, words, ran.err)
        elif words[0] == "show":
            assert ran.data == shown, what
        elif words == ("list", "--json") and ran.data["models"]:
            assert ran.data == listed, what

    if seed % 3 == 0:
        cleared = run("cache", "clear")
        assert cleared.code == ExitCode.OK, (what, cleared.err)
        assert not [file for file in cache.parent.iterdir() if not file.name.endswith(".lock")], (
            what
        )
    synced = run("sync")
    assert synced.code == ExitCode.OK, (what, synced.err)
    assert run("list", "--json").data == listed, what
    assert run("show", shown["id"], "--json").data == shown, what
    assert run("cache", "clear").code == ExitCode.OK, what
