"""Whether a signed-in user sees what is not theirs, and may fetch what is: the deployed holes.

Only reads. That nothing of others is seen proves little where others have nothing, so each finding
says what it rests on: a foreign row, the service role's view, or our migration.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final

from lora_tui.doctor.findings import (
    SCHEMA_REMEDY,
    TABLE_REMEDY,
    Finding,
    attempt,
    failed,
    ok,
    skipped,
    warning,
)
from lora_tui.doctor.view import View
from lora_tui.errors import AuthenticationError, DeniedError, LoraTuiError, NotFoundError
from lora_tui.gateway.storage import Storage

OPEN_TABLES: Final = ("metrics_points", "notifications", "cost_records")

_PUBLIC: Final = "rows can be read with the public key alone, by anybody, without signing in"
_MOST_JOBS: Final = 25
_MOST_FILES: Final = 3
_NO_ID: Final = "00000000-0000-0000-0000-000000000000"


def check_publicity(public: View) -> Iterator[Finding]:
    """What can be told with nobody signed in: whether the open tables are open to all the world."""
    for table in OPEN_TABLES:
        name = f"privacy of {table}"
        yield attempt(name, partial(_publicity, name, table, public), TABLE_REMEDY)


def check_openness(
    user: View, public: View, service: View | None, user_id: str
) -> Iterator[Finding]:
    """Our migration, the tables that are open as deployed, and the policy for downloads."""
    migrated = _is_migrated(user)
    if migrated:
        yield ok("migration", "it is applied")
    else:
        yield warning("migration", "it is not applied", SCHEMA_REMEDY)
    for table in OPEN_TABLES:
        name = f"privacy of {table}"
        privacy = partial(_privacy, name, table, user, public, service, user_id, migrated=migrated)
        yield attempt(name, privacy, TABLE_REMEDY)
    yield attempt(
        "storage policy",
        lambda: _storage_policy(user, service, user_id, migrated=migrated),
    )


def _is_migrated(user: View) -> bool:
    """Whether the lease that our migration brings is there; a user may not call it."""
    try:
        return user.rest.renew_lease(_NO_ID, "lora-tui doctor", 1) is not None
    except DeniedError:
        return True
    except LoraTuiError:
        return False


def _publicity(name: str, table: str, public: View) -> Finding:
    if _is_public(table, public):
        return failed(name, _PUBLIC, SCHEMA_REMEDY)
    return skipped(name, "nobody is signed in; the public key alone shows no row")


def _is_public(table: str, public: View) -> bool:
    """Whether whoever has the project's public key, which every browser is given, sees a row."""
    try:
        return public.has_any(table)
    except (AuthenticationError, DeniedError):
        return False


def _privacy(
    name: str,
    table: str,
    user: View,
    public: View,
    service: View | None,
    user_id: str,
    *,
    migrated: bool,
) -> Finding:
    if _is_public(table, public):
        return failed(name, _PUBLIC, SCHEMA_REMEDY)
    if _sees_foreign(table, user, user_id):
        return failed(
            name, "rows of other users can be read by anybody who signs in", SCHEMA_REMEDY
        )
    if service is not None and _sees_foreign(table, service, user_id, ours=user):
        return ok(name, "others have rows, and none of them can be seen")
    if migrated:
        return ok(name, "no row of anybody else can be seen")
    return warning(
        name,
        "no row of anybody else can be seen; perhaps only because there is none",
        SCHEMA_REMEDY,
    )


def _sees_foreign(table: str, view: View, user_id: str, *, ours: View | None = None) -> bool:
    """Whether this view of the table holds a row of somebody else."""
    if table != "metrics_points":
        return view.has_foreign(table, user_id)
    jobs = set((ours or view).rest.ids("training_jobs", user_id))
    return any(job not in jobs for job in islice(view.jobs_with_metrics(), _MOST_JOBS))


def _storage_policy(user: View, service: View | None, user_id: str, *, migrated: bool) -> Finding:
    name = "storage policy"
    paths = user.object_paths(user_id, limit=_MOST_FILES)
    if not paths:
        if migrated:
            return ok(name, "our migration brings it; there is no model to try it on")
        return skipped(name, "there is no model of yours to try it on")
    if _can_sign(user.storage, paths):
        return ok(name, "your own session can make download links")
    if service is not None and not _can_sign(service.storage, paths):
        return warning(
            name,
            "the files of your newest models are missing from the bucket",
            "harvest their jobs again while the worker has the results",
        )
    return failed(
        name, "your own session can't make download links for your own files", SCHEMA_REMEDY
    )


def _can_sign(storage: Storage, paths: list[str]) -> bool:
    for path in paths:
        try:
            storage.sign(path)
        except NotFoundError:
            continue
        return True
    return False
