"""The functions of our migration: leases, claims and attempts of the harvest.

Each runs in a transaction of its own, so that two calls never meet.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.postgrest.errors import RestError
from lora_tui.sandbox.postgrest.tables import TABLES, Column, constraint
from lora_tui.sandbox.postgrest.values import Dialect, to_json, to_sql

_LONGEST: Final = 86_400
"""Seconds that a lease lasts, and that a failed job waits, at most."""
_KEPT: Final = timedelta(minutes=30)
"""How long the GPU worker keeps a result."""
_NOTED: Final = timedelta(days=14)
_LEFT: Final = timedelta(hours=1)
"""Age of expired leases of jobs that have their model, which are removed."""
_MOST_CLAIMED: Final = 100
_MOST_WARNED: Final = 1000
_MOST_DEATHS: Final = 3
_MOST_FINISHED: Final = 100
_UUID: Final = Column("id", "uuid")
_TEXT: Final = Column("text")
_TIME: Final = Column("time", "timestamptz")
_WAITING: Final = (
    "status = 'completed' AND artifact_id IS NULL AND training_jobs.external_job_id IS NOT NULL"
)
_IN_LIST: Final = "IN (SELECT value FROM json_each(?))"

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Function:
    """A function of our migration; only the service role may call it."""

    parameters: frozenset[str]
    run: Callable[[Backend, Arguments], Any]


def _claim_lease(backend: Backend, arguments: Arguments) -> bool:
    """`claim_harvest_lease`: a free, expired or own lease; work on the job begins."""
    job_id, holder = _job_and_holder(arguments)
    expires_at = _end(backend, arguments)
    if backend.database.row("SELECT 1 FROM training_jobs WHERE id = ?", (job_id,)) is None:
        rule = constraint("harvest_leases", "job_id", "fkey")
        raise RestError(
            409,
            "23503",
            f'insert or update on table "harvest_leases" violates foreign key constraint "{rule}"',
            details=f'Key (job_id)=({job_id}) is not present in table "training_jobs".',
        )
    changed = backend.database.execute(
        "INSERT INTO harvest_leases (job_id, holder, expires_at, begun_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (job_id) DO UPDATE"
        " SET holder = excluded.holder, expires_at = excluded.expires_at, begun_at = CASE"
        " WHEN holder = excluded.holder THEN coalesce(begun_at, excluded.begun_at)"
        " ELSE excluded.begun_at END"
        " WHERE holder = excluded.holder OR expires_at <= excluded.begun_at",
        (job_id, holder, expires_at, backend.timestamp()),
    )
    return changed == 1


def _renew_lease(backend: Backend, arguments: Arguments) -> bool:
    """`renew_harvest_lease`: a lease that has not expired."""
    job_id, holder = _job_and_holder(arguments)
    return bool(_renew(backend, holder, [job_id], _end(backend, arguments)))


def _release_lease(backend: Backend, arguments: Arguments) -> bool:
    """`release_harvest_lease`."""
    job_id, holder = _job_and_holder(arguments)
    return bool(_release(backend, holder, [job_id]))


def _renew_leases(backend: Backend, arguments: Arguments) -> list[str]:
    """`renew_harvest_leases`: which of them the holder still had."""
    end = _end(backend, arguments)
    return _renew(backend, _holder(arguments), _ids(arguments["p_job_ids"]), end)


def _release_leases(backend: Backend, arguments: Arguments) -> list[str]:
    """`release_harvest_leases`: which of them the holder had."""
    return _release(backend, _holder(arguments), _ids(arguments["p_job_ids"]))


def _renew(backend: Backend, holder: str, job_ids: Sequence[str], end: str) -> list[str]:
    rows = backend.database.rows(
        f"UPDATE harvest_leases SET expires_at = ? WHERE job_id {_IN_LIST}"
        " AND holder = ? AND expires_at > ? RETURNING job_id",
        (end, json.dumps(job_ids), holder, backend.timestamp()),
    )
    return [row["job_id"] for row in rows]


def _release(backend: Backend, holder: str, job_ids: Sequence[str]) -> list[str]:
    rows = backend.database.rows(
        f"DELETE FROM harvest_leases WHERE job_id {_IN_LIST} AND holder = ? RETURNING job_id",
        (json.dumps(job_ids), holder),
    )
    return [row["job_id"] for row in rows]


def _claim_jobs(backend: Backend, arguments: Arguments) -> list[dict[str, Any]]:
    """`claim_harvest_jobs`: due jobs, the most urgent first, with their attempts so far."""
    end, holder = _end(backend, arguments), _holder(arguments)
    limit = _limit(arguments, _MOST_CLAIMED, f"a claim is for 1 to {_MOST_CLAIMED} jobs")
    if not holder:
        raise RestError(400, "22023", "a lease has a holder")
    now = backend.timestamp()
    kept = timestamp_text(backend.now() - _KEPT)
    claimed: list[str] = []
    while len(claimed) < limit:
        picked = backend.database.rows(
            "SELECT training_jobs.id, lease.job_id AS expired,"
            " lease.begun_at IS NOT NULL AND lease.holder <> ? AS died"
            " FROM training_jobs"
            " LEFT JOIN harvest_leases AS lease ON lease.job_id = training_jobs.id"
            " LEFT JOIN harvest_attempts AS attempt ON attempt.job_id = training_jobs.id"
            " AND attempt.external_job_id = training_jobs.external_job_id"
            f" WHERE {_WAITING} AND (lease.job_id IS NULL OR lease.expires_at <= ?)"
            " AND NOT (coalesce(attempt.dead, 0) OR coalesce(attempt.next_at > ?, 0))"
            " ORDER BY (completed_at > ?) IS NOT 1, completed_at IS NULL, completed_at,"
            " training_jobs.id LIMIT ?",
            (holder, now, now, kept, limit - len(claimed)),
        )
        if not picked:
            break
        _begin_attempts(backend, [row["id"] for row in picked])
        postponed = {
            row["id"]
            for row in picked
            if row["expired"] and row["died"] and _count_death(backend, row["id"])
        }
        for row in picked:
            if row["id"] in postponed:
                _release_any(backend, row["id"])
                continue
            backend.database.execute(
                "INSERT INTO harvest_leases (job_id, holder, expires_at) VALUES (?, ?, ?)"
                " ON CONFLICT (job_id) DO UPDATE SET holder = excluded.holder,"
                " expires_at = excluded.expires_at, begun_at = NULL",
                (row["id"], holder, end),
            )
            claimed.append(row["id"])
    return [_claimed_job(backend, job_id) for job_id in claimed]


def _claimed_job(backend: Backend, job_id: str) -> dict[str, Any]:
    row = backend.database.row("SELECT * FROM training_jobs WHERE id = ?", (job_id,))
    attempt = _attempt(backend, job_id)
    assert row
    assert attempt
    dataset = backend.database.row("SELECT name FROM datasets WHERE id = ?", (row["dataset_id"],))
    return {
        "job": _shown("training_jobs", row) | {"dataset": dataset},
        **{name: attempt[name] for name in ("attempts", "reason", "details", "first_seen")},
    }


def _count_death(backend: Backend, job_id: str) -> bool:
    """Note that a harvester died at a job; whether the job waits now, as others did before."""
    backend.database.execute(
        "UPDATE harvest_attempts SET attempts = attempts + 1, deaths = deaths + 1 WHERE job_id = ?",
        (job_id,),
    )
    attempt = _attempt(backend, job_id)
    assert attempt
    if attempt["deaths"] < _MOST_DEATHS:
        return False
    [job] = backend.database.rows("SELECT completed_at FROM training_jobs WHERE id = ?", (job_id,))
    seconds = min(30.0 * 2 ** min(attempt["attempts"] - 1, 7), 3600.0)
    completed = parse_timestamp(job["completed_at"])
    left = (completed + _KEPT - backend.now()).total_seconds() if completed else 0.0
    if left > 0:
        seconds = min(seconds, max(10.0, left / 3))
    wait = timedelta(seconds=seconds * (0.75 + random.random() / 2))
    backend.database.execute(
        "UPDATE harvest_attempts SET next_at = ?, reason = ?, details = ?, remedy = ?"
        " WHERE job_id = ?",
        (
            timestamp_text(backend.now() + wait),
            "The harvester ended abruptly while it worked on this job",
            f"{attempt['deaths']} harvesters ended without a result",
            "check the system's log for SIGKILL and lack of memory",
            job_id,
        ),
    )
    return True


def _begin_attempts(backend: Backend, job_ids: Sequence[str]) -> None:
    """`begin_harvest_attempts`: a job that was trained again begins without a history."""
    backend.database.execute(
        "INSERT INTO harvest_attempts (job_id, external_job_id, attempts, deaths, dead, first_seen)"
        f" SELECT id, external_job_id, 0, 0, 0, ? FROM training_jobs WHERE id {_IN_LIST}"
        " AND external_job_id IS NOT NULL"
        " ON CONFLICT (job_id) DO UPDATE SET external_job_id = excluded.external_job_id,"
        " attempts = 0, deaths = 0, next_at = NULL, dead = 0, reason = NULL, details = NULL,"
        " remedy = NULL, first_seen = excluded.first_seen, warned_at = NULL, finished_at = NULL,"
        " finished_by = NULL WHERE harvest_attempts.external_job_id <> excluded.external_job_id"
        " OR harvest_attempts.finished_at IS NOT NULL",
        (backend.timestamp(), json.dumps(list(job_ids))),
    )


def _begin(backend: Backend, arguments: Arguments) -> None:
    _begin_attempts(backend, _ids(arguments["p_job_ids"]))


def _fail_job(backend: Backend, arguments: Arguments) -> list[dict[str, Any]]:
    """`fail_harvest_job`: a failed attempt of the lease's holder, who gives the lease back."""
    seconds = arguments["p_seconds"]
    if seconds is not None and not 0 <= seconds <= _LONGEST:
        text = "a next attempt is due in 0 to 86400 seconds"
        raise RestError(400, "22023", text)
    job_id, holder = _job_and_holder(arguments)
    if not _release(backend, holder, [job_id]):
        return []
    due = None if seconds is None else backend.now() + timedelta(seconds=seconds)
    words = [_short(arguments[f"p_{name}"]) for name in ("reason", "details", "remedy")]
    backend.database.execute(
        "INSERT INTO harvest_attempts (job_id, external_job_id, first_seen, attempts, deaths,"
        " next_at, dead, reason, details, remedy)"
        " SELECT id, coalesce(external_job_id, ''), ?, 1, 0, ?, ?, ?, ?, ?"
        " FROM training_jobs WHERE id = ?"
        " ON CONFLICT (job_id) DO UPDATE SET attempts = attempts + 1, next_at = excluded.next_at,"
        " dead = excluded.dead, reason = excluded.reason, details = excluded.details,"
        " remedy = excluded.remedy",
        (
            backend.timestamp(),
            timestamp_text(due) if due else None,
            int(seconds is None),
            *words,
            job_id,
        ),
    )
    attempt = _attempt(backend, job_id)
    return [{name: attempt[name] for name in ("attempts", "next_at")}] if attempt else []


