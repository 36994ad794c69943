"""One harvester of a fleet, in a process of its own, with a session of its own: `psql`.

It makes the queries that `lora-tui --harvest` makes, one transaction each as PostgREST does; bytes
are only waited for. Its parent (fleet.py) gives it its orders as JSON, and `go` on a line of stdin;
it prints its counts as JSON at the end.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

PAGE = 1_000
"""Rows of an answer of PostgREST."""
IDS_A_QUERY = 80
"""Rows that the earlier way read in full at once."""
_WAITING = "status = 'completed' and external_job_id is not null and artifact_id is null"
_OVER = "-- over"


class Orders(NamedTuple):
    """What a harvester does."""

    psql: list[str]
    """The words that start a session."""
    holder: str
    way: str
    """`claims`: claim_harvest_jobs. `list`: list all of the queue, and claim one by one."""
    claim: int
    """Jobs a claim."""
    lease: int
    """Seconds."""
    poll: float
    """Seconds between two looks at a queue that has nothing for it."""
    work: float = 0.0
    """Seconds that the bytes of a job take."""
    seconds: float = math.inf
    """How long it claims; it makes the models of its last claim."""
    careless: bool = False
    """Writes after its lease ran out, as a process may that was suspended just before a write."""
    suspends: bool = False
    """Prints that it has claimed, and suspends itself, after the first claim."""


@dataclass
class Counts:
    """What a harvester has done."""

    claimed: int = 0
    """Jobs."""
    asked: int = 0
    """Claims."""
    empty: int = 0
    """Claims that came up empty: nothing to have, another's lease, or a job that has its model."""
    harvested: int = 0
    """Jobs that it linked to their model."""
    lost: int = 0
    """Jobs whose lease ran out before the first write."""
    seconds: float = 0.0
    """From the start to the end."""


