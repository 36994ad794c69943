"""Checks of row-level security: a user must not see rows of others, and may fetch their own files.

Reads only. Seeing no foreign row proves little if no other user has rows, so each finding says what
its verdict is based on: a foreign row, the rows that the service role sees, or our migration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from lora_tui.doctor.project import ProjectView
from lora_tui.errors import AuthenticationError, DeniedError, LoraTuiError, NotFoundError
from lora_tui.gateway.storage import Storage

OPEN_TABLES: Final = ("metrics_points", "notifications", "cost_records")

_PUBLIC: Final = "anybody can read rows with the public key, without signing in"
_MOST_JOBS: Final = 25
_MOST_FILES: Final = 3
_NO_ID: Final = "00000000-0000-0000-0000-000000000000"
_LEASE: Final = {"p_job_id": _NO_ID, "p_holder": "lora-tui doctor", "p_seconds": 1}


def check_without_session(public: ProjectView) -> Iterator[Finding]:
    """Check, without a session, that the public key alone can't read the tables."""
    for table in OPEN_TABLES:
        name = f"privacy of {table}"
        yield attempt(name, partial(_check_public_access, name, table, public), TABLE_REMEDY)


def check_rls(
    user: ProjectView, public: ProjectView, service: ProjectView | None, user_id: str
) -> Iterator[Finding]:
    """Check the migration, the privacy of the tables, and the storage policy for downloads."""
    migrated = _has_function(user, "renew_harvest_lease", _LEASE)
    if migrated and _has_function(user, "harvest_status", {"p_limit": 1}):
        yield ok("migration", "it is applied")
    elif migrated:
        reason = "the one that was applied is an older one: harvesters share no queue"
        yield warning("migration", reason, SCHEMA_REMEDY)
    else:
        yield warning("migration", "it is not applied", SCHEMA_REMEDY)
    for table in OPEN_TABLES:
        name = f"privacy of {table}"
        privacy = partial(
            _check_privacy, name, table, user, public, service, user_id, migrated=migrated
        )
        yield attempt(name, privacy, TABLE_REMEDY)
    yield attempt("changes of models", lambda: _check_changes(user, migrated=migrated))
    yield attempt(
        "storage policy",
        lambda: _check_storage_policy(user, service, user_id, migrated=migrated),
    )


def _has_function(user: ProjectView, name: str, parameters: Mapping[str, object]) -> bool:
    """Return whether a function of our migration exists; users are denied to call it."""
    try:
        return user.rest.call(name, parameters, "ask for the migration") is not None
    except DeniedError:
        return True
    except LoraTuiError:
        return False


def _check_changes(user: ProjectView, *, migrated: bool) -> Finding:
    """Whether the project opens some columns of models to their owner, as our migration does."""
    name = "changes of models"
    if user.guards_models():
        return ok(name, "you can rename, describe, archive and delete your own")
    reason = "the migration that was applied is an older one" if migrated else "no policy lets you"
    return warning(name, f"your own models can't be changed: {reason}", SCHEMA_REMEDY)


def _check_public_access(name: str, table: str, public: ProjectView) -> Finding:
    if _is_public(table, public):
        return failed(name, _PUBLIC, SCHEMA_REMEDY)
    return skipped(name, "nobody is signed in; the public key alone reads no row")


def _is_public(table: str, public: ProjectView) -> bool:
    """Return whether the public key, which every browser gets, can read a row."""
    try:
        return public.has_any(table)
    except (AuthenticationError, DeniedError):
        return False


def _check_privacy(
    name: str,
    table: str,
    user: ProjectView,
    public: ProjectView,
    service: ProjectView | None,
    user_id: str,
    *,
    migrated: bool,
) -> Finding:
    if _is_public(table, public):
        return failed(name, _PUBLIC, SCHEMA_REMEDY)
    if _sees_foreign(table, user, user_id):
        return failed(name, "anybody who signs in can read rows of other users", SCHEMA_REMEDY)
    if service is not None and _sees_foreign(table, service, user_id, ours=user):
        return ok(name, "other users have rows, and none of them can be read")
    if migrated:
        return ok(name, "no row of another user can be read")
    return warning(
        name,
        "no row of another user can be read, perhaps because there is none",
        SCHEMA_REMEDY,
    )


def _sees_foreign(
    table: str, view: ProjectView, user_id: str, *, ours: ProjectView | None = None
) -> bool:
    """Return whether this role sees a row of another user in the table."""
    if table != "metrics_points":
        return view.has_foreign(table, user_id)
    jobs = set((ours or view).rest.ids("training_jobs", user_id))
    return any(job not in jobs for job in islice(view.jobs_with_metrics(), _MOST_JOBS))


def _check_storage_policy(
    user: ProjectView, service: ProjectView | None, user_id: str, *, migrated: bool
) -> Finding:
    name = "storage policy"
    paths = user.object_paths(user_id, limit=_MOST_FILES)
    if not paths:
        if migrated:
            return ok(name, "the migration adds it; there is no model to try it with")
        return skipped(name, "you have no model to try it with")
    if _can_sign(user.storage, paths):
        return ok(name, "your session can create download links")
    if service is not None and not _can_sign(service.storage, paths):
        return warning(
            name,
            "the files of your newest models are missing from the bucket",
            "harvest their jobs again while the worker has the results",
        )
    return failed(name, "your session can't create download links for your files", SCHEMA_REMEDY)


def _can_sign(storage: Storage, paths: list[str]) -> bool:
    for path in paths:
        try:
            storage.sign(path)
        except NotFoundError:
            continue
        return True
    return False
