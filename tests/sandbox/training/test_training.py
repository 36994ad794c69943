"""The sandbox trains: what somebody sees of its live runs through the project's own interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client, clients

METRICS = (
    *("training_loss", "learning_rate", "gradient_norm", "throughput", "gpu_utilization"),
    *("epoch", "step", "timestamp"),
)


@pytest.fixture(scope="module")
def trained() -> Iterator[tuple[Sandbox, Client, list[list[dict[str, Any]]]]]:
    """A sandbox that has trained for seven minutes, and its active jobs once a minute."""
    with Sandbox.start(models=2, waiting_jobs=0) as sandbox, clients(sandbox) as (user, *_):
        seen = [active(user)]
        for _ in range(7):
            sandbox.train(60)
            seen.append(active(user))
        yield sandbox, user, seen


def active(user: Client) -> list[dict[str, Any]]:
    return user.rows("training_jobs?status=in.(queued,initializing,running)&order=created_at")


def of_status(user: Client, status: str) -> list[dict[str, Any]]:
    return user.rows(f"training_jobs?status=eq.{status}&order=updated_at.desc")


def test_rows_stay_as_they_are_where_nobody_asks_for_training(user: Client) -> None:
    before = user.rows("training_jobs?order=id")
    assert {job["status"] for job in before} >= {"running", "queued", "failed"}
    assert user.rows("training_jobs?order=id") == before


def test_two_jobs_run_and_log_a_point_of_every_metric_each_second(sandbox: Sandbox) -> None:
    with clients(sandbox) as (user, *_):
        running = of_status(user, "running")
        assert len(running) == 2
        before = {job["id"]: points(user, job) for job in running}
        sandbox.train(30)
        for job in running:
            fresh = [row for row in points(user, job) if row not in before[job["id"]]]
            assert len(fresh) == 30
            assert all(row[name] is not None for row in fresh for name in METRICS)
            assert 0 < sum(row["validation_loss"] is not None for row in fresh) < 10
            steps = [row["step"] for row in fresh]
            assert steps == sorted(set(steps))
            after = next(row for row in of_status(user, "running") if row["id"] == job["id"])
            assert after["current_step"] == steps[-1] > job["current_step"]
            assert after["progress"] > job["progress"]
            assert after["current_cost"] > job["current_cost"]
            assert after["current_metrics"]["training_loss"] == fresh[-1]["training_loss"]
            assert after["current_metrics"]["validation_loss"] is not None
            assert after["updated_at"] > job["updated_at"]


def test_a_loss_goes_on_from_where_it_was(sandbox: Sandbox) -> None:
    with clients(sandbox) as (user, *_):
        job = of_status(user, "running")[0]
        before = [row["training_loss"] for row in points(user, job)][-20:]
        sandbox.train(20)
        after = [row["training_loss"] for row in points(user, job)][-20:]
        assert sum(after) / 20 == pytest.approx(sum(before) / 20, rel=0.2)


def points(user: Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    while True:
        page = user.rows(
            f"metrics_points?job_id=eq.{job['id']}&order=timestamp,id&offset={len(rows)}"
        )
        rows += page
        if len(page) < 1000:
            return rows


def test_at_most_two_run_and_another_waits_for_a_place(
    trained: tuple[Sandbox, Client, list[list[dict[str, Any]]]],
) -> None:
    _, _, seen = trained
    for jobs in seen:
        assert sum(job["status"] != "queued" for job in jobs) <= 2
        assert sum(job["status"] == "queued" for job in jobs) <= 1
    queued = next(job["id"] for job in seen[0] if job["status"] == "queued")
    later = {job["id"]: job["status"] for job in seen[-1]}
    assert later.get(queued, "ended") != "queued"


def test_one_run_completes_and_the_worker_has_its_files(
    trained: tuple[Sandbox, Client, list[list[dict[str, Any]]]],
) -> None:
    sandbox, user, seen = trained
    first = {job["id"] for job in seen[0]}
    job = next(job for job in of_status(user, "completed") if job["id"] in first)
    assert (job["progress"], job["current_step"]) == (100, job["total_steps"])
    assert job["final_cost"] == round(job["current_cost"], 2)
    answer = ask(sandbox, "GET", f"status/{job['external_job_id']}").json()
    assert answer["status"] == "COMPLETED"
    urls = answer["output"]["model_files"]
    assert len(urls) == 6
    assert httpx.get(urls["adapter_config.json"], trust_env=False).json()["peft_type"] == "LORA"


def test_one_run_diverges_and_fails_with_its_reason_and_a_notification(
    trained: tuple[Sandbox, Client, list[list[dict[str, Any]]]],
) -> None:
    _, user, seen = trained
    first = {job["id"] for job in seen[0]}
    job = next(job for job in of_status(user, "failed") if job["id"] in first)
    assert "diverged" in job["error_message"]
    assert job["error_message"] in job["error_stack"]
    assert "\n" in job["error_stack"]
    logged = points(user, job)
    assert logged[-1]["training_loss"] == "NaN"
    numbers = [row["training_loss"] for row in logged if row["training_loss"] != "NaN"]
    assert numbers[-1] > 2 * min(numbers)
    told = [
        row
        for row in user.rows("notifications?type=eq.training_failed")
        if row["metadata"] == {"job_id": job["id"]}
    ]
    assert [row["priority"] for row in told] == ["high"]
    assert user.rows(f"cost_records?job_id=eq.{job['id']}")[0]["amount"] == job["final_cost"]


def test_the_same_seed_gives_the_same_losses() -> None:
    losses = []
    for _ in range(2):
        with Sandbox.start(models=1, waiting_jobs=0, seed=3) as sandbox:
            sandbox.train(10)
            with clients(sandbox) as (user, *_):
                job = of_status(user, "running")[0]
                losses.append([row["training_loss"] for row in points(user, job)])
    assert losses[0] == losses[1]


def test_a_cancelled_run_stops_and_the_pipeline_writes_it(sandbox: Sandbox) -> None:
    with clients(sandbox) as (user, *_):
        job = of_status(user, "running")[0]
        path = f"cancel/{job['external_job_id']}"
        assert ask(sandbox, "POST", path).json() == {
            "id": job["external_job_id"],
            "status": "CANCELLED",
        }
        sandbox.train(2)
        after = user.rows(f"training_jobs?id=eq.{job['id']}")[0]
        assert after["status"] == "cancelled"
        assert after["completed_at"]
        assert after["final_cost"] > 0


def test_a_job_that_has_ended_or_is_unknown_is_not_cancelled(sandbox: Sandbox) -> None:
    with clients(sandbox) as (user, *_):
        job = of_status(user, "failed")[0]
        answer = ask(sandbox, "POST", f"cancel/{job['external_job_id']}")
        assert (answer.status_code, answer.json()["status"]) == (200, "FAILED")
        assert ask(sandbox, "POST", "cancel/nothing").status_code == 404
        assert ask(sandbox, "POST", "cancel/nothing", key="wrong").status_code == 401


def ask(sandbox: Sandbox, method: str, path: str, key: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {key or sandbox.gpu_key}"}
    return httpx.request(method, f"{sandbox.gpu_url}/{path}", headers=headers, trust_env=False)


def test_ended_runs_are_removed_so_that_a_demo_does_not_grow_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lora_tui.sandbox.training.trainer.KEPT", 1)
    with Sandbox.start(models=1, waiting_jobs=0) as sandbox, clients(sandbox) as (user, *_):
        sandbox.train(900)
        ended = "not.in.(queued,initializing,running)&external_job_id=like.demo-live-*"
        left = user.rows(f"training_jobs?select=id&status={ended}")
        assert len(left) == 1
        for table in ("metrics_points", "cost_records"):
            rows = user.rows(f"{table}?select=job_id&order=job_id&limit=1000")
            known = {job["id"] for job in user.rows("training_jobs?select=id")}
            assert {row["job_id"] for row in rows} <= {None, *known}


def test_runs_go_on_after_a_restart_and_those_of_yesterday_count_as_lost(tmp_path: Path) -> None:
    with Sandbox.start(tmp_path / "a", models=1, waiting_jobs=0) as sandbox:
        sandbox.train(5)
        with clients(sandbox) as (user, *_):
            before = {job["id"]: job["current_step"] for job in of_status(user, "running")}
    with Sandbox.start(tmp_path / "a") as sandbox, clients(sandbox) as (user, *_):
        sandbox.train(5)
        after = {job["id"]: job["current_step"] for job in of_status(user, "running")}
        assert after.keys() == before.keys()
        assert all(after[job] > before[job] for job in before)
        sandbox.faults(clock_offset=86_400)
        sandbox.train(1)
        sandbox.clear_faults()
        failed = [job for job in of_status(user, "failed") if job["id"] in before]
        assert {job["error_message"] for job in failed} == {
            "The GPU worker was lost: it sent no heartbeat"
        }
        assert len(failed) == 2