def _finish_job(backend: Backend, arguments: Arguments) -> bool:
    """`finish_harvest_job`: whether the job has its model; the lease is given back."""
    job_id, holder = _job_and_holder(arguments)
    _release(backend, holder, [job_id])
    now = backend.timestamp()
    finished = backend.database.execute(
        "INSERT INTO harvest_attempts (job_id, external_job_id, attempts, deaths, dead, first_seen,"
        " finished_at, finished_by)"
        " SELECT id, coalesce(external_job_id, ''), 0, 0, 0, ?, ?, ? FROM training_jobs"
        " WHERE id = ? AND artifact_id IS NOT NULL"
        " ON CONFLICT (job_id) DO UPDATE SET external_job_id = excluded.external_job_id,"
        " next_at = NULL, dead = 0, reason = NULL, details = NULL, remedy = NULL,"
        " finished_at = coalesce(finished_at, excluded.finished_at),"
        " finished_by = coalesce(finished_by, excluded.finished_by)",
        (now, now, holder, job_id),
    )
    left = "(SELECT id FROM training_jobs WHERE artifact_id IS NOT NULL)"
    gone = backend.database.rows(
        f"DELETE FROM harvest_leases WHERE expires_at < ? AND job_id IN {left} RETURNING job_id",
        (timestamp_text(backend.now() - _LEFT),),
    )
    for row in gone:
        backend.database.execute(
            "UPDATE harvest_attempts SET finished_at = ?, next_at = NULL, dead = 0"
            " WHERE job_id = ? AND finished_at IS NULL",
            (now, row["job_id"]),
        )
    backend.database.execute(
        "DELETE FROM harvest_attempts WHERE finished_at < ?",
        (timestamp_text(backend.now() - _NOTED),),
    )
    return finished == 1


