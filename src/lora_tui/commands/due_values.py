"""Columns whose values change outside of a sync: files are removed, ratings are still computed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from lora_tui import formats
from lora_tui.cache.model_columns import ModelColumn
from lora_tui.cache.model_query import ModelQuery, is_indexed
from lora_tui.cache.suggested_ratings import count_missing
from lora_tui.commands.context import Context
from lora_tui.library.disk_check import check_presence

ALL_DUE: Final = ("downloaded", "suggested_stars")
"""The columns that `check_named` looks for."""


def check_used(
    context: Context, db: sqlite3.Connection, query: ModelQuery, columns: Iterable[ModelColumn] = ()
) -> None:
    """Like `check_named`, for the columns that a query and a table use."""
    names = {column.name for column in columns}
    if not is_indexed(query.sort):
        names.add(query.sort)
    if query.downloaded is not None:
        names.add("downloaded")
    if query.where:
        from lora_tui.cache.conditions import parse  # late: many queries have no condition

        names.update(column.name for column in parse(query.where).columns)
    check_named(context, db, names)


def check_named(context: Context, db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Look for removed files if `downloaded` is named; say which suggested ratings are missing."""
    names = {*names}
    if "downloaded" in names:
        check_presence(db)
    missing = count_missing(db) if "suggested_stars" in names else 0
    if missing:
        which = formats.counted(missing, "suggested rating is", "suggested ratings are")
        context.say(
            f"{which} not computed yet: `lora-tui sync` computes some, an open lora-tui all."
        )
