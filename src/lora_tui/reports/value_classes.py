"""Sorts the values of a column into classes: each value, or ranges with round ends.

Of a text each value is a class; of a number too, unless it has many values. Ranges are equally
wide, or by powers of ten where the values span decades, as learning rates do.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from lora_tui import formats

Value = float | str | None
"""None is unknown."""
MOST_SINGLE: Final = 12
"""More different numbers become ranges."""
_SPANS_DECADES: Final = 10.0
"""A column whose largest value is so many times its smallest is shown on a logarithmic scale."""


class Variable(NamedTuple):
    """A column of the models."""

    name: str
    is_number: bool
    text: Callable[[float], str]
    """A number of it as people read it."""
    better: int = 0
    """1 where a higher value is better, -1 where a lower one is, else 0."""
    is_loss: bool = False
    """Whether it can only be compared within one dataset and one base model."""
    is_training: bool = False
    """Whether it comes from the training loss, which overfitting improves."""
    ticks_as_text: bool = False
    """Whether an axis writes its ticks by `text`, as those of dates and sizes."""
    data: Callable[[float], Any] = float
    """A number of it in JSON and CSV."""

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return self.name.replace("_", " ")


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic scale shows these numbers better."""
    return bool(values) and min(values) > 0 and max(values) / _SPANS_DECADES >= min(values)


def classify(
    values: Sequence[Value], variable: Variable, *, most: int = MOST_SINGLE
) -> tuple[list[str], list[int | None]]:
    """The labels of the classes, and for each value its class; None for an unknown value.

    Numbers ascend; texts come with the most frequent first. Texts beyond `most` are not joined.
    """
    if not variable.is_number:
        counts = Counter(value for value in values if value is not None)
        names = sorted(counts, key=lambda name: (-counts[name], str(name)))
        places: dict[Value, int] = {name: place for place, name in enumerate(names)}
        return [str(name) for name in names], [places.get(value) for value in values]
    known = sorted({float(value) for value in values if value is not None})
    if len(known) <= most:
        singles = {value: place for place, value in enumerate(known)}
        found = [None if value is None else singles[float(value)] for value in values]
        return [variable.text(value) for value in known], found
    edges = _log_edges(known, most) if spans_decades(known) else _even_edges(known, most)
    ranges = [None if v is None else bisect_right(edges, float(v)) for v in values]
    used = sorted({place for place in ranges if place is not None})
    renumbered = {place: number for number, place in enumerate(used)}
    labels = [_range_text(edges, place, variable) for place in used]
    return labels, [None if place is None else renumbered[place] for place in ranges]


def _range_text(edges: Sequence[float], place: int, variable: Variable) -> str:
    text = formats.number if variable.is_loss else variable.text  # 0.5, as no loss is written
    if place == 0:
        return f"below {text(edges[0])}"
    if place == len(edges):
        return f"{text(edges[-1])} or more"
    return f"{text(edges[place - 1])} to {text(edges[place])}"


def _log_edges(known: Sequence[float], most: int) -> list[float]:
    low, high = known[0], known[-1]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        edges = [
            edge
            for exponent in range(first, last + 1)
            for digit in digits
            if low < (edge := float(f"{digit}e{exponent}")) <= high
        ]
        if edges and len(edges) < most:
            return edges
    stride = math.ceil((last - first) / (most - 1))
    edges = [float(f"1e{exponent}") for exponent in range(first + 1, last + 1, stride)]
    return [edge for edge in edges if low < edge <= high]


def _even_edges(known: Sequence[float], most: int) -> list[float]:
    low, high = known[0], known[-1]
    least = high / (most - 1) - low / (most - 1)  # their difference may be too large for a float
    if least <= max(abs(low), abs(high)) * 1e-14:  # no round number between them
        return [known[len(known) // 2]]
    exponent = math.floor(math.log10(least))
    steps = (float(f"{digit}e{power}") for power in (exponent, exponent + 1) for digit in (1, 2, 5))
    step = next(step for step in steps if step >= least)
    start = math.floor(low / step)
    edges = [(start + number) * step for number in range(most + 1)]
    return [edge for edge in edges if low < edge <= high]