def _retry_jobs(backend: Backend, arguments: Arguments) -> list[str]:
    """`retry_harvest_jobs`: which of them had failed, and are due now."""
    rows = backend.database.rows(
        "UPDATE harvest_attempts SET attempts = 0, deaths = 0, next_at = NULL, dead = 0"
        f" WHERE job_id {_IN_LIST} AND (dead OR next_at IS NOT NULL)"
        " RETURNING job_id",
        (json.dumps(_ids(arguments["p_job_ids"])),),
    )
    return [row["job_id"] for row in rows]


def _warn_jobs(backend: Backend, arguments: Arguments) -> list[dict[str, Any]]:
    """`warn_harvest_jobs`: results that expire soon and that nobody was warned of."""
    limit = _limit(arguments, _MOST_WARNED, f"a warning is of 1 to {_MOST_WARNED} jobs")
    kept = backend.now() - _KEPT
    latest = kept + timedelta(seconds=arguments["p_seconds"])
    jobs = backend.database.rows(
        "SELECT training_jobs.id FROM training_jobs LEFT JOIN harvest_attempts AS attempt"
        " ON attempt.job_id = training_jobs.id"
        " AND attempt.external_job_id = training_jobs.external_job_id"
        f" WHERE {_WAITING} AND completed_at BETWEEN ? AND ?"
        " AND NOT (coalesce(attempt.dead, 0) OR attempt.warned_at IS NOT NULL)"
        " ORDER BY completed_at, training_jobs.id LIMIT ?",
        (timestamp_text(kept), timestamp_text(latest), limit),
    )
    ids = [row["id"] for row in jobs]
    _begin_attempts(backend, ids)
    warned = []
    for job_id in ids:
        backend.database.execute(
            "UPDATE harvest_attempts SET warned_at = ? WHERE job_id = ?",
            (backend.timestamp(), job_id),
        )
        [row] = backend.database.rows(
            "SELECT job_id, attempt.external_job_id, completed_at, reason"
            " FROM harvest_attempts AS attempt JOIN training_jobs ON training_jobs.id = job_id"
            " WHERE job_id = ?",
            (job_id,),
        )
        warned.append(row | {"completed_at": _shown_time(row["completed_at"])})
    return warned


