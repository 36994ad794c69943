"""The queue of the harvest in Postgres: the functions of our migration, as the service role.

Each call returns None where the project lacks the function, because it has no migration or an
earlier one. Raises the error family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.errors import BackendError
from lora_tui.gateway.paging import ROWS_A_PAGE
from lora_tui.gateway.rest import Rest
from lora_tui.json_values import Row, integer, mapping, text_or_none

_LONGEST: Final = 500


@dataclass(frozen=True)
class Claim:
    """A job that a harvester holds now."""

    job: Row
    """Its row, with the name of its dataset as `dataset`."""
    attempts: int
    """Failed ones before this one."""
    reason: str | None
    """Why the last one failed."""
    details: str | None
    first_seen: datetime | None
    """When any harvester claimed it for the first time."""


@dataclass(frozen=True)
class QueuedJob:
    """What the project notes of one job."""

    job_id: str
    external_job_id: str
    name: str
    """Of the model; empty before there is one."""
    dataset: str | None
    completed_at: datetime | None
    state: str
    """waiting, running, failed, dead or done."""
    attempts: int
    next_try: datetime | None
    reason: str | None
    details: str | None
    remedy: str | None
    holder: str
    """Who works on it, or has made its model; empty for nobody."""
    expires_at: datetime | None
    """When that harvester's lease expires."""
    artifact_id: str | None
    quality_metrics: Any
    finished_at: datetime | None


@dataclass(frozen=True)
class QueueStatus:
    """The jobs of all harvesters; of each state only the first ones, but all are counted."""

    counts: Mapping[str, int]
    jobs: Sequence[QueuedJob]


