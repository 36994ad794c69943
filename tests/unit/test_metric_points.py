"""Metric points that are read many at a time are those that are read one by one."""

from __future__ import annotations

import math
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from lora_tui.domain import MetricPoint
from lora_tui.gateway.rest import POINT_COLUMNS

NUMBERS: Final = st.one_of(
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.sampled_from(["NaN", "-Infinity", "1.5", "x", "", 10**400, -(10**400), [], {}]),
)
TEXTS: Final = st.one_of(
    st.uuids().map(str),
    st.text(),
    st.integers(),
    st.none(),
    st.sampled_from(
        ["2026-11-23T09:16:55.59+00:00", "2026-11-23T09:16:55\x1b[31m", "a b", "x" * 65]
    ),
)


@st.composite
def pages(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows whose columns are each of one kind, as a table's are, or of any."""
    columns = {}
    for name in POINT_COLUMNS.split(","):
        any_kind = TEXTS if name in ("id", "timestamp") else NUMBERS
        kinds = (
            [any_kind, st.uuids().map(str), st.just("2026-11-23T09:16:55.591234+00:00")]
            if name in ("id", "timestamp")
            else [any_kind, st.floats(), st.integers(), st.floats(allow_nan=False)]
        )
        columns[name] = draw(st.sampled_from(kinds))
    return draw(st.lists(st.fixed_dictionaries({}, optional=columns), max_size=5))


@given(pages())
@example([])
@example([{"step": 1e308, "epoch": True}, {"step": 1e308, "epoch": 1}])
def test_a_page_of_points_is_read_as_each_of_them_is(rows: list[dict[str, Any]]) -> None:
    one_by_one = [MetricPoint.from_row(row) for row in rows]
    assert [*map(repr, MetricPoint.from_rows(rows))] == [*map(repr, one_by_one)]


def test_numbers_of_a_page_are_floats_and_what_is_no_number_is_none() -> None:
    rows = [{"id": str(n), "step": n, "training_loss": 1.0} for n in range(3)]
    rows.append({"id": "3", "step": 3, "training_loss": math.inf})
    points = MetricPoint.from_rows(rows)
    assert [type(point.step) for point in points] == [float] * 4
    assert points[-1].training_loss is None
