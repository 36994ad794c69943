"""What one asks the list of models for: an order, a search and filters."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from lora_tui.cache.model_order import Sort


class ModelQuery(NamedTuple):
    """Which models, in which order. `reverse` turns the natural direction of `sort` around."""

    sort: Sort = Sort.CREATED
    reverse: bool = False
    search: str = ""
    """Words that must all begin a word of name, dataset, base model or description, or the id."""
    convergences: frozenset[str] = frozenset()
    min_stars: int = 0
    dataset: str = ""
    """A dataset's id or exact name."""
    preset: str = ""
    base_model: str = ""
    created_from: datetime | None = None
    created_before: datetime | None = None
    downloaded: bool | None = None
    """Whether all files lie on this disk; None does not ask."""

    @property
    def is_everything(self) -> bool:
        """Whether no model is left out."""
        return self.unfiltered == self

    @property
    def unfiltered(self) -> ModelQuery:
        """The same order of all models."""
        return ModelQuery(sort=self.sort, reverse=self.reverse)
