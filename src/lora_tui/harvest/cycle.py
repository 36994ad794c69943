"""One pass over the queue: each waiting job is tried once, and none stops the others."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lora_tui.errors import AuthenticationError, LoraTuiError, UnreachableError
from lora_tui.harvest.events import CycleFinished, CycleStarted, Event, JobFailed
from lora_tui.harvest.failures import SourceUnreachableError, is_permanent
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.job import StoppedError, harvest_job, plan_job
from lora_tui.text import terminal_safe

_MOST_JOBS: Final = 10_000
_UNREACHABLE_IN_A_ROW: Final = 3


@dataclass(frozen=True)
class CycleResult:
    """What became of the jobs that were waiting."""

    harvested: int = 0
    failed: int = 0
    elsewhere: int = 0
    """Left to another harvester, or finished by one meanwhile."""
    left: int = 0
    """Not looked at."""
    failed_for_good: frozenset[str] = frozenset()
    """Ids of the jobs among the failed that it is no use to try again."""


def run_cycle(
    harvester: Harvester,
    *,
    limit: int | None,
    dry_run: bool,
    emit: Callable[[Event], None],
    stop: threading.Event,
    skip: Container[str] = frozenset(),
) -> CycleResult:
    """Harvest what is waiting, the longest waiting first, but for the jobs in `skip`.

    `limit` is how many jobs are harvested at most. Failed ones do not count: jobs that are lost
    stay at the head of the queue, and must not keep those behind them from their turn.
    Raises what concerns all jobs alike: the queue can't be read, a key is refused.
    """
    count = _Count()
    try:
        jobs = [
            job
            for job in harvester.rest.jobs_to_harvest(limit=_MOST_JOBS)
            if str(job["id"]) not in skip
        ]
        emit(CycleStarted(waiting=len(jobs), dry_run=dry_run))
        count.left = len(jobs)
        for job in jobs:
            if stop.is_set() or count.harvested + count.planned == limit or count.backend_is_down:
                break
            _take(harvester, job, count, dry_run=dry_run, emit=emit, stop=stop)
    except StoppedError:
        pass
    except LoraTuiError as error:
        emit(count.finished(dry_run=dry_run, error=str(error)))
        raise
    emit(count.finished(dry_run=dry_run))
    return CycleResult(
        harvested=count.harvested,
        failed=count.failed,
        elsewhere=count.elsewhere,
        left=count.left,
        failed_for_good=frozenset(count.failed_for_good),
    )


@dataclass
class _Count:
    """The figures of a cycle under way."""

    harvested: int = 0
    planned: int = 0
    failed: int = 0
    elsewhere: int = 0
    left: int = 0
    failed_for_good: set[str] = field(default_factory=set)
    unreachable: int = 0

    @property
    def backend_is_down(self) -> bool:
        """So many jobs in a row found nobody at home that the rest would as well."""
        return self.unreachable >= _UNREACHABLE_IN_A_ROW

    def finished(self, *, dry_run: bool, error: str | None = None) -> CycleFinished:
        if error is None and self.backend_is_down and self.left:
            error = "the backend can't be reached"
        return CycleFinished(
            harvested=self.harvested,
            failed=self.failed,
            elsewhere=self.elsewhere,
            left=self.left,
            dry_run=dry_run,
            error=error,
        )


def _take(
    harvester: Harvester,
    job: Mapping[str, Any],
    count: _Count,
    *,
    dry_run: bool,
    emit: Callable[[Event], None],
    stop: threading.Event,
) -> None:
    try:
        if dry_run:
            plan_job(harvester, job, emit)
            count.planned += 1
        elif harvest_job(harvester, job, emit, stop):
            count.harvested += 1
        else:
            count.elsewhere += 1
        count.unreachable = 0
    except (StoppedError, AuthenticationError):
        raise
    except Exception as error:
        permanent = is_permanent(error)
        count.failed += 1
        if permanent:
            count.failed_for_good.add(str(job["id"]))
        down = isinstance(error, UnreachableError) and not isinstance(error, SourceUnreachableError)
        count.unreachable = count.unreachable + 1 if down else 0
        emit(_failure(job, error, permanent=permanent))
    count.left -= 1


def _failure(job: Mapping[str, Any], error: Exception, *, permanent: bool) -> JobFailed:
    if isinstance(error, LoraTuiError):
        reason, details, remedy = str(error), error.details, error.remedy
    else:
        # its text may hold anything, a URL with its key among it; the place is what helps
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"Something unexpected happened: {type(error).__name__}"
        details, remedy = f"{Path(place.filename).name}:{place.lineno}", "please report this"
    return JobFailed(
        job_id=str(job["id"]),
        external_job_id=terminal_safe(job.get("external_job_id"), limit=120),
        reason=reason,
        details=details,
        remedy=remedy,
        permanent=permanent,
    )
