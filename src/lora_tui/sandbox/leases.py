"""The harvest lease, as our migration's three functions keep it: one holder a job, for a while."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from lora_tui.clock import timestamp_text
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.rest_errors import RestError
from lora_tui.sandbox.tables import TABLES, constraint
from lora_tui.sandbox.values import to_sql

_LONGEST: Final = 86_400


def claim(backend: Backend, arguments: Mapping[str, Any]) -> bool:
    """`claim_harvest_lease(p_job_id, p_holder, p_seconds)`: free, run out, or one's own."""
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
        "INSERT INTO harvest_leases (job_id, holder, expires_at) VALUES (?, ?, ?)"
        " ON CONFLICT (job_id) DO UPDATE"
        " SET holder = excluded.holder, expires_at = excluded.expires_at"
        " WHERE holder = excluded.holder OR expires_at <= ?",
        (job_id, holder, expires_at, backend.timestamp()),
    )
    return changed == 1


def renew(backend: Backend, arguments: Mapping[str, Any]) -> bool:
    """`renew_harvest_lease(p_job_id, p_holder, p_seconds)`: only a lease that has not run out."""
    job_id, holder = _job_and_holder(arguments)
    changed = backend.database.execute(
        "UPDATE harvest_leases SET expires_at = ?"
        " WHERE job_id = ? AND holder = ? AND expires_at > ?",
        (_end(backend, arguments), job_id, holder, backend.timestamp()),
    )
    return changed == 1


def release(backend: Backend, arguments: Mapping[str, Any]) -> bool:
    """`release_harvest_lease(p_job_id, p_holder)`."""
    changed = backend.database.execute(
        "DELETE FROM harvest_leases WHERE job_id = ? AND holder = ?", _job_and_holder(arguments)
    )
    return changed == 1


def _job_and_holder(arguments: Mapping[str, Any]) -> tuple[str, str]:
    columns = TABLES["harvest_leases"].columns
    job_id = to_sql(columns["job_id"], arguments["p_job_id"])
    return job_id, to_sql(columns["holder"], arguments["p_holder"])


def _end(backend: Backend, arguments: Mapping[str, Any]) -> str:
    seconds = arguments["p_seconds"]
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= _LONGEST:
        raise RestError(400, "22023", "a lease lasts from 1 to 86400 seconds")
    return timestamp_text(backend.now() + timedelta(seconds=seconds))
