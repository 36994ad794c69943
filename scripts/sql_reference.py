"""Writes the tables of the views in docs/sql.md; `make reference` runs it."""

from __future__ import annotations

import re
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path

from lora_tui.cache.schema import migrate
from lora_tui.cache.sql_query import FUNCTIONS
from lora_tui.cache.sql_views import SqlView, sql_views

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "sql.md"
_MARKED = re.compile(r"(<!-- views, by `make reference` -->\n).*?(<!-- end -->)", re.DOTALL)
_FUNCTIONS = re.compile(r"(<!-- functions, by `make reference` -->\n).*?(<!-- end -->)", re.DOTALL)


def reference() -> str:
    """The page with its tables written anew; the text around them stays."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db)
        views = sql_views(db)
    text = DOCUMENT.read_text(encoding="utf-8")
    names = ", ".join(f"`{name}`" for name in sorted(FUNCTIONS))
    listed = textwrap.fill(f"{names}.", 120, break_on_hyphens=False)
    text = _FUNCTIONS.sub(lambda m: f"{m[1]}\n{listed}\n\n{m[2]}", text)
    return _MARKED.sub(lambda m: f"{m[1]}\n{_tables(views)}\n{m[2]}", text)


def _tables(views: tuple[SqlView, ...]) -> str:
    return "\n".join(
        f"### {view.name}\n\n{view.meaning[0].upper()}{view.meaning[1:]}.\n\n"
        "| column | values | meaning |\n|---|---|---|\n"
        + "".join(f"| `{c.name}` | {c.type} | {c.meaning} |\n" for c in view.columns)
        for view in views
    )


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    print(DOCUMENT)
