"""The harvest writes once in effect, also if repeated or run several times at once."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from lora_tui.errors import BackendError, ConflictError, DeniedError, UnreachableError
from lora_tui.gateway import Gateway
from tests.backends.backend import Backend
from tests.backends.seed import Seed, artifact_row, notification_row
from tests.contract.conftest import Person

AT_ONCE = 6


T = TypeVar("T")


def all_at_once(calls: list[Callable[[], T]]) -> list[T]:
    """The results of calls that start at the same moment, each in a thread."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def test_a_completed_job_waits_until_it_has_an_artifact(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    waiting = seed.job(backend.alice, completed_at="2026-01-02T00:00:00+00:00")
    longer = seed.job(backend.bob, completed_at="2026-01-01T00:00:00+00:00")
    running = seed.job(backend.alice, status="running", completed_at=None)
    never_sent = seed.job(backend.alice, external_job_id=None)
    model = seed.artifact(backend.alice, waiting)

    def found() -> list[str]:
        return [job["id"] for job in service.rest.jobs_to_harvest(limit=5000)]

    before = found()
    assert before.index(longer["id"]) < before.index(waiting["id"])
    assert running["id"] not in before
    assert never_sent["id"] not in before
    assert service.rest.link_job(waiting["id"], model["id"])
    assert waiting["id"] not in found()


def test_a_waiting_job_names_its_dataset(backend: Backend, service: Gateway, seed: Seed) -> None:
    job = seed.job(backend.alice, seed.dataset(backend.alice, name="Legal letters"))
    [found] = [row for row in service.rest.jobs_to_harvest(limit=5000) if row["id"] == job["id"]]
    assert found["dataset"] == {"name": "Legal letters"}


