"""`library` knows which models on this disk are archived or deleted in the project."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.cache.models import get_row, put_models
from lora_tui.config.load import load_profile
from lora_tui.deployments.record import open_deployments
from lora_tui.domain.servers import Loaded
from lora_tui.json_values import json_text
from lora_tui.transfers.model_directory import MANIFEST
from tests.conftest import Run


@pytest.fixture
def directories(signed_in: Path, run: Run) -> list[Path]:
    """Three downloaded models: the first is archived in the project, the second deleted."""
    models = run("list", "--json", "--limit", "3").data["models"]
    root = load_profile().downloads_dir
    places = [root / f"model-{number}" for number in range(3)]
    for place, model in zip(places, models, strict=True):
        place.mkdir(parents=True)
        (place / "notes.json").write_text("{}")
        files = {"notes.json": {"size": 2}}
        record = {"id": model["id"], "name": model["name"], "files": files}
        (place / MANIFEST).write_text(json_text(record))
    archived, deleted = models[0]["id"], models[1]["id"]
    (path,) = (path for path in signed_in.rglob("*.sqlite3") if "cache" in str(path))
    with closing(open_cache(path)) as db, db:
        put_models(db, [{**(get_row(db, archived) or {}), "status": "archived"}])
        row = {"id": deleted, "configuration": {"files_removed_at": "2026-11-01T00:00:00+00:00"}}
        db.execute(
            "INSERT INTO deleted_models VALUES (?, ?, ?, ?, ?)",
            [deleted, json_text(row), models[1]["name"], "2026-10-01T00:00:00+00:00", ""],
        )
    return places


def marks(run: Run) -> dict[str, Any]:
    return {a["directory"]: a["project"] for a in run("library", "--json").data["adapters"]}


def test_archived_and_deleted_models_are_marked_and_summed(
    directories: list[Path], run: Run
) -> None:
    archived, deleted, stored = map(str, directories)
    assert marks(run) == {archived: "archived", deleted: "deleted", stored: None}
    ran = run("library")
    assert sum(line.endswith("  archived") for line in ran.out.splitlines()) == 1
    assert "1 adapter (" in ran.err
    assert "archived in the project; `lora-tui library remove --archived` removes" in ran.err
    assert "`lora-tui library remove --deleted`" in ran.err


@pytest.mark.parametrize(
    ("words", "left"),
    [(["--archived"], [1, 2]), (["--deleted"], [0, 2]), (["--archived", "--deleted"], [2])],
)
def test_these_are_removed_from_this_disk_and_no_others(
    directories: list[Path], run: Run, words: list[str], left: list[int]
) -> None:
    ran = run("library", "remove", *words)
    assert ran.code == 2  # without a confirmation
    assert [place.exists() for place in directories] == [True] * 3
    ran = run("library", "remove", *words, "--yes", "--json")
    assert ran.code == 0
    assert len(ran.data["removed"]) == 3 - len(left)
    assert [n for n, place in enumerate(directories) if place.exists()] == left
    assert run("library", "remove", *words, "--yes").code == 0  # nothing is left to remove


def test_what_a_server_has_loaded_stays(directories: list[Path], run: Run) -> None:
    archived, deleted, _ = directories
    row = dict.fromkeys(Loaded._fields, "x")
    row |= {"server": "gpu-1", "directory": str(archived.resolve())}
    with open_deployments(load_profile().paths) as deployments:
        deployments.note_loaded(Loaded(**row))
    ran = run("library", "remove", "--archived", "--deleted", "--yes")
    assert ran.code == 7
    assert "stays: gpu-1 has it loaded; unload it first" in ran.err
    assert (archived.exists(), deleted.exists()) == (True, False)


def test_a_confirmation_names_them_and_says_which_files_exist_only_here(
    directories: list[Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin.readline", lambda: "n\n", raising=False)
    ran = run("library", "remove", "--archived", "--deleted")
    assert ran.code == 0
    assert ran.err.count("the project has no files of it any more") == 1
    assert "Remove 2 adapters (" in ran.err
    assert "Nothing was removed." in ran.err
    assert all(place.exists() for place in directories)


@pytest.mark.parametrize(
    "words", [["list", "--archived"], ["remove", "3f2a9c1e", "--deleted"]], ids=" ".join
)
def test_other_uses_of_these_words_are_refused(
    directories: list[Path], run: Run, words: list[str]
) -> None:
    assert run("library", *words).code == 2
