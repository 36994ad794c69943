"""The queue of the harvest answers alike on the sandbox, @supabase/lite and a plain PostgreSQL."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest

from lora_tui import clock
from lora_tui.gateway import Gateway
from lora_tui.gateway.harvest_queue import HarvestQueue, QueuedJob
from lora_tui.gateway.rest import Rest
from lora_tui.secret import Secret
from tests.backends.backend import Backend
from tests.backends.lite import DEPLOYED_SCHEMA, MIGRATION
from tests.backends.postgres import Database, postgres_server
from tests.backends.seed import Seed
from tests.contract.conftest import BACKENDS

ALICE = "00000000-0000-4000-8000-00000000000a"
_VALUES = {"claim_harvest_lease", "finish_harvest_job", "adopt_harvest_attempts", "harvest_status"}
_LISTS = {"renew_harvest_leases", "release_harvest_leases", "retry_harvest_jobs"}


class Place(ABC):
    """A project whose queue is empty at first."""

    rest: Rest

    def __init__(self) -> None:
        self.queue = HarvestQueue(self.rest)
        while self.queue.claim("those of other tests", 100, 3600):
            pass

    @abstractmethod
    def add(self, minutes: float | None) -> str:
        """A job that ended so long ago; its id."""

    @abstractmethod
    def change(self, table: str, key: str, job_id: str, **values: Any) -> None:
        """Change a row of a job."""

    @abstractmethod
    def finish(self, job_id: str) -> None:
        """Give a job its model."""

    def begin(self, job_id: str, holder: str) -> bool:
        parameters = {"p_job_id": job_id, "p_holder": holder, "p_seconds": 60}
        return bool(self.rest.call("claim_harvest_lease", parameters, "begin"))

    def expire(self, job_id: str) -> None:
        past = clock.timestamp_text(clock.now() - timedelta(seconds=1))
        self.change("harvest_leases", "job_id", job_id, expires_at=past)

    def claim(self, holder: str, limit: int = 1) -> list[str]:
        claims = self.queue.claim(holder, limit, 60)
        assert claims is not None
        return [claim.job["id"] for claim in claims]

    def state(self, job_id: str) -> QueuedJob:
        status = self.queue.status(1000)
        assert status is not None
        [job] = [job for job in status.jobs if job.job_id == job_id]
        return job


class Served(Place):
    """One that is asked over HTTP."""

    def __init__(self, backend: Backend, seed: Seed, rest: Rest) -> None:
        self._backend, self._seed = backend, seed
        self.rest = rest
        super().__init__()

    def add(self, minutes: float | None) -> str:
        ended = None if minutes is None else clock.now() - timedelta(minutes=minutes)
        completed = clock.timestamp_text(ended) if ended else None
        return str(self._seed.job(self._backend.alice, completed_at=completed)["id"])

    def finish(self, job_id: str) -> None:
        query = self.rest.select("training_jobs", "*").eq("id", job_id)
        [job] = self.rest.rows(query, "read the job")
        artifact = self._seed.artifact(self._backend.alice, dict(job))
        self.change("training_jobs", "id", job_id, artifact_id=artifact["id"])

    def change(self, table: str, key: str, job_id: str, **values: Any) -> None:
        self.rest.rows(self.rest.update(table, values).eq(key, job_id), "change the row")


class Plain(Place):
    """A PostgreSQL, asked in SQL; results get the shape that PostgREST gives them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._added = 0
        self.rest = cast(Rest, self)
        super().__init__()

    def call(self, function: str, parameters: dict[str, Any], _what: str) -> Any:
        given = ", ".join(f"{name} => {_literal(value)}" for name, value in parameters.items())
        found = self._database.rows(
            f"select * from public.{function}({given})", role="service_role"
        )
        if function in _VALUES:
            return found[0][function]
        return [row[function] for row in found] if function in _LISTS else found

    def add(self, minutes: float | None) -> str:
        self._added += 1
        ended = "null" if minutes is None else f"now() - interval '{minutes} minutes'"
        [row] = json.loads(
            self._database.execute(
                "with added as (insert into public.training_jobs (user_id, dataset_id, preset_id,"
                " status, external_job_id, completed_at) select user_id, id, 'balanced',"
                f" 'completed', 'w{self._added}', {ended} from public.datasets returning id)"
                " select json_agg(added) from added"
            ).splitlines()[-1]
        )
        return str(row["id"])

    def finish(self, job_id: str) -> None:
        self._database.execute(
            "set session_replication_role = replica;"  # without the triggers of foreign keys
            f"update public.training_jobs set artifact_id = id where id = '{job_id}'"
        )

    def change(self, table: str, key: str, job_id: str, **values: Any) -> None:
        changes = ", ".join(f"{name} = {_literal(value)}" for name, value in values.items())
        self._database.execute(f"update public.{table} set {changes} where {key} = '{job_id}'")


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        plain = all(isinstance(entry, str) for entry in value) and value
        text = f"{{{','.join(value)}}}" if plain else json.dumps(value)
        return f"'{text}'"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


