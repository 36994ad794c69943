"""Looking closer at a curve: zoom, pan, time, crosshair; by keys and by mouse."""

from __future__ import annotations

import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metric_columns import ReadRun, read_metrics
from lora_tui.clock import timestamp_text
from lora_tui.curves.series import Series, Smoothing
from lora_tui.domain import CurvePoint, MetricPoint
from lora_tui.screens import metrics_screen
from lora_tui.widgets.charts.metric_charts import MetricCharts
from tests.tui.conftest import Open, model_page, screen_text, until
from tests.tui.library import NOW, Library
from tests.tui.whole_model import JOB, MODEL, NARROW, WIDE


def axis(chart: MetricCharts) -> str:
    """The numbers below the plot."""
    return "".join(text for text, _ in chart.lines(chart.content_size.width)[-1]).strip()


def legend(chart: MetricCharts) -> str:
    return "".join(text for text, _ in chart.lines(chart.content_size.width)[0])


@asynccontextmanager
async def curve(app: LoraTuiApp) -> AsyncIterator[tuple[Pilot[None], MetricCharts]]:
    """The chart on the page of the model."""
    async with model_page(app, WIDE) as pilot:
        yield pilot, app.screen.query_one(MetricCharts)


def pointer(
    chart: MetricCharts,
    kind: type[events.MouseEvent],
    x: int,
    *,
    button: int = 0,
    shift: bool = False,
) -> None:
    chart.post_message(
        kind(
            chart,
            x=x,
            y=5,
            delta_x=0,
            delta_y=0,
            button=button,
            shift=shift,
            meta=False,
            ctrl=False,
            screen_x=chart.region.x + x,
            screen_y=chart.region.y + 5,
        )
    )


async def test_plus_looks_closer_and_0_shows_the_whole_run_again(
    model: Library, open_app: Open
) -> None:
    async with curve(open_app()) as (pilot, chart):
        whole = axis(chart)
        await pilot.press("plus", "plus")
        assert chart.window == pytest.approx((4488.75, 7481.25))
        assert "4.0×" in legend(chart)
        assert axis(chart) != whole
        await pilot.press("minus")
        assert "2.0×" in legend(chart)
        await pilot.press("0")
        assert axis(chart) == whole
        assert "×" not in legend(chart)


@pytest.mark.slow
async def test_the_closest_view_still_shows_points(model: Library, open_app: Open) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press(*["plus"] * 12)
        assert chart.window is not None
        assert chart.window[1] - chart.window[0] >= 30
        await pilot.press(*["minus"] * 12)
        assert chart.window is None


@pytest.mark.slow
async def test_zooming_keeps_what_is_read_in_view(model: Library, open_app: Open) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("right", "shift+right", "right", "right")
        read = chart.selected
        await pilot.press("plus", "plus", "plus")
        assert chart.selected == read
        assert chart.window is not None


@pytest.mark.slow
async def test_the_view_moves_with_less_and_greater_and_stops_at_the_ends(
    model: Library, open_app: Open
) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("plus", "plus", "greater_than_sign")
        assert chart.window == pytest.approx((5985.0, 8977.5))
        await pilot.press(*["greater_than_sign"] * 4)
        assert chart.window == pytest.approx((8977.5, 11970.0))
        await pilot.press(*["less_than_sign"] * 8)
        assert chart.window == pytest.approx((0.0, 2992.5))


@pytest.mark.slow
async def test_the_crosshair_takes_the_view_along(model: Library, open_app: Open) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("plus", "plus", "left")
        before = chart.window
        await pilot.press("right", "shift+right")
        assert before is not None
        assert chart.window is not None
        assert chart.window[0] > before[0]
        assert chart.window[1] - chart.window[0] == pytest.approx(before[1] - before[0])


@pytest.mark.slow
async def test_the_wheel_looks_closer_around_the_pointer(model: Library, open_app: Open) -> None:
    async with curve(open_app()) as (pilot, chart):
        for _ in range(6):
            pointer(chart, events.MouseScrollUp, x=12)
        await until(pilot, lambda: chart.window is not None)
        await pilot.pause()
        assert chart.window is not None
        assert chart.window[1] < 11_970 / 2
        before = chart.window
        pointer(chart, events.MouseScrollDown, x=40, shift=True)
        await until(pilot, lambda: chart.window != before)
        assert chart.window[0] > before[0]
        for _ in range(12):
            pointer(chart, events.MouseScrollDown, x=12)
        await until(pilot, lambda: chart.window is None)


