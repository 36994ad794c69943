"""Functions of the database that clients call by `POST /rest/v1/rpc/{name}`: the harvest leases.

They do what the three functions of our migration do: a job has at most one holder at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lora_tui.clock import timestamp_text
from lora_tui.sandbox.backend import Backend, Caller
from lora_tui.sandbox.postgrest.errors import RestError
from lora_tui.sandbox.postgrest.tables import TABLES, constraint
from lora_tui.sandbox.postgrest.values import to_sql

_LONGEST: Final = 86_400
"""Seconds that a lease lasts at most."""


def call_function(backend: Backend, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
    """Run a function and return its result as JSON. Raises RestError."""
    function = _FUNCTIONS.get(name) if backend.migrated else None
    if function is None or function.parameters != arguments.keys():
        taken = f"({', '.join(sorted(arguments))})" if arguments else " without parameters"
        raise RestError(
            404,
            "PGRST202",
            f"Could not find the function public.{name}{taken} in the schema cache",
        )
    if not caller.is_service:
        raise RestError(403, "42501", f"permission denied for function {name}")
    with backend.database.transaction():
        return function.run(backend, arguments)


def _claim(backend: Backend, arguments: Mapping[str, Any]) -> bool:
    """`claim_harvest_lease(p_job_id, p_holder, p_seconds)`: a free, expired or own lease."""
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


def _renew(backend: Backend, arguments: Mapping[str, Any]) -> bool:
    """`renew_harvest_lease(p_job_id, p_holder, p_seconds)`: a lease that has not expired."""
    job_id, holder = _job_and_holder(arguments)
    changed = backend.database.execute(
        "UPDATE harvest_leases SET expires_at = ?"
        " WHERE job_id = ? AND holder = ? AND expires_at > ?",
        (_end(backend, arguments), job_id, holder, backend.timestamp()),
    )
    return changed == 1


def _release(backend: Backend, arguments: Mapping[str, Any]) -> bool:
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


@dataclass(frozen=True)
class _Function:
    """A function of our migration; only the service role may call it."""

    parameters: frozenset[str]
    run: Callable[[Backend, Mapping[str, Any]], Any]


_LEASE: Final = frozenset(("p_job_id", "p_holder"))

_FUNCTIONS: Final[Mapping[str, _Function]] = {
    "claim_harvest_lease": _Function(_LEASE | {"p_seconds"}, _claim),
    "renew_harvest_lease": _Function(_LEASE | {"p_seconds"}, _renew),
    "release_harvest_lease": _Function(_LEASE, _release),
}
