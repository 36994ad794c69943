"""The files of models that were deleted days ago are removed from the bucket, and no others."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lora_tui import formats
from lora_tui.clock import timestamp_text
from lora_tui.domain import Model
from lora_tui.errors import DeniedError
from lora_tui.gateway.deleted_models import server_now
from lora_tui.harvest.events import (
    CycleFinished,
    Event,
    ObjectsRemoved,
    RemovalFailed,
    RemovalFinished,
    describe,
)
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.removal import remove_deleted
from tests.harvest.mortal import CrashError
from tests.harvest.world import Row, World, printed
from tests.seeded import short_curves

DAYS = 30


class Deleted:
    """A project with two models of three files each, none of which is deleted yet."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.harvester = world.harvester()
        self.models = sorted(world.artifacts().values(), key=lambda row: str(row["id"]))
        for row in self.models:
            files = {name: f"{folder(row)}/{name}" for name in ("a.bin", "b.json", "c.json")}
            for path in files.values():
                self.store(path)
            self.change(row, artifacts=files)
            row["artifacts"] = files

    def store(self, path: str) -> None:
        self.harvester.storage.upload(path, iter([b"0123456789"]), size=10)

    def change(self, row: Row, **columns: Any) -> None:
        self.world.change(f"model_artifacts?id=eq.{row['id']}", **columns)

    def delete(self, row: Row, *, days: float) -> None:
        moment = server_now(self.harvester.rest) - timedelta(days=days)
        self.change(row, deleted_at=timestamp_text(moment))

    def remove(
        self, harvester: Harvester | None = None, *, dry_run: bool = False
    ) -> tuple[int, list[Event]]:
        """The number of failures, and the events of one pass."""
        events: list[Event] = []
        used = harvester or self.harvester
        failed = remove_deleted(
            used.rest,
            used.storage,
            days=DAYS,
            dry_run=dry_run,
            emit=events.append,
            stop=threading.Event(),
        )
        return failed, events

    def row(self, row: Row) -> Row:
        (found,) = self.world.rows(f"model_artifacts?id=eq.{row['id']}")
        return found

    def files(self, row: Row) -> list[str]:
        """The names of the objects below the folder of a model."""
        start = f"{folder(row)}/"
        found = self.harvester.storage.list_below(folder(row))
        return sorted(one.path.removeprefix(start) for one in found)


def folder(row: Row) -> str:
    return f"{row['user_id']}/{row['id']}"


def removed(events: list[Event]) -> list[tuple[str, int, int]]:
    return [(e.model_id, e.files, e.bytes) for e in events if isinstance(e, ObjectsRemoved)]


def total(events: list[Event]) -> RemovalFinished:
    (found,) = [event for event in events if isinstance(event, RemovalFinished)]
    return found


