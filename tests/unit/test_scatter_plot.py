"""The scatter plot: every point where it belongs, groups by letters, any finite number."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui import formats
from lora_tui.widgets.charts.scatter_plot import (
    Axis,
    Placed,
    Points,
    Scatter,
    draw_scatter,
    place,
    with_crosshair,
)

ANY = st.floats(allow_nan=False, allow_infinity=False)


def axis(label: str, *, log: bool = False, names: tuple[str, ...] = ()) -> Axis:
    return Axis(label, formats.number, log, names)


def placed(points: Points, *, log: tuple[bool, bool] = (False, False)) -> Placed:
    return place(points, axis("rank", log=log[0]), axis("loss", log=log[1]))


def text(plot: Scatter) -> list[str]:
    return ["".join(part for part, _ in row) for row in (*plot.legend, *plot.rows)]


@given(
    st.lists(st.tuples(ANY, ANY, st.integers(0, 2)), min_size=1, max_size=40),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(30, 120),
    st.integers(8, 40),
    st.booleans(),
    st.booleans(),
)
def test_any_finite_numbers_fill_exactly_the_given_cells(
    rows: list[tuple[float, float, int]],
    log: tuple[bool, bool],
    width: int,
    height: int,
    ascii_only: bool,
    grouped: bool,
) -> None:
    xs, ys, groups = zip(*rows, strict=True)
    points = Points(xs, ys, groups, ("one", "two", "three")) if grouped else Points(xs, ys)
    made = placed(points, log=log)
    plot = draw_scatter(made, width, height, ascii_only=ascii_only)
    assert len(plot.legend) + len(plot.rows) == height
    assert all(len(line) == width for line in text(plot)[len(plot.legend) :])
    assert all(len(line) <= width for line in text(plot))
    assert len(made.shown) + made.hidden == len(rows)
    assert all(0 <= cell < plot.width * plot.height for cell in plot.cells)
    if ascii_only:
        assert "".join(text(plot)).isascii()
    for cell in plot.points_in:
        crossed = with_crosshair(plot, cell, ascii_only=ascii_only)
        assert all(sum(len(part) for part, _ in row) == width for row in crossed)


def test_groups_have_letters_and_a_cell_of_several_a_mark_of_its_own() -> None:
    points = Points([1, 2, 3, 3], [1, 2, 3, 3], [0, 1, 0, 1], ("fast", "slow"))
    lines = text(draw_scatter(placed(points), 60, 14))
    assert lines[0] == "loss by rank  A fast 2  B slow 2  + several"
    plot = "\n".join(lines[1:])
    assert [plot.count(sign) for sign in "AB+"] == [1, 1, 1]


def test_where_points_cover_each_other_their_number_is_shown() -> None:
    draw = random.Random(1)
    points = Points(*([draw.gauss(0, 1) for _ in range(5000)] for _ in "xy"))
    dense = draw_scatter(placed(points), 60, 14)
    assert text(dense)[0].startswith("loss by rank  models a cell:  ░ 1-")
    assert "⠛" not in "".join(text(dense))
    few = draw_scatter(placed(Points(points.xs[:20], points.ys[:20])), 60, 14)
    assert "models a cell" not in text(few)[0]
    assert sum(map(len, few.points_in.values())) == 20


def test_texts_are_columns_and_zero_on_a_log_axis_is_counted() -> None:
    presets = axis("preset", names=("fast", "slow"))
    made = place(Points([0, 0, 1, 1], [1, 2, 0, 100]), presets, axis("loss", log=True))
    plot = draw_scatter(made, 60, 14)
    assert len({cell % plot.width for cell in plot.cells}) == 2
    assert text(plot)[0] == "loss (log) by preset  1 of 0 or less not shown"
    assert text(plot)[-1].split() == ["fast", "slow"]


@pytest.mark.parametrize("size", [(10, 20), (60, 4), (0, 0)])
def test_too_little_room_and_no_points_are_blank(size: tuple[int, int]) -> None:
    for points in (Points([1], [1]), Points([], [])):
        plot = draw_scatter(placed(points), *size)
        assert not "".join(text(plot)).strip()
        assert plot.nearest(0, 0) is plot.next_cell(None, 1, 0) is None


def test_the_crosshair_goes_to_the_nearest_point_in_its_direction() -> None:
    xs, ys = [0, 5, 10, 5, 5], [5, 5, 5, 0, 10]
    plot = draw_scatter(placed(Points(xs, ys)), 60, 20)
    at = {point: cell for cell, (point, *_) in plot.points_in.items()}
    left, middle, right, below, above = (at[n] for n in range(5))
    assert plot.next_cell(None, 1, 0) == left
    assert plot.next_cell(None, -1, 0) == right
    assert plot.next_cell(left, 1, 0) == middle
    assert plot.next_cell(middle, 1, 0) == right
    assert plot.next_cell(middle, 0, 1) == below
    assert plot.next_cell(middle, 0, -1) == above
    assert plot.next_cell(right, 1, 0) is None
    assert plot.nearest(plot.width - 1, plot.height // 2) == right
