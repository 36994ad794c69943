"""A query for the list of training jobs: its filters and its order."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from lora_tui.cache.keyset import Key, Order


class JobSort(StrEnum):
    """What the list can be sorted by."""

    ACTIVITY = "activity"
    """What runs first, then what waits, then what has ended; in each the newest first."""
    CREATED = "created"
    STATUS = "status"
    DATASET = "dataset"
    COST = "cost"
    DURATION = "duration"
    LOSS = "loss"


class JobQuery(NamedTuple):
    """Filters and an order. `reverse` reverses the natural direction of `sort`."""

    sort: JobSort = JobSort.ACTIVITY
    reverse: bool = False
    search: str = ""
    """Words; each must be in the dataset, base model, preset, GPU or status, or begin the id.

    Four or more characters are the beginning of an id.
    """
    statuses: frozenset[str] = frozenset()
    dataset: str = ""
    """A dataset's id or exact name."""
    preset: str = ""
    base_model: str = ""
    gpu: str = ""
    created_from: datetime | None = None
    created_before: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether there are no filters."""
        return self.unfiltered == self

    @property
    def unfiltered(self) -> JobQuery:
        """The same order without filters."""
        return JobQuery(sort=self.sort, reverse=self.reverse)


_KEYS: Final = {
    JobSort.ACTIVITY: Key("activity", descends=False),
    JobSort.CREATED: Key("created_at", descends=True),
    JobSort.STATUS: Key("status", descends=False),
    JobSort.DATASET: Key("dataset_name", descends=False, may_be_unknown=True, collation="NOCASE"),
    JobSort.COST: Key("cost", descends=True, may_be_unknown=True),
    JobSort.DURATION: Key("duration_hours", descends=True, may_be_unknown=True),
    JobSort.LOSS: Key("loss", descends=False, may_be_unknown=True),
}
ORDERS: Final = tuple(Order("jobs", "rowid", key, key.descends) for key in _KEYS.values())
"""The natural orders, each of which has an index."""


def natural_direction(sort: JobSort) -> bool:
    """Whether the natural direction of this order is descending."""
    return _KEYS[sort].descends


def order_of(sort: JobSort, *, reverse: bool) -> Order:
    """The order of `jobs`; `reverse` reverses its natural direction."""
    key = _KEYS[sort]
    return Order("jobs", "rowid", key, descends=key.descends is not reverse)