def _adopt(backend: Backend, arguments: Arguments) -> int:
    """`adopt_harvest_attempts`: what a machine has noted before; how many were taken over."""
    adopted = 0
    for given in arguments["p_rows"]:
        seconds = given.get("seconds")
        due = None
        if seconds is not None:
            wait = timedelta(seconds=min(max(seconds, 0), _LONGEST))
            due = timestamp_text(backend.now() + wait)
        now = backend.timestamp()
        finished = to_sql(_TIME, given.get("finished_at"))
        adopted += backend.database.execute(
            "INSERT INTO harvest_attempts (job_id, external_job_id, deaths, attempts, next_at,"
            " dead, reason, details, remedy, first_seen, warned_at, finished_at)"
            " SELECT id, external_job_id, 0, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM training_jobs"
            " WHERE id = ? AND external_job_id = ? AND status = 'completed'"
            " AND (artifact_id IS NULL) = (? IS NULL)"
            " ON CONFLICT (job_id) DO UPDATE SET attempts = excluded.attempts,"
            " next_at = excluded.next_at, dead = excluded.dead, reason = excluded.reason,"
            " details = excluded.details, remedy = excluded.remedy,"
            " first_seen = min(first_seen, excluded.first_seen),"
            " warned_at = coalesce(warned_at, excluded.warned_at)"
            " WHERE harvest_attempts.external_job_id = excluded.external_job_id"
            " AND harvest_attempts.attempts = 0 AND harvest_attempts.finished_at IS NULL"
            " AND excluded.finished_at IS NULL",
            (
                max(given.get("attempts") or 0, 0),
                due,
                int(given.get("dead") or False),
                *(_short(given.get(name)) for name in ("reason", "details", "remedy")),
                to_sql(_TIME, given.get("first_seen")) or now,
                now if given.get("warned") else None,
                finished,
                to_sql(_UUID, given.get("job_id")),
                given.get("external_job_id"),
                finished,
            ),
        )
    return adopted