async def test_the_whole_run_leaves_the_wheel_to_the_page(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        screen = app.screen
        pointer(screen.query_one(MetricCharts), events.MouseScrollDown, x=20)
        await until(pilot, lambda: screen.query_one("#page").scroll_offset.y > 0)


@pytest.mark.slow
async def test_the_curve_is_dragged_and_two_clicks_show_all_of_it(
    model: Library, open_app: Open
) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("plus", "plus")
        before = chart.window
        assert before is not None
        await pilot.mouse_down(chart, offset=(60, 8))
        pointer(chart, events.MouseMove, x=40, button=1)
        await until(pilot, lambda: chart.window != before)
        assert chart.window is not None
        assert chart.window[0] > before[0]
        await pilot.mouse_up(chart, offset=(40, 8))
        await pilot.click(chart, offset=(40, 8), times=2)
        await until(pilot, lambda: chart.window is None)


@pytest.mark.slow
async def test_o_draws_over_time_and_keeps_the_same_points_in_view(
    model: Library, open_app: Open
) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("o")
        assert "over time" in legend(chart)
        assert "5 min" in axis(chart)
        await pilot.press("plus", "o")
        assert chart.window is not None
        assert chart.window == pytest.approx((2992.5, 8977.5), abs=60)
        assert "min" not in axis(chart)


@pytest.mark.slow
async def test_over_time_the_crosshair_tells_time_and_step(model: Library, open_app: Open) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("o", "left")
        assert legend(chart).endswith("step 11,970 · 06:39")


@pytest.mark.slow
async def test_a_curve_that_grows_keeps_view_and_crosshair(model: Library, open_app: Open) -> None:
    async with curve(open_app()) as (pilot, chart):
        await pilot.press("right", *["shift+right"] * 3, "plus", "plus")
        read, window = chart.selected, chart.window
        add_points(model, 400, 40)
        await until(pilot, lambda: chart._run is not None and chart._run.steps[-1] > 12_000)
        assert chart.selected == read
        assert chart.window == window


def add_points(library: Library, first: int, count: int) -> None:
    points = [
        MetricPoint(
            id=f"{number:06}",
            timestamp=timestamp_text(NOW + timedelta(seconds=number)),
            step=number * 30.0,
            epoch=None,
            training_loss=0.8,
            validation_loss=None,
        )
        for number in range(first, first + count)
    ]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        metrics.add_points(db, JOB, points)
        metrics.draw_curve(db, JOB)


@pytest.mark.slow
async def test_keys_are_answered_while_a_long_run_is_read_and_judged(
    model: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: here, until a key was answered."""
    go_on, reading = threading.Event(), threading.Event()

    def slow(db: Any, job_id: str) -> ReadRun:
        reading.set()
        assert go_on.wait(30)
        return read_metrics(db, job_id)

    monkeypatch.setattr(metrics_screen, "read_metrics", slow)
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        app.open_model(MODEL)
        await until(pilot, reading.is_set)
        await until(pilot, lambda: bool(app.screen.query(MetricCharts)))
        chart = app.screen.query_one(MetricCharts)
        await until(pilot, lambda: chart.content_size.height > 0)
        assert chart.has_curve  # its thinned form
        await pilot.press("right")
        assert "step " in legend(chart)
        assert not chart.has_times
        go_on.set()
        await until(pilot, lambda: chart.has_times)


@pytest.mark.parametrize("ascii_only", [False, True])
async def test_the_best_validation_loss_is_marked(
    model: Library, open_app: Open, ascii_only: bool
) -> None:
    async with curve(open_app(ascii_only=ascii_only)) as (_pilot, chart):
        rows = chart.lines(chart.content_size.width)[1:]
        marks = [text for row in rows for text, style in row if style == "best"]
        assert marks == ["@" if ascii_only else "◆"]


@pytest.mark.slow
async def test_the_strength_of_the_smoothing_is_changed_and_said(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        seen = []
        for key in ("F", "F", "F", "f", "F", "f", "f"):
            await pilot.press(key)
            seen.append(app.screen.query_one(MetricCharts).plot_style.smoothing.name)
        assert seen == ["STRONG", "LIGHT", "NORMAL", "OFF", "NORMAL", "OFF", "NORMAL"]
        await pilot.press("F")
        assert "strongly smoothed" in screen_text(app)


@pytest.mark.slow
@pytest.mark.parametrize("points", [1, 2, 500, 100_000])
def test_the_stronger_the_smoothing_the_calmer_the_curve(points: int) -> None:
    noise = random.Random(points)
    series = Series.from_points([CurvePoint(n, 1 + noise.random()) for n in range(points)])

    def restlessness(strength: Smoothing) -> float:
        values = series.trend(strength)
        assert len(values) == points
        return sum(abs(after - before) for before, after in pairwise(values))

    found = [restlessness(strength) for strength in Smoothing]
    assert found == sorted(found, reverse=True)