class HarvestQueue:
    """The functions of one project; safe to use from several threads."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def claim(self, holder: str, limit: int, seconds: int) -> list[Claim] | None:
        """Claim up to `limit` due jobs, the most urgent first, for `seconds`."""
        what = "claim jobs to harvest"
        answer = self._call(
            "claim_harvest_jobs", what, p_holder=holder, p_limit=limit, p_seconds=seconds
        )
        if answer is None:
            return None
        return [
            Claim(
                job=mapping(row["job"]),
                attempts=integer(row.get("attempts")) or 0,
                reason=text_or_none(row.get("reason"), limit=_LONGEST),
                details=text_or_none(row.get("details"), limit=_LONGEST),
                first_seen=parse_timestamp(row.get("first_seen")),
            )
            for row in _rows(answer, what)
            if mapping(row.get("job")).get("id")
        ]

    def renew(self, holder: str, job_ids: Sequence[str], seconds: int) -> frozenset[str] | None:
        """Renew the leases of these jobs; which of them the holder still has."""
        return self._ids(
            "renew_harvest_leases",
            "renew the harvest leases",
            p_holder=holder,
            p_job_ids=list(job_ids),
            p_seconds=seconds,
        )

    def release(self, holder: str, job_ids: Sequence[str]) -> frozenset[str] | None:
        """Release the leases of these jobs; which of them the holder had."""
        return self._ids(
            "release_harvest_leases",
            "release the harvest leases",
            p_holder=holder,
            p_job_ids=list(job_ids),
        )

    def fail(
        self,
        job_id: str,
        holder: str,
        *,
        seconds: float | None,
        reason: str,
        details: str | None,
        remedy: str | None,
    ) -> tuple[bool, datetime | None]:
        """Record a failed attempt and release the lease.

        `seconds` is the time until the next attempt; None: there is none. Returns whether it was
        recorded, which only the holder of the lease can, and when the next attempt is due.
        """
        what = "record the failed attempt"
        answer = self._call(
            "fail_harvest_job",
            what,
            p_job_id=job_id,
            p_holder=holder,
            p_seconds=None if seconds is None else round(seconds),
            p_reason=reason,
            p_details=details,
            p_remedy=remedy,
        )
        rows = [] if answer is None else _rows(answer, what)
        return bool(rows), parse_timestamp(rows[0].get("next_at")) if rows else None

    def finish(self, job_id: str, holder: str) -> None:
        """Record that the job has its model, and release the lease."""
        what = "record the finished job"
        self._call("finish_harvest_job", what, p_job_id=job_id, p_holder=holder)

    def retry(self, job_ids: Sequence[str]) -> frozenset[str] | None:
        """Let failed and dead jobs be tried at once; which of these had failed."""
        return self._ids(
            "retry_harvest_jobs", "let the jobs be tried again", p_job_ids=list(job_ids)
        )

    def warn(self, seconds: int, limit: int) -> list[Row] | None:
        """Jobs whose results expire within `seconds`; each is returned to one caller, once."""
        what = "read the results that expire"
        answer = self._call("warn_harvest_jobs", what, p_seconds=seconds, p_limit=limit)
        return None if answer is None else _rows(answer, what)

    def adopt(self, rows: Sequence[Row]) -> bool:
        """Record what a machine knew of jobs; False where the project lacks the function."""
        what = "take over what this machine knows of jobs"
        return self._call("adopt_harvest_attempts", what, p_rows=list(rows)) is not None

    def status(self, limit: int) -> QueueStatus | None:
        """The jobs of all harvesters, up to `limit` of each state."""
        what = "read the state of the harvest"
        answer = self._call("harvest_status", what, p_limit=limit)
        if answer is None:
            return None
        found = mapping(answer)
        return QueueStatus(
            counts={
                name: integer(jobs) or 0 for name, jobs in mapping(found.get("counts")).items()
            },
            jobs=[_queued(row) for row in _rows(found.get("jobs"), what) if row.get("job_id")],
        )

    def _ids(self, name: str, what: str, **parameters: Any) -> frozenset[str] | None:
        answer = self._call(name, what, **parameters)
        if answer is None:
            return None
        if not isinstance(answer, list):
            raise BackendError(f"Could not {what}: the answer is not a list")
        return frozenset(str(value) for value in answer)

    def _call(self, name: str, what: str, **parameters: Any) -> Any:
        return self._rest.call(name, parameters, what)


def failed_jobs(rest: Rest, since: datetime) -> Sequence[Row]:
    """Jobs of all users whose training has failed since a time, the oldest first; at most a page.

    Raises the error family.
    """
    query = (
        rest.select("training_jobs", "*,dataset:datasets!dataset_id(name)")
        .eq("status", "failed")
        .gte("completed_at", timestamp_text(since))
        .order("completed_at")
        .limit(ROWS_A_PAGE)
    )
    return rest.rows(query, "read the failed jobs")


def _rows(answer: Any, what: str) -> list[Row]:
    if not isinstance(answer, list):
        raise BackendError(f"Could not {what}: the answer is not a list")
    rows: list[Row] = [row for row in answer if isinstance(row, dict)]
    return rows


def _queued(row: Mapping[str, Any]) -> QueuedJob:
    return QueuedJob(
        job_id=str(row["job_id"]),
        external_job_id=text_or_none(row.get("external_job_id")) or "",
        name=text_or_none(row.get("name")) or "",
        dataset=text_or_none(row.get("dataset")),
        completed_at=parse_timestamp(row.get("completed_at")),
        state=text_or_none(row.get("state")) or "",
        attempts=integer(row.get("attempts")) or 0,
        next_try=parse_timestamp(row.get("next_at")),
        reason=text_or_none(row.get("reason"), limit=_LONGEST),
        details=text_or_none(row.get("details"), limit=_LONGEST),
        remedy=text_or_none(row.get("remedy"), limit=_LONGEST),
        holder=text_or_none(row.get("holder")) or "",
        expires_at=parse_timestamp(row.get("expires_at")),
        artifact_id=text_or_none(row.get("artifact_id")),
        quality_metrics=row.get("quality_metrics"),
        finished_at=parse_timestamp(row.get("finished_at")),
    )
