"""Renaming, describing, archiving, deleting and restoring models on the command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import httpx
import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run, set_environment
from tests.seeded import short_curves


class Terminal(io.StringIO):
    """A terminal on which somebody has typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, run: Run) -> Iterator[Sandbox]:
    """A project of the test's own, whose models are cached."""
    with short_curves(), Sandbox.start(models=4, waiting_jobs=0) as sandbox:
        set_environment(sandbox, monkeypatch)
        run("sync")
        yield sandbox


@pytest.fixture
def models(project: Sandbox, run: Run) -> list[dict[str, str]]:
    found: list[dict[str, str]] = run("list", "--json").data["models"]
    return found


def listed(run: Run, *options: str) -> list[str]:
    return [model["id"] for model in run("list", "--json", *options).data["models"]]


def test_a_model_is_renamed_described_and_the_undo_of_each_is_said(
    run: Run, models: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, before = models[0]["id"], models[0]["name"]
    said = run("rename", one[:8], "Support, final")
    assert said.code == 0
    assert f"lora-tui rename {one[:8]}" in said.err
    assert run("show", "Support, final", "--json").data["id"] == one
    assert run("rename", "Support, final", before, "--json").data["before"] == "Support, final"
    monkeypatch.setattr(sys, "stdin", io.StringIO("for the shop\nof Acme\n"))
    assert run("describe", one, "-").code == 0
    assert run("describe", one).out == "for the shop\nof Acme\n"
    assert listed(run, "--search", "acme") == [one]
    assert "of Acme" in run("describe", one, "").err  # what it was, to undo it
    assert run("describe", one, "--json").data["description"] == ""
    run("sync", "--full")
    assert run("show", one, "--json").data["name"] == before


def test_archived_models_stay_in_the_list_and_can_be_hidden(
    run: Run, models: list[dict[str, str]]
) -> None:
    one = models[0]["id"]
    assert f"lora-tui restore {one[:8]}" in run("archive", one).err
    assert run("archive", one, "--json").data["models"][0]["changed"] is False
    assert "(archived)" in run("list").out
    assert listed(run, "--archived", "only") == [one]
    hidden = listed(run, "--archived", "hide", "--where", "cost >= 0 or cost is unknown")
    assert one not in hidden
    assert len(hidden) == len(models) - 1
    assert "back in the list" in run("restore", one).err
    assert listed(run, "--archived", "only") == []


def test_deleted_models_are_in_no_list_but_their_own_and_come_back(
    run: Run, models: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = models[0], models[1]
    run("alias", "set", "production", one["id"])
    ran = run("delete", one["id"])
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--yes" in ran.err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert "Nothing was deleted" in run("delete", one["id"], two["id"]).err
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    said = run("delete", "@production", two["id"][:8])
    assert said.code == 0
    for words in (one["name"], two["name"], "@production will name no model", "lora-tui restore"):
        assert words in said.err
    assert {one["id"], two["id"]}.isdisjoint(listed(run))
    assert len(listed(run)) == len(models) - 2
    shown = run("show", one["id"])
    assert shown.code == 3
    deleted = run("list", "--deleted", "--json").data["models"]
    assert [row["id"] for row in deleted] == [two["id"], one["id"]]
    assert one["id"] in run("list", "--deleted", "--csv").out
    assert one["id"][:8] in run("list", "--deleted").out
    assert "restore" in run("rename", one["id"], "x").err
    assert run("restore", "@production", two["name"]).code == 0
    assert run("list", "--deleted", "--json").data["models"] == []
    assert sorted(listed(run)) == sorted(model["id"] for model in models)


def test_several_are_all_tried_and_a_failed_one_ends_with_7(
    run: Run, project: Sandbox, models: list[dict[str, str]]
) -> None:
    one, two = models[0]["id"], models[1]["id"]
    httpx.patch(
        f"{project.url}/rest/v1/model_artifacts",
        params={"id": f"eq.{one}"},
        headers={"apikey": project.service_key, "Authorization": f"Bearer {project.service_key}"},
        json={"name": "from the web"},
        trust_env=False,
    ).raise_for_status()
    ran = run("archive", one, two)
    assert ran.code == 7
    assert "changed elsewhere" in ran.err
    assert "lora-tui sync" in ran.err
    assert listed(run, "--archived", "only") == [two]


def test_names_that_no_project_would_take_are_refused_before_it_is_asked(
    run: Run, models: list[dict[str, str]]
) -> None:
    for name in ("", "  ", "x" * 201, "two\nlines", "\x1b[31mred"):
        ran = run("rename", models[0]["id"], name)
        assert (ran.code, ran.out) == (2, ""), name
        assert "\x1b" not in ran.err
    assert run("describe", models[0]["id"], "x" * 2_001).code == 2


def test_without_the_migration_one_sentence_says_what_to_ask_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with short_curves(), Sandbox.start(models=2, waiting_jobs=0, migrated=False) as sandbox:
        set_environment(sandbox, monkeypatch)
        run("sync")
        ids = [model["id"] for model in run("list", "--json").data["models"]]
        for line in (
            ("rename", ids[0], "new"),
            ("describe", ids[0], "new"),
            ("archive", *ids),
            ("delete", *ids, "--yes"),
        ):
            ran = run(*line)
            assert ran.code == 3
            assert ran.err.count("\n") == 1
            assert "lora-tui schema" in ran.err
        assert "changes of models" in run("doctor").out


def test_offline_nothing_is_changed(run: Run, models: list[dict[str, str]]) -> None:
    for line in (("rename", "x"), ("archive",), ("delete", "--yes")):
        assert run("--offline", line[0], models[0]["id"], *line[1:]).code == 5
    assert run("--offline", "list", "--deleted").code == 0
