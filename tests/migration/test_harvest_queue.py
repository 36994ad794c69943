"""The queue of the harvest on PostgreSQL: claims, attempts and warnings that a fleet shares."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from lora_tui.harvest.schedule import RESULT_SECONDS
from tests.backends.lite import MIGRATION
from tests.backends.postgres import Database
from tests.migration.conftest import ALICE
from tests.migration.test_after import DENIED, INVALID, USERS, refused

FUNCTIONS = (
    "claim_harvest_jobs('x', 1, 60)",
    "renew_harvest_leases('x', '{}', 60)",
    "release_harvest_leases('x', '{}')",
    "begin_harvest_attempts('{}')",
    "fail_harvest_job(null, 'x', 60, '', '', '')",
    "finish_harvest_job(null, 'x')",
    "retry_harvest_jobs('{}')",
    "warn_harvest_jobs(600, 10)",
    "adopt_harvest_attempts('[]')",
    "harvest_status(10)",
)


@pytest.fixture
def queue(ours: Database) -> Database:
    """Alice's five completed jobs: `w1` to `w5` at the worker, from the oldest to the newest.

    The first two ended more than 30 minutes ago, so that their results may be gone.
    """
    ours.execute(
        "update public.training_jobs set external_job_id = null;"
        "insert into public.training_jobs"
        " (user_id, dataset_id, preset_id, status, external_job_id, completed_at)"
        " select job.user_id, job.dataset_id, 'balanced', 'completed', 'w' || n,"
        " now() - make_interval(mins => (array[90, 40, 25, 15, 5])[n])"
        f" from generate_series(1, 5) as n, public.training_jobs as job"
        f" where job.user_id = '{ALICE}' order by n desc"
    )
    return ours


def call(database: Database, function: str) -> list[dict[str, Any]]:
    """The rows of a function, as the service role."""
    return database.rows(f"select * from public.{function}", role="service_role")


def claim(database: Database, holder: str, limit: int = 1, seconds: int = 60) -> list[str]:
    """The worker's ids of the jobs of a claim."""
    found = call(database, f"claim_harvest_jobs('{holder}', {limit}, {seconds})")
    return [row["job"]["external_job_id"] for row in found]


def job_id(database: Database, external: str) -> str:
    [row] = database.rows(
        f"select id from public.training_jobs where external_job_id = '{external}'"
    )
    return str(row["id"])


def fail(database: Database, external: str, holder: str, seconds: int | None) -> list[Any]:
    due = "null" if seconds is None else seconds
    job = job_id(database, external)
    return call(database, f"fail_harvest_job('{job}', '{holder}', {due}, 'Broken', 'why', 'fix')")


def state(database: Database, external: str) -> dict[str, Any]:
    """What `harvest_status` says of a job."""
    [row] = database.rows("select public.harvest_status(100) as status", role="service_role")
    [job] = [job for job in row["status"]["jobs"] if job["external_job_id"] == external]
    return dict(job)


def expire(database: Database) -> None:
    database.execute("update public.harvest_leases set expires_at = now() - interval '1 second'")


