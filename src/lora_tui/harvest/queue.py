"""The queue of jobs: what a harvester takes from it, and what it records of each job.

With our migration the queue is in the project: harvesters claim jobs, and share attempts, times of
the next attempt and warnings. Without it, or with an earlier version of it, each harvester lists
all waiting jobs and keeps the rest in its own ledger. The ledger is a copy of the project's state
then, for the screens, which read local data only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from lora_tui import clock
from lora_tui.domain import Quality
from lora_tui.errors import LoraTuiError
from lora_tui.gateway.harvest_queue import Claim, HarvestQueue, QueuedJob, QueueStatus
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.retry import repeat
from lora_tui.harvest.artifact_rows import model_name
from lora_tui.harvest.lease import ClaimedLease, Claims, Lease
from lora_tui.harvest.ledger import Ledger
from lora_tui.harvest.ledger_schema import JobState, State
from lora_tui.harvest.schedule import (
    EXPIRING_SECONDS,
    LONGEST_WAIT,
    seconds_left,
    sort_by_urgency,
    wait_after,
)
from lora_tui.json_values import Row

RECHECK_SECONDS: Final = 300.0
"""Seconds after which a project that lacked the queue is asked for it again."""
_MOST_JOBS: Final = 10_000
_MOST_SHOWN: Final = 1_000
"""Jobs of each state that are copied into the ledger."""
_MOST_WARNINGS: Final = 100
_log: Final = logging.getLogger("lora_tui.harvest")


@dataclass(frozen=True)
class Start:
    """The queue at the begin of a cycle."""

    jobs: Sequence[Row]
    """The due jobs, the most urgent first; empty where they are claimed one after the other."""
    waiting: int
    """Jobs that are due."""
    later: int
    """Jobs that failed and are tried again at a later time."""
    dead: int
    elsewhere: int = 0
    """Jobs that other harvesters work on; where jobs are claimed they are not seen otherwise."""


@dataclass(frozen=True)
class Recorded:
    """What became of a failed attempt."""

    next_try: datetime | None
    here: bool
    """False where the job was no longer this harvester's: another one reports it."""


@dataclass(frozen=True)
class Expiring:
    """A job whose result the worker will soon drop."""

    job_id: str
    external_job_id: str
    seconds_left: int
    reason: str | None


