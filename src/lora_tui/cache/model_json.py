"""Models as the backend has them: the rows that the cache keeps, put together again."""

from __future__ import annotations

from lora_tui.cache.sums import SUMMED, check_row, columns_of
from lora_tui.json_values import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:  # `list` waits for this module
    from collections.abc import Sequence
    from typing import Any

COLUMNS = f"{columns_of('models', 'm')}, {columns_of('datasets', 'd')}, {columns_of('jobs', 'j')}"
_ROW = 1
"""Where the backend's own row stands among the summed columns of each table."""
JOINS = "LEFT JOIN datasets d ON d.id = m.dataset_id LEFT JOIN jobs j ON j.id = m.job_id"


def whole_row(found: Sequence[object]) -> dict[str, Any]:
    """A model of these COLUMNS, with the whole rows of its `dataset` and `job` embedded.

    Raises DamagedCacheError where one of the three does not match its checksum.
    """
    rows, start = [], 0
    for table in ("models", "datasets", "jobs"):
        values = found[start : start + len(SUMMED[table]) + 1]
        check_row(values)
        rows.append(parse_json(str(values[_ROW])) if values[_ROW] else None)
        start += len(values)
    row: dict[str, Any] = rows[0] or {}
    row["dataset"], row["job"] = rows[1:]
    return row


def listed_row(found: Sequence[object]) -> dict[str, Any]:
    """A model of these COLUMNS as a list has it."""
    row = whole_row(found)
    row["dataset"] = _only(row["dataset"], ("name",))
    row["job"] = _only(row["job"], ("preset_id", "created_at"))
    return row


def _only(row: dict[str, Any] | None, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {key: row.get(key) for key in keys}
