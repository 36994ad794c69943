"""A job that is deleted while it is harvested is skipped with its reason, and leaves nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lora_tui.errors import MissingReferenceError
from lora_tui.harvest.events import Event, FileStored, describe
from tests.harvest.world import World, failures


@pytest.mark.parametrize("migrated", [False, True], ids=["deployed", "with leases"])
@pytest.mark.parametrize("table", ["training_jobs", "datasets"])
def test_jobs_that_are_deleted_midway_are_skipped_with_a_reason(
    new_world: Callable[..., World], migrated: bool, table: str
) -> None:
    world = new_world(waiting_jobs=2, migrated=migrated)
    gone, stays = world.jobs()
    row_id = gone["id"] if table == "training_jobs" else gone["dataset_id"]
    if gone["dataset_id"] == stays["dataset_id"]:
        other = next(row["id"] for row in world.rows("datasets") if row["id"] != row_id)
        world.change(f"training_jobs?id=eq.{stays['id']}", dataset_id=other)

    def delete(event: Event) -> None:
        if isinstance(event, FileStored) and event.job_id == gone["id"]:
            world.http.delete(f"/rest/v1/training_jobs?id=eq.{gone['id']}").raise_for_status()
            if table == "datasets":
                world.http.delete(f"/rest/v1/datasets?id=eq.{row_id}")

    result, events = world.run(emit=delete)
    assert (result.harvested, result.failed) == (1, 1)
    failure = failures(events)[gone["id"]]
    assert failure.permanent
    assert "deleted while it was harvested" in failure.reason
    assert "already there" not in describe(failure)
    (artifact,) = world.artifacts().values()
    assert artifact["job_id"] == stays["id"]
    assert set(world.objects()) == set(artifact["artifacts"].values())
    assert len(world.notifications()) == 1
    assert list(world.harvester().spool_dir.glob("*.json")) == []


def test_a_job_that_is_deleted_before_its_very_last_write_leaves_no_objects(world: World) -> None:
    gone = world.jobs()[0]
    harvester = world.harvester()
    link = harvester.rest.link_job

    def link_too_late(job_id: str, artifact_id: str) -> bool:
        if job_id == gone["id"]:
            world.http.delete(f"/rest/v1/model_artifacts?job_id=eq.{job_id}").raise_for_status()
            world.http.delete(f"/rest/v1/training_jobs?id=eq.{job_id}").raise_for_status()
        return link(job_id, artifact_id)

    harvester.rest.link_job = link_too_late  # type: ignore[method-assign]
    result, events = world.run(harvester)
    assert (result.harvested, result.failed) == (3, 1)
    assert "deleted while it was harvested" in failures(events)[gone["id"]].reason
    named = {path for row in world.artifacts().values() for path in row["artifacts"].values()}
    assert set(world.objects()) == named


def test_a_reference_that_is_missing_for_another_reason_is_tried_again(world: World) -> None:
    harvester = world.harvester()

    def refuse(_row: object) -> dict[str, object]:
        raise MissingReferenceError("Could not write the artifact: something is missing")

    harvester.rest.insert_artifact = refuse  # type: ignore[method-assign, assignment]
    _, events = world.run(harvester)
    failed = failures(events)
    assert len(failed) == 4
    assert not any(failure.permanent for failure in failed.values())
    assert world.objects() != {}
