"""What the trigger of our migration does with a user's change of one of their own models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from lora_tui.sandbox.postgrest.errors import RestError

OPENED: Final = frozenset(("name", "description", "status", "deployed_at", "deleted_at"))
"""The columns that a user changes."""

_CONTROL: Final = re.compile(r"[\x01-\x1f\x7f-\x9f]")
_LONGEST_DESCRIPTION: Final = 10_000
_STATUSES: Final = ("stored", "deployed", "archived")


def guarded(before: Mapping[str, Any], values: Mapping[str, Any], moment: str) -> dict[str, Any]:
    """The values that are written, in SQLite's form. Raises RestError for those not allowed."""
    changed = {name: value for name, value in values.items() if value != before[name]}
    name = changed.get("name")
    if name is not None and (not name.strip(" ") or _CONTROL.search(name)):
        raise _refused("a name has 1 to 200 characters, and no control characters")
    if len(changed.get("description") or "") > _LONGEST_DESCRIPTION:
        raise _refused("a description has at most 10000 characters")
    if "status" in changed and changed["status"] not in _STATUSES:
        raise _refused("a status is stored, deployed or archived")
    if changed.get("deleted_at") is not None:
        return {**values, "deleted_at": moment}
    return dict(values)


def _refused(message: str) -> RestError:
    return RestError(400, "23514", message)
