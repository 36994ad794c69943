"""What this machine knows of a job: where it stands, its attempts, its files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    """It is tried again at `next_try`."""
    DEAD = "dead"
    """It failed for good: only `retry` brings it back."""
    DONE = "done"


@dataclass(frozen=True)
class FileState:
    """One file on its way from the worker to the bucket."""

    name: str
    done: int
    """Bytes that have arrived."""
    total: int | None
    stored: bool


@dataclass(frozen=True)
class JobState:
    """One job as this machine knows it."""

    job_id: str
    external_job_id: str
    name: str
    """Of the model to come; may be empty before the first try."""
    completed_at: datetime | None
    state: State
    attempts: int
    """Those that failed."""
    next_try: datetime | None
    reason: str | None
    details: str | None
    remedy: str | None
    stars: int | None
    artifact_id: str | None
    updated_at: datetime | None
    files: tuple[FileState, ...] = ()
