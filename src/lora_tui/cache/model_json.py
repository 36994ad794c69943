"""Models as the backend has them: the rows that the cache keeps, put together again."""

from __future__ import annotations

from lora_tui.json_text import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:  # `list` waits for this module
    from collections.abc import Sequence
    from typing import Any

COLUMNS = "m.row, d.row, j.row"
JOINS = "LEFT JOIN datasets d ON d.id = m.dataset_id LEFT JOIN jobs j ON j.id = m.job_id"


def whole_row(found: Sequence[str | None]) -> dict[str, Any]:
    """A model of these COLUMNS, with the whole rows of its `dataset` and `job` embedded."""
    model, dataset, job = found
    row: dict[str, Any] = parsed(model or "")
    row["dataset"] = parsed(dataset) if dataset else None
    row["job"] = parsed(job) if job else None
    return row


def listed_row(found: Sequence[str | None]) -> dict[str, Any]:
    """A model of these COLUMNS as a list has it."""
    row = whole_row(found)
    row["dataset"] = _only(row["dataset"], ("name",))
    row["job"] = _only(row["job"], ("preset_id", "created_at"))
    return row


def _only(row: dict[str, Any] | None, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {key: row.get(key) for key in keys}