def _status(backend: Backend, arguments: Arguments) -> dict[str, Any]:
    """`harvest_status`: the number of jobs in each state, and the first of each."""
    limit = arguments["p_limit"]
    kept = timestamp_text(backend.now() - _KEPT)
    waiting = backend.database.rows(
        "SELECT training_jobs.id AS job_id, training_jobs.external_job_id, completed_at,"
        " dataset.name AS dataset, NULL AS artifact_id, CASE"
        " WHEN lease.begun_at IS NOT NULL THEN 'running' WHEN attempt.dead THEN 'dead'"
        " WHEN attempt.next_at IS NOT NULL THEN 'failed' ELSE 'waiting' END AS state,"
        " coalesce(attempt.attempts, 0) AS attempts, attempt.next_at, attempt.reason,"
        " attempt.details, attempt.remedy, lease.holder, lease.begun_at, lease.expires_at,"
        " NULL AS finished_at, NULL AS name, NULL AS quality_metrics"
        " FROM training_jobs LEFT JOIN datasets AS dataset ON dataset.id = dataset_id"
        " LEFT JOIN harvest_leases AS lease ON lease.job_id = training_jobs.id"
        " AND lease.expires_at > ?"
        " LEFT JOIN harvest_attempts AS attempt ON attempt.job_id = training_jobs.id"
        " AND attempt.finished_at IS NULL"
        " AND attempt.external_job_id = training_jobs.external_job_id"
        f" WHERE {_WAITING.replace('status', 'training_jobs.status')}"
        " ORDER BY (completed_at > ?) IS NOT 1, completed_at IS NULL, completed_at,"
        " training_jobs.id",
        (backend.timestamp(), kept),
    )
    finished = backend.database.rows(
        "SELECT training_jobs.id AS job_id, attempt.external_job_id, completed_at,"
        " dataset.name AS dataset, artifact_id, 'done' AS state, attempts, NULL AS next_at,"
        " NULL AS reason, NULL AS details, NULL AS remedy, finished_by AS holder,"
        " NULL AS begun_at, NULL AS expires_at, finished_at, artifact.name,"
        " artifact.quality_metrics FROM harvest_attempts AS attempt"
        " JOIN training_jobs ON training_jobs.id = attempt.job_id"
        " LEFT JOIN datasets AS dataset ON dataset.id = training_jobs.dataset_id"
        " LEFT JOIN model_artifacts AS artifact ON artifact.id = artifact_id"
        " WHERE finished_at IS NOT NULL AND artifact_id IS NOT NULL ORDER BY finished_at DESC"
    )
    states: dict[str, list[dict[str, Any]]] = {}
    for row in (*waiting, *finished):
        states.setdefault(row["state"], []).append(row)
    shown = {"done": min(limit, _MOST_FINISHED)}
    jobs = [row for state in sorted(states) for row in states[state][: shown.get(state, limit)]]
    for row in jobs:
        for name in ("completed_at", "next_at", "begun_at", "expires_at", "finished_at"):
            row[name] = _shown_time(row[name])
        row["quality_metrics"] = json.loads(row["quality_metrics"] or "null")
    return {"counts": {state: len(rows) for state, rows in states.items()}, "jobs": jobs}


