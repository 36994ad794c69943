"""What a job leaves behind that never becomes a model here is removed, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from lora_tui.harvest.artifact_rows import artifact_id_of
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.events import FileStored
from lora_tui.harvest.harvester import Harvester
from tests.harvest.hostile import WEIGHTS, HostileWorker
from tests.harvest.mortal import CrashError, mortal
from tests.harvest.world import World, failures


@pytest.fixture
def unfinished(new_world: Callable[..., World]) -> World:
    """Without leases: of the first job's files three are in the bucket when the harvester dies."""
    world = new_world(waiting_jobs=2, migrated=False)
    with pytest.raises(CrashError):
        world.run(mortal(one_file_at_a_time(world), 4))
    assert len(world.objects()) == 3
    assert receipts(world) == [artifact_id_of(world.jobs()[0]["id"])]
    return world


def one_file_at_a_time(world: World) -> Harvester:
    return replace(world.harvester(), budget=ByteBudget(most_files=1))


def receipts(world: World) -> list[str]:
    return [file.stem for file in (world.home / "cache" / "harvest").glob("*.json")]


def objects_of(world: World, job_id: str) -> list[str]:
    return [path for path in world.objects() if f"/{artifact_id_of(job_id)}/" in path]


def test_objects_of_a_failed_job_are_removed_once_no_harvester_can_publish_them(
    unfinished: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = unfinished
    lost = world.jobs()[0]
    world.sandbox.faults(vanish=[lost["external_job_id"]])
    world.run()
    world.run()
    # another harvester may still be at it
    assert len(objects_of(world, lost["id"])) == 3
    assert len(world.artifacts()) == 1

    monkeypatch.setattr("lora_tui.harvest.publish.ORPHAN_AGE", timedelta(0))
    world.run()
    assert objects_of(world, lost["id"]) == []
    assert receipts(world) == []
    assert len(world.objects()) == sum(len(a["artifacts"]) for a in world.artifacts().values())


def test_objects_of_a_job_that_is_tried_again_stay(
    unfinished: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = unfinished
    monkeypatch.setattr("lora_tui.harvest.publish.ORPHAN_AGE", timedelta(0))
    world.sandbox.faults(path="/v2", fail_next=-1)
    world.run()
    assert len(objects_of(world, world.jobs()[0]["id"])) == 3
    world.sandbox.clear_faults()
    world.retry_all()
    _, events = world.run()
    assert sum(isinstance(event, FileStored) and not event.sent for event in events) == 3
    world.check_complete()


def test_receipts_of_a_job_that_another_machine_finished_are_removed(unfinished: World) -> None:
    world, here = unfinished, unfinished.home
    world.home = here / "another machine"
    world.run()
    world.check_complete()
    world.home = here
    assert receipts(world) != []
    world.run()
    assert receipts(world) == []
    world.check_complete()


def test_objects_go_where_the_job_became_a_model_of_another_program(unfinished: World) -> None:
    world = unfinished
    job = world.jobs()[0]
    foreign = {
        "id": "11111111-2222-4333-8444-555555555555",
        "user_id": job["user_id"],
        "job_id": job["id"],
        "dataset_id": job["dataset_id"],
        "name": "by the web application",
        "quality_metrics": {},
        "training_summary": {},
        "configuration": {},
        "artifacts": {},
    }
    world.insert("model_artifacts", foreign)
    world.change(f"training_jobs?id=eq.{job['id']}", artifact_id=foreign["id"])
    world.run()
    assert objects_of(world, job["id"]) == []
    assert receipts(world) == []


def test_objects_of_a_deleted_job_are_removed_after_a_while(
    unfinished: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = unfinished
    job = world.jobs()[0]
    world.change(f"training_jobs?id=eq.{job['id']}", status="cancelled")
    world.run()
    assert len(objects_of(world, job["id"])) == 3
    monkeypatch.setattr("lora_tui.harvest.publish.ORPHAN_AGE", timedelta(0))
    world.run()
    assert objects_of(world, job["id"]) == []


def test_old_objects_are_sent_again_so_that_the_cleanup_keeps_them(
    unfinished: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.harvest.store.ORPHAN_AGE", timedelta(0))
    _, events = unfinished.run()
    assert all(event.sent for event in events if isinstance(event, FileStored))
    unfinished.check_complete()


def test_no_model_names_a_file_that_somebody_removed_meanwhile(world: World) -> None:
    job = world.jobs()[0]
    path = f"{job['user_id']}/{artifact_id_of(job['id'])}/adapter_config.json"

    def remove(event: object) -> None:
        if isinstance(event, FileStored) and event.file == "adapter_model.safetensors":
            harvester.storage.delete([path])

    harvester = one_file_at_a_time(world)
    result, events = world.run(harvester, emit=remove)
    assert job["id"] not in world.artifacts()
    assert failures(events)[job["id"]].details == "adapter_config.json"
    assert result.failed == 1
    world.retry_all()
    world.run()
    world.check_complete()


def test_what_a_failed_try_stored_and_the_model_does_not_name_is_removed(
    new_world: Callable[..., World],
) -> None:
    world = new_world(waiting_jobs=1)
    (job,) = world.jobs()
    with HostileWorker() as worker:
        files = worker.files_of(job["external_job_id"])
        whole = files[WEIGHTS]
        files |= {"extra.json": b"{}", WEIGHTS: b""}
        harvester = replace(world.harvester(gpu_url=worker.url), budget=ByteBudget(most_files=1))
        world.run(harvester)
        assert any(path.endswith("/extra.json") for path in world.objects())
        del files["extra.json"]
        files[WEIGHTS] = whole
        world.retry_all()
        result, _ = world.run(world.harvester(gpu_url=worker.url))
    assert result.harvested == 1
    (artifact,) = world.artifacts().values()
    assert sorted(world.objects()) == sorted(artifact["artifacts"].values())
