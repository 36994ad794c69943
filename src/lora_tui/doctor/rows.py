"""Checks the rows that the cache holds of the backend: which values have the wrong type.

No network: the last sync brought them. A model with such a value is shown without it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from lora_tui.cache import metadata
from lora_tui.clock import parse_timestamp
from lora_tui.doctor.findings import Finding, ok, skipped, warning
from lora_tui.domain.invalid_values import invalid_columns
from lora_tui.text import terminal_safe

_TABLES: Final = (
    ("datasets", "datasets"),
    ("training_jobs", "jobs"),
    ("model_artifacts", "models"),
    ("notifications", "notifications"),
)
_REMEDY: Final = (
    "correct these values in the project's table editor, then run `lora-tui sync --full`;"
    " until then the rows are shown without them"
)
_NAMED: Final = 3


def check_rows(path: Path) -> Iterator[Finding]:
    """One finding a table, with how many of its rows hold something that can't be read."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            for remote, cached in _TABLES:
                yield _table(db, remote, cached)
            yield _points(db)
    except (sqlite3.Error, ValueError):
        yield skipped("rows", "the cache can't be read", "run `lora-tui sync`")


def _table(db: sqlite3.Connection, remote: str, cached: str) -> Finding:
    name = f"rows of {remote}"
    total, odd = 0, 0
    columns: Counter[str] = Counter()
    examples: list[str] = []
    for row_id, text in db.execute(f"SELECT id, row FROM {cached}"):  # noqa: S608 - ours
        total += 1
        row: Any = json.loads(text)
        found = invalid_columns(remote, row if isinstance(row, dict) else {})
        columns.update(found)
        if found:
            odd += 1
            examples.append(row_id)
    lost = metadata.get_value(db, f"{metadata.UNREADABLE}{remote}") or "0"
    if not odd and lost == "0":
        return ok(name, f"all {total:,} are readable")
    parts = []
    if odd:
        named = ", ".join(terminal_safe(column) for column, _ in columns.most_common(_NAMED))
        ids = ", ".join(terminal_safe(row_id, limit=40) for row_id in examples[:_NAMED])
        more = " and others" if odd > _NAMED else ""
        parts.append(f"{odd:,} of {total:,} hold values of the wrong type ({named}): {ids}" + more)
    if lost != "0":
        parts.append(f"{lost} have no usable id, or were no rows, and are not shown at all")
    return warning(name, "; ".join(parts), _REMEDY)


def _points(db: sqlite3.Connection) -> Finding:
    name = "rows of metrics_points"
    (total,) = db.execute("SELECT count(*) FROM metrics").fetchone()
    doubtful = db.execute(
        "SELECT timestamp FROM metrics WHERE id = '' OR timestamp NOT GLOB '????-??-??T*'"
    )
    odd = sum(parse_timestamp(text) is None for (text,) in doubtful)
    if not odd:
        return ok(name, f"all {total:,} are readable")
    return warning(
        name,
        f"{odd:,} of {total:,} have no time that can be read, so their order is not certain",
        _REMEDY,
    )
