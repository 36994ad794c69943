"""Sums up what the models of a narrowed list cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lora_tui.cache.model_costs import ListCost, cost_of_matches
from lora_tui.cache.models import ModelQuery
from lora_tui.tui.base_screen import CacheScreen

if TYPE_CHECKING:
    from textual.timer import Timer

_FEW: Final = 300
"""Models whose costs are summed up in a millisecond."""
_PAUSE: Final = 0.15
"""Seconds without a key until the costs of more models are summed up, in a thread."""


class ListCosts:
    """The cost of the list that a screen shows; None while it is not known, or of all models."""

    def __init__(self, screen: CacheScreen, changed: Callable[[], None]) -> None:
        """`changed` is called when a sum comes later."""
        self.cost: ListCost | None = None
        self._screen, self._changed = screen, changed
        self._asked: ModelQuery | None = None
        """The query whose cost it is, or that is being summed up."""
        self._timer: Timer | None = None

    def forget(self) -> None:
        """Sum up again with the next call: the cache has changed."""
        self._asked = None

    def sum_up(self, query: ModelQuery, total: int) -> None:
        """Sum up the cost of the `total` models that match; of many after a pause in the typing."""
        matched = query.unordered
        if matched == self._asked:
            return
        self._asked, self.cost = matched, None
        if self._timer is not None:
            self._timer.stop()
        if query.is_everything or not total:
            return
        screen = self._screen

        def shown(cost: ListCost) -> None:
            if matched == self._asked:
                self.cost = cost
                self._changed()

        def ask() -> None:
            screen.read(lambda db: cost_of_matches(db, query), shown, exclusive="cost")

        if total <= _FEW:
            self.cost = cost_of_matches(screen.db, query)
        else:
            self._timer = screen.set_timer(_PAUSE, screen.while_alive(ask))
