"""Comparing models: what one sees side by side, and what one can take away."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events
from textual.pilot import Pilot

from lora_tui.curves.series import Series, Smoothing
from lora_tui.domain import CurvePoint, Model
from lora_tui.engine.process import Engine
from lora_tui.engine.writers import Writers
from lora_tui.errors import UnreachableError
from lora_tui.reports import MAX_COMPARED
from lora_tui.reports.compare import compare_models
from lora_tui.screens.compare import CompareScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.charts.curve_plot import PlotStyle
from lora_tui.widgets.charts.overlay_chart import OverlayChart, draw_overlay, overlay_curve
from lora_tui.widgets.difference_table import DifferenceTable, table_lines
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import HOSTILE_NAMES, FakeWriters, Library, identifier, model_row
from tests.tui.live_job import point, put_points

SMALL, WIDE = (80, 24), (160, 48)


def settings(number: int) -> dict[str, Any]:
    """Hyperparameters that differ, and some that do not."""
    return {
        "preset_id": ("conservative", "balanced", "aggressive")[number % 3],
        "hyperparameters": {
            "base_model": ("meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen2.5-7B-Instruct")[
                number % 2
            ],
            "lora_rank": 8 * 2 ** (number % 3),
            "learning_rate": 1e-4 * (1 + number % 3),
            "batch_size": 4,
        },
        "gpu_config": {"gpu_type": "NVIDIA A100 80GB", "num_gpus": 1},
    }


@pytest.fixture
def models(library: Library) -> Library:
    """Seven models, the newest first."""
    library.fill(0)
    library.put_models(*(model_row(number, configuration=settings(number)) for number in range(7)))
    return library


async def test_v_overlays_each_metric_that_was_logged(models: Library, open_app: Open) -> None:
    for number in range(2):
        logged = [point(n, throughput=None, learning_rate=1e-4 * (number + 1)) for n in range(60)]
        put_points(models, logged, identifier("job", number))
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        screen = await compared(pilot, 2)
        chart, seen = screen.chart, []
        for _ in range(5):
            await pilot.press("v")
            await until(pilot, lambda: not list(screen.workers))
            seen.append(chart.lines(chart.content_size.width)[0][0][0])
            if seen[-1] == "Learning rate":
                await pilot.press("right")
                assert chart.readings() == [1e-4, 2e-4]
                assert "1e-4" in screen_text(app)
                chart.hide_crosshair()
        assert seen == [
            "Validation loss",
            "Learning rate",
            "Gradient norm",
            "GPU utilisation",
            "Training loss",
        ]


async def compared(pilot: Pilot[None], count: int = 3) -> CompareScreen:
    """The first models of the list, marked and compared."""
    await pilot.press(*["space"] * count, "c")
    await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen))
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()
    screen = pilot.app.screen
    assert isinstance(screen, CompareScreen)
    return screen


async def test_the_marked_models_are_compared_in_the_order_of_the_list(
    models: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("G", "space", "g", "space", "c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        text = screen_text(app)
    assert "A ━━  Customer Support Emails - 2026-11-23" in text
    assert "B ━━  SQL Assistant - 2026-11-17" in text


async def test_one_marked_model_can_not_be_compared(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("space")
        assert "c compares" not in screen_text(app)
        await pilot.press("c")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("space")
        await pilot.pause()
        assert "c compares" in screen_text(app)


async def test_marks_and_the_comparison_may_be_typed_in_one_burst(
    models: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        for key, character in (("space", " "), ("space", " "), ("c", "c")):
            app.post_message(events.Key(key, character))
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))


async def test_going_back_keeps_the_marks(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await compared(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        assert "3 marked: c compares" in screen_text(app)


@pytest.mark.slow
async def test_a_shows_what_is_the_same_for_all_and_hides_it_again(
    models: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await compared(pilot)
        assert "Batch size" not in screen_text(app)
        assert "Learning rate" in screen_text(app)
        await pilot.press("a")
        assert "Batch size" in screen_text(app)
        await pilot.press("a")
        assert "Batch size" not in screen_text(app)


@pytest.mark.slow
async def test_the_best_has_a_sign_that_needs_no_colour(library: Library, open_app: Open) -> None:
    library.fill(0)
    same = {"dataset_id": identifier("dataset", 0)}
    library.put_models(*(model_row(number, **same) for number in range(3)))
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await compared(pilot)
        text = screen_text(app)
    assert "0.6000 ◂" in text
    assert "0.6100 ◂" not in text
    assert "0.4000 ◂" not in text  # a training loss
    assert "◂ best value" in text
    assert "A has the best last validation loss: 0.6000" in text


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "160x48"])
async def test_losses_that_can_not_be_compared_are_said_before_the_losses(
    models: Library, open_app: Open, size: tuple[int, int]
) -> None:
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await compared(pilot)
        text = screen_text(app)
        assert "Different datasets and base models: losses can't be compared" in text
        assert "0.4000 ◂" not in text


@pytest.mark.slow
async def test_b_shows_differences_from_one_model_after_the_other(
    models: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await compared(pilot)
        assert "0.4100" in screen_text(app)
        await pilot.press("b")
        text = screen_text(app)
        assert "A base" in text
        assert "only differences, relative to A" in text
        for difference in ("+0.0100", "+0.0200", "+8", "-1 "):  # losses, rank, stars
            assert difference in text
        await pilot.press("b")
        assert "B base" in screen_text(app)
        assert app.screen.query_one(OverlayChart).front_curve == 1
        assert "-0.0100" in screen_text(app)
        await pilot.press("b", "b")
        assert not re.search("[A-F] base", screen_text(app))
        assert "0.4100" in screen_text(app)


@pytest.mark.slow
async def test_the_toggles_change_the_chart_and_say_so(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        screen = await compared(pilot)
        chart = screen.query_one(OverlayChart)
        assert "Training loss  smoothed · over steps" in screen_text(app)
        await pilot.press("l", "f", "x")
        assert "as logged · over % of the run · log scale" in screen_text(app)
        await pilot.press("v")
        assert "No validation losses were logged" in screen_text(app)
        await pilot.press("c")
        assert not chart.display
        await pilot.press("c")
        assert chart.display


async def test_the_crosshair_reads_every_model_at_the_same_step(
    models: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        screen = await compared(pilot, 6)
        chart = screen.query_one(OverlayChart)
        last = max(chart.drawing.columns.values()) if chart.drawing else None
        await pilot.press("left")
        await pilot.pause()
        assert chart.crosshair == last
        heading = text_of_line(chart)
        assert heading.startswith(f"step {last:,.10g}  A ")
        read = re.findall(r"[A-F] (\d\.\d{4})", heading)
        assert [float(value) for value in read] == [
            pytest.approx(value, abs=5e-5) for value in chart.readings()
        ]
        assert len(read) == 6
        await pilot.press("x")
        await pilot.pause()
        assert text_of_line(chart).startswith("Training loss")


@pytest.mark.slow
async def test_the_curves_can_be_zoomed_in_and_out_again(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        chart = (await compared(pilot)).query_one(OverlayChart)
        left, right = chart.full_range
        await pilot.press("plus", "plus")
        assert chart.window is not None
        assert chart.window[1] - chart.window[0] == pytest.approx((right - left) / 4)
        assert "4.0× · smoothed" in screen_text(app)
        await pilot.press(*[">"] * 4)
        assert chart.window == pytest.approx((right - (right - left) / 4, right))
        await pilot.press("0")
        assert chart.window is None


def text_of_line(chart: OverlayChart) -> str:
    return "".join(text for text, _ in chart.lines(chart.content_size.width)[0])


def test_a_run_that_is_over_has_no_value_any_more() -> None:
    chart = OverlayChart()
    long, short = ([CurvePoint(n, 2.0 - n / last, None) for n in range(last)] for last in (90, 30))
    chart.show([Series.from_points(long), Series.from_points(short)])
    chart.by_percent, chart.crosshair = False, 60.0
    reading, ended = chart.readings()
    assert reading == pytest.approx(2.0 - 60 / 90, abs=0.02)
    assert ended is None


def test_runs_of_different_lengths_are_overlaid_in_any_order() -> None:
    chart = OverlayChart()
    long, short = (
        Series.from_points([CurvePoint(0, 2, None), CurvePoint(n, 1, None)]) for n in (9, 3)
    )
    for curves in ([long], [long, short]):
        chart.show(curves)
    assert chart.by_percent
    chart.toggle_percent()
    chart.show([long, short])
    assert not chart.by_percent


@pytest.mark.slow
@pytest.mark.parametrize(("key", "suffix"), [("e", "md"), ("E", "csv")])
async def test_the_table_is_exported_with_what_is_shown(
    models: Library, writers: FakeWriters, open_app: Open, key: str, suffix: str
) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await compared(pilot)
        await pilot.press(key)
        await until(pilot, lambda: bool(toasts(app)))
        assert f"/data/models/comparison-2026-11-23.{suffix}" in toasts(app)[-1]
    (name, text) = next(asked[1:] for asked in writers.asked if asked[0] == "save_text")
    assert name == f"comparison-2026-11-23.{suffix}"
    assert "Learning rate" in text
    assert "Batch size" not in text


async def test_a_missing_curve_shows_loading_and_then_the_reason(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(0)
    library.put_models(*(model_row(number) for number in range(2)), curves=False)
    may_answer = threading.Event()

    def load(_job: str) -> None:
        may_answer.wait(30)
        raise UnreachableError("The backend can't be reached")

    writers.on_load_curve = load
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("space", "space", "c")
        await until(pilot, lambda: "Loading the curves" in screen_text(app))
        assert "no curve" not in screen_text(app)
        may_answer.set()
        await until(pilot, lambda: "The backend can't be reached" in screen_text(app))
        assert screen_text(app).count("no curve") == 2


async def test_models_that_vanish_leave_the_comparison(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await compared(pilot, 3)
        models.delete_models(1)
        app.poll_cache()
        await until(pilot, lambda: "2 models, 1 not found" in screen_text(app))
        models.delete_models(2)
        app.poll_cache()
        await until(pilot, lambda: "Nothing left to compare" in screen_text(app))
        await pilot.press("e", "escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))


async def test_the_palette_offers_the_comparison(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("space", "space", "ctrl+p", *"marked")
        await until(pilot, lambda: "Compare the marked models" in screen_text(app))


curves = st.lists(
    st.lists(st.builds(CurvePoint, st.floats(-1e3, 1e5), st.floats(-1e6, 1e6)), max_size=30).map(
        lambda points: sorted(points, key=lambda point: point.step)
    ),
    max_size=MAX_COMPARED,
)


@pytest.mark.slow
@given(
    curves,
    st.integers(0, 120),
    st.integers(0, 30),
    st.builds(PlotStyle, st.booleans(), st.sampled_from(Smoothing), st.booleans(), st.booleans()),
    st.none() | st.floats(0, 1e4).map(lambda low: (low, low + 1 + low / 2)),
)
def test_a_chart_is_as_wide_and_high_as_its_place(
    curves: list[list[CurvePoint]],
    width: int,
    height: int,
    style: PlotStyle,
    window: tuple[float, float] | None,
) -> None:
    drawn = [
        overlay_curve(
            Series.from_points(curve),
            validation=style.log_scale,
            smoothing=style.smoothing,
            by_percent=style.over_time,
            buckets=4 * max(1, width),
            window=window,
        )
        for curve in curves
    ]
    overlay = draw_overlay(drawn, "ABCDEF", width, height, style, window)
    assert len(overlay.rows) == height
    for row in overlay.rows:
        text = "".join(part for part, _ in row)
        assert cell_len(text) == width
        assert text.isascii() or not style.ascii_only


def test_each_curve_carries_its_letter() -> None:
    flat = [[(float(step), 1.0 + n) for step in range(50)] for n in range(6)]
    overlay = draw_overlay(flat, "ABCDEF", 80, 20, PlotStyle())
    text = "\n".join("".join(part for part, _ in row) for row in overlay.rows)
    assert all(letter in text for letter in "ABCDEF")


@given(st.lists(st.text(max_size=40), min_size=2, max_size=MAX_COMPARED), st.integers(56, 160))
def test_no_text_makes_the_table_wider_than_its_place(texts: list[str], width: int) -> None:
    models = [
        Model.from_row(
            {
                "id": str(number),
                "name": text,
                "configuration": {"hyperparameters": {"base_model": text, text: text}},
            }
        )
        for number, text in enumerate(texts)
    ]
    comparison = compare_models(models, [None] * len(models))
    for everything in (False, True):
        for ascii_only in (False, True):
            for line in table_lines(
                comparison, width, everything=everything, ascii_only=ascii_only
            ):
                assert cell_len("".join(text for text, _ in line)) <= width


Compare = Callable[..., bool]


class TestPictures:
    """How it looks. `pytest --snapshot-update` after a change that is meant."""

    @pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "160x48"])
    def test_three_models(
        self, models: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await compared(pilot)

        assert snap_compare(open_app(), terminal_size=size, run_before=shown)

    @pytest.mark.parametrize("size", [SMALL, WIDE], ids=["80x24", "160x48"])
    def test_six_models_with_everything(
        self, models: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await compared(pilot, 6)
            await pilot.press("a", "l", "plus", "left", "shift+left")

        assert snap_compare(open_app(), terminal_size=size, run_before=shown)

    def test_a_terminal_that_knows_only_ascii(
        self, models: Library, open_app: Open, snap_compare: Compare
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await compared(pilot)

        app = open_app(ascii_only=True)
        assert snap_compare(app, terminal_size=SMALL, run_before=shown)

    def test_hostile_names_without_curves(
        self, library: Library, open_app: Open, snap_compare: Compare
    ) -> None:
        library.put_state()
        library.put_models(
            *(model_row(n, name=name) for n, name in enumerate(HOSTILE_NAMES[1:7])), curves=False
        )

        async def shown(pilot: Pilot[None]) -> None:
            await compared(pilot, 6)

        assert snap_compare(open_app(), terminal_size=SMALL, run_before=shown)


async def test_scrolling_reaches_the_end_of_the_table(models: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        screen = await compared(pilot, 6)
        assert screen.query_one(DifferenceTable).region.height > 10
        await pilot.press("G")
        await pilot.pause()
        assert "best value" in screen_text(app)
        await pilot.press("g")
        await pilot.pause()
        assert "Rating" in screen_text(app)


def test_the_curve_in_front_is_seen_where_curves_meet() -> None:
    flat = [(float(step), 1.0) for step in range(50)]
    drawn = [
        draw_overlay([flat, flat], "AB", 60, 12, PlotStyle(ascii_only=True), front=front)
        for front in (None, 1)
    ]

    def cells(number: int, letter: str) -> int:
        return sum(text.count(letter) for row in drawn[number].rows for text, _ in row)

    assert cells(0, "A") > cells(0, "B")
    assert cells(1, "B") > cells(1, "A")


def no_engine() -> Engine:
    raise UnreachableError("No engine is needed")


@pytest.mark.slow
@pytest.mark.parametrize(("key", "suffix"), [("e", "md"), ("E", "csv")])
async def test_a_comparison_is_exported_without_a_network(
    models: Library, open_app: Open, tmp_path: Path, key: str, suffix: str
) -> None:
    app = open_app()
    app.writers = Writers(no_engine, tmp_path / "downloads")
    async with app.run_test(size=SMALL) as pilot:
        await compared(pilot)
        await pilot.press(key)
        await until(pilot, lambda: bool(toasts(app)))
    [file] = (tmp_path / "downloads").iterdir()
    assert file.suffix == f".{suffix}"
    assert "Learning rate" in file.read_text()
