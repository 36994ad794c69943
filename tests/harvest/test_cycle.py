"""What a harvest does when nothing goes wrong, and what it leaves alone."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from lora_tui.errors import AuthenticationError, ConfigError, UnreachableError
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.events import (
    CycleFinished,
    CycleStarted,
    Event,
    FileStored,
    JobHarvested,
    JobStarted,
    as_json,
)
from lora_tui.quality import calculate_quality_metrics
from lora_tui.secret import Secret
from tests.harvest.world import World, failures, printed
from tests.proxies import SocksProxy


def test_every_waiting_job_becomes_one_whole_announced_model(world: World) -> None:
    result, events = world.run()

    assert (result.harvested, result.failed, result.left) == (4, 0, 0)
    world.check_complete()
    kinds = [type(event) for event in events]
    assert kinds[0] is CycleStarted
    assert kinds[-1] is CycleFinished
    assert kinds.count(JobStarted) == kinds.count(JobHarvested) == 4
    assert kinds.count(FileStored) == len(world.objects())


def test_behind_a_proxy_all_of_a_harvest_goes_by_it(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = SocksProxy(urlsplit(pair.sandbox.url).port or 0)
    for name in ("http", "https", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    monkeypatch.setenv("all_proxy", f"socks5h://127.0.0.1:{proxy.port}")
    path = urlsplit(pair.sandbox.gpu_url).path
    there = pair.harvester(url="http://backend.invalid", gpu_url=f"http://worker.invalid{path}")

    result, _ = pair.run(there)

    proxy.close()
    assert (result.harvested, result.failed) == (2, 0)
    pair.check_complete()
    assert set(proxy.asked) == {"backend.invalid:80", "worker.invalid:80"}


def test_a_second_run_does_nothing(pair: World) -> None:
    pair.run()
    before = pair.state()
    pair.sandbox.forget_requests()

    result, events = pair.run()

    assert (result.harvested, result.failed) == (0, 0)
    assert [as_json(event)["event"] for event in events] == ["cycle_started", "cycle_finished"]
    asked = {entry["path"] for entry in pair.sandbox.requests() if entry["method"] != "GET"}
    assert asked == {
        f"/rest/v1/rpc/{name}"
        for name in ("harvest_status", "warn_harvest_jobs", "claim_harvest_jobs")
    }
    assert pair.state() == before


def test_a_dry_run_writes_nothing_and_tells_what_it_would_do(world: World) -> None:
    before = world.state()
    world.sandbox.forget_requests()

    result, events = world.run(dry_run=True)

    asked = {entry["path"] for entry in world.sandbox.requests() if entry["method"] != "GET"}
    # both of them read
    assert asked == {"/rest/v1/rpc/harvest_status", "/storage/v1/object/list/lora-models"}
    assert world.state() == before
    assert (result.harvested, result.failed) == (0, 0)
    planned = [event for event in events if isinstance(event, JobStarted)]
    assert [event.job_id for event in planned] == [job["id"] for job in world.jobs()]
    world.run()
    assert {event.job_id: event.artifact_id for event in planned} == {
        job_id: row["id"] for job_id, row in world.artifacts().items()
    }


def test_a_dry_run_tells_which_results_are_lost(world: World) -> None:
    lost = world.jobs()[1]
    world.sandbox.faults(vanish=[lost["external_job_id"]])

    result, events = world.run(dry_run=True)

    assert result.failed == 1
    assert failures(events)[lost["id"]].permanent


def test_the_rating_is_of_all_points_not_of_the_first_thousand(world: World) -> None:
    world.run()
    artifacts = world.artifacts()
    counts = []
    for job in world.jobs():
        points = world.points(job["id"])
        counts.append(len(points))
        summary = artifacts[job["id"]]["training_summary"]
        assert artifacts[job["id"]]["quality_metrics"] == calculate_quality_metrics(points)
        assert len(summary["loss_curve"]) <= 200
        assert [summary["loss_curve"][0][0], summary["loss_curve"][-1][0]] == [
            points[0]["step"],
            points[-1]["step"],
        ]
        if len(points) > 1000:
            short = calculate_quality_metrics(points[:1000])
            assert artifacts[job["id"]]["quality_metrics"] != short
    assert max(counts) > 1000


def test_the_artifact_says_what_the_pipeline_would_have_written(world: World) -> None:
    world.run()
    for job in world.jobs():
        artifact = world.artifacts()[job["id"]]
        assert artifact["status"] == "stored"
        assert artifact["version"] == "1.0.0"
        assert artifact["dataset_id"] == job["dataset_id"]
        assert artifact["name"] == f"{job['dataset']['name']} - {job['completed_at'][:10]}"
        summary = artifact["training_summary"]
        assert summary["epochs_completed"] == job["current_epoch"]
        assert summary["total_steps"] == job["current_step"]
        assert summary["final_loss"] == job["current_metrics"]["training_loss"]
        assert summary["total_cost"] == job["final_cost"]
        assert summary["training_duration_hours"] > 0
        for key in ("preset_id", "hyperparameters", "gpu_config"):
            assert artifact["configuration"][key] == job[key]


def test_the_notification_has_the_text_of_the_pipeline(pair: World) -> None:
    pair.run()
    by_artifact = {row["metadata"]["artifact_id"]: row for row in pair.notifications()}
    for artifact in pair.artifacts().values():
        note = by_artifact[artifact["id"]]
        stars = artifact["quality_metrics"]["overall_score"]
        assert note["user_id"] == artifact["user_id"]
        assert note["title"] == "Model Ready for Download"
        assert note["message"] == f"Your trained model is ready. Quality score: {stars}/5 stars"
        assert (note["priority"], note["read"]) == ("high", False)
        assert note["action_url"] == f"/models/{artifact['id']}"
        assert note["metadata"] == {"artifact_id": artifact["id"], "job_id": artifact["job_id"]}


@pytest.mark.parametrize("oddity", ["numerics_as_strings", "plain_timestamps"])
def test_other_stacks_lead_to_the_same_artifacts(
    new_world: Callable[..., World], oddity: str
) -> None:
    plain, odd = new_world(waiting_jobs=2), new_world(waiting_jobs=2)
    plain.run()
    odd.sandbox.faults(**{oddity: True})
    odd.run()
    odd.sandbox.clear_faults()
    assert odd.state() == plain.state()


def test_a_missing_start_leaves_the_duration_open(pair: World) -> None:
    job = pair.jobs()[0]
    pair.change(f"training_jobs?id=eq.{job['id']}", started_at=None)
    pair.run()
    artifact = pair.artifacts()[job["id"]]
    assert artifact["training_summary"]["training_duration_hours"] is None


def test_the_planned_worker_endpoint_serves_as_well(pair: World) -> None:
    pair.sandbox.faults(worker_planned_endpoint=True)
    pair.run()
    assert not pair.requested("GET", "/v2/demo-endpoint/status")
    pair.check_complete()


def test_the_oldest_job_comes_first_and_the_limit_holds(world: World) -> None:
    first = world.jobs()[0]
    result, events = world.run(limit=1)
    assert (result.harvested, result.left) == (1, 3)
    assert [event.job_id for event in events if isinstance(event, JobHarvested)] == [first["id"]]
    assert world.artifacts().keys() == {first["id"]}


def test_lost_jobs_do_not_use_up_the_limit(world: World) -> None:
    lost, following, *_ = world.jobs()
    world.sandbox.faults(vanish=[lost["external_job_id"]])
    result, _ = world.run(limit=1)
    assert (result.harvested, result.failed) == (1, 1)
    assert world.artifacts().keys() == {following["id"]}


def test_a_stop_finishes_the_file_under_way_and_the_next_run_goes_on(pair: World) -> None:
    stop = threading.Event()

    def stop_at_first_file(event: Event) -> None:
        if isinstance(event, FileStored):
            stop.set()

    one_file = replace(pair.harvester(), budget=ByteBudget(most_files=1))
    result, events = pair.run(one_file, emit=stop_at_first_file, stop=stop)
    assert (result.harvested, result.failed, result.left) == (0, 0, 2)
    stored = [event for event in events if isinstance(event, FileStored)]
    assert len(stored) == len(pair.objects()) == 1
    assert pair.artifacts() == {}

    _, events = pair.run()
    again = [event for event in events if isinstance(event, FileStored)]
    assert [event.file for event in again if not event.sent] == [stored[0].file]
    pair.check_complete()


def test_an_artifact_of_another_harvester_is_adopted_and_announced(pair: World) -> None:
    job = pair.jobs()[0]
    artifact_id = _artifact_of_the_web_pipeline(pair, job)

    result, events = pair.run()

    assert result.harvested == 2
    adopted = [event for event in events if isinstance(event, JobHarvested) and event.adopted]
    assert [event.artifact_id for event in adopted] == [artifact_id]
    assert pair.jobs()[0]["artifact_id"] == artifact_id
    announced = [row["metadata"]["artifact_id"] for row in pair.notifications()]
    assert announced.count(artifact_id) == 1
    assert len(announced) == 2


def test_an_artifact_that_was_announced_already_is_not_announced_again(pair: World) -> None:
    job = pair.jobs()[0]
    artifact_id = _artifact_of_the_web_pipeline(pair, job)
    note = {
        "user_id": job["user_id"],
        "type": "artifact_ready",
        "title": "Model Ready for Download",
        "message": "Your trained model is ready. Quality score: 4/5 stars",
        "metadata": {"artifact_id": artifact_id, "job_id": job["id"]},
    }
    pair.insert("notifications", note)
    pair.run()
    announced = [row["metadata"]["artifact_id"] for row in pair.notifications()]
    assert announced.count(artifact_id) == 1


def test_a_deleted_model_is_linked_but_not_announced(pair: World) -> None:
    job = pair.jobs()[0]
    artifact_id = _artifact_of_the_web_pipeline(pair, job)
    pair.change(f"model_artifacts?id=eq.{artifact_id}", deleted_at="2026-11-20T12:00:00Z")
    pair.run()
    assert pair.jobs()[0]["artifact_id"] == artifact_id
    assert artifact_id not in {row["metadata"]["artifact_id"] for row in pair.notifications()}


def test_a_missing_key_or_worker_is_told_before_anything_is_sent(world: World) -> None:
    for missing in ("service_key", "gpu_url", "gpu_key"):
        with pytest.raises(ConfigError) as caught:
            world.harvester(**{missing: None})
        assert caught.value.remedy is not None
        assert caught.value.remedy.startswith("set ")
    assert world.sandbox.requests() == []


def test_a_refused_worker_key_ends_the_cycle_with_a_reason(world: World) -> None:
    events: list[Event] = []
    harvester = world.harvester(gpu_key=Secret("wrong"))
    with pytest.raises(AuthenticationError):
        world.run(harvester, emit=events.append)
    assert isinstance(events[-1], CycleFinished)
    assert events[-1].error
    assert "wrong" not in printed(events).split()
    assert world.artifacts() == {}


def test_an_unreachable_backend_ends_the_cycle_with_a_reason(world: World) -> None:
    world.sandbox.faults(path="/rest/v1", fail_next=-1)
    events: list[Event] = []
    with pytest.raises(UnreachableError):
        world.run(emit=events.append)
    assert isinstance(events[-1], CycleFinished)
    assert events[-1].error


def test_a_bucket_that_is_down_is_not_asked_for_every_job(world: World) -> None:
    world.sandbox.faults(path="/storage/v1", fail_next=-1)
    result, events = world.run()
    assert (result.harvested, result.failed, result.left) == (0, 3, 1)
    assert not any(event.permanent for event in failures(events).values())
    assert isinstance(events[-1], CycleFinished)
    assert events[-1].error
    world.sandbox.clear_faults()
    world.retry_all()
    world.run()
    world.check_complete()


def _artifact_of_the_web_pipeline(world: World, job: dict[str, object]) -> str:
    artifact_id = str(uuid.uuid4())
    world.insert(
        "model_artifacts",
        {
            "id": artifact_id,
            "user_id": job["user_id"],
            "job_id": job["id"],
            "dataset_id": job["dataset_id"],
            "name": "Made elsewhere",
            "quality_metrics": {"overall_score": 4, "convergence_quality": "good"},
            "training_summary": {},
            "configuration": {},
            "artifacts": {},
        },
    )
    return artifact_id


def test_whoever_listens_no_longer_ends_the_cycle_and_fails_no_job(pair: World) -> None:
    """The printer's pipe is closed, say: that is no fault of the job's."""

    def gone(event: Event) -> None:
        if isinstance(event, FileStored):
            raise BrokenPipeError

    harvester = pair.harvester()
    with pytest.raises(BrokenPipeError):
        pair.run(harvester, emit=gone)
    assert {job.attempts for job in harvester.ledger.jobs()} == {0}
    assert pair.run(harvester)[0].harvested in (1, 2)  # the files in hand may have been all of one
    pair.check_complete()
