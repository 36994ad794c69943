"""The events of a harvest, as lines for people and as JSON objects for scripts."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from lora_tui import clock, formats
from lora_tui.harvest.schedule import Speed
from lora_tui.secret import without_held
from lora_tui.text import terminal_safe


def _now() -> str:
    return clock.timestamp_text(clock.now())


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event and its time."""

    at: str = field(default_factory=_now)


@dataclass(frozen=True, kw_only=True)
class CycleStarted(Event):
    """The queue was read."""

    waiting: int
    """Jobs that are due."""
    dry_run: bool
    later: int = 0
    """Jobs that failed and are tried again at a later time."""
    dead: int = 0
    """Jobs that failed permanently; only `lora-tui harvest retry` tries them again."""


@dataclass(frozen=True, kw_only=True)
class JobStarted(Event):
    """Work on a job begins; the only event of a job in a dry run."""

    job_id: str
    external_job_id: str
    artifact_id: str
    name: str
    """Of the model."""
    completed_at: str | None
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class UploadVerified(Event):
    """The worker has put files of the job into the bucket itself; also reported by a dry run."""

    job_id: str
    artifact_id: str
    files: int
    bytes: int
    """Of all these files."""
    bytes_read: int
    """What was read of them, with their manifest."""
    whole: bool
    """False where the worker is asked for the other files."""


@dataclass(frozen=True, kw_only=True)
class FileStored(Event):
    """A file is in the bucket, and its size there was checked."""

    job_id: str
    artifact_id: str
    file: str
    size: int
    """Bytes."""
    sha256: str
    sent: bool
    """False where an earlier run, or the worker itself, had stored it."""


@dataclass(frozen=True, kw_only=True)
class JobHarvested(Event):
    """The model is stored, announced, and linked to its job."""

    job_id: str
    artifact_id: str
    name: str
    stars: int | None
    convergence: str
    files: int
    adopted: bool
    """Whether an earlier run, or another harvester, had written the artifact."""


@dataclass(frozen=True, kw_only=True)
class JobFailed(Event):
    """A job failed; the others continue."""

    job_id: str
    external_job_id: str
    reason: str
    details: str | None
    remedy: str | None
    permanent: bool
    """Whether every further attempt would fail, so that there is none."""
    next_try: str | None = None
    """When the next attempt is due."""


@dataclass(frozen=True, kw_only=True)
class ResultExpiring(Event):
    """The worker will soon drop a result; reported once for each job."""

    job_id: str
    external_job_id: str
    seconds_left: int
    reason: str | None
    """Why the last attempt failed, if there was one."""


@dataclass(frozen=True, kw_only=True)
class ResultLost(Event):
    """The worker dropped a result before it was harvested; reported once for each job."""

    job_id: str
    external_job_id: str
    completed_at: str | None
    reason: str | None = None
    """Why the last attempt failed, if there was one."""


@dataclass(frozen=True, kw_only=True)
class TransferSlow(Event):
    """A file is so slow that urgent jobs run beside it; reported once for each job and cycle."""

    job_id: str
    file: str
    """Empty while the job waits for an answer and not for a file."""
    done: int
    """Bytes that have arrived."""
    total: int | None
    bytes_per_second: int
    waiting: int
    """The number of waiting jobs."""

    @classmethod
    def of(cls, job_id: str, speed: Speed, *, waiting: int) -> Self:
        """The event of a running job."""
        return cls(
            job_id=job_id,
            file=speed.file,
            done=speed.done,
            total=speed.total,
            bytes_per_second=round(speed.bytes_per_second),
            waiting=waiting,
        )


@dataclass(frozen=True, kw_only=True)
class CycleFinished(Event):
    """The counts of a cycle, jobs that joined it included."""

    harvested: int
    failed: int
    elsewhere: int
    """Jobs that another harvester works on, or has finished."""
    left: int
    """Jobs not tried: the limit was reached, a stop was requested, or the backend is down."""
    dry_run: bool
    error: str | None = None
    """Why the cycle ended early."""


@dataclass(frozen=True, kw_only=True)
class ObjectsRemoved(Event):
    """The files of a deleted model were removed from the bucket, or would be."""

    model_id: str
    name: str
    deleted_at: str
    files: int
    bytes: int
    kept: int
    """Files that stay: another model names them, or they are not in the model's own folder."""
    dry_run: bool


@dataclass(frozen=True, kw_only=True)
class RemovalFailed(Event):
    """The files of a deleted model could not be removed; the others continue."""

    model_id: str
    """Empty where the error concerns all models."""
    reason: str
    details: str | None
    remedy: str | None


@dataclass(frozen=True, kw_only=True)
class RemovalFinished(Event):
    """The sums of a pass over the deleted models."""

    models: int
    files: int
    bytes: int
    failed: int
    kept: int
    """Files that stay although their model is deleted."""
    left: int
    """Models that were not tried; the next pass continues."""
    days: int
    """How long models must have been deleted."""
    dry_run: bool