def test_no_more_jobs_are_taken_than_asked_for(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    for _ in range(3):
        seed.job(backend.alice)
    assert len(service.rest.jobs_to_harvest(limit=2)) == 2


def test_an_artifact_is_written_and_found_by_its_job(
    backend: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    assert service.rest.artifact_by_job(job["id"]) is None
    row = artifact_row(job)
    written = service.rest.insert_artifact(row)
    assert {key: written[key] for key in row} == row
    found = service.rest.artifact_by_job(job["id"])
    assert found is not None
    assert found["id"] == row["id"]
    [seen] = alice.gateway.rest.rows_by_id("model_artifacts", alice.id, [row["id"]])
    assert seen["artifacts"] == row["artifacts"]


def test_a_second_artifact_of_a_job_is_refused_as_a_conflict(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    first = artifact_row(job)
    service.rest.insert_artifact(first)
    for again in (first, artifact_row(job)):
        with pytest.raises(ConflictError):
            service.rest.insert_artifact(again)
    assert [row["id"] for row in seed.rows("model_artifacts", job_id=f"eq.{job['id']}")] == [
        first["id"]
    ]


def test_if_many_write_an_artifact_of_a_job_at_once_one_is_kept(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)

    def write() -> str | None:
        try:
            written: str = service.rest.insert_artifact(artifact_row(job))["id"]
        except ConflictError:
            return None
        return written

    [winner] = [one for one in all_at_once([write] * AT_ONCE) if one is not None]
    [row] = seed.rows("model_artifacts", job_id=f"eq.{job['id']}")
    assert row["id"] == winner


@pytest.mark.parametrize(
    "fault",
    [{"name": "n" * 201}, {"quality_metrics": None}, {"job_id": None}],
    ids=lambda fault: next(iter(fault)),
)
def test_a_row_that_the_schema_forbids_is_refused_and_is_no_conflict(
    backend: Backend, service: Gateway, seed: Seed, fault: dict[str, object]
) -> None:
    row = artifact_row(seed.job(backend.alice)) | fault
    with pytest.raises(BackendError) as refused:
        service.rest.insert_artifact(row)
    assert not isinstance(refused.value, ConflictError)
    assert seed.rows("model_artifacts", id=f"eq.{row['id']}") == []


def test_a_status_that_does_not_exist_is_never_stored(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    row = artifact_row(seed.job(backend.alice)) | {"status": "lost"}
    # PostgREST refuses with 400; @supabase/lite answers 500 to a failed CHECK.
    expected = UnreachableError if backend.name == "lite" else BackendError
    with pytest.raises(expected) as refused:
        service.rest.insert_artifact(row)
    assert not isinstance(refused.value, ConflictError)
    assert seed.rows("model_artifacts", id=f"eq.{row['id']}") == []


def test_if_many_link_a_job_at_once_one_wins_and_its_artifact_is_kept(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    models = [seed.artifact(backend.alice)["id"] for _ in range(AT_ONCE)]

    def link(model_id: str) -> Callable[[], bool]:
        return lambda: service.rest.link_job(job["id"], model_id)

    won = all_at_once([link(model_id) for model_id in models])
    assert won.count(True) == 1
    [row] = seed.rows("training_jobs", id=f"eq.{job['id']}")
    assert row["artifact_id"] == models[won.index(True)]
    assert service.rest.link_job(job["id"], models[0]) is False


def test_linking_marks_the_job_as_changed(backend: Backend, service: Gateway, seed: Seed) -> None:
    job = seed.job(backend.alice, updated_at="2026-01-01T00:00:00+00:00")
    service.rest.link_job(job["id"], seed.artifact(backend.alice, job)["id"])
    assert seed.rows("training_jobs", id=f"eq.{job['id']}", updated_at="lt.2026-01-02") == []


def test_a_notification_is_written_exactly_once_however_often_it_is_repeated(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    row = notification_row(backend.alice)
    results = all_at_once([lambda: service.rest.insert_notification(row)] * AT_ONCE)
    results.append(service.rest.insert_notification(row))
    assert {result["id"] for result in results} == {row["id"]}
    [stored] = seed.rows("notifications", id=f"eq.{row['id']}")
    assert {key: stored[key] for key in row} == row


def test_a_user_writes_no_artifact_and_links_no_job(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    model = seed.artifact(backend.alice)
    with pytest.raises(DeniedError):
        alice.gateway.rest.insert_artifact(artifact_row(job))
    assert alice.gateway.rest.link_job(job["id"], model["id"]) is False
    [row] = seed.rows("training_jobs", id=f"eq.{job['id']}")
    assert row["artifact_id"] is None


def test_the_lease_of_a_job_has_one_holder_who_can_renew_and_release_it(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    rest, job = service.rest, seed.job(backend.alice)["id"]
    assert rest.claim_lease(job, "one", 600) is True
    assert rest.claim_lease(job, "two", 600) is False
    assert rest.renew_lease(job, "two", 600) is False
    assert rest.release_lease(job, "two") is False
    assert rest.claim_lease(job, "one", 600) is True
    assert rest.renew_lease(job, "one", 600) is True
    assert rest.release_lease(job, "one") is True
    assert rest.release_lease(job, "one") is False
    assert rest.renew_lease(job, "one", 600) is False
    assert rest.claim_lease(job, "two", 600) is True


def test_if_many_claim_a_lease_at_once_one_gets_it(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)["id"]

    def claim(holder: str) -> Callable[[], bool | None]:
        return lambda: service.rest.claim_lease(job, holder, 600)

    claimed = all_at_once([claim(f"holder-{number}") for number in range(AT_ONCE)])
    assert sorted(map(str, claimed)) == ["False"] * (AT_ONCE - 1) + ["True"]


def test_a_lease_that_ran_out_is_free_and_lost_to_its_holder(
    backend: Backend, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)["id"]
    assert service.rest.claim_lease(job, "one", 1) is True
    deadline = time.monotonic() + 30
    while not service.rest.claim_lease(job, "two", 600):
        assert time.monotonic() < deadline, "the lease never ran out"
    assert service.rest.renew_lease(job, "one", 600) is False


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_a_lease_is_neither_empty_nor_endless(
    backend: Backend, service: Gateway, seed: Seed, seconds: int
) -> None:
    job = seed.job(backend.alice)["id"]
    with pytest.raises(BackendError):
        service.rest.claim_lease(job, "one", seconds)
    assert service.rest.claim_lease(job, "two", 60) is True


def test_a_lease_is_for_a_job_that_exists(service: Gateway) -> None:
    with pytest.raises(BackendError):
        service.rest.claim_lease(str(uuid.uuid4()), "one", 60)


def test_users_may_not_use_leases(
    backend: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)["id"]
    with pytest.raises(DeniedError):
        alice.gateway.rest.claim_lease(job, "alice", 60)
    assert service.rest.claim_lease(job, "one", 600) is True
    with pytest.raises(DeniedError):
        alice.gateway.rest.release_lease(job, "one")
    # Refused outright, or no row to see: @supabase/lite grants every table to users at each start,
    # so there only the row-level security stands in the way.
    answer = alice.bare.get("/rest/v1/harvest_leases")
    assert answer.status_code == 403 or answer.json() == []
    row = {"job_id": job, "holder": "alice", "expires_at": "2030-01-01T00:00:00+00:00"}
    assert alice.bare.post("/rest/v1/harvest_leases", json=row).status_code == 403