WHOLE = ["a.bin", "b.json", "c.json"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One project for all tests, with two jobs that wait for nothing."""
    with short_curves(), World(tmp_path_factory.mktemp("home"), waiting_jobs=2) as world:
        yield world


@pytest.fixture
def place(shared: World) -> Deleted:
    """Two models, and no other, in the project."""
    world, jobs = shared, shared.jobs()
    world.sandbox.clear_faults()
    for job in jobs:
        world.change(f"training_jobs?id=eq.{job['id']}", artifact_id=None)
        world.http.delete(f"/rest/v1/model_artifacts?job_id=eq.{job['id']}").raise_for_status()
    for path in world.harvester().storage.list_below(""):
        world.http.delete(f"/storage/v1/object/lora-models/{path.path}").raise_for_status()
    for number, job in enumerate(jobs):
        row = {"id": f"{number}{uuid.uuid4()}"[:8] + str(uuid.uuid4())[8:], "job_id": job["id"]}
        row |= {"user_id": job["user_id"], "dataset_id": job["dataset_id"], "name": "Answers"}
        values: Row = {"quality_metrics": {}, "training_summary": {}, "artifacts": {}}
        world.insert("model_artifacts", row | values | {"configuration": {"preset_id": "x"}})
        world.change(f"training_jobs?id=eq.{job['id']}", artifact_id=row["id"])
    return Deleted(world)


def test_files_of_deleted_models_stay_unless_their_removal_is_asked_for(place: Deleted) -> None:
    old, _ = place.models
    place.delete(old, days=400)
    _, events = place.world.run(place.harvester)
    assert [type(event) for event in events][-1] is CycleFinished
    assert not any(isinstance(event, ObjectsRemoved | RemovalFinished) for event in events)
    assert place.files(old) == WHOLE


def test_a_cycle_removes_what_was_deleted_for_longer_than_that_and_says_it(place: Deleted) -> None:
    old, recent = place.models
    place.delete(old, days=DAYS + 1)
    place.delete(recent, days=DAYS - 1)
    harvester = replace(place.harvester, remove_deleted_after=DAYS)
    result, events = place.world.run(harvester)
    assert (result.failed, result.removals_failed) == (0, 0)
    assert removed(events) == [(old["id"], 3, 30)]
    assert [type(event) for event in events[-2:]] == [RemovalFinished, CycleFinished]
    assert (place.files(old), place.files(recent)) == ([], WHOLE)
    lines = printed(events)
    size = formats.size(30)
    assert f"{old['id'][:8]} removed 3 files ({size}) of the deleted model Answers" in lines
    assert f"removed: 3 files ({size}) of 1 deleted model" in lines
    assert '"event": "objects_removed"' in lines

    after = place.row(old)
    assert after["deleted_at"] is not None
    assert after["artifacts"] == old["artifacts"]
    assert after["configuration"].keys() == {"preset_id", "files_removed_at"}
    assert Model.from_row(after).files_removed_at is not None
    _, events = place.remove()
    assert removed(events) == []
    assert "no files to remove" in describe(total(events))


def test_a_process_looks_for_deleted_models_once_an_hour(
    place: Deleted, monkeypatch: pytest.MonkeyPatch
) -> None:
    harvester = replace(place.harvester, remove_deleted_after=DAYS)
    now = [1000.0]
    monkeypatch.setattr("lora_tui.harvest.removal.time.monotonic", lambda: now[0])
    passes = []
    for seconds in (0, 60, 3500, 60):
        now[0] += seconds
        _, events = place.world.run(harvester)
        passes.append(sum(isinstance(event, RemovalFinished) for event in events))
    assert passes == [1, 0, 0, 1]


def test_a_dry_run_says_what_would_be_freed_and_writes_nothing(place: Deleted) -> None:
    old, _ = place.models
    place.delete(old, days=DAYS + 1)
    before = place.row(old)
    _, events = place.remove(dry_run=True)
    assert removed(events) == [(old["id"], 3, 30)]
    words = f"would be removed: 3 files ({formats.size(30)}) of 1 deleted model"
    assert words in printed(events)
    assert place.files(old) == WHOLE
    assert place.row(old) == before


def test_the_days_are_counted_by_the_clock_of_the_server(place: Deleted) -> None:
    old, _ = place.models
    place.world.sandbox.faults(clock_offset=-500 * 86_400.0)
    place.delete(old, days=DAYS - 10)
    _, events = place.remove()
    assert removed(events) == []
    place.world.sandbox.faults(clock_offset=-489 * 86_400.0)
    _, events = place.remove()
    assert removed(events) == [(old["id"], 3, 30)]


def test_what_is_below_the_folder_goes_too_and_nothing_beside_it(place: Deleted) -> None:
    old, other = place.models
    beside = f"{old['user_id']}/{old['id']}x/a.bin"
    for path in (f"{folder(old)}/orphan.bin", f"{folder(old)}/deep/er/d.bin", beside):
        place.store(path)
    place.delete(old, days=DAYS + 1)
    _, events = place.remove()
    assert removed(events) == [(old["id"], 5, 50)]
    assert place.files(old) == []
    assert place.files(other) == WHOLE
    assert place.harvester.storage.info(beside).size == 10


@pytest.mark.parametrize("spelled", ["{path}", "lora-models/{path}", "https://x/o/{path}?t=1"])
@pytest.mark.parametrize("deleted_days", [None, 1])
def test_what_another_row_names_stays(
    place: Deleted, spelled: str, deleted_days: int | None
) -> None:
    old, other = place.models
    path = old["artifacts"]["a.bin"]
    named = {**other["artifacts"], "mine": {"of": [spelled.format(path=path)]}}
    place.change(other, artifacts=named, user_id=place.world.rows("model_artifacts")[0]["user_id"])
    if deleted_days:
        place.delete(other, days=deleted_days)
    place.delete(old, days=DAYS + 1)
    _, events = place.remove()
    assert removed(events) == [(old["id"], 2, 20)]
    assert total(events).kept == 1
    assert place.files(old) == ["a.bin"]


def test_a_row_that_names_a_file_while_the_pass_runs_is_seen(place: Deleted) -> None:
    old, other = place.models
    place.delete(old, days=DAYS + 1)
    list_below = place.harvester.storage.list_below

    def list_late(prefix: str) -> Iterator[Any]:
        found = list(list_below(prefix))
        place.change(other, artifacts={"theirs": old["artifacts"]["b.json"]})
        return iter(found)

    place.harvester.storage.list_below = list_late  # type: ignore[method-assign]
    place.remove()
    place.harvester.storage.list_below = list_below  # type: ignore[method-assign]
    assert place.files(old) == ["b.json"]


def test_nothing_is_removed_while_the_server_sends_fewer_rows_than_it_counts(
    place: Deleted,
) -> None:
    old, _ = place.models
    place.delete(old, days=DAYS + 1)
    counted = place.harvester.rest.counted
    place.harvester.rest.counted = lambda query, what: (  # type: ignore[method-assign]
        counted(query, what)[0],
        3,
    )
    failed, events = place.remove()
    assert failed == 1
    assert "does not send all of them (2 of 3)" in printed(events)
    assert place.files(old) == WHOLE


@pytest.mark.parametrize("late", [False, True], ids=["before its row is read", "after that"])
def test_a_model_that_is_restored_meanwhile_keeps_its_files(place: Deleted, late: bool) -> None:
    old, _ = place.models
    place.delete(old, days=DAYS + 1)
    rest = place.harvester.rest
    restore = threading.Event()
    send = rest.send

    def restored_first(query: Any) -> Any:
        wanted = "PATCH" if late else "GET"
        one = f"id=eq.{old['id']}" in str(query.request.params)
        if one and query.request.http_method == wanted and not restore.is_set():
            restore.set()
            place.change(old, deleted_at=None)
        return send(query)

    rest.send = restored_first  # type: ignore[method-assign]
    failed, events = place.remove()
    assert restore.is_set()
    assert (failed, removed(events)) == (0, [])
    assert place.files(old) == WHOLE
    assert place.row(old)["configuration"] == {"preset_id": "x"}


def test_who_restores_it_once_the_removal_has_begun_sees_that(place: Deleted) -> None:
    old, _ = place.models
    place.delete(old, days=DAYS + 1)
    storage = place.harvester.storage
    delete = storage.delete
    seen: list[Row] = []

    def restored_then(paths: Any) -> Any:
        seen.append(place.row(old)["configuration"])
        place.change(old, deleted_at=None)
        return delete(paths)

    storage.delete = restored_then  # type: ignore[method-assign]
    place.remove()
    assert seen[0].keys() == {"preset_id", "files_removal_began_at"}
    assert place.row(old)["configuration"].keys() == {"preset_id", "files_removed_at"}


def test_files_that_are_pushed_while_the_removal_is_noted_are_not_called_removed(
    place: Deleted,
) -> None:
    old, _ = place.models
    place.delete(old, days=DAYS + 1)
    rest = place.harvester.rest
    send = rest.send
    notes: list[str] = []

    def pushed_first(query: Any) -> Any:
        if query.request.http_method == "PATCH":
            notes.append("note")
            if len(notes) == 2:  # that the files are removed
                place.change(old, configuration={"files": {"a.bin": {"size": 10}}})
        return send(query)

    rest.send = pushed_first  # type: ignore[method-assign]
    assert place.remove()[0] == 0
    assert len(notes) == 2
    assert place.row(old)["configuration"] == {"files": {"a.bin": {"size": 10}}}


@pytest.mark.parametrize("step", ["noted", "removed one", "removed", "listed"])
def test_after_a_crash_at_any_step_the_next_pass_finishes(place: Deleted, step: str) -> None:
    old, _ = place.models
    place.delete(old, days=DAYS + 1)
    harvester = place.world.harvester()
    storage = harvester.storage
    delete, list_below = storage.delete, storage.list_below
    lists: list[str] = []

    def die_around(paths: Any) -> Any:
        if step == "noted":
            raise CrashError
        answer = delete(list(paths)[:1] if step == "removed one" else paths)
        if step != "listed":
            raise CrashError
        return answer

    def die_after(prefix: str) -> Any:
        lists.append(prefix)
        if len(lists) == 2:
            raise CrashError
        return list_below(prefix)

    storage.delete, storage.list_below = die_around, die_after  # type: ignore[method-assign]
    with pytest.raises(CrashError):
        place.remove(harvester)
    assert "files_removed_at" not in place.row(old)["configuration"]
    left = len(place.files(old))
    assert left == {"noted": 3, "removed one": 2, "removed": 0, "listed": 0}[step]
    _, events = place.remove()
    assert removed(events) == [(old["id"], left, 10 * left)]
    assert place.files(old) == []
    assert place.row(old)["configuration"].keys() == {"preset_id", "files_removed_at"}


def test_two_harvesters_at_once_free_each_byte_once(place: Deleted) -> None:
    for row in place.models:
        place.delete(row, days=DAYS + 1)
    harvesters = [place.harvester, place.world.harvester()]
    start = threading.Barrier(2)
    results: list[tuple[int, list[Event]]] = []

    def run(harvester: Harvester) -> None:
        start.wait()
        results.append(place.remove(harvester))

    threads = [threading.Thread(target=run, args=(one,)) for one in harvesters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [failed for failed, _ in results] == [0, 0]
    assert sum(total(events).bytes for _, events in results) == 60
    for row in place.models:
        assert place.files(row) == []
        assert place.row(row)["configuration"].keys() == {"preset_id", "files_removed_at"}


def test_paths_that_lead_out_of_its_folder_are_never_removed(place: Deleted) -> None:
    old, other = place.models
    outside = {
        "climbing": f"{folder(old)}/../{other['id']}/a.bin",
        "another's": other["artifacts"]["b.json"],
        "another bucket": f"/secrets/{folder(old)}/a.bin",
        "other case": folder(old).upper() + "/a.bin",
        "all": "",
    }
    place.change(old, artifacts={**old["artifacts"], **outside})
    place.change(other, artifacts={})  # so that nobody names its files
    place.delete(old, days=DAYS + 1)
    before = len(place.world.requested("DELETE", "/storage"))
    _, events = place.remove()
    assert removed(events) == [(old["id"], 3, 30)]
    assert total(events).kept == len(outside)
    assert place.files(other) == WHOLE
    (request,) = place.world.requested("DELETE", "/storage")[before:]
    assert request["path"] == "/storage/v1/object/lora-models"


def test_a_model_whose_files_are_all_elsewhere_is_left_as_it_is(place: Deleted) -> None:
    old, other = place.models
    place.harvester.storage.delete(old["artifacts"].values())
    place.change(old, artifacts=other["artifacts"])
    place.delete(old, days=DAYS + 1)
    _, events = place.remove()
    assert removed(events) == []
    assert total(events).kept == 3
    assert place.row(old)["configuration"] == {"preset_id": "x"}


def test_files_that_are_gone_already_are_noted_as_removed(place: Deleted) -> None:
    old, _ = place.models
    place.harvester.storage.delete(old["artifacts"].values())
    place.delete(old, days=DAYS + 1)
    failed, events = place.remove()
    assert (failed, removed(events)) == (0, [(old["id"], 0, 0)])
    assert "files_removed_at" in place.row(old)["configuration"]


def test_what_the_service_does_not_remove_is_reported_and_the_others_go_on(
    place: Deleted,
) -> None:
    first, second = place.models
    place.delete(first, days=DAYS + 2)
    place.delete(second, days=DAYS + 1)
    storage = place.harvester.storage
    delete = storage.delete
    storage.delete = lambda paths: (  # type: ignore[method-assign]
        [] if any(first["id"] in path for path in paths) else delete(paths)
    )
    harvester = replace(place.harvester, remove_deleted_after=DAYS)
    result, events = place.world.run(harvester)
    assert result.removals_failed == 1
    (failure,) = [event for event in events if isinstance(event, RemovalFailed)]
    assert failure.model_id == first["id"]
    assert "3 of 3 files were not removed" in describe(failure)
    assert removed(events) == [(second["id"], 3, 30)]
    assert "files_removed_at" not in place.row(first)["configuration"]
    assert place.files(first) == WHOLE


def test_a_refused_removal_is_a_failure_of_this_model_only(place: Deleted) -> None:
    for row in place.models:
        place.delete(row, days=DAYS + 1)
    storage = place.harvester.storage
    delete, calls = storage.delete, []

    def refuse_once(paths: Any) -> Any:
        calls.append(paths)
        if len(calls) == 1:
            raise DeniedError("Could not remove stored files: it is not allowed")
        return delete(paths)

    storage.delete = refuse_once  # type: ignore[method-assign]
    failed, events = place.remove()
    assert failed == 1
    assert len(removed(events)) == 1


def test_an_outage_ends_the_pass_and_the_cycle_counts_as_done(place: Deleted) -> None:
    for row in place.models:
        place.delete(row, days=DAYS + 1)
    place.world.sandbox.faults(path="/storage/v1", fail_next=-1, status=503)
    harvester = replace(place.harvester, remove_deleted_after=DAYS)
    result, events = place.world.run(harvester)
    assert (result.failed, result.removals_failed) == (0, 1)
    assert total(events).left == 1
    (finished,) = [event for event in events if isinstance(event, CycleFinished)]
    assert finished.error is None
    place.world.sandbox.clear_faults()
    _, events = place.remove()
    assert total(events).models == 2


def test_a_configuration_that_is_no_object_is_not_overwritten(place: Deleted) -> None:
    old, _ = place.models
    place.change(old, configuration=["mine"])
    place.delete(old, days=DAYS + 1)
    failed, events = place.remove()
    assert failed == 1
    assert "is no object" in printed(events)
    assert place.files(old) == WHOLE
    assert place.row(old)["configuration"] == ["mine"]


def test_no_more_models_than_the_limit_go_in_one_pass(
    place: Deleted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.harvest.removal.MODELS_A_PASS", 1)
    first, second = place.models
    place.delete(second, days=DAYS + 2)
    place.delete(first, days=DAYS + 1)
    _, events = place.remove()
    assert removed(events) == [(second["id"], 3, 30)]
    assert "1 model left to the next pass" in describe(total(events))
    _, events = place.remove()
    assert removed(events) == [(first["id"], 3, 30)]


def test_names_of_models_can_not_write_to_the_terminal(place: Deleted) -> None:
    old, _ = place.models
    place.change(old, name="\x1b]0;owned\x07evil")
    place.delete(old, days=DAYS + 1)
    _, events = place.remove()
    assert "\x1b" not in printed(events)
    assert json.loads(printed(events).splitlines()[1])["event"] == "objects_removed"