@pytest.fixture(scope="module", params=[*BACKENDS, "postgres"])
def place(request: pytest.FixtureRequest, start: Callable[[str], Backend]) -> Iterator[Place]:
    if request.param != "postgres":
        backend = start(request.param)
        with (
            Gateway.for_service(backend.url, Secret(backend.service_key)) as gateway,
            Seed.of(backend) as seed,
        ):
            yield Served(backend, seed, gateway.rest)
        return
    with postgres_server() as server:
        database = server.create("queue")
        database.apply(DEPLOYED_SCHEMA)
        database.apply(MIGRATION)
        database.execute(
            f"insert into auth.users (id, email) values ('{ALICE}', 'alice@example.com');"
            f"insert into public.datasets (user_id, name) values ('{ALICE}', 'Answers')"
        )
        yield Plain(database)


def test_claims_go_by_urgency_and_carry_the_dataset_s_name(place: Place) -> None:
    unknown, gone, kept, longer, fresh = map(place.add, (None, 40.0, 5.0, 25.0, 1.0))
    assert place.claim("one", 2) == [longer, kept]
    claims = place.queue.claim("two", 9, 60)
    assert claims is not None
    assert [claim.job["id"] for claim in claims] == [fresh, gone, unknown]
    assert claims[0].job["status"] == "completed"
    assert isinstance(claims[0].job["dataset"]["name"], str)
    assert (claims[0].attempts, claims[0].reason) == (0, None)
    assert claims[0].first_seen is not None
    assert place.claim("three", 9) == []


def test_leases_are_renewed_and_released_together(place: Place) -> None:
    jobs = {place.add(5), place.add(5)}
    assert set(place.claim("one", 2)) == jobs
    assert place.queue.renew("one", sorted(jobs), 600) == jobs
    assert place.queue.renew("two", sorted(jobs), 600) == frozenset()
    assert place.queue.release("two", sorted(jobs)) == frozenset()
    assert place.queue.release("one", sorted(jobs)) == jobs
    assert set(place.claim("two", 2)) == jobs
    for job in jobs:
        place.expire(job)
    assert place.queue.renew("two", sorted(jobs), 600) == frozenset()
    assert set(place.claim("three", 2)) == jobs


def test_a_failure_is_noted_by_the_holder_and_undone_by_a_retry(place: Place) -> None:
    words = {"reason": "Broken", "details": "it's", "remedy": None}
    [job] = [place.add(5)]
    assert place.claim("one") == [job]
    assert place.queue.fail(job, "two", seconds=600, **words) == (False, None)
    recorded, next_try = place.queue.fail(job, "one", seconds=600, **words)
    assert recorded
    assert next_try is not None
    assert abs((next_try - clock.now()).total_seconds() - 600) < 60
    found = place.state(job)
    assert (found.state, found.attempts, found.details) == ("failed", 1, "it's")
    assert place.claim("two") == []
    assert place.queue.retry([job]) == {job}
    assert place.queue.retry([job]) == frozenset()
    assert place.claim("two") == [job]
    assert place.queue.fail(job, "two", seconds=None, **words) == (True, None)
    assert place.state(job).state == "dead"
    place.change("training_jobs", "id", job, external_job_id=f"again {job}")
    assert (place.state(job).state, place.claim("three")) == ("waiting", [job])


def test_three_deaths_at_a_job_let_it_wait(place: Place) -> None:
    job = place.add(5)
    for holder in ("one", "two", "three"):
        assert place.claim(holder) == [job]
        place.expire(job)  # claimed, and not begun
    for holder in ("four", "five", "six"):
        assert place.claim(holder) == [job]
        assert place.begin(job, holder)
        assert (place.state(job).state, place.state(job).holder) == ("running", holder)
        place.expire(job)
    assert place.claim("seven") == []
    assert (place.state(job).state, place.state(job).attempts) == ("failed", 3)


def test_an_expiring_result_is_reported_once_and_knowledge_is_taken_over_once(
    place: Place,
) -> None:
    job, known = place.add(25), place.add(25)
    row = {"job_id": known, "external_job_id": place.state(known).external_job_id}
    row |= {"attempts": 2, "seconds": 600.0, "reason": "Broken", "warned": True}
    assert place.queue.adopt([row, row | {"external_job_id": "another training"}])
    assert (place.state(known).state, place.state(known).attempts) == ("failed", 2)
    warned = place.queue.warn(600, 100)
    assert warned is not None
    assert known not in {row["job_id"] for row in warned}
    assert [row["reason"] for row in warned if row["job_id"] == job] == [None]
    assert place.queue.warn(600, 100) == []
    assert place.queue.adopt([row | {"attempts": 9}])
    assert place.state(known).attempts == 2


def test_of_many_finished_jobs_the_last_hundred_are_shown_and_all_are_counted(place: Place) -> None:
    jobs = [place.add(5) for _ in range(101)]
    before = place.queue.status(1000)
    assert before is not None
    names = {job.job_id: job.external_job_id for job in before.jobs}
    for job in jobs:
        place.finish(job)
    now = clock.now()
    ends = [clock.timestamp_text(now - timedelta(seconds=number)) for number in range(101)]
    assert place.queue.adopt(
        [
            {"job_id": job, "external_job_id": names[job], "attempts": 0, "finished_at": ended}
            for job, ended in zip(jobs, ends, strict=True)
        ]
    )
    status = place.queue.status(1000)
    assert status is not None
    assert status.counts["done"] == before.counts.get("done", 0) + 101
    assert [job.job_id for job in status.jobs if job.state == "done"] == jobs[:100]
