"""Row-level security and privileges: who sees and who changes which rows."""

from __future__ import annotations

from typing import Final

from lora_tui.sandbox.backend import Caller

_OWNED: Final = frozenset(("datasets", "training_jobs", "model_artifacts"))
_OWN_ROW: Final = "{t}.user_id = ?"
_OWN_JOB: Final = (
    "EXISTS (SELECT 1 FROM training_jobs AS own WHERE own.id = {t}.job_id AND own.user_id = ?)"
)

SQL = tuple[str, list[str]]


def visible(table: str, alias: str, caller: Caller, *, migrated: bool) -> SQL:
    """The SQL condition, with its parameters, that a row must meet to be seen."""
    if caller.is_service or not _secured(table, migrated):
        return "1", []
    if caller.user_id is None:
        return "0", []
    condition = _OWN_JOB if table == "metrics_points" else _OWN_ROW
    return condition.format(t=alias), [caller.user_id]


def may_insert(table: str, caller: Caller, *, migrated: bool) -> bool:
    """Whether a policy lets this caller insert at all."""
    return caller.is_service or not _secured(table, migrated)


def may_delete(table: str, caller: Caller, *, migrated: bool) -> bool:
    """Whether this caller may delete rows; if not, a delete finds none."""
    return caller.is_service or not _secured(table, migrated)


def may_update(table: str, caller: Caller, *, migrated: bool) -> frozenset[str] | None:
    """The columns that this caller may update in visible rows; None for all.

    The empty set: no policy, so an update finds no rows.
    """
    if caller.is_service or not _secured(table, migrated):
        return None
    return frozenset(("read",)) if table == "notifications" else frozenset()


def _secured(table: str, migrated: bool) -> bool:
    return migrated or table in _OWNED
