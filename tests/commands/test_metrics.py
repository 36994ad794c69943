"""`lora-tui metrics`: all that a run logged, as a table and as data."""

from __future__ import annotations

import csv
import io
import json
import os
import sys

import pytest

from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import UnreachableError
from lora_tui.sandbox import Sandbox
from lora_tui.text import cell_width
from tests.conftest import Run
from tests.pseudo_terminal import open_terminal


@pytest.fixture
def synced(configured: Sandbox, run: Run) -> Sandbox:
    """The small sandbox, signed in and synced."""
    assert run("login").code == 0
    assert run("sync").code == 0
    return configured


def a_model(run: Run) -> dict[str, str]:
    found: dict[str, str] = run("list", "--json").data["models"][0]
    return found


def test_a_run_is_named_by_its_model_or_its_job(synced: Sandbox, run: Run) -> None:
    model = a_model(run)
    by_model = run("metrics", model["id"], "--json").data
    by_job = run("metrics", model["job_id"][:13], "--json", "--offline").data
    assert by_model["points"] == by_job["points"]
    assert by_model["job_id"] == by_job["job_id"] == model["job_id"]
    assert by_model["model_id"] == model["id"]


def test_people_see_a_line_for_each_metric(synced: Sandbox, run: Run) -> None:
    ran = run("metrics", a_model(run)["id"])
    assert ran.code == 0
    for name in ("Training loss", "Validation loss", "Learning rate", "Gradient norm"):
        assert any(line.startswith(name) for line in ran.out.splitlines()), name
    assert all(len(line) <= 80 for line in ran.out.splitlines())


def test_csv_and_json_lines_have_every_point(synced: Sandbox, run: Run) -> None:
    model = a_model(run)["id"]
    points = run("metrics", model, "--json").data["points"]
    rows = list(csv.DictReader(io.StringIO(run("metrics", model, "--csv", "--offline").out)))
    lines = [
        json.loads(line) for line in run("metrics", model, "--jsonl", "--offline").out.splitlines()
    ]
    assert len(points) > 20
    assert lines == points
    assert [float(row["training_loss"]) for row in rows] == [
        point["training_loss"] for point in points
    ]


def test_what_the_cache_lacks_is_fetched_unless_offline(synced: Sandbox, run: Run) -> None:
    running = run("jobs", "--status", "running,completed", "--json").data["jobs"]
    fetched = [job["id"] for job in running]
    for job in fetched:
        before = run("metrics", job, "--json", "--offline").data["points"]
        after = run("metrics", job, "--json").data["points"]
        assert len(after) >= len(before)
        assert run("metrics", job, "--json", "--offline").data["points"] == after


def test_without_an_answer_the_cached_points_are_printed(
    synced: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise UnreachableError("No answer from the backend")

    model = a_model(run)["id"]
    monkeypatch.setattr(OnlineWriters, "load_curve", refuse)
    ran = run("metrics", model)
    assert ran.code == 0
    assert "Training loss" in ran.out
    assert "can't be fetched" in ran.err
    assert "Check the network" in ran.err


def test_offline_points_that_were_never_fetched_are_not_said_to_be_missing(
    synced: Sandbox, run: Run
) -> None:
    jobs = run("jobs", "--json", "--limit", "100").data["jobs"]
    [unread] = [
        job["id"]
        for job in jobs
        if job["status"] == "failed" and not run("metrics", job["id"], "--offline").out
    ][:1]
    assert "leave out --offline" in run("metrics", unread, "--offline").err
    assert "No metric points were logged" not in run("metrics", unread, "--offline").err
    if not run("metrics", unread).out:
        assert "No metric points were logged" in run("metrics", unread).err


def test_what_names_no_run_ends_with_3(synced: Sandbox, run: Run) -> None:
    ran = run("metrics", "nosuchrun")
    assert ran.code == 3
    assert "lora-tui list" in ran.err


def test_candidates_are_the_ids_that_match(synced: Sandbox, run: Run) -> None:
    ids = [model["id"] for model in run("list", "--json", "--limit", "100").data["models"]]
    ids += [job["id"] for job in run("jobs", "--json", "--limit", "100").data["jobs"]]
    [letter, _] = max(
        ((letter, sum(one.startswith(letter) for one in ids)) for letter in "0123456789abcdef"),
        key=lambda pair: pair[1],
    )
    ran = run("metrics", letter, "--offline")
    assert ran.code == 2
    for candidate in ran.err.partition(" match (")[2].partition("). Type")[0].split("), "):
        assert candidate.startswith(letter), ran.err


def test_curves_are_drawn_on_a_terminal_only_and_the_table_fits_it(
    synced: Sandbox, run: Run
) -> None:
    model = a_model(run)["id"]
    assert "⣀" not in run("metrics", model).out  # also fetches its points
    command = [sys.executable, "-m", "lora_tui", "--offline", "metrics", model]
    for columns in (20, 40, 60, 80, 300):
        drawn = on_terminal(command, columns, {})
        assert drawn[3].startswith("METRIC"), drawn
        assert all(cell_width(line) <= columns for line in drawn), drawn
        assert ("MAX" in drawn[3]) == (columns >= 80)
        assert any("⣀" in line for line in drawn) == (columns >= 80)
    plain = on_terminal(command, 120, {"LORA_TUI_ASCII": "1"})
    assert not any("⣀" in line for line in plain)


def on_terminal(command: list[str], columns: int, environment: dict[str, str]) -> list[str]:
    """What a program prints on a terminal of this width."""
    terminal = open_terminal(command, {**os.environ, **environment}, size=(columns, 24))
    assert terminal.end() == 0
    return bytes(terminal.written).decode().splitlines()
