"""Harvesters that share one queue in PostgreSQL, against the way of before, and what they survive.

Each harvester is a process with a session of its own, and makes the queries that the program makes,
one transaction each as PostgREST does; bytes are not moved. The peer is the way of projects with
only a lease for each job: every harvester has listed all of the queue, and claims its jobs one by
one. Both start on a queue of `--jobs` jobs and go on for `--seconds`, in turn: ours, peer, ours.
PostgreSQL is a server of its own on the same processors as the harvesters, and does not wait for
the disk (fsync off), which would be a measurement of this machine's. Time in it is that of
pg_stat_statements: execution, nested statements included in those that call them.

Then harvesters are killed and suspended. Every change of a lease is recorded by a trigger, so that
two living leases on a job, or a lease that was taken from a living holder, would be seen. The
benchmark fails where a job has not exactly one model and one notification.
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
_LIST = "query ~ '(training_jobs as job|order by id)'"
"""The statements that list the queue."""
_CLAIM = "query ~ 'harvest_'"
"""Those that claim jobs and give them back; all others are the same for both ways."""


@dataclass(frozen=True)
class Round:
    """What a fleet has done in a few seconds."""

    claims_a_second: float
    """Jobs claimed, and made into models, a second."""
    empty: float
    """Claims that came up empty, of 100."""
    claiming: float
    """Milliseconds of the database a job, to claim it and give it back."""
    whole: float
    """Milliseconds of the database a job, all but the list."""
    listing: float
    """Milliseconds of the database for each harvester, to list the queue once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=5_000, help="that wait")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round")
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
                partial(harvested, full, count, "claims", arguments.seconds),
                partial(harvested, full, count, "list", arguments.seconds),
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


def compared(count: int, listing: list[Round], claiming: list[Round]) -> list[Figure]:
    """The figures of one size of the fleet."""
    who = f"{count} harvester{'s' if count > 1 else ''}"
    rows = (
        ("claims a second", "1/s", "claims_a_second"),
        ("claims that came up empty", "%", "empty"),
        ("database, claiming a job", "ms", "claiming"),
        ("database, all of a job", "ms", "whole"),
        ("database, listing the queue once, each", "ms", "listing"),
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


def harvested(full: Database, count: int, way: str, seconds: float) -> Round:
    """Have so many harvesters work on a copy of the queue."""
    orders = {"way": way, "claim": CLAIM, "lease": LEASE, "poll": POLL, "seconds": seconds}
    with copied(full) as database:
        database.execute("select pg_stat_statements_reset()")
        with fleet(database, count, **orders) as members:
            start(members)
            found = [member.counts() for member in members]
        check(database, finished=False)
        [times] = database.rows(
            f"select coalesce(sum(total_exec_time) filter (where {_CLAIM}), 0) as claiming,"
            f" coalesce(sum(total_exec_time) filter (where not {_LIST}), 0) as whole,"
            f" coalesce(sum(total_exec_time) filter (where {_LIST}), 0) as listing"
            " from pg_stat_statements"
            " where dbid = (select oid from pg_database where datname = current_database())"
            " and userid = 'service_role'::regrole"
        )
    jobs = sum(counts.harvested for counts in found)
    return Round(
        jobs / max(counts.seconds for counts in found),
        100 * sum(counts.empty for counts in found) / sum(counts.asked for counts in found),
        times["claiming"] / jobs,
        times["whole"] / jobs,
        times["listing"] / count,
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


def check(database: Database, *, finished: bool = True) -> None:
    """End the benchmark where something is there twice, or not at all."""
    found = faults(database, finished=finished)
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
