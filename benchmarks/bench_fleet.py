"""Harvesters that share one queue in PostgreSQL, against the way of before, and what they survive.

Each harvester is a process with a session of its own, and makes the queries that the program makes,
one transaction each as PostgREST does; bytes are not moved. The peer is the way of projects with
only a lease for each job: every harvester lists all of the queue and claims its jobs one by one.
Both empty a queue of `--jobs` jobs in turn: ours, peer, ours. PostgreSQL is a server of its own on
the same processors as the harvesters, and does not wait for the disk (fsync off), which would be a
measurement of this machine's. Time in it is that of pg_stat_statements: execution, nested
statements included in those that call them.

Then harvesters are killed and suspended. Every change of a lease is recorded by a trigger, so that
two living leases on a job, or a lease that was taken from a living holder, would be seen. The
benchmark fails where a job has not exactly one model and one notification.

Of 2,000 jobs it takes two minutes on a quiet machine; docs/harvest.md has the table of
`--jobs 5000`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from figures import Figure, figure, in_turn, report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.backends.lite import DEPLOYED_SCHEMA, MIGRATION
from tests.backends.postgres import Database, postgres_server
from tests.migration.fleet import (
    faults,
    fill,
    fleet,
    kill_half,
    record_leases,
    seconds_until_claimed,
    start,
)

CLAIM = 8
"""Jobs a claim."""
POLL = 0.2
LEASE = 60
SHORT_LEASE = 3
"""Seconds; of those that are killed or suspended."""
SETTINGS = (
    "shared_buffers=128MB",
    "max_connections=40",
    "fsync=off",
    "synchronous_commit=off",
    "autovacuum_naptime=1s",
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=top",
)
_QUEUE = "query ~ '(harvest_|training_jobs as job|order by id)'"
"""The statements that find, claim and give back jobs; the others are the same for both ways."""


@dataclass(frozen=True)
class Emptied:
    """What it took to harvest all jobs of a queue."""

    claims_a_second: float
    """Jobs claimed a second, from the start to the last model."""
    empty: float
    """Claims that came up empty, of 100."""
    queue: float
    """Milliseconds of the database a job, in statements of the queue."""
    whole: float
    """Milliseconds of the database a job, all statements."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2_000)
    parser.add_argument("--harvesters", default="1,2,4,8,16")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    figures: list[Figure] = []
    with postgres_server(SETTINGS) as server:
        project = server.create("project")
        project.apply(DEPLOYED_SCHEMA)
        project.apply(MIGRATION)
        project.execute("create extension pg_stat_statements")
        full = project.copy("waiting")
        fill(full, arguments.jobs)
        for count in (int(word) for word in arguments.harvesters.split(",")):
            claiming, listing = in_turn(
                partial(emptied, full, count, "claims"),
                partial(emptied, full, count, "list"),
                arguments.rounds,
            )
            figures += compared(count, listing, claiming)
        figures += survived(project)
    report(
        f"A fleet on PostgreSQL {server.version}: {arguments.jobs:,} waiting jobs,"
        f" {CLAIM} a claim, no bytes",
        "fleet",
        figures,
    )


def compared(count: int, listing: list[Emptied], claiming: list[Emptied]) -> list[Figure]:
    """The figures of one size of the fleet."""
    who = f"{count} harvester{'s' if count > 1 else ''}"
    rows = (
        ("claims a second", "1/s", "claims_a_second"),
        ("claims that came up empty", "%", "empty"),
        ("database, finding and claiming a job", "ms", "queue"),
        ("database, all of a job", "ms", "whole"),
    )
    return [
        figure(
            f"{who}: {name}",
            unit,
            [getattr(one, field) for one in claiming],
            peer="list, claim one by one",
            peer_values=[getattr(one, field) for one in listing],
        )
        for name, unit, field in rows
    ]


def emptied(full: Database, count: int, way: str) -> Emptied:
    """Have so many harvesters harvest all jobs of a copy of the queue."""
    with copied(full) as database:
        database.execute("select pg_stat_statements_reset()")
        with fleet(database, count, way=way, claim=CLAIM, lease=LEASE, poll=POLL) as members:
            began = start(members)
            found = [member.counts() for member in members]
            seconds = time.monotonic() - began
        jobs = sum(counts.harvested for counts in found)
        check(database)
        [times] = database.rows(
            f"select sum(total_exec_time) filter (where {_QUEUE}) as queue,"
            " sum(total_exec_time) as whole from pg_stat_statements"
            " where dbid = (select oid from pg_database where datname = current_database())"
            " and userid = 'service_role'::regrole"
        )
    return Emptied(
        jobs / seconds,
        100 * sum(counts.empty for counts in found) / sum(counts.asked for counts in found),
        times["queue"] / jobs,
        times["whole"] / jobs,
    )


def survived(project: Database) -> list[Figure]:
    """What becomes of the jobs of harvesters that are killed or suspended."""
    orders = {"way": "claims", "claim": CLAIM, "lease": SHORT_LEASE, "poll": POLL}
    longest, given_up = [], []
    for _ in range(3):
        with copied(project) as database:
            fill(database, 600)
            record_leases(database)
            with fleet(database, 8, work=0.05, **orders) as members:
                start(members)
                time.sleep(1.5)
                at, jobs = kill_half(database, members)
                for member in members[1::2]:
                    member.counts()
            check(database)
            seconds = seconds_until_claimed(database, at, jobs)
            assert len(seconds) == len(jobs) > 0
            longest.append(max(seconds))
            given_up.append(float(len(jobs)))
    # a living harvester looks again when it has made the jobs of its last claim
    bound = SHORT_LEASE + max(POLL, CLAIM * 0.05)
    late = []
    with copied(project) as database:
        fill(database, 200)
        record_leases(database)
        with fleet(database, 4, name="late", suspends=True, careless=True, **orders) as suspended:
            start(suspended)
            for member in suspended:
                assert member.read() == "claimed"
            with fleet(database, 4, **orders) as members:
                start(members)
                for member in members:
                    member.counts()
            for member in suspended:
                member.send(signal.SIGCONT)
            late = [member.counts() for member in suspended]
        check(database)
    return [
        figure(
            "half of 8 killed: the last of their jobs claimed again",
            "s",
            longest,
            peer="a lease and a poll",
            peer_values=[bound],
        ),
        figure("half of 8 killed: jobs that they had", "", given_up),
        figure(
            "4 suspended beyond their lease, then writing: jobs linked by them",
            "",
            [float(counts.harvested) for counts in late],
        ),
    ]


def check(database: Database) -> None:
    """End the benchmark where something is there twice, or not at all."""
    found = faults(database)
    if found:
        raise SystemExit(f"{database.name}: {'; '.join(found)}")


@contextmanager
def copied(database: Database) -> Iterator[Database]:
    """A copy of a database, for the block."""
    copy = database.copy("copied")
    try:
        yield copy
    finally:
        database.server.psql("template1", "--command", "drop database copied with (force)")


if __name__ == "__main__":
    main()
