"""`lora-tui metrics`: all that a run logged, as a table and as data."""

from __future__ import annotations

import csv
import io
import json

import pytest

from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import UnreachableError
from lora_tui.sandbox import Sandbox
from tests.conftest import Run


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


def test_what_names_no_run_ends_with_3(synced: Sandbox, run: Run) -> None:
    ran = run("metrics", "nosuchrun")
    assert ran.code == 3
    assert "lora-tui list" in ran.err