class Queue:
    """The queue as one harvester sees it; safe to use from several threads."""

    def __init__(self, rest: Rest, ledger: Ledger, holder: str, seconds: int) -> None:
        self._rest = rest
        self._ledger = ledger
        self._holder = holder
        self._seconds = seconds
        self._remote = HarvestQueue(rest)
        self._lock = threading.Lock()
        self._missing_since: float | None = None
        """When the project last lacked the queue, in monotonic seconds."""
        self.shared = False
        """Whether the jobs are claimed; known after the first `start`."""
        self._claims = Claims(self._remote, holder, seconds)
        self._known: dict[str, Claim] = {}
        """What the project knew of each claimed job."""

    # A cycle ------------------------------------------------------------------------------------

    def start(self, *, dry_run: bool) -> Start:
        """Read the queue. Raises the error family."""
        status = self._read_status(dry_run=dry_run)
        self.shared = status is not None
        if status is None:
            return self._list(dry_run=dry_run)
        now = clock.now()
        later = {job.job_id for job in status.jobs if job.next_try and job.next_try > now}
        dead = {job.job_id for job in status.jobs if job.state == State.DEAD}
        due = sum(status.counts.get(state, 0) for state in (State.WAITING, State.FAILED))
        jobs: Sequence[Row] = ()
        if dry_run:
            listed = self._rest.jobs_to_harvest(limit=_MOST_JOBS)
            jobs = [job for job in listed if str(job["id"]) not in later | dead]
        return Start(
            jobs=sort_by_urgency(jobs, now),
            waiting=due - len(later),
            later=len(later),
            dead=status.counts.get(State.DEAD, 0),
            elsewhere=status.counts.get(State.RUNNING, 0),
        )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Keep what is claimed while the block runs; then release the jobs not begun."""
        try:
            with self._claims.kept():
                yield
        finally:
            self._known.clear()

    def take(self, number: int) -> list[Row]:
        """Claim up to `number` due jobs, the most urgent first. Raises the error family."""
        before = time.monotonic()
        claims = repeat(lambda: self._remote.claim(self._holder, number, self._seconds)) or []
        jobs = [claim.job for claim in claims]
        self._claims.add((str(job["id"]) for job in jobs), before)
        self._known |= {str(claim.job["id"]): claim for claim in claims}
        if jobs:
            self._ledger.joined(jobs)
        return jobs

    def new_jobs(self) -> Sequence[Row]:
        """All jobs that are due now, where they are not claimed. Raises the error family."""
        waiting = self._rest.waiting_jobs()
        self._ledger.joined(waiting)
        later, dead = self._ledger.not_due()
        return [dict(job) for job in waiting if str(job["id"]) not in later | dead]

    def expiring(self) -> list[Expiring]:
        """Jobs whose result expires soon; each once, of all harvesters that share the queue.

        Raises the error family.
        """
        now = clock.now()
        if not self.shared:
            return self._expiring_here(now)
        return [
            Expiring(
                job_id=str(row["job_id"]),
                external_job_id=str(row.get("external_job_id") or ""),
                seconds_left=int(
                    seconds_left(clock.parse_timestamp(row.get("completed_at")), now) or 0
                ),
                reason=str(row["reason"]) if row.get("reason") else None,
            )
            for row in self._remote.warn(EXPIRING_SECONDS, _MOST_WARNINGS) or []
        ]

    # A job --------------------------------------------------------------------------------------

    def begin(self, job_id: str) -> Lease | None:
        """Begin to work on a job; None where another harvester has it. Raises the error family."""
        if job_id not in self._claims:
            return Lease.claim(self._rest, job_id, self._holder, self._seconds)
        before = time.monotonic()
        if repeat(lambda: self._rest.claim_lease(job_id, self._holder, self._seconds)) is False:
            self._claims.drop(job_id)
            return None
        self._claims.add([job_id], before)
        return ClaimedLease(self._claims, self._rest, job_id, self._holder, self._seconds)

    def first_seen(self, job_id: str) -> datetime | None:
        """When the job was recorded for the first time."""
        known = self._known.get(job_id)
        return known.first_seen if known else self._ledger.first_seen(job_id)

    def reason(self, job_id: str) -> str | None:
        """Why the last attempt of a job failed; None without one."""
        known = self._known.get(job_id)
        if known is None:
            return self._ledger.reason(job_id)
        if known.reason is None:
            return None
        return f"{known.reason} ({known.details})" if known.details else known.reason

    def done(self, job_id: str) -> None:
        """Record that a job has its model."""
        if self._claims.drop(job_id):
            self._try(lambda: self._remote.finish(job_id, self._holder))

    def released(self, job_id: str) -> None:
        """Record that work on a job ended without a result: it waits as before."""
        if self._claims.drop(job_id):
            self._try(lambda: self._remote.release(self._holder, [job_id]))
        self._ledger.released(job_id)

    def failed(
        self,
        job: Row,
        *,
        reason: str,
        details: str | None,
        remedy: str | None,
        permanent: bool,
    ) -> Recorded:
        """Record a failed attempt, and when the next one is due."""
        job_id = str(job["id"])
        known = self._known.get(job_id)
        if not self._claims.drop(job_id) or known is None:
            next_try = self._ledger.failed(
                job_id, reason=reason, details=details, remedy=remedy, permanent=permanent
            )
            return Recorded(next_try, here=not self.shared)
        now = clock.now()
        attempts = known.attempts + 1
        seconds = None
        if not permanent:
            completed = clock.parse_timestamp(job.get("completed_at"))
            seconds = wait_after(attempts, seconds_left(completed, now))
        found = self._try(
            lambda: self._remote.fail(
                job_id,
                self._holder,
                seconds=seconds,
                reason=reason,
                details=details,
                remedy=remedy,
            )
        )
        here, next_try = found or (False, None)
        if next_try is None and seconds is not None:
            next_try = now + timedelta(seconds=seconds)
        self._ledger.put_failure(
            job_id,
            attempts=attempts,
            next_try=next_try,
            reason=reason,
            details=details,
            remedy=remedy,
        )
        return Recorded(next_try, here=here)

    # What commands and screens need -------------------------------------------------------------

    def refresh(self) -> bool:
        """Copy the project's state into the ledger; False without a shared queue.

        Raises the error family.
        """
        return self._read_status(dry_run=False) is not None

    def retry(self, job_ids: Sequence[str]) -> int:
        """Let failed and dead jobs be tried at once; how many there were.

        Raises the error family where the queue is shared, and the project can't be reached.
        """
        chosen = list(job_ids)
        shared = None
        try:
            shared = self._remote.retry(chosen) if chosen else None
        except LoraTuiError:
            if self._ledger.is_taken_over():
                raise
        here = self._ledger.retry(chosen)
        return here if shared is None else len(shared)

    # --------------------------------------------------------------------------------------------

    def _read_status(self, *, dry_run: bool) -> QueueStatus | None:
        """The project's state, copied into the ledger unless `dry_run`."""
        missing = self._missing_since
        if missing is not None and time.monotonic() - missing < RECHECK_SECONDS:
            return None
        status = self._remote.status(_MOST_SHOWN)
        self._missing_since = time.monotonic() if status is None else None
        if status is None or dry_run:
            return status
        if not self._ledger.is_taken_over():
            rows = [_adopted(job, clock.now()) for job in self._ledger.jobs(most_done=_MOST_SHOWN)]
            if rows:
                repeat(lambda: self._remote.adopt(rows))
                status = self._remote.status(_MOST_SHOWN) or status
            self._ledger.mark_taken_over()
        self._ledger.replace(map(_as_state, status.jobs), self._holder)
        return status

    def _list(self, *, dry_run: bool) -> Start:
        queue = self._rest.jobs_to_harvest(limit=_MOST_JOBS)
        if not dry_run:
            self._ledger.queue(queue, self._holder)
        later, dead = self._ledger.not_due()
        ids = {str(job["id"]) for job in queue}
        jobs = [job for job in queue if str(job["id"]) not in later | dead]
        return Start(
            jobs=sort_by_urgency(jobs, clock.now()),
            waiting=len(jobs),
            later=len(later & ids),
            dead=len(dead & ids),
        )

    def _expiring_here(self, now: datetime) -> list[Expiring]:
        _, dead = self._ledger.not_due()
        found = []
        for job in self._ledger.jobs(most_done=0):
            left = seconds_left(job.completed_at, now)
            if left is None or not 0 < left <= EXPIRING_SECONDS:
                continue
            if job.job_id in dead or job.artifact_id or not self._ledger.warn_once(job.job_id):
                continue
            found.append(Expiring(job.job_id, job.external_job_id, int(left), job.reason))
        return found

    def _try(self, call: Callable[[], Any]) -> Any:
        """The result of a call; None where the project can't be reached: the lease expires."""
        try:
            return repeat(call)
        except LoraTuiError as error:
            _log.debug("the queue could not be told: %s", error)
            return None