@contextmanager
def transaction(database: Database, statement: str) -> Iterator[str]:
    """A session that has run a statement and has not committed it yet."""
    server = database.server
    process = subprocess.Popen(
        [
            *(str(server._binaries / "psql"), "-h", str(server._directory)),
            *("-U", "supabase_admin", "-d", database.name, "--no-psqlrc"),
            *("-At", "--quiet", "--set=ON_ERROR_STOP=1"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"begin;\n{statement};\n\\echo over\n")
    process.stdin.flush()
    said = "".join(iter(process.stdout.readline, "over\n"))
    try:
        yield said
    finally:
        process.communicate("commit;\n")


class TestClaim:
    def test_what_expires_next_comes_first_and_what_may_be_gone_last(self, queue: Database) -> None:
        assert claim(queue, "one", 2) == ["w3", "w4"]
        assert claim(queue, "two", 5) == ["w5", "w1", "w2"]
        assert claim(queue, "three", 5) == []

    def test_it_gives_the_row_of_the_job_and_the_name_of_its_dataset(self, queue: Database) -> None:
        [row] = call(queue, "claim_harvest_jobs('one', 1, 60)")
        [kept] = queue.rows("select * from public.training_jobs where external_job_id = 'w3'")
        [dataset] = queue.rows(f"select name from public.datasets where user_id = '{ALICE}'")
        assert row["job"] == kept | {"dataset": dataset}
        assert (row["attempts"], row["reason"]) == (0, None)
        assert row["first_seen"]

    def test_the_results_that_are_kept_are_those_of_the_program(self) -> None:
        minutes = f"interval '{RESULT_SECONDS // 60} minutes'"
        assert MIGRATION.read_text().count(f"clock_timestamp() - {minutes}") == 3

    def test_a_job_with_a_model_or_without_an_end_is_not_claimed(self, queue: Database) -> None:
        queue.execute(
            "update public.training_jobs set artifact_id = (select id from public.model_artifacts"
            " limit 1) where external_job_id = 'w3';"
            "update public.training_jobs set status = 'running' where external_job_id = 'w4';"
            "update public.training_jobs set completed_at = null where external_job_id = 'w1'"
        )
        assert claim(queue, "one", 5) == ["w5", "w2", "w1"]  # an unknown time comes last

    def test_a_claim_in_progress_is_skipped_not_awaited(self, queue: Database) -> None:
        first = "select job ->> 'external_job_id' from public.claim_harvest_jobs('one', 2, 60)"
        with transaction(queue, first) as said:
            assert said.split() == ["w3", "w4"]
            assert claim(queue, "two", 2) == ["w5", "w1"]

    def test_a_point_that_is_being_written_does_not_hide_its_job(self, queue: Database) -> None:
        point = (
            "insert into public.metrics_points (job_id, step, training_loss)"
            f" values ('{job_id(queue, 'w3')}', 1, 2.5)"
        )
        with transaction(queue, point):
            assert claim(queue, "one") == ["w3"]

    def test_many_at_once_get_every_job_once(self, queue: Database) -> None:
        queue.execute(
            "insert into public.training_jobs"
            " (user_id, dataset_id, preset_id, status, external_job_id, completed_at)"
            " select user_id, dataset_id, preset_id, 'completed', 'm' || n, now()"
            " from public.training_jobs, generate_series(1, 43) as n where external_job_id = 'w1'"
        )
        with ThreadPoolExecutor(6) as pool:
            taken = list(pool.map(lambda number: claim(queue, f"h{number}", 8), range(6)))
        assert [len(jobs) for jobs in taken] == [8] * 6  # nobody comes away empty-handed
        assert set(Counter(job for jobs in taken for job in jobs).values()) == {1}

    @pytest.mark.parametrize(
        "arguments", ["'x', 0, 60", "'x', 101, 60", "'x', 1, 0", "'x', 1, 86401", "'', 1, 60"]
    )
    def test_it_has_a_holder_and_limits(self, migrated: Database, arguments: str) -> None:
        query = f"select * from public.claim_harvest_jobs({arguments})"
        assert refused(migrated, query, role="service_role") == INVALID

    def test_renewed_are_those_that_are_held_and_only_those(self, queue: Database) -> None:
        claim(queue, "one", 2)
        ids = {name: job_id(queue, name) for name in ("w3", "w4", "w5")}
        both = f"'{{{ids['w3']},{ids['w4']},{ids['w5']}}}'"
        assert len(call(queue, f"renew_harvest_leases('one', {both}, 60)")) == 2
        assert call(queue, f"renew_harvest_leases('two', {both}, 60)") == []
        assert call(queue, f"release_harvest_leases('two', {both})") == []
        assert len(call(queue, f"release_harvest_leases('one', {both})")) == 2
        assert claim(queue, "two", 2) == ["w3", "w4"]
        expire(queue)
        assert call(queue, f"renew_harvest_leases('two', {both}, 60)") == []


class TestAttempts:
    def test_a_failed_job_waits_for_its_next_time_on_every_machine(self, queue: Database) -> None:
        claim(queue, "one")
        [noted] = fail(queue, "w3", "one", 600)
        assert noted["attempts"] == 1
        found = state(queue, "w3")
        assert [found[name] for name in ("state", "reason", "details", "remedy", "holder")] == [
            *("failed", "Broken", "why", "fix"),
            None,
        ]
        assert claim(queue, "two") == ["w4"]
        queue.execute("update public.harvest_attempts set next_at = now() where next_at > now()")
        [row] = call(queue, "claim_harvest_jobs('two', 1, 60)")
        assert (row["job"]["external_job_id"], row["attempts"]) == ("w3", 1)
        assert (row["reason"], row["details"]) == ("Broken", "why")

    def test_only_who_has_the_lease_notes_a_failure(self, queue: Database) -> None:
        claim(queue, "one")
        assert fail(queue, "w3", "two", 600) == []
        assert state(queue, "w3")["attempts"] == 0

    def test_a_dead_job_is_due_after_a_retry_by_hand(self, queue: Database) -> None:
        claim(queue, "one")
        fail(queue, "w3", "one", None)
        assert state(queue, "w3")["state"] == "dead"
        assert "w3" not in claim(queue, "two", 5)
        assert len(call(queue, f"retry_harvest_jobs('{{{job_id(queue, 'w3')}}}')")) == 1
        assert call(queue, f"retry_harvest_jobs('{{{job_id(queue, 'w4')}}}')") == []
        assert claim(queue, "three") == ["w3"]

    def test_a_job_that_was_trained_again_has_no_history(self, queue: Database) -> None:
        claim(queue, "one")
        fail(queue, "w3", "one", None)
        queue.execute(
            "update public.training_jobs set external_job_id = 'again' where external_job_id = 'w3'"
        )
        assert state(queue, "again")["state"] == "waiting"
        [row] = call(queue, "claim_harvest_jobs('two', 1, 60)")
        assert (row["job"]["external_job_id"], row["attempts"]) == ("again", 0)

    def test_a_job_at_which_three_harvesters_died_waits_like_a_failed_one(
        self, queue: Database
    ) -> None:
        for holder in ("one", "two", "three"):
            assert claim(queue, holder) == ["w3"]
            begun = f"select public.claim_harvest_lease('{job_id(queue, 'w3')}', '{holder}', 60)"
            assert queue.execute(begun, role="service_role") == "t"
            assert state(queue, "w3")["state"] == "running"
            expire(queue)
        assert claim(queue, "four") == ["w4"]
        assert (state(queue, "w3")["state"], state(queue, "w3")["attempts"]) == ("failed", 3)
        assert "ended abruptly" in state(queue, "w3")["reason"]

    def test_a_claim_that_nobody_worked_on_counts_no_death(self, queue: Database) -> None:
        for holder in ("one", "two", "three", "four"):
            assert claim(queue, holder) == ["w3"]
            assert state(queue, "w3")["state"] == "waiting"
            expire(queue)
        assert state(queue, "w3")["attempts"] == 0

    def test_a_finished_job_is_noted_with_its_model_for_two_weeks(self, queue: Database) -> None:
        claim(queue, "one")
        job = job_id(queue, "w3")
        finish = f"select public.finish_harvest_job('{job}', 'one')"
        assert queue.execute(finish, role="service_role") == "f"  # it has no model yet
        queue.execute(
            "update public.training_jobs set artifact_id = (select id from public.model_artifacts"
            f" where user_id = '{ALICE}') where id = '{job}'"
        )
        assert queue.execute(finish, role="service_role") == "t"
        found = state(queue, "w3")
        assert [found[name] for name in ("state", "holder", "name")] == ["done", "one", "Answers"]
        assert found["quality_metrics"] == {"overall_score": 4}
        assert queue.rows("select * from public.harvest_leases") == []
        queue.execute(  # of one that died after it had linked the model
            f"insert into public.harvest_leases values ('{job}', 'x', now() - interval '2 hours')"
        )
        other = f"select public.finish_harvest_job('{job_id(queue, 'w4')}', 'two')"
        queue.execute(other, role="service_role")
        assert queue.rows("select * from public.harvest_leases") == []
        queue.execute("update public.harvest_attempts set finished_at = now() - interval '15 days'")
        queue.execute(finish, role="service_role")
        assert queue.rows("select * from public.harvest_attempts") == []

    def test_what_one_machine_knew_is_taken_over_once(self, queue: Database) -> None:
        row = {"job_id": job_id(queue, "w3"), "external_job_id": "w3", "attempts": 4, "dead": True}
        other = row | {"external_job_id": "w4"}  # a training of long ago
        rows = json.dumps([row | {"reason": "Lost", "warned": True}, other])
        adopt = f"select public.adopt_harvest_attempts('{rows}')"
        assert queue.execute(adopt, role="service_role") == "1"
        assert (state(queue, "w3")["state"], state(queue, "w3")["reason"]) == ("dead", "Lost")
        assert queue.execute(adopt, role="service_role") == "0"
        warned = [row["external_job_id"] for row in call(queue, "warn_harvest_jobs(600, 10)")]
        assert warned == []

    def test_an_expiring_result_is_reported_once_to_one_harvester(self, queue: Database) -> None:
        assert [row["external_job_id"] for row in call(queue, "warn_harvest_jobs(600, 10)")] == [
            "w3"
        ]
        assert call(queue, "warn_harvest_jobs(600, 10)") == []
        assert claim(queue, "one") == ["w3"]
        assert call(queue, "warn_harvest_jobs(600, 10)") == []


@pytest.mark.parametrize("role", USERS)
def test_users_neither_see_nor_change_the_queue(migrated: Database, role: str) -> None:
    statements = [f"select public.{function}" for function in FUNCTIONS]
    for statement in (
        "select * from public.harvest_attempts",
        "delete from public.harvest_attempts",
        *statements,
    ):
        assert refused(migrated, statement, role=role, user=ALICE) == DENIED


def test_every_function_of_the_queue_runs_with_the_rights_of_its_caller(migrated: Database) -> None:
    found = migrated.rows(
        "select proname, prosecdef, proconfig from pg_proc"
        " where pronamespace = 'public'::regnamespace and proname like '%harvest%'"
    )
    names = {row["proname"] for row in found}
    assert names >= {function.partition("(")[0] for function in FUNCTIONS}
    assert {row["prosecdef"] for row in found} == {False}
    assert {tuple(row["proconfig"]) for row in found} == {('search_path=""',)}


def test_a_claim_reads_a_range_of_the_partial_index_whatever_has_finished(queue: Database) -> None:
    queue.execute(
        "set session_replication_role = replica;"  # without the triggers of foreign keys
        "insert into public.training_jobs"
        " (user_id, dataset_id, preset_id, status, external_job_id, completed_at, artifact_id)"
        " select user_id, dataset_id, preset_id, 'completed', 'f' || n, now(), id"
        " from public.training_jobs, generate_series(1, 5000) as n where external_job_id = 'w1';"
        "analyze public.training_jobs"
    )
    queue.execute("select pg_stat_reset()")
    assert claim(queue, "one", 3) == ["w3", "w4", "w5"]
    [table] = queue.rows("select seq_scan from pg_stat_user_tables where relname = 'training_jobs'")
    [index] = queue.rows(
        "select idx_scan, idx_tup_read from pg_stat_user_indexes"
        " where indexrelname = 'lora_tui_harvest_queue'"
    )
    assert table["seq_scan"] == 0
    assert index["idx_scan"] >= 1
    assert index["idx_tup_read"] <= 10
