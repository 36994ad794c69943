"""The metric points of a run as columns, read page by page, for its rating and its curve.

200,000 points take some 10 MB, and a page of rows is forgotten before the next one comes.
"""

from __future__ import annotations

import math
import uuid
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, overload

from lora_tui.clock import parse_timestamp
from lora_tui.domain import CurvePoint, MetricPoint

Row = Mapping[str, Any]

_ID_BYTES: Final = 16


class Points(Sequence[CurvePoint]):
    """The points that a chart can draw, in their order; `ends` are the rows that a rating reads.

    Rows come in the order of (timestamp, id). Where a server gives some twice, or in another
    order, they are put right.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._steps, self._training, self._validation = array("d"), array("d"), array("d")
        moments, ids = array("d"), bytearray()
        self._first: Row | None = None
        self._last: Row | None = None
        first_key: tuple[float, bytes] | None = None
        last_key: tuple[float, bytes] | None = None
        previous: tuple[float, bytes] | None = None
        ordered = True
        for number, row in enumerate(rows):
            point = MetricPoint.from_row(row)
            moment = parse_timestamp(row.get("timestamp"))
            seconds = moment.timestamp() if moment else math.nan
            name = _id(row.get("id"), number)
            key = (seconds, name)
            if moment is not None:
                ordered = ordered and (previous is None or key > previous)
                previous = key
            if self._first is None or (moment is not None and first_key and key < first_key):
                self._first, first_key = row, key
            if moment is None or last_key is None or key >= last_key or math.isnan(last_key[0]):
                self._last, last_key = row, key
            self._steps.append(math.nan if point.step is None else point.step)
            self._training.append(_or_nan(point.training_loss))
            self._validation.append(_or_nan(point.validation_loss))
            moments.append(seconds)
            ids += name
        if not ordered:
            self._put_right(moments, bytes(ids))
        self._drawn = array(
            "L", (n for n, loss in enumerate(self._training) if not math.isnan(loss))
        )

    @property
    def ends(self) -> tuple[Row, ...]:
        """The first row and the last one; one where there is but one, none where there is none."""
        if self._first is None or self._last is None:
            return ()
        return (self._first, self._last) if len(self._steps) > 1 else (self._last,)

    def __len__(self) -> int:
        return len(self._drawn)

    @overload
    def __getitem__(self, place: int) -> CurvePoint: ...
    @overload
    def __getitem__(self, place: slice) -> list[CurvePoint]: ...
    def __getitem__(self, place: int | slice) -> CurvePoint | list[CurvePoint]:
        places = range(len(self._drawn))
        if isinstance(place, slice):
            return [self._point(chosen) for chosen in places[place]]
        return self._point(places[place])

    def __iter__(self) -> Iterator[CurvePoint]:
        return map(self._point, range(len(self._drawn)))

    def _point(self, place: int) -> CurvePoint:
        number = self._drawn[place]
        step, validation = self._steps[number], self._validation[number]
        return CurvePoint(
            step=float(number) if math.isnan(step) else step,
            training_loss=self._training[number],
            validation_loss=None if math.isnan(validation) else validation,
            after_gap=place > 0 and self._drawn[place - 1] != number - 1,
        )

    def _put_right(self, moments: array[float], ids: bytes) -> None:
        """In the order of (timestamp, id), each id once; what has no timestamp stays in front."""

        def key(number: int) -> tuple[float, bytes]:
            seconds = moments[number]
            return (-math.inf if math.isnan(seconds) else seconds, _of(ids, number))

        order = array("L")
        before = None
        for number in sorted(range(len(moments)), key=key):
            if _of(ids, number) != before:
                order.append(number)
            before = _of(ids, number)
        for name in ("_steps", "_training", "_validation"):
            column = getattr(self, name)
            setattr(self, name, array("d", (column[number] for number in order)))


def _id(value: object, number: int) -> bytes:
    """Sixteen bytes that tell one point from another, in the order of the ids."""
    try:
        return uuid.UUID(str(value)).bytes
    except ValueError:
        return str(value).encode()[:8].ljust(8, b"\0") + number.to_bytes(8, "big")


def _of(ids: bytes, number: int) -> bytes:
    return ids[number * _ID_BYTES : (number + 1) * _ID_BYTES]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
