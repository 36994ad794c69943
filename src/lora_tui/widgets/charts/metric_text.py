"""Writes a value of a metric for people."""

from __future__ import annotations

from typing import Final

from lora_tui import formats

SHARES: Final = frozenset({"gpu_utilization"})
"""Metrics in percent, whose axis is from 0 to 100."""
_COUNTED_FROM: Final = 1000


def metric_text(column: str, value: float | None) -> str:
    """The value as its kind is usually written; a dash where it is unknown."""
    if column.endswith("_loss"):
        return formats.loss(value)
    if column in SHARES:
        return formats.percent(value)
    if value is not None and abs(value) >= _COUNTED_FROM:
        return formats.count(value)
    return formats.significant(value)