def _attempt(backend: Backend, job_id: str) -> dict[str, Any] | None:
    row = backend.database.row("SELECT * FROM harvest_attempts WHERE job_id = ?", (job_id,))
    return None if row is None else _shown("harvest_attempts", row)


def _shown(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    columns = TABLES[table].columns
    return {name: to_json(columns[name], value, Dialect()) for name, value in row.items()}


def _shown_time(stored: str | None) -> str | None:
    shown: str | None = to_json(_TIME, stored, Dialect())
    return shown


def _release_any(backend: Backend, job_id: str) -> None:
    backend.database.execute("DELETE FROM harvest_leases WHERE job_id = ?", (job_id,))


def _job_and_holder(arguments: Arguments) -> tuple[str, str]:
    return to_sql(_UUID, arguments["p_job_id"]), _holder(arguments)


def _holder(arguments: Arguments) -> str:
    holder: str = to_sql(_TEXT, arguments["p_holder"])
    return holder


def _ids(given: Any) -> list[str]:
    return [to_sql(_UUID, job_id) for job_id in given]


def _short(text: str | None) -> str | None:
    return None if text is None else text[:500]


def _limit(arguments: Arguments, most: int, refusal: str) -> int:
    limit = arguments["p_limit"]
    if not isinstance(limit, int) or not 1 <= limit <= most:
        raise RestError(400, "22023", refusal)
    return limit


def _end(backend: Backend, arguments: Arguments) -> str:
    seconds = arguments["p_seconds"]
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= _LONGEST:
        raise RestError(400, "22023", "a lease lasts from 1 to 86400 seconds")
    return timestamp_text(backend.now() + timedelta(seconds=seconds))


def _function(run: Callable[[Backend, Arguments], Any], *parameters: str) -> Function:
    return Function(frozenset(f"p_{name}" for name in parameters), run)


FUNCTIONS: Final[Mapping[str, Function]] = {
    "claim_harvest_lease": _function(_claim_lease, "job_id", "holder", "seconds"),
    "renew_harvest_lease": _function(_renew_lease, "job_id", "holder", "seconds"),
    "release_harvest_lease": _function(_release_lease, "job_id", "holder"),
    "renew_harvest_leases": _function(_renew_leases, "holder", "job_ids", "seconds"),
    "release_harvest_leases": _function(_release_leases, "holder", "job_ids"),
    "begin_harvest_attempts": _function(_begin, "job_ids"),
    "claim_harvest_jobs": _function(_claim_jobs, "holder", "limit", "seconds"),
    "fail_harvest_job": _function(
        _fail_job, "job_id", "holder", "seconds", "reason", "details", "remedy"
    ),
    "finish_harvest_job": _function(_finish_job, "job_id", "holder"),
    "retry_harvest_jobs": _function(_retry_jobs, "job_ids"),
    "warn_harvest_jobs": _function(_warn_jobs, "seconds", "limit"),
    "adopt_harvest_attempts": _function(_adopt, "rows"),
    "harvest_status": _function(_status, "limit"),
}
