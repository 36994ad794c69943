"""What the pipeline has billed: a row of `cost_records`, and amounts that can be summed exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lora_tui.clock import parse_timestamp
from lora_tui.json_values import Row, identifier, number, text_or_none

MOST_DOLLARS: Final = 1_000_000
"""US dollars; an amount of this size or more is an error in the row, and is not counted."""
MICROS: Final = 1_000_000
"""Millionths of a US dollar, in which amounts are summed: whole numbers have no rounding errors."""
_TIME_OF_A_RUN: Final = frozenset(
    {
        *("gpu", "gpus", "compute", "training", "train", "run", "job", "instance", "pod", "total"),
        "runpod",
    }
)
_WORDS: Final = re.compile(r"[^a-z0-9]+")
_MONTH: Final = re.compile(r"(\d{4})-(\d\d)(?!\d)", re.ASCII)


def micro_dollars(amount: float | None) -> int | None:
    """US dollars as millionths; None for an amount that is unknown or absurd."""
    if amount is None or not abs(amount) < MOST_DOLLARS:
        return None
    return round(amount * MICROS)


@dataclass(frozen=True)
class CostRecord:
    """One amount that was billed, for a job or for something else."""

    id: str
    user_id: str
    job_id: str | None
    type: str
    """`gpu`, `storage`, or whatever the pipeline writes."""
    amount: float | None
    """US dollars; negative for a credit."""
    recorded_at: datetime | None
    moment: datetime | None
    """When it counts: the time of the record, moved into its billing period if it is outside."""

    @property
    def is_of_the_run(self) -> bool:
        """Whether it bills the run itself, the GPU's time, which the job's own cost tells too."""
        words = _WORDS.split(self.type.casefold())
        return any(word in _TIME_OF_A_RUN or word.startswith("gpu") for word in words)

    @classmethod
    def from_row(cls, row: Row) -> CostRecord:
        """Read a row of `cost_records`."""
        recorded = parse_timestamp(row.get("recorded_at"))
        return cls(
            id=identifier(row.get("id")),
            user_id=identifier(row.get("user_id")),
            job_id=identifier(row.get("job_id")) or None,
            type=text_or_none(row.get("cost_type"), limit=40) or "unknown",
            amount=number(row.get("amount")),
            recorded_at=recorded,
            moment=_in_period(recorded, text_or_none(row.get("billing_period")) or ""),
        )


def _in_period(recorded: datetime | None, period: str) -> datetime | None:
    """The time of a record within its billing period, `2026-11` or a day of that month.

    Storage of November may be billed on the first of December. Noon is the same day in nearly all
    time zones. A period of another form changes nothing.
    """
    match = _MONTH.match(period)
    if match is None:
        return recorded
    try:
        first = datetime(int(match[1]), int(match[2]), 1, 12, tzinfo=UTC)
        following = (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        return recorded
    if not 1 < first.year < 9998:
        return recorded
    last = following - timedelta(days=1)
    if recorded is None or (recorded.year, recorded.month) < (first.year, first.month):
        return first
    return last if (recorded.year, recorded.month) > (first.year, first.month) else recorded
