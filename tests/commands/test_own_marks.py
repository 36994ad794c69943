"""Favorites, tags, notes and aliases on the command line, and @NAME in place of a model."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from tests.commands.models import whole_model
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("signed_in")


@pytest.fixture
def models(run: Run) -> list[dict[str, str]]:
    found: list[dict[str, str]] = run("list", "--json").data["models"]
    return found


def marks_file() -> Path:
    (path,) = (find_paths().data_dir / "marks").glob("*.json")
    return path


def test_marks_are_shown_counted_found_and_removed(
    run: Run, models: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = models[0]["id"], models[1]["id"]
    assert "Undo" in run("favorite", one, two).err
    run("tag", one, "candidate", "customer/acme")
    run("tag", two, "Candidate")
    monkeypatch.setattr(sys, "stdin", io.StringIO("forgets greetings\n  and more\n"))
    assert run("note", one).code == 0
    run("alias", "set", "production", one)
    shown = run("show", one)
    assert "customer/acme" in shown.out
    assert "  and more" in shown.out
    assert run("show", one, "--json").data["marks"] == {
        "favorite": True,
        "tags": ["candidate", "customer/acme"],
        "note": "forgets greetings\n  and more",
        "aliases": ["production"],
    }
    assert run("tag", "list").out.split() == ["candidate", "2", "customer/acme", "1"]
    for words in ("acme", "greetings cand", "production"):
        found = run("list", "--search", words, "--json").data["models"]
        assert [model["id"] for model in found] == [one], words
    run("tag", one, "candidate", "--remove")
    run("favorite", one, "--remove")
    assert "forgets greetings" in run("note", one, "--remove").err  # what it was, to undo it
    run("alias", "remove", "production")
    assert run("show", one, "--json").data["marks"] == {
        "favorite": False,
        "tags": ["customer/acme"],
        "note": "",
        "aliases": [],
    }


def test_an_alias_stands_wherever_a_model_does(run: Run, tmp_path: Path) -> None:
    model = whole_model(run)
    run("alias", "set", "production", model)
    to = tmp_path / "production"
    assert run("download", "@production", "--to", str(to)).code == 0
    assert (to / "adapter_config.json").exists()
    assert run("verify", "@production").code == 0
    assert run("show", "@Production", "--json").data["id"] == model
    for words in (
        ("report", "@production"),
        ("metrics", "@production", "--offline"),
        ("inspect", "@production"),
        ("spectrum", "@production"),
        ("serve-config", "@production", "--for", "peft"),
        ("urls", "@production"),
        ("tag", "@production", "live"),
        ("library", "remove", "@production", "--yes"),
    ):
        assert run(*words).code == 0, words


def test_an_alias_of_nothing_says_what_became_of_it(run: Run, models: list[dict[str, str]]) -> None:
    one, two = models[0], models[1]
    run("alias", "set", "production", one["id"])
    run("alias", "set", "production", two["id"])
    mistyped = run("show", "@prodction")
    assert mistyped.code == 3
    assert "@production" in mistyped.err
    assert run("metrics", "@prodction").code == 3
    path = marks_file()
    path.write_text(path.read_text().replace(two["id"], "00000000-gone"))
    gone = run("download", "@production")
    assert gone.code == 3
    assert f"{two['name']} (00000000)" in gone.err
    assert one["name"] in gone.err  # the history
    assert run("alias", "list", "--json").data["aliases"][0]["in_cache"] is False
    run("alias", "remove", "production")
    assert "removed" in run("show", "@production").err
    history = run("alias", "history", "production", "--json").data["history"]
    assert [move["model_id"] for move in history] == [one["id"], "00000000-gone", None]


def test_marks_survive_the_cache_and_a_file_that_another_program_changed(
    run: Run, models: list[dict[str, str]]
) -> None:
    one = models[0]["id"]
    run("favorite", one)
    run("cache", "clear")
    run("sync")
    assert run("show", one, "--json").data["marks"]["favorite"] is True
    document = json.loads(marks_file().read_text())
    document["models"][one]["tags"] = ["pulled"]
    marks_file().write_text(json.dumps(document))
    assert len(run("list", "--search", "pulled", "--json").data["models"]) == 1


def test_a_newer_file_is_refused_by_what_changes_marks_and_only_told_of_by_the_rest(
    run: Run, models: list[dict[str, str]]
) -> None:
    run("favorite", models[0]["id"])
    marks_file().write_text('{"lora_tui_marks": 9}')
    listed = run("list")
    assert listed.code == 0
    assert listed.err.count("newer lora-tui") == 1
    refused = run("tag", models[0]["id"], "a")
    assert refused.code == 2
    assert refused.err.count("newer lora-tui") == 1
    assert marks_file().read_text() == '{"lora_tui_marks": 9}'


def test_an_import_says_what_it_did_and_how_to_undo_it(
    run: Run, models: list[dict[str, str]], tmp_path: Path
) -> None:
    one, two = models[0]["id"], models[1]["id"]
    run("tag", one, "mine")
    theirs = tmp_path / "theirs.json"
    theirs.write_text(
        json.dumps(
            {
                "lora_tui_marks": 1,
                "models": {
                    one: {"name": "x", "tags": ["theirs", "not a tag"]},
                    two: {"name": "\x1b[31mTwo", "favorite": True, "note": ["a", "b"]},
                },
                "aliases": {"staging": [{"at": "2026-01-01T00:00:00Z", "model": two}]},
            }
        )
    )
    trial = run("marks", "import", str(theirs), "--dry-run", "--json").data
    assert trial["changed"] is True
    assert run("marks", "export", "--json").data["models"].keys() == {one}
    ran = run("marks", "import", str(theirs))
    assert "\x1b" not in ran.out + ran.err
    assert "not a tag" in ran.err
    assert "@staging" in ran.out
    data = run("marks", "export", "--json").data
    assert data["models"][one]["tags"] == ["mine", "theirs"]
    assert run("marks", "import", str(theirs), "--json").data["changed"] is False
    undo = ran.err.split("--replace '")[1].split("'")[0]
    assert run("marks", "import", "--replace", undo).code == 0
    assert run("marks", "export", "--json").data["models"].keys() == {one}
    assert run("marks", "import", str(tmp_path)).code == 1
    assert run("marks", "import", str(Path(__file__))).code == 6


def test_the_editor_opens_with_the_note_as_with_git(
    run: Run, models: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = models[0]["id"]
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "more\\n" >> "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal())
    run("note", one, "first")
    assert run("note", one, "--json").data == {
        "id": one,
        "name": models[0]["name"],
        "note": "first\nmore",
        "before": "first",
    }
    monkeypatch.setenv("EDITOR", "false")
    assert run("note", one).code == 2
    monkeypatch.setenv("EDITOR", "/nonexistent")
    assert "EDITOR" in run("note", one).err
    assert run("show", one, "--json").data["marks"]["note"] == "first\nmore"


class Terminal(io.StringIO):
    """A stdin that somebody types at."""

    def isatty(self) -> bool:
        return True


def test_two_accounts_have_marks_of_their_own() -> None:
    profile = load_profile()
    assert profile.marks_path("a") != profile.marks_path("b")
