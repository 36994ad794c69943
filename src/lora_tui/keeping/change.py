"""Changes columns of one's own models in the project, and in the cache at once.

Where our migration is not applied, the project lets a user change nothing of a model: then
`NotMigratedError` is raised.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from lora_tui import clock
from lora_tui.cache.connection import transaction
from lora_tui.cache.deleted_models import forget_deleted
from lora_tui.cache.models import NOT_FOUND
from lora_tui.cache.remote_tables import MODEL_TABLE, Tally, row_id, write_rows
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import Row
from lora_tui.domain.own_marks import clean_lines
from lora_tui.errors import (
    AuthenticationError,
    CacheError,
    DeniedError,
    NotFoundError,
    NotMigratedError,
    UnreachableError,
    UsageError,
)
from lora_tui.gateway.rest import Rest
from lora_tui.text import terminal_safe

LONGEST_NAME: Final = 200
"""Characters of a model's name."""
LONGEST_DESCRIPTION: Final = 2_000
"""Characters of a model's description."""
STORED, DEPLOYED, ARCHIVED = "stored", "deployed", "archived"
"""The statuses that a model has."""
OF_EVERY_MODEL: Final = (NotMigratedError, AuthenticationError, UnreachableError)
"""Errors that the next model would meet as well."""


def change_model(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    model_id: str,
    changes: Mapping[str, Any],
    *,
    seen: str | None = None,
) -> Row:
    """Change columns of one's own model, deleted or not, in the project and the cache.

    `changes`: values of name, description, status, deployed_at, deleted_at. `seen`: the
    `updated_at` that the user saw; the model is changed only if it is still that. Returns the new
    row.

    Raises NotMigratedError where the project lets nobody change models, NotFoundError where the
    model is gone, CacheError where it was changed meanwhile, and the errors of the gateway.
    """
    try:
        changed = rest.change_model(user_id, model_id, changes, seen=seen)
    except DeniedError as error:
        raise NotMigratedError(_REFUSED, details=error.details) from None
    row = changed or _unchanged(rest, db, user_id, model_id, changes, seen)
    with transaction(db, MODEL_TABLE.topic):
        write_rows(db, MODEL_TABLE, [row], Tally())
    return row


# What is changed ----------------------------------------------------------------------------------


def renaming(name: str) -> dict[str, Any]:
    """The changes of a new name. Raises UsageError where it can't be one."""
    require_name(name)
    return {"name": name.strip()}


def describing(text: str) -> dict[str, Any]:
    """The changes of a new description; an empty one removes it. Raises UsageError."""
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise UsageError("The description is not UTF-8")
    cleaned = clean_lines(text)
    if len(cleaned) > LONGEST_DESCRIPTION:
        raise UsageError(
            f"A description has at most {LONGEST_DESCRIPTION:,} characters",
            details=f"this one has {len(cleaned):,}",
            remedy="shorten it; `lora-tui note` keeps longer texts on this machine",
        )
    return {"description": cleaned or None}


def archiving() -> dict[str, Any]:
    """The changes of an archived model."""
    return {"status": ARCHIVED}


def unarchiving(row: Mapping[str, Any]) -> dict[str, Any]:
    """The changes of a model that is no longer archived: it is what it was."""
    return {"status": STORED if row.get("deployed_at") is None else DEPLOYED}


def deleting() -> dict[str, Any]:
    """The changes of a deletion. The project writes its own time in place of ours."""
    return {"deleted_at": timestamp_text(clock.now())}


def undeleting() -> dict[str, Any]:
    """The changes of a model that is no longer deleted."""
    return {"deleted_at": None}


def deploying() -> dict[str, Any]:
    """The changes of a model that a server has loaded."""
    return {"status": DEPLOYED, "deployed_at": timestamp_text(clock.now())}


def undeploying() -> dict[str, Any]:
    """The changes of a model that no server has loaded any more."""
    return {"status": STORED, "deployed_at": None}


def require_name(name: str) -> None:
    """Raise UsageError for text that can't be the name of a model."""
    shown = terminal_safe(name, limit=1000)
    if not is_storable(name):
        raise UsageError(
            "The name has control characters, or is not UTF-8", details=shown[:60] or None
        )
    if not (shown and len(name.strip()) <= LONGEST_NAME):
        raise UsageError(f"A name has 1 to {LONGEST_NAME} characters", details=shown[:60] or None)


def is_storable(text: str) -> bool:
    """Whether a row can hold the text: no control characters, no broken UTF-8."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


# --------------------------------------------------------------------------------------------------

_REFUSED: Final = "The project does not let you change your own models"


def _unchanged(
    rest: Rest,
    db: sqlite3.Connection,
    user_id: str,
    model_id: str,
    changes: Mapping[str, Any],
    seen: str | None,
) -> Row:
    """The row where it is as wanted already; else raises why no row has changed."""
    rows = rest.rows_by_id(MODEL_TABLE.remote, user_id, [model_id])
    row = next((row for row in rows if row_id(row) == model_id), None)
    if row is None:
        with transaction(db, MODEL_TABLE.topic):
            forget_deleted(db, [model_id])
        raise NotFoundError(
            NOT_FOUND, details="it is not in the project", remedy="run `lora-tui sync`"
        )
    if all(_is_same(name, row.get(name), value) for name, value in changes.items()):
        return row  # the answer to an earlier attempt was lost
    if seen is not None and parse_timestamp(row.get("updated_at")) != parse_timestamp(seen):
        raise CacheError(
            "The model was changed elsewhere meanwhile, so it was left as it is",
            remedy="run `lora-tui sync`, look at it, and try again",
        )
    raise NotMigratedError(_REFUSED)


def _is_same(name: str, there: object, wanted: object) -> bool:
    if name == "deleted_at":  # the project writes its own time
        return (there is None) == (wanted is None)
    if name == "deployed_at":
        return parse_timestamp(there) == parse_timestamp(wanted)
    return there == wanted
