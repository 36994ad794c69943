"""`list` in the ordinary case, in half the time: no filter, plain settings, a cache in order.

commands/list.py is right in every case, but what it stands on (frozen dataclasses, paths, the
whole configuration) takes longer to import than Python itself and the query together. Here the
same page is printed where nothing is out of the ordinary, and `answered` is False for all else:
filters, errors, settings of another form. tests/commands/test_quick_list.py holds the two to the
same words, tests/test_project.py to what may be imported.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from datetime import datetime

from lora_tui.cache import plain_list
from lora_tui.cache.model_order import Sort
from lora_tui.commands import list_page
from lora_tui.errors import DamagedCacheError
from lora_tui.plain_account import find_cache
from lora_tui.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

_FILTERS = (
    *("search", "quality", "min_stars", "dataset", "preset", "base_model"),
    *("downloaded", "csv", "verbose"),
)
_DATES = ("since", "until")
"""An empty one is no filter that was left out, but a mistake."""
_FAR = 1_000
"""So many rows are stepped over; beyond them commands/list.py finds a shorter way."""


def answered(arguments: Namespace) -> bool:
    """Print the page; False where commands/list.py has to."""
    offset = (arguments.page - 1) * arguments.limit
    if offset > _FAR or any(getattr(arguments, name) for name in _FILTERS):
        return False
    if any(getattr(arguments, name) is not None for name in _DATES):
        return False
    try:
        found = find_cache(arguments, os.environ)
        if found is None:
            return False
        path, user_id, project = found
        if os.stat(path).st_mode != stat.S_IFREG | 0o600:  # noqa: PTH116 - pathlib loads slowly
            return False
        db = plain_list.open_plain(path)
        try:
            text, remark = _page(db, arguments, offset, (user_id, project))
        finally:
            db.close()
    except (DamagedCacheError, LookupError, OSError, TypeError, ValueError, sqlite3.Error):
        return False
    sys.stdout.write(printable(text))
    if remark:
        print(remark, file=sys.stderr)
    return True


def _page(
    db: sqlite3.Connection, arguments: Namespace, offset: int, owner: tuple[str, str]
) -> tuple[str, str]:
    """What is printed, and what is said of it."""
    facts = plain_list.read_facts(db, owner)
    sort, reverse, limit = Sort(arguments.sort), arguments.reverse, arguments.limit
    if arguments.json or arguments.jsonl:
        from lora_tui.json_values import json_text

        rows = plain_list.read_rows(db, sort, reverse=reverse, offset=offset, limit=limit)
        if not arguments.json:
            return "".join(f"{json_text(row)}\n" for row in rows), ""
        pagination = list_page.pagination(arguments.page, limit, plain_list.count_all(db))
        data = {"models": rows, "pagination": pagination}
        return json_text({"success": True, "data": data}, indent=2) + "\n", ""
    lines = plain_list.read_lines(db, sort, reverse=reverse, offset=offset, limit=limit)
    last_sync = facts.get("sync.models") or facts.get("sync.success")
    moment = None if last_sync is None else datetime.fromisoformat(last_sync)
    table = list_page.table(list_page.cells(*line) for line in lines)
    return table, list_page.remark(offset, len(lines), plain_list.count_all(db), moment)