class Session:
    """One connection, as the service role."""

    def __init__(self, psql: list[str]) -> None:
        self._process = subprocess.Popen(
            [*psql, "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.rows("set role service_role")

    def rows(self, sql: str) -> list[str]:
        """The lines that a statement gives. Raises RuntimeError where it is refused."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{sql};\n\\echo {_OVER}\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.rstrip("\n") == _OVER:
                break
            lines.append(line.rstrip("\n"))
        else:
            raise RuntimeError(f"the session has ended: {lines}")
        if any(line.startswith(("ERROR:", "FATAL:")) for line in lines):
            raise RuntimeError("\n".join(lines))
        return lines

    def is_true(self, sql: str) -> bool:
        """Whether a statement gives `t`."""
        return self.rows(sql) == ["t"]

    def close(self) -> None:
        """End the session."""
        self._process.communicate()


class Harvester:
    """Claims jobs and makes their models until no job waits."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._session = Session(orders.psql)
        self.counts = Counts()
        self._over = math.inf
        self._listed = self._list() if orders.way == "list" else []

    def run(self) -> None:
        """Harvest until no job waits, or the time is over."""
        began = time.monotonic()
        self._over = began + self._orders.seconds
        harvest = self._by_claims if self._orders.way == "claims" else self._by_list
        while time.monotonic() < self._over and (harvest() or self._waiting()):
            pass
        self.counts.seconds = time.monotonic() - began
        self._session.close()

    def _waiting(self) -> bool:
        return self._session.rows(
            f"select 1 from public.training_jobs where {_WAITING} limit 1"
        ) == ["1"]

    def _by_claims(self) -> bool:
        orders, counts = self._orders, self.counts
        began = time.monotonic()
        found = self._session.rows(
            "select job from public.claim_harvest_jobs"
            f"('{orders.holder}', {orders.claim}, {orders.lease})"
        )
        counts.asked += 1
        counts.empty += not found
        if not found:
            time.sleep(orders.poll)
            return False
        jobs = [json.loads(line) for line in found]
        counts.claimed += len(jobs)
        self._suspend_after_first_claim()
        renewed = began
        for number, job in enumerate(jobs):
            if time.monotonic() - renewed > orders.lease / 3 and not orders.careless:
                renewed = time.monotonic()
                kept = self._renew(jobs[number:])
                jobs[number:] = [one for one in jobs[number:] if one["id"] in kept]
                counts.lost += len(jobs) - number - len(kept)
                if job["id"] not in kept:
                    continue
            self._harvest(job)
        return True

    def _renew(self, jobs: list[dict[str, Any]]) -> set[str]:
        ids = ",".join(job["id"] for job in jobs)
        return set(
            self._session.rows(
                "select public.renew_harvest_leases"
                f"('{self._orders.holder}', '{{{ids}}}', {self._orders.lease})"
            )
        )

    def _harvest(self, job: dict[str, Any]) -> None:
        """Begin, and make the model."""
        if not self._orders.careless and not self._lease(job):
            self.counts.lost += 1
            return
        self.counts.harvested += self._make_model(job)
        self._session.rows(
            f"select public.finish_harvest_job('{job['id']}', '{self._orders.holder}')"
        )

    def _by_list(self) -> bool:
        counts = self.counts
        jobs, self._listed = self._listed or self._list(), []
        for job in jobs:
            if time.monotonic() >= self._over:
                break
            counts.asked += 1
            if not self._lease(job):
                counts.empty += 1
                continue
            made = self._make_model(job)
            counts.empty += not made
            counts.claimed += made
            counts.harvested += made
            self._session.rows(
                f"select public.release_harvest_lease('{job['id']}', '{self._orders.holder}')"
            )
        if not jobs:
            time.sleep(self._orders.poll)
        return bool(jobs)

    def _list(self) -> list[dict[str, Any]]:
        """All waiting jobs, the longest waiting first: ids in pages, then the rows."""
        found: list[list[str]] = []
        after = "00000000-0000-0000-0000-000000000000"
        while True:
            page = self._session.rows(
                "select id || ' ' || completed_at || ' ' || coalesce(external_job_id, '')"
                f" from public.training_jobs where {_WAITING} and id > '{after}'"
                f" order by id limit {PAGE}"
            )
            if not page:
                break
            found += [line.split(" ", 1) for line in page]
            after = found[-1][0]
        found.sort(key=lambda row: row[1])
        jobs = []
        for start in range(0, len(found), IDS_A_QUERY):
            ids = ",".join(f"'{row[0]}'" for row in found[start : start + IDS_A_QUERY])
            jobs += self._session.rows(
                "select to_jsonb(job) || jsonb_build_object('dataset',"
                " jsonb_build_object('name', dataset.name)) from public.training_jobs as job"
                f" join public.datasets as dataset on dataset.id = job.dataset_id"
                f" where job.id in ({ids})"
            )
        return [json.loads(line) for line in jobs]

    def _lease(self, job: dict[str, Any]) -> bool:
        return self._session.is_true(
            "select public.claim_harvest_lease"
            f"('{job['id']}', '{self._orders.holder}', {self._orders.lease})"
        )

    def _make_model(self, job: dict[str, Any]) -> bool:
        """Artifact, notification, link; each may be there already. Whether it was linked here."""
        artifact = uuid.uuid5(uuid.NAMESPACE_URL, f"artifact {job['id']}")
        notification = uuid.uuid5(uuid.NAMESPACE_URL, f"notification {job['id']}")
        there = self._session.rows(
            f"select id from public.model_artifacts where job_id = '{job['id']}'"
        )
        if not there:
            time.sleep(self._orders.work)
            self._session.rows(
                "insert into public.model_artifacts (id, user_id, job_id, dataset_id, name,"
                " quality_metrics, training_summary, configuration, artifacts) values"
                f" ('{artifact}', '{job['user_id']}', '{job['id']}', '{job['dataset_id']}', 'm',"
                " '{}', '{}', '{}', '{}') on conflict do nothing"
            )
        self._session.rows(
            "insert into public.notifications (id, user_id, type, title, message) values"
            f" ('{notification}', '{job['user_id']}', 'artifact_ready', 'Model', 'Ready')"
            " on conflict do nothing"
        )
        return self._session.rows(
            f"update public.training_jobs set artifact_id = '{artifact}'"
            f" where id = '{job['id']}' and artifact_id is null returning 1"
        ) == ["1"]

    def _suspend_after_first_claim(self) -> None:
        if self._orders.suspends and self.counts.asked - self.counts.empty == 1:
            print("claimed", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)


def main() -> None:
    harvester = Harvester(Orders(**json.loads(sys.argv[1])))
    print("ready", flush=True)
    if sys.stdin.readline() == "go\n":
        harvester.run()
        print(json.dumps(vars(harvester.counts)), flush=True)


if __name__ == "__main__":
    main()
