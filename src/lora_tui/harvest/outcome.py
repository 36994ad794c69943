"""What becomes of a job and of a cycle: counted, recorded, and reported as events."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lora_tui import clock
from lora_tui.errors import LoraTuiError, unexpected_error
from lora_tui.files import disk_error
from lora_tui.gateway.gpu import ResultGoneError
from lora_tui.harvest.events import (
    Event,
    FileStored,
    JobFailed,
    JobHarvested,
    JobStarted,
    ResultLost,
)
from lora_tui.harvest.failures import is_permanent
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.queue import Recorded
from lora_tui.json_values import Row
from lora_tui.text import terminal_safe


@dataclass(frozen=True)
class CycleResult:
    """The counts of a cycle, jobs that joined it included."""

    harvested: int = 0
    failed: int = 0
    elsewhere: int = 0
    """Jobs that another harvester works on, or has finished."""
    left: int = 0
    """Jobs not tried."""
    removals_failed: int = 0
    """Deleted models whose files could not be removed."""


def record_event(harvester: Harvester, event: Event) -> None:
    """Record the progress of a job in this machine's ledger."""
    ledger = harvester.ledger
    match event:
        case JobStarted(dry_run=False):
            ledger.started(event.job_id, event.name, harvester.holder)
        case FileStored():
            ledger.stored(event.job_id, event.file, event.size)
            harvester.beat()
        case JobHarvested():
            ledger.done(event.job_id, event.name, event.artifact_id, event.stars)


def report_failure(
    harvester: Harvester,
    job: Row,
    error: Exception,
    emit: Callable[[Event], None],
    *,
    dry_run: bool,
) -> JobFailed:
    """Record a failed attempt, unless in a dry run, and emit it; a lost result is reported too."""
    if isinstance(error, OSError):  # errors of the network are of the error family
        error = disk_error(error, "A file can't be written on this machine")
    shown = error
    if not isinstance(shown, LoraTuiError):
        place = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(place.filename).name}:{place.lineno}"
        shown = unexpected_error(error, place=at)
    reason, details, remedy = str(shown), shown.details, shown.remedy
    lost = isinstance(error, ResultGoneError) and not dry_run
    if lost:
        before = harvester.queue.reason(str(job["id"]))
        details = f"the last try before: {before}" if before else details
    permanent = is_permanent(error)
    recorded = Recorded(next_try=None, here=False)
    if not dry_run:
        recorded = harvester.queue.failed(
            job, reason=reason, details=details, remedy=remedy, permanent=permanent
        )
    failure = JobFailed(
        job_id=str(job["id"]),
        external_job_id=terminal_safe(job.get("external_job_id"), limit=120),
        reason=reason,
        details=details,
        remedy=remedy,
        permanent=permanent,
        next_try=clock.timestamp_text(recorded.next_try) if recorded.next_try else None,
    )
    emit(failure)
    if lost and recorded.here:
        emit(
            ResultLost(
                job_id=failure.job_id,
                external_job_id=failure.external_job_id,
                completed_at=job.get("completed_at"),
                reason=failure.details,
            )
        )
    return failure
