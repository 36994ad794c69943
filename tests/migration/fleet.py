"""Harvesters in processes of their own on one PostgreSQL: started, killed, and checked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.backends.postgres import Database
from tests.migration.fleet_harvester import Counts, Orders

_ROOT = Path(__file__).resolve().parents[2]
_OWNER = "00000000-0000-4000-8000-0000000000f1"


def fill(database: Database, jobs: int) -> None:
    """Add so many completed jobs, of the last 25 minutes, and a record of leases without any."""
    database.execute(
        f"insert into auth.users (id, email) values ('{_OWNER}', 'fleet@example.com');"
        f"insert into public.datasets (user_id, name) values ('{_OWNER}', 'Fleet');"
        "insert into public.training_jobs (user_id, dataset_id, preset_id, status, external_job_id,"
        " completed_at, hyperparameters, current_metrics)"
        " select user_id, id, 'balanced', 'completed', 'fleet-' || n,"
        f" now() - make_interval(secs => 1500.0 * n / {jobs}),"
        ' \'{"lora_rank": 16, "num_epochs": 3}\', \'{"training_loss": 0.5}\''
        f" from public.datasets, generate_series(1, {jobs}) as n where user_id = '{_OWNER}'"
    )
    database.execute(
        "create table public.lease_changes (at timestamptz, job_id uuid, old_holder text,"
        " old_until timestamptz, new_holder text, new_until timestamptz)"
    )
    database.execute("analyze")


def record_leases(database: Database) -> None:
    """Note every change of a lease from now on, in the table `lease_changes`."""
    database.execute(
        "create function public.note_lease() returns trigger language plpgsql security definer as"
        " $$ begin insert into public.lease_changes (at, job_id, old_holder, old_until,"
        " new_holder, new_until) values (clock_timestamp(), coalesce(new.job_id, old.job_id),"
        " old.holder, old.expires_at, new.holder, new.expires_at); return null; end $$;"
        "create trigger note_lease after insert or update or delete on public.harvest_leases"
        " for each row execute function public.note_lease()"
    )


@dataclass(frozen=True)
class Member:
    """A harvester that runs."""

    holder: str
    process: subprocess.Popen[str]

    def read(self) -> str:
        """Its next line."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def send(self, number: int) -> None:
        """A signal to it and to its session."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def counts(self) -> Counts:
        """What it did, when it has ended."""
        return Counts(**json.loads(self.read()))


@contextmanager
def fleet(
    database: Database, count: int, *, name: str = "harvester", **orders: Any
) -> Iterator[list[Member]]:
    """So many harvesters, connected and waiting for `start`; all are ended with the block.

    `name` begins the names of the holders; `orders` are fields of Orders.
    """
    psql = database.server.client_command("psql", database.name)
    members = []
    try:
        for number in range(count):
            mine = Orders(psql=psql, holder=f"{name}-{number}", **orders)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.migration.fleet_harvester",
                    json.dumps(mine._asdict()),
                ],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            members.append(Member(mine.holder, process))
        for member in members:
            assert member.read() == "ready"
        yield members
    finally:
        for member in members:
            member.send(signal.SIGKILL)
            member.process.communicate()


def start(members: list[Member]) -> float:
    """Let them go; the time of that, by `time.monotonic`."""
    for member in members:
        assert member.process.stdin
        member.process.stdin.write("go\n")
        member.process.stdin.flush()
    return time.monotonic()


def kill_half(database: Database, members: list[Member]) -> tuple[str, list[str]]:
    """SIGKILL every second one; the time, by the database's clock, and the jobs that they had."""
    dead = members[::2]
    for member in dead:
        member.send(signal.SIGKILL)
    for member in dead:
        member.process.wait()
    holders = ",".join(f"'{member.holder}'" for member in dead)
    [row] = database.rows(
        "select clock_timestamp() as at, array(select lease.job_id from public.harvest_leases"
        " as lease join public.training_jobs as job on job.id = lease.job_id"
        f" where lease.holder in ({holders}) and job.artifact_id is null) as jobs"
    )
    return str(row["at"]), list(row["jobs"])


def seconds_until_claimed(database: Database, at: str, jobs: list[str]) -> list[float]:
    """How long after `at` others claimed these jobs; needs `record_leases`."""
    found = database.rows(
        "select job_id, extract(epoch from min(at) - "
        f"'{at}')::float8 as seconds from public.lease_changes where at > '{at}'"
        " and new_holder is distinct from old_holder and new_holder is not null group by job_id"
    )
    seconds = {row["job_id"]: row["seconds"] for row in found}
    return [seconds[job] for job in jobs if job in seconds]


def faults(database: Database, *, finished: bool = True) -> list[str]:
    """What may never be found when all harvesters have ended; `finished`: all jobs."""
    checks = {
        "a lease was taken from a holder while it lived": (
            "select job_id from public.lease_changes where old_holder is not null"
            " and new_holder is distinct from old_holder and new_holder is not null"
            " and old_until > at"
        ),
        "a job has no model": (
            "select id from public.training_jobs where status = 'completed' and artifact_id is null"
            f" and user_id = '{_OWNER}'"
        ),
        "a job has several models": (
            "select job_id from public.model_artifacts group by job_id having count(*) > 1"
        ),
        "a model is linked to no job": (
            f"select id from public.model_artifacts as model where user_id = '{_OWNER}' and not"
            " exists (select 1 from public.training_jobs as job where job.artifact_id = model.id)"
        ),
        "not one notification a model": (
            "select 1 where (select count(*) from public.notifications"
            f" where user_id = '{_OWNER}') <> (select count(*) from public.model_artifacts"
            f" where user_id = '{_OWNER}')"
        ),
    }
    if not finished:
        del checks["a job has no model"]
    return [words for words, select in checks.items() if database.rows(select)]
