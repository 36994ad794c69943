"""Sorts the list of models by a column without an index; many models in a thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress

from lora_tui import formats
from lora_tui.cache.models import ModelList, ModelQuery, count_models
from lora_tui.cache.sorted_models import SortedModels, needs_sorting, sort_models
from lora_tui.errors import LoraTuiError
from lora_tui.tui.base_screen import CacheScreen


class SlowOrder:
    """What was sorted last, and what is being sorted."""

    def __init__(self, screen: CacheScreen, show: Callable[[ModelList, ModelQuery], None]) -> None:
        """`show` is called with a list that a thread has sorted."""
        self._screen, self._show = screen, show
        self._changes = 0
        """How often the cache has changed."""
        self._found: tuple[int, SortedModels] | None = None
        """With the changes before it was sorted."""
        self._sorting: _Sorting | None = None
        self.text = ""
        """What is being sorted: `sorting 100,000 models by rank…`."""

    def list_of(self, query: ModelQuery) -> ModelList | None:
        """The list, unless a thread has to sort it, which passes it to `show` later."""
        db = self._screen.db
        if self._found is not None:
            changes, found = self._found
            if found.query == query and changes == self._changes:
                self.cancel()
                return ModelList(db, query, found)
        if not needs_sorting(db, query):
            self.cancel()
            return ModelList(db, query)
        if self._sorting is None or self._sorting.query != query:
            self._begin(query)
        return None

    def forget(self) -> None:
        """Sort again with the next call: the cache has changed."""
        self._changes += 1

    def cancel(self) -> None:
        """End what is being sorted."""
        if self._sorting is not None:
            self._sorting.cancel()
            self._sorting = None

    def _begin(self, query: ModelQuery) -> None:
        self.cancel()
        sorting, changes = _Sorting(query), self._changes
        self._sorting = sorting
        models = formats.counted(count_models(self._screen.db, query), "model")
        self.text = f"sorting {models} by {query.sort.replace('_', ' ')}…"

        def shown(found: SortedModels | None) -> None:
            if self._sorting is not sorting or found is None:
                return
            self._sorting, self._found = None, (changes, found)
            self._show(ModelList(self._screen.db, query, found), query)
            if changes != self._changes:  # meanwhile
                self.list_of(query)

        def failed(error: LoraTuiError) -> None:
            if self._sorting is sorting:
                self._sorting = None
                self._screen.lora.show_error(error, title="Not sorted")

        self._screen.read(sorting.run, shown, exclusive="sort", failed=failed)


class _Sorting:
    """One call of `sort_models` in a thread, which another thread can end."""

    def __init__(self, query: ModelQuery) -> None:
        self.query = query
        self._is_cancelled = False
        self._db: sqlite3.Connection | None = None

    def run(self, db: sqlite3.Connection) -> SortedModels | None:
        """What was sorted; None once it was cancelled."""
        self._db = db
        try:
            return None if self._is_cancelled else sort_models(db, self.query)
        except sqlite3.OperationalError:
            if self._is_cancelled:
                return None
            raise
        finally:
            self._db = None

    def cancel(self) -> None:
        """End the query that runs. Any thread may call."""
        self._is_cancelled, db = True, self._db
        if db is not None:
            with suppress(sqlite3.ProgrammingError):  # it was closed meanwhile
                db.interrupt()
