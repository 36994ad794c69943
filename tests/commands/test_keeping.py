"""Renaming, describing, archiving, deleting and restoring models on the command line."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import UnreachableError
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
    paged = run("list", "--deleted", "--limit", "1", "--page", "2", "--json").data
    assert [row["id"] for row in paged["models"]] == [one["id"]]
    assert paged["pagination"]["totalPages"] == 2
    for option in ("--search", "--sort", "--where", "--dataset"):
        assert run("list", "--deleted", option, "name").code == 2
    for command in ("show", "download", "note", "archive", "verify"):
        named = "@production" if command == "verify" else one["id"]
        refused = run(command, named)
        assert refused.code == 3
        assert f"lora-tui restore {one['id'][:8]}" in refused.err, command
    assert "restore" in run("rename", one["id"], "x").err
    assert run("restore", "@production", two["name"]).code == 0
    assert run("list", "--deleted", "--json").data["models"] == []
    assert sorted(listed(run)) == sorted(model["id"] for model in models)


def changed(project: Sandbox, model_id: str, **columns: object) -> None:
    """Change a model as the service role does."""
    httpx.patch(
        f"{project.url}/rest/v1/model_artifacts",
        params={"id": f"eq.{model_id}"},
        headers={"apikey": project.service_key, "Authorization": f"Bearer {project.service_key}"},
        json=columns,
        trust_env=False,
    ).raise_for_status()


def test_a_restored_model_says_that_the_harvester_removed_its_files(
    run: Run, project: Sandbox, models: list[dict[str, str]]
) -> None:
    one = models[0]["id"]
    run("delete", one, "--yes")
    assert "the files of 1 deleted model are in the bucket" in run("doctor").out
    changed(project, one, configuration={"files_removed_at": "2026-11-20T10:00:00+00:00"})
    run("sync")
    words = "Its files were removed from the bucket on 2026-11-20"
    assert words in run("restore", one).err
    assert words in run("show", one).out
    for command in ("download", "urls"):
        ran = run(command, one)
        assert (ran.code, ran.err.count("\n")) == (3, 1)
        assert words in ran.err
        assert "push DIRECTORY --update" in ran.err


def test_a_deleted_model_whose_row_is_gone_for_good_is_listed_until_its_restore_is_tried(
    run: Run, project: Sandbox, models: list[dict[str, str]]
) -> None:
    one, job = models[0]["id"], models[0]["job_id"]
    run("delete", one, "--yes")
    key = {"apikey": project.service_key, "Authorization": f"Bearer {project.service_key}"}
    with httpx.Client(base_url=project.url, headers=key, trust_env=False) as http:
        http.patch(f"/rest/v1/training_jobs?id=eq.{job}", json={"artifact_id": None})
        http.delete(f"/rest/v1/model_artifacts?id=eq.{one}").raise_for_status()
    ran = run("restore", one)
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert "not in the project" in ran.err
    assert run("list", "--deleted", "--json").data["models"] == []


def test_the_undo_of_a_rename_is_a_line_that_can_be_pasted(
    run: Run, models: list[dict[str, str]]
) -> None:
    one = models[0]["id"]
    for name in ("-x --yes", "it's `new` $(id)"):
        run("rename", one, "--", name)
        said = run("rename", one, "other").err
        undo = said.partition("Undo: `lora-tui ")[2].strip().removesuffix("`")
        assert run(*shlex.split(undo)).code == 0
        assert run("show", one, "--json").data["name"] == name
    assert "already" in run("rename", one, name).err


def test_a_description_that_is_not_text_replaces_nothing(
    run: Run, models: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = models[0]["id"]
    run("describe", one, "for the shop")
    bad = io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8", errors="surrogateescape")
    monkeypatch.setattr(sys, "stdin", bad)
    ran = run("describe", one, "-")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert run("describe", one).out == "for the shop\n"


def test_an_error_of_every_model_is_told_once(
    run: Run, models: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    change = OnlineWriters.change_model

    def falls_offline(self: OnlineWriters, model_id: str, *given: Any, **options: Any) -> Any:
        asked.append(model_id)
        if len(asked) > 1:
            raise UnreachableError("The server can't be reached")
        return change(self, model_id, *given, **options)

    monkeypatch.setattr(OnlineWriters, "change_model", falls_offline)
    ran = run("archive", *(model["id"] for model in models))
    assert (ran.code, len(asked)) == (7, 2)
    assert "not tried" in ran.err


def test_several_are_all_tried_and_a_failed_one_ends_with_7(
    run: Run, project: Sandbox, models: list[dict[str, str]]
) -> None:
    one, two = models[0]["id"], models[1]["id"]
    changed(project, one, name="from the web")
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