def as_json(event: Event) -> dict[str, Any]:
    """The object that `--json` prints as one line; `event` is the name, as in `job_failed`."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    values = asdict(event)  # file names, for example, are text of the worker
    return {"event": name} | {
        key: without_held(value) if isinstance(value, str) else value
        for key, value in values.items()
    }


def describe(event: Event) -> str:
    """One line for people, safe for a terminal."""
    return terminal_safe(_sentence(event))


def _sentence(event: Event) -> str:
    match event:
        case CycleStarted():
            jobs = formats.counted(event.waiting, "job is", "jobs are")
            rest = "".join(
                f", {formats.count(count)} {words}"
                for count, words in ((event.later, "to be tried later"), (event.dead, "failed"))
                if count
            )
            note = " (dry run: nothing is written)" if event.dry_run else ""
            return f"{jobs} waiting{rest}{note}"
        case JobStarted():
            verb = "would harvest" if event.dry_run else "harvesting"
            return f"{event.job_id[:8]}  {verb} {event.name} as {event.artifact_id}"
        case UploadVerified():
            files = f"{formats.counted(event.files, 'file')} ({formats.size(event.bytes)})"
            rest = "" if event.whole else "; the others are asked for at the worker"
            return (
                f"{event.job_id[:8]}  the worker has uploaded {files}, verified by reading"
                f" {formats.size(event.bytes_read)}{rest}"
            )
        case FileStored():
            verb = "stored" if event.sent else "already stored"
            return f"{event.job_id[:8]}  {verb} {event.file} ({formats.size(event.size)})"
        case JobHarvested():
            verb = "finished" if event.adopted else "harvested"
            files = f", {event.files} files" if event.files else ""
            return (
                f"{event.job_id[:8]}  {verb} {event.name}: "
                f"{formats.score(event.stars)} stars, {event.convergence}{files}"
            )
        case JobFailed():
            parts = [event.reason]
            if event.details:
                parts.append(f"({event.details})")
            parts.append("– for good" if event.permanent else f"– tried again {_when(event)}")
            if event.remedy:
                parts.append(f"– {event.remedy}")
            return f"{event.job_id[:8]}  failed: {' '.join(parts)}"
        case ResultExpiring():
            why = f"; the last try: {event.reason}" if event.reason else ""
            return (
                f"{event.job_id[:8]}  WARNING: the worker deletes the result of"
                f" {event.external_job_id} in {event.seconds_left // 60} min{why}"
            )
        case ResultLost():
            why = f"; {event.reason}" if event.reason else ""
            return (
                f"{event.job_id[:8]}  WARNING: the result of {event.external_job_id} is lost:"
                f" the worker deleted it before it was harvested{why}"
            )
        case TransferSlow():
            what = "a step of this job is slow"
            if event.file:
                what = (
                    f"{event.file} is slow ({formats.size(event.bytes_per_second)}/s,"
                    f" {formats.size(event.done)} of {formats.size(event.total)})"
                )
            waiting = formats.counted(event.waiting, "waiting job is", "waiting jobs are")
            return f"{event.job_id[:8]}  WARNING: {what}; {waiting} harvested first"
        case CycleFinished():
            counts = [
                f"{formats.count(event.harvested)} harvested",
                f"{formats.count(event.failed)} failed",
            ]
            if event.elsewhere:
                counts.append(f"{formats.count(event.elsewhere)} left to another harvester")
            if event.left:
                counts.append(f"{formats.count(event.left)} not tried")
            end = f"; stopped: {event.error}" if event.error else ""
            if event.dry_run:
                counts = ["nothing was written, as this was a dry run"]
                if event.failed:
                    counts.append(f"{formats.count(event.failed)} would fail")
            return "cycle finished: " + ", ".join(counts) + end
        case ObjectsRemoved():
            verb = "would remove" if event.dry_run else "removed"
            files = f"{formats.counted(event.files, 'file')} ({formats.size(event.bytes)})"
            kept = f"; {formats.counted(event.kept, 'file')} of it stay" if event.kept else ""
            return f"{event.model_id[:8]}  {verb} {files} of the deleted model {event.name}{kept}"
        case RemovalFailed():
            parts = [event.reason]
            if event.details:
                parts.append(f"({event.details})")
            if event.remedy:
                parts.append(f"– {event.remedy}")
            whose = f"{event.model_id[:8]}  " if event.model_id else ""
            return f"{whose}files of deleted models not removed: {' '.join(parts)}"
        case RemovalFinished():
            return _removal_sentence(event)
    raise TypeError(f"no sentence for {type(event).__name__}")


def _removal_sentence(event: RemovalFinished) -> str:
    days = formats.counted(event.days, "day")
    if not (event.models or event.failed or event.kept or event.left):
        return f"no files to remove: no model with files has been deleted for more than {days}"
    verb = "would be removed" if event.dry_run else "removed"
    counts = [
        f"{formats.counted(event.files, 'file')} ({formats.size(event.bytes)}) of"
        f" {formats.counted(event.models, 'deleted model')}",
        *([f"{formats.count(event.failed)} failed"] if event.failed else []),
        *([f"{formats.counted(event.kept, 'file')} kept"] if event.kept else []),
        *([f"{formats.counted(event.left, 'model')} left to the next pass"] if event.left else []),
    ]
    return f"{verb}: {', '.join(counts)}"


def _when(event: JobFailed) -> str:
    now, moment = (clock.parse_timestamp(text) for text in (event.at, event.next_try))
    if now is None or moment is None:
        return "with the next cycle"
    return f"in {formats.duration((moment - now).total_seconds())}"
