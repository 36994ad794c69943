"""The sandbox's data is plausible, hostile only on request, and the same for the same seed."""

from __future__ import annotations

import math
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lora_tui.quality import calculate_quality_metrics
from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.seed.fill import seed_backend
from tests.sandbox.client import WEIGHTS, Client, clients

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TABLES = (
    "datasets",
    "training_jobs",
    "model_artifacts",
    "notifications",
    "cost_records",
    "metrics_points",
)


@pytest.fixture(autouse=True)
def seeded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests get copies of rows that were made once; here the making is tested."""
    monkeypatch.setattr("lora_tui.sandbox.server.seed_backend", seed_backend)


def all_points(client: Client, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = client.rows(
            f"metrics_points?job_id=eq.{job_id}&order=timestamp,id&limit=1000&offset={len(found)}"
        )
        found += page
        if len(page) < 1000:
            return found


def everything(seed: int) -> dict[str, Any]:
    with (
        Sandbox.start(seed=seed, models=3, waiting_jobs=2, now=NOW) as sandbox,
        clients(sandbox) as (user, _, service, _),
    ):
        found: dict[str, Any] = {
            table: service.rows(f"{table}?order={'timestamp,' * (table[0:2] == 'me')}id")
            for table in TABLES
        }
        found["weights"] = user.http.get(user.sign(user.newest())).content
        return found


def test_the_same_seed_makes_the_same_rows_and_bytes() -> None:
    first, second, third = everything(7), everything(7), everything(8)
    assert first == second
    assert first["weights"] != third["weights"]
    assert first["training_jobs"] != third["training_jobs"]


def test_there_are_models_of_many_datasets_presets_and_base_models(reader: Client) -> None:
    rows = reader.rows(
        "model_artifacts?deleted_at=is.null&select=*,dataset:datasets!dataset_id(name),"
        "job:training_jobs!job_id(*)"
    )
    assert len(rows) == 36
    assert len({row["dataset"]["name"] for row in rows}) >= 6
    jobs = [row["job"] for row in rows]
    assert {job["preset_id"] for job in jobs} == {
        "conservative",
        "balanced",
        "aggressive",
        "custom",
    }
    assert len({job["hyperparameters"]["base_model"] for job in jobs}) >= 4
    assert {"rank" in job["hyperparameters"] for job in jobs} == {True, False}
    assert {"type" in job["gpu_config"] for job in jobs} == {True, False}
    assert any(job["started_at"] is None for job in jobs)
    assert {row["status"] for row in rows} == {"stored", "deployed", "archived"}
    days = [datetime.fromisoformat(row["created_at"]) for row in rows]
    assert (max(days) - min(days)).days > 90


def test_every_verdict_occurs(reader: Client) -> None:
    rows = reader.rows("model_artifacts?select=verdict:quality_metrics->>convergence_quality")
    assert {"excellent", "good", "fair", "poor", "overfit", "unknown"} <= {
        row["verdict"] for row in rows
    }


def test_stored_ratings_are_those_of_the_curves(reader: Client) -> None:
    rows = reader.rows(
        "model_artifacts?deleted_at=is.null&select=job_id,quality_metrics&order=created_at.desc"
        "&limit=20"
    )
    counts = []
    for row in rows:
        points = all_points(reader, row["job_id"])
        counts.append(len(points))
        assert calculate_quality_metrics(points) == row["quality_metrics"]
    assert 0 in counts
    assert all(200 <= count <= 3000 for count in counts if count)
    assert max(counts) > 2000


def test_curves_are_noisy_and_mostly_fall(reader: Client) -> None:
    job = reader.rows(
        "model_artifacts?select=job_id&quality_metrics->>convergence_quality=eq.excellent"
        "&order=created_at.desc&limit=1"
    )[0]["job_id"]
    points = all_points(reader, job)
    losses = [point["training_loss"] for point in points]
    rises = sum(later > earlier for earlier, later in pairwise(losses))
    assert 0.2 < rises / len(losses) < 0.7
    quarter = len(losses) // 4
    assert sum(losses[-quarter:]) < 0.7 * sum(losses[:quarter])
    steps = [point["step"] for point in points]
    assert steps == sorted(steps)
    assert len({point["id"] for point in points}) == len(points)


def test_hostile_data_has_names_paths_and_json_that_a_careless_program_trips_over(
    reader: Client, service_reader: Client
) -> None:
    rows = reader.rows("model_artifacts?select=*")
    names = [row["name"] for row in rows]
    assert any("\x1b[" in name for name in names)
    assert any("\u202e" in name for name in names)
    assert any("[red]" in name for name in names)
    assert any(len(name) > 190 for name in names)
    assert any("均衡" in name for name in names)
    assert any("🚀" in name for name in names)
    assert any("../../x" in (row["artifacts"] or {}) for row in rows)
    assert [row["artifacts"] for row in rows].count(None) == 1
    assert any(isinstance(row["quality_metrics"], str) for row in rows)
    assert [row["deleted_at"] is None for row in rows].count(False) == 1
    assert any(row["parent_model_id"] for row in rows)
    missing = [
        path
        for row in rows
        if isinstance(row["artifacts"], dict)
        for path in row["artifacts"].values()
        if ".." not in path
        and service_reader.storage("GET", f"object/info/lora-models/{path}").status_code == 400
    ]
    assert len(missing) == 1


def test_without_being_asked_for_no_name_path_or_json_is_hostile() -> None:
    with Sandbox.start() as sandbox, clients(sandbox) as (reader, *_):
        rows = reader.rows("model_artifacts?select=*&order=created_at.desc")
    assert len(rows) == 37
    for row in rows:
        assert re.fullmatch(r"[A-Z][\w ]+ - \d{4}-\d{2}-\d{2}", row["name"], re.ASCII)
        assert isinstance(row["quality_metrics"]["overall_score"], int)
        assert isinstance(row["training_summary"]["total_cost"], float)
        assert all(re.fullmatch(r"[\w.]+", file, re.ASCII) for file in row["artifacts"])


def test_hostile_data_has_the_same_models_and_files() -> None:
    found = []
    for hostile in (False, True):
        with (
            Sandbox.start(now=NOW, hostile=hostile) as sandbox,
            clients(sandbox) as (_, _, service, _),
        ):
            rows = service.rows("model_artifacts?select=id,created_at,job_id&order=id")
            found.append((rows, service.rows("training_jobs?select=*&order=id")))
    assert found[0] == found[1]


def test_one_adapter_is_large_enough_to_watch(reader: Client) -> None:
    info = reader.storage("GET", f"object/info/lora-models/{reader.newest(3, WEIGHTS)}").json()
    assert 20_000_000 < info["size"] < 30_000_000


def test_a_diverged_run_ends_in_nan(reader: Client) -> None:
    points = reader.rows("metrics_points?select=job_id,training_loss&training_loss=eq.NaN&limit=1")
    assert math.isnan(float(points[0]["training_loss"]))


def test_a_waiting_job_has_more_points_than_one_answer(reader: Client) -> None:
    jobs = reader.rows("training_jobs?status=eq.completed&artifact_id=is.null&select=id")
    assert len(jobs) == 4
    assert max(len(all_points(reader, job["id"])) for job in jobs) > 1000


def test_an_account_can_be_empty() -> None:
    with Sandbox.start(models=0, waiting_jobs=0) as sandbox, clients(sandbox) as (user, *_):
        assert all(user.rows(table) == [] for table in TABLES)


def test_many_models_are_seeded_with_few_curves() -> None:
    with (
        Sandbox.start(models=1001, waiting_jobs=0) as sandbox,
        clients(sandbox) as (user, *_),
    ):
        query = "model_artifacts?deleted_at=is.null&select=id"
        answer = user.rest("GET", query, headers={"Prefer": "count=exact"})
        assert answer.headers["content-range"] == "0-999/1001"


def test_a_directory_keeps_its_state_until_it_is_reset(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for reset, expected in ((False, 1), (False, 2), (True, 1)):
        with (
            Sandbox.start(state, models=1, waiting_jobs=0, reset=reset) as sandbox,
            clients(sandbox) as (_, _, service, _),
        ):
            query = f"datasets?user_id=eq.{sandbox.other_user_id}&select=name"
            assert len(service.rows(query)) == expected
            service.rest(
                "POST", "datasets", json={"user_id": sandbox.other_user_id, "name": "Kept"}
            )


def test_a_temporary_state_is_removed_at_the_end() -> None:
    sandbox = Sandbox.start(models=1)
    assert sandbox.directory.exists()
    sandbox.stop()
    sandbox.stop()
    assert not sandbox.directory.exists()


@pytest.mark.parametrize("index", [0, 3])
def test_secrets_are_unmistakably_make_believe(full: Sandbox, index: int) -> None:
    keys = (full.anon_key, full.service_key, full.gpu_key, full.password)
    assert "make_believe" in keys[index].lower().replace("-", "_")


def test_data_of_an_older_version_are_generated_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with closing(sqlite3.connect(state / "sandbox.sqlite3")) as old:
        old.executescript(
            "CREATE TABLE sandbox_facts (name TEXT, value TEXT);"
            "CREATE TABLE storage_objects (bucket TEXT, name TEXT, etag TEXT NOT NULL);"
        )
    with Sandbox.start(state, models=1) as first, clients(first) as (user, *_):
        path = user.newest()
    with Sandbox.start(state, models=1) as second, clients(second) as (user, *_):
        assert user.newest() == path
        assert user.http.get(user.sign(path)).status_code == 200
