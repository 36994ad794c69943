"""What the loss chart promises, whatever the curve and whatever the room."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metrics import get_curve
from lora_tui.curves.downsample_and_smooth import downsample, trend
from lora_tui.curves.series import Logged, Series, Smoothing
from lora_tui.domain import CurvePoint, MetricPoint, Training, curve_from_points
from lora_tui.reports.curve_picture import curve_svg
from lora_tui.widgets.charts.axes import linear_ticks, log_ticks
from lora_tui.widgets.charts.curve_plot import (
    MIN_PLOT_HEIGHT,
    MIN_PLOT_WIDTH,
    Plot,
    PlotStyle,
    Window,
    draw_curve,
    legend,
    with_crosshair,
)
from lora_tui.widgets.charts.overlay_chart import draw_overlay, overlay_curve
from lora_tui.widgets.charts.sparkline import sparkline
from lora_tui.widgets.styled_lines import Span

PLAIN = PlotStyle()
ASCII = PlotStyle(ascii_only=True)
LOG = PlotStyle(log_scale=True)
RAW = PlotStyle(smoothing=Smoothing.OFF)

any_float = st.floats(allow_nan=True, allow_infinity=True)
curves = st.lists(st.builds(CurvePoint, any_float, any_float, st.none() | any_float), max_size=40)
styles = st.builds(
    PlotStyle, st.booleans(), st.sampled_from(Smoothing), st.booleans(), st.booleans()
)
windows = st.none() | st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)).map(
    lambda ends: (ends[0], ends[0] + ends[1])
)


def text_of(rows: Iterable[Iterable[Span]]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def cells_of(plot: Plot, style: str) -> set[tuple[int, int]]:
    """Where a line was drawn: (row, cell of the plot)."""
    found = set()
    for row, spans in enumerate(plot.rows):
        cell = -plot.left
        for text, name in spans:
            found |= {(row, cell + place) for place in range(len(text)) if name == style}
            cell += len(text)
    return found


def draw(
    points: Sequence[CurvePoint],
    width: int,
    height: int,
    style: PlotStyle = PLAIN,
    window: Window | None = None,
) -> Plot:
    return draw_curve(Series.from_points(points), width, height, style, window)


def falling(count: int, *, step: float = 10.0) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(
            index * step, 2.0 - index / count, 2.2 - index / count if index % 10 == 0 else None
        )
        for index in range(count)
    )


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(curves, st.integers(0, 130), st.integers(0, 40), styles)
def test_a_chart_is_exactly_as_large_as_it_was_asked_to_be(
    curve: list[CurvePoint], width: int, height: int, style: PlotStyle
) -> None:
    plot = draw(curve, width, height, style)
    assert len(plot.rows) == height
    assert all(cell_len(line) == width for line in text_of(plot.rows))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(curves, styles)
def test_no_number_that_is_none_is_ever_written(curve: list[CurvePoint], style: PlotStyle) -> None:
    text = "\n".join(text_of(draw(curve, 80, 20, style).rows)).lower()
    assert "nan" not in text
    assert "inf" not in text


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(curves, st.booleans(), st.sampled_from(Smoothing))
def test_ascii_charts_hold_nothing_but_ascii(
    curve: list[CurvePoint], log_scale: bool, smoothing: Smoothing
) -> None:
    style = PlotStyle(log_scale, smoothing, ascii_only=True)
    plot = draw(curve, 70, 15, style)
    rows = with_crosshair(plot, plot.cells[0], ascii_only=True) if plot.cells else plot.rows
    assert all(line.isascii() for line in text_of(rows))


def test_a_falling_loss_runs_from_the_top_left_to_the_bottom_right() -> None:
    plot = draw(falling(400), 80, 20)
    drawn = cells_of(plot, "training")
    first, last = min(cell for _, cell in drawn), max(cell for _, cell in drawn)
    assert min(row for row, cell in drawn if cell == first) <= 3
    assert max(row for row, cell in drawn if cell == last) >= 15
    assert (first, last) == (0, plot.width - 1)


def test_three_thousand_points_fill_the_whole_width_without_a_gap() -> None:
    plot = draw(falling(3_000), 120, 30)
    drawn = cells_of(plot, "training") | cells_of(plot, "validation")
    assert {cell for _, cell in drawn} == set(range(plot.width))


def test_no_point_leaves_the_chart_blank() -> None:
    assert set("".join(text_of(draw((), 60, 10).rows))) == {" "}


def test_a_single_point_is_a_single_dot_under_its_step() -> None:
    plot = draw((CurvePoint(1_200.0, 1.5),), 60, 11)
    ((row, cell),) = cells_of(plot, "training")
    assert abs(cell - plot.width / 2) <= 1
    assert 3 <= row <= 5
    assert "1,200" in text_of(plot.rows)[-1]


def test_two_points_are_joined() -> None:
    plot = draw((CurvePoint(0.0, 2.0), CurvePoint(100.0, 1.0)), 60, 12)
    assert {cell for _, cell in cells_of(plot, "training")} == set(range(plot.width))


def test_a_constant_loss_is_a_level_line_with_its_value_on_the_axis() -> None:
    plot = draw([CurvePoint(float(step), 2.0) for step in range(50)], 60, 12)
    assert len({row for row, _ in cells_of(plot, "training")}) == 1
    assert any(line.lstrip().startswith("2.0") for line in text_of(plot.rows))


def test_negative_steps_and_losses_are_drawn_where_they_are() -> None:
    points = [CurvePoint(-500.0 + 100 * index, -1.0 + index) for index in range(11)]
    text = text_of(draw(points, 70, 14).rows)
    assert "-400" in text[-1]
    assert any(line.lstrip().startswith("0 ") for line in text)
    assert not any("-0 " in line for line in text)


def test_a_log_scale_gives_every_factor_of_ten_the_same_height() -> None:
    points = [CurvePoint(float(index), 1000.0 / 10**index) for index in range(7)]
    rows = {
        line.split()[0]: number
        for number, line in enumerate(text_of(draw(points, 70, 32, LOG).rows))
        if "┤" in line
    }
    assert rows["10"] - rows["100"] == pytest.approx(rows["1"] - rows["10"], abs=1)
    assert rows["100"] < rows["10"] < rows["1"]


def test_a_log_scale_of_losses_that_are_not_positive_falls_back_to_a_linear_one() -> None:
    points = [CurvePoint(float(index), -1.0 - index) for index in range(5)]
    plot = draw(points, 60, 12, LOG)
    assert not plot.is_log
    assert cells_of(plot, "training")


def test_losses_that_are_not_finite_are_left_out_and_the_rest_is_drawn() -> None:
    curve = [CurvePoint(0.0, 2.0), CurvePoint(1.0, math.nan), CurvePoint(2.0, 1.0, math.inf)]
    series = Series.from_points(curve)
    assert list(series.steps) == [0.0, 2.0]
    assert not series.validation_indices
    assert cells_of(draw(curve, 60, 12), "training")


def test_a_loss_that_has_run_away_does_not_break_the_chart() -> None:
    curve = [CurvePoint(0.0, 2.0), CurvePoint(1.0, 1e308), CurvePoint(2.0, -1e308)]
    assert cells_of(draw(curve, 60, 12), "training")


def test_validation_is_dashed_so_that_it_is_told_apart_without_colour() -> None:
    points = [CurvePoint(float(step), 2.0, 1.0) for step in range(0, 200, 2)]
    plot = draw(points, 80, 14)
    dashes = [text for row in plot.rows for text, style in row if style == "validation"]
    level = [text for row in plot.rows for text, style in row if style == "training"]
    assert len(set("".join(dashes))) > 1
    assert len(set("".join(level))) == 1


def test_each_line_has_its_letter_in_ascii() -> None:
    points = [CurvePoint(float(n), 2.0 + (n % 2) * 0.8, 1.0) for n in range(300)]
    plot = draw(points, 80, 20, ASCII)
    letters = {
        style: {c for row in plot.rows for text, name in row if name == style for c in text}
        for style in ("raw", "training", "validation")
    }
    assert letters == {"raw": {"."}, "training": {"*"}, "validation": {"o"}}


def test_smoothing_follows_the_trend_without_lagging_behind_it() -> None:
    smoothed = trend([3.0 - n / 100 + (0.2 if n % 2 else -0.2) for n in range(200)])
    errors = [smoothed[n] - (3.0 - n / 100) for n in range(20, 180)]
    assert max(map(abs, errors)) < 0.1
    assert abs(sum(errors) / len(errors)) < 0.01


def test_without_smoothing_the_logged_losses_are_the_line() -> None:
    plot = draw(falling(100), 80, 14, RAW)
    assert cells_of(plot, "training")
    assert not cells_of(plot, "raw")


def test_the_crosshair_stands_behind_the_curves() -> None:
    plot = draw(falling(400), 80, 16)
    before = cells_of(plot, "training")
    crossed = replace(plot, rows=with_crosshair(plot, 40))
    assert cells_of(crossed, "training") == before
    assert {cell for _, cell in cells_of(crossed, "crosshair")} == {40}


def test_values_are_read_at_the_point_and_validation_is_the_newest_recorded() -> None:
    points = (
        CurvePoint(0.0, 2.0, 2.1),
        CurvePoint(10.0, 1.5),
        CurvePoint(20.0, 1.2, 1.4),
    )
    reading = Series.from_points(points).reading(1)
    assert (reading.step, reading.training) == (10.0, 1.5)
    assert (reading.validation, reading.validation_step) == (2.1, 0.0)


@pytest.mark.parametrize(("width", "height"), [(MIN_PLOT_WIDTH - 1, 20), (80, MIN_PLOT_HEIGHT - 1)])
def test_too_little_room_is_left_blank_rather_than_filled_with_rubble(
    width: int, height: int
) -> None:
    assert set("".join(text_of(draw(falling(50), width, height).rows))) == {" "}


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 12))
def test_ticks_are_round_evenly_spaced_and_never_too_many(
    low: float, span: float, most: int
) -> None:
    high = low + span
    if high - low <= max(abs(low), abs(high)) * 1e-9:
        return
    ticks = linear_ticks(low, high, most)
    slack = span * 1e-6
    assert len(ticks.values) <= most
    assert all(low - slack <= value <= high + slack for value in ticks.values)
    if len(ticks.values) > 1:
        step = ticks.values[1] - ticks.values[0]
        digit = step / 10 ** math.floor(math.log10(step * 1.0001))
        assert any(digit == pytest.approx(nice, rel=1e-3) for nice in (1, 2, 5, 10))
        assert len(set(ticks.labels)) == len(ticks.labels)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1.01, 1e6), st.integers(2, 12))
def test_a_log_axis_is_never_without_a_number(low: float, factor: float, most: int) -> None:
    ticks = log_ticks(low, low * factor, most)
    assert 1 <= len(ticks.values) <= max(2, most)
    assert all(value > 0 for value in ticks.values)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.floats(1e-6, 1e6), st.integers(2, 300), st.integers(8, 30), st.booleans())
def test_a_constant_loss_is_a_straight_line_whatever_its_value_and_the_smoothing(
    loss: float, count: int, height: int, log_scale: bool
) -> None:
    points = [CurvePoint(float(step), loss) for step in range(count)]
    for smoothing in Smoothing:
        style = PlotStyle(log_scale, smoothing)
        plot = draw(points, 60, height, style)
        [row] = {row for row, _ in cells_of(plot, "training")}
        line = "".join(text for text, name in plot.rows[row] if name == "training")
        assert len(set(line[1:-1])) == 1  # one dot row: the ends may be half a cell
        smoothed = Series.from_points(points).trend(smoothing)
        overlay = draw_overlay([list(enumerate(smoothed))], "A", 60, height, style)
        assert len({n for n, row in enumerate(overlay.rows) for _, s in row if s == "series0"}) == 1


@given(st.floats(1e-3, 1e3), st.integers(2, 500), st.integers(1, 40), st.booleans())
def test_a_constant_loss_is_a_level_sparkline(
    loss: float, count: int, width: int, ascii_only: bool
) -> None:
    assert len(set(sparkline((loss,) * count, width, ascii_only=ascii_only))) == 1


def test_losses_that_are_no_numbers_leave_a_gap_in_the_line(tmp_path: Path) -> None:
    points = [
        MetricPoint("", "", float(n), None, None if 40 <= n < 60 else 1.0, None) for n in range(101)
    ]
    logged = [Logged(p.step, p.training_loss, None) for p in points]
    with closing(open_cache(tmp_path / "cache.sqlite3")) as db, transaction(db, Topic.CURVES):
        named = [p._replace(id=f"{n:03}", timestamp=moment(n)) for n, p in enumerate(points)]
        metrics.add_points(db, "job", named)
        metrics.draw_curve(db, "job")
        cached = get_curve(db, "job")
    stored = json.loads(json.dumps([[p.step, p.training_loss] for p in points]))
    for series in (
        Series.from_logged(logged),
        Series.from_points(curve_from_points(points)),
        Series.from_points(cached),
        Series.from_points(downsample(curve_from_points(points), 30)),
        Series.from_points(Training.from_json({"loss_curve": stored}).loss_curve),
    ):
        for style in (PLAIN, RAW, ASCII, LOG):
            plot = draw_curve(series, 107, 12, style)
            drawn = {cell / plot.width * 100 for _, cell in cells_of(plot, "training")}
            assert not [at for at in drawn if 43 < at < 57]
            assert [at for at in drawn if at < 30]
            assert [at for at in drawn if at > 70]
            run = overlay_curve(
                series, validation=False, smoothing=style.smoothing, by_percent=False, buckets=400
            )
            overlay = draw_overlay([run], "A", 107, 12, style)
            columns = _columns_of(overlay.rows, overlay.left, "series0")
            assert not [c for c in columns if 43 < c / overlay.width * 100 < 57]
            assert [c for c in columns if c / overlay.width * 100 > 70]


def test_a_gap_is_one_in_the_picture_of_a_report() -> None:
    points = [
        CurvePoint(0, 2.0),
        CurvePoint(1, 1.5),
        CurvePoint(4, 1.2, after_gap=True),
        CurvePoint(5, 1.0),
    ]
    picture = curve_svg(points)
    assert picture is not None
    [line] = re.findall(r'<path d="(M[^"H]*)" fill="none" stroke="#1f5fbf"', picture)
    assert [part.count("L") for part in line.split("M")[1:]] == [1, 1]


@pytest.mark.parametrize(
    "style", [LOG, replace(LOG, ascii_only=True), replace(LOG, smoothing=Smoothing.OFF)]
)
def test_losses_that_a_log_axis_cannot_show_are_marked_at_its_foot(style: PlotStyle) -> None:
    sign = "v" if style.ascii_only else "▼"
    points = [
        CurvePoint(float(n), 0.0 if 40 <= n < 45 else 1.0 + n, -1.0 if n == 80 else None)
        for n in range(101)
    ]
    plot = draw(points, 107, 12, style)
    assert plot.has_hidden_points
    foot = text_of(plot.rows)[9]
    marked = {(place - plot.left) / plot.width * 100 for place, c in enumerate(foot) if c == sign}
    assert [at for at in marked if 38 < at < 46]
    assert [at for at in marked if 78 < at < 82]
    assert not [at for at in marked if at < 35 or 50 < at < 75 or at > 85]
    words = "".join(
        t
        for t, _ in legend(
            style, None, 100, is_log=True, has_validation=True, has_hidden_points=True
        )
    )
    assert f"{sign} 0 or less" in words
    overlay = draw_overlay([[(p.step, p.training_loss) for p in points]], "A", 107, 12, style)
    assert overlay.has_hidden_points
    assert sign in text_of(overlay.rows)[9]
    assert not draw(points, 107, 12, PLAIN).has_hidden_points


@pytest.mark.parametrize("smoothing", Smoothing)
@pytest.mark.parametrize("window", [None, (10.0, 70.0)])
def test_a_log_axis_reaches_from_the_least_to_the_greatest_loss_that_was_logged(
    smoothing: Smoothing, window: Window | None
) -> None:
    losses = [2 - 0.05 * n if n <= 60 else 0.0 for n in range(100)]
    series = Series.from_points([CurvePoint(float(n), loss) for n, loss in enumerate(losses)])
    style = replace(LOG, smoothing=smoothing)
    plot = draw_curve(series, 100, 24, style, window)
    runs = [
        overlay_curve(series, validation=False, smoothing=wanted, by_percent=False, buckets=400)
        for wanted in (smoothing, Smoothing.OFF)
    ]
    overlay = draw_overlay([runs[0]], "A", 100, 24, style, window, logged=[runs[1]])
    for rows in (plot.rows, overlay.rows):
        labels = [line.split("┤")[0] for line in text_of(rows) if "┤" in line]
        assert len(labels) > 1
        assert all(0.04 < float(label) < 2.1 for label in labels)
    drawn = cells_of(plot, "training")
    assert max(cell for _, cell in drawn) > 0.3 * plot.width


def moment(second: int) -> str:
    return f"2026-11-23T09:{second // 60:02}:{second % 60:02}+00:00"


def _columns_of(rows: Iterable[Iterable[Span]], left: int, style: str) -> set[int]:
    found = set()
    for spans in rows:
        cell = -left
        for text, name in spans:
            found |= {cell + place for place in range(len(text)) if name == style}
            cell += len(text)
    return found