def _adopted(job: JobState, now: datetime) -> Row:
    """What the project takes over of a job that the ledger knows."""
    done = job.state is State.DONE
    row: dict[str, Any] = {
        "job_id": job.job_id,
        "external_job_id": job.external_job_id,
        "attempts": job.attempts,
        "dead": job.state is State.DEAD,
    }
    if job.state is State.FAILED and job.next_try is not None:
        # a later time was noted by a clock that was wrong
        row["seconds"] = min(max((job.next_try - now).total_seconds(), 0.0), LONGEST_WAIT)
    if done and job.updated_at is not None:
        row["finished_at"] = clock.timestamp_text(job.updated_at)
    if not done and job.attempts:
        row |= {"reason": job.reason, "details": job.details, "remedy": job.remedy}
    return row


def _as_state(job: QueuedJob) -> JobState:
    """A job of the project as the ledger records it."""
    named = {"dataset": {"name": job.dataset}, "completed_at": job.completed_at}
    return JobState(
        job_id=job.job_id,
        external_job_id=job.external_job_id,
        name=job.name or model_name(named),
        completed_at=job.completed_at,
        state=State(job.state) if job.state in set(State) else State.WAITING,
        attempts=job.attempts,
        next_try=job.next_try,
        reason=job.reason,
        details=job.details,
        remedy=job.remedy,
        stars=Quality.from_json(job.quality_metrics).stars,
        artifact_id=job.artifact_id,
        updated_at=job.finished_at,
        holder=job.holder,
        lease_until=job.expires_at,
    )
