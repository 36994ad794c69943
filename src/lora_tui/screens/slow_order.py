"""Sorts the list of models by a column without an index; many models in a thread."""

from __future__ import annotations

from collections.abc import Callable

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
        self._found: SortedModels | None = None
        self._is_stale = False
        self._sorting: ModelQuery | None = None
        self.text = ""
        """What is being sorted: `sorting 100,000 models by rank…`."""

    def list_of(self, query: ModelQuery) -> ModelList | None:
        """The list, unless a thread has to sort it, which passes it to `show` later."""
        db, found = self._screen.db, self._found
        if found is not None and found.query == query and not self._is_stale:
            self.cancel()
            return ModelList(db, query, found)
        if not needs_sorting(db, query):
            self.cancel()
            return ModelList(db, query)
        if query != self._sorting:
            self._begin(query)
        return None

    def forget(self) -> None:
        """Sort again with the next call: the cache has changed."""
        self._is_stale = True

    def cancel(self) -> None:
        """Show nothing of what is being sorted."""
        self._sorting = None

    def _begin(self, query: ModelQuery) -> None:
        self._sorting, self._is_stale = query, False
        models = formats.counted(count_models(self._screen.db, query), "model")
        self.text = f"sorting {models} by {query.sort.replace('_', ' ')}…"

        def shown(found: SortedModels) -> None:
            if self._sorting != query:
                return
            self._sorting, self._found = None, found
            self._show(ModelList(self._screen.db, query, found), query)
            if self._is_stale:  # the cache has changed meanwhile
                self.list_of(query)

        def failed(error: LoraTuiError) -> None:
            self._sorting = None
            self._screen.lora.show_error(error, title="Not sorted")

        self._screen.read(lambda db: sort_models(db, query), shown, exclusive="sort", failed=failed)
