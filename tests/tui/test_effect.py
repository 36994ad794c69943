"""Effect: a crosshair that names models, columns that can be chosen, a table, and the sentence."""

from __future__ import annotations

import random
from contextlib import closing
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from lora_tui.app import LoraTuiApp
from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.domain import CurvePoint
from lora_tui.screens.column_picker import ColumnPicker
from lora_tui.screens.effect import EffectScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.charts.scatter_chart import ScatterChart
from lora_tui.widgets.forms import TypedLine
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import HOSTILE_NAMES, Library, identifier, model_row
from tests.tui.test_snapshots import Compare

PRESETS = ("balanced", "fast", "careful")
SIZES = pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])


def run_row(number: int, **changes: Any) -> dict[str, Any]:
    """A model whose validation loss falls with its rank."""
    draw = random.Random(number)
    rank = draw.choice([4, 8, 16, 32, 64])
    row = model_row(number, **changes)
    row["dataset_id"] = identifier("dataset", 0)
    row["name"] = changes.get("name", f"Support {number:02} - 2026-11-{number % 28 + 1:02}")
    loss = 1.3 - 0.03 * rank**0.5 + draw.gauss(0, 0.1)
    row["quality_metrics"] |= {"final_validation_loss": loss}
    row["configuration"] |= {
        "preset_id": PRESETS[number % 3],
        "hyperparameters": {
            "base_model": "meta-llama/Llama-3.1-8B-Instruct",
            "rank": rank,
            "learning_rate": 10 ** draw.uniform(-5, -3),
        },
    }
    return row


def many_runs(library: Library, count: int = 60) -> None:
    library.begin(("runs for effect", count), lambda: _put(library, count))


def _put(library: Library, count: int) -> None:
    library.put_state()
    rows = [run_row(number) for number in range(count)]
    library.put_models(*rows, curves=False)
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        for row in rows:
            last = row["quality_metrics"]["final_validation_loss"]
            points = [CurvePoint(10.0, 2.0, last + 0.5), CurvePoint(20.0, 1.0, last)]
            metrics.put_stored_curve(db, row["job_id"], points)


async def opened(app: LoraTuiApp, pilot: Pilot[Any]) -> EffectScreen:
    await pilot.press("e")
    await until(pilot, lambda: isinstance(app.screen, EffectScreen))
    await settled(pilot)
    assert isinstance(app.screen, EffectScreen)
    return app.screen


async def settled(pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: not list(pilot.app.screen.workers))


@SIZES
@pytest.mark.parametrize("keys", ["", "b preset", "v"], ids=["plain", "letters", "table"])
def test_picture(
    library: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int], keys: str
) -> None:
    many_runs(library)

    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await opened(pilot.app, pilot)
        if keys.startswith("b"):
            await pilot.press("b", *"preset", "enter")
            await settled(pilot)
            await pilot.press("right", "right", "down")
        elif keys:
            await pilot.press(*keys)
        await pilot.pause()

    assert snap_compare(open_app(), terminal_size=size, run_before=shown)


def test_picture_of_choosing_a_column(
    library: Library, open_app: Open, snap_compare: Compare
) -> None:
    many_runs(library)

    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await opened(pilot.app, pilot)
        await pilot.press("x", *"rate")
        await pilot.pause()

    assert snap_compare(open_app(), terminal_size=(80, 24), run_before=shown)


async def test_the_crosshair_names_a_model_opens_it_and_is_there_again(
    library: Library, open_app: Open
) -> None:
    many_runs(library)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        text = screen_text(app)
        assert "Higher rank goes with lower best validation loss (rho −0." in text.replace(
            "\n", " "
        )
        assert "arrows or a click go to a model" in text
        await pilot.press("enter")  # nothing is chosen yet
        assert isinstance(app.screen, EffectScreen)
        await pilot.press("right", "right", "up")
        line = next(line for line in screen_text(app).splitlines() if "Support" in line)
        assert "rank 8" in line
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        assert isinstance(app.screen, ModelScreen)
        assert app.screen.model_id == app.screen_stack[-2].selected  # type: ignore[attr-defined]
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, EffectScreen))
        await settled(pilot)
        assert line in screen_text(app).splitlines()
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, ModelsScreen)


async def test_columns_are_chosen_by_typing_and_kept_for_the_next_time(
    library: Library, open_app: Open
) -> None:
    many_runs(library)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(app, pilot)
        await pilot.press("x", *"learn")
        assert isinstance(app.screen, ColumnPicker)
        await pilot.press("enter")
        await settled(pilot)
        assert "best validation loss by learning rate (log)" in screen_text(app)
        await pilot.press("X")
        await settled(pilot)
        assert "best validation loss by learning rate (log)" not in screen_text(app)
        await pilot.press("y", *"learning", "enter")
        assert "learning_rate is on the other axis already" in toasts(app)[-1]
        await pilot.press("y")
        picker = app.screen
        assert isinstance(picker, ColumnPicker)
        picker.query_one(TypedLine).value = "loss"
        picker.action_cursor(1)  # before the form is told of the letters
        await settled(pilot)
        assert picker.query_one(OptionList).highlighted == 1
        await pilot.press("escape", "y", *"preset")
        assert "No column has these letters" in screen_text(app)  # it is no number
        await pilot.press("down", "pagedown")
        await pilot.press("enter", "escape")
        assert isinstance(app.screen, EffectScreen)
        await pilot.press("b", *"preset", "enter")
        await settled(pilot)
        assert "A balanced 20" in screen_text(app)
        await pilot.press("b", *"noletters", "enter")
        await settled(pilot)
        assert "A balanced" not in screen_text(app)
        await pilot.press("b", *"preset", "enter")
        await settled(pilot)
        await pilot.press("escape")
        screen = await opened(app, pilot)
        assert [column and column.name for column in screen.question] == [
            "learning_rate", "best_validation_loss", "preset"
        ]  # fmt: skip


async def test_a_click_goes_to_the_nearest_model_and_again_to_the_next_there(
    library: Library, open_app: Open
) -> None:
    many_runs(library, 3)
    library.put_models(run_row(0), run_row(0, id=identifier("model", 90), name="Support twin"))
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("y", *"last_validation_loss", "enter")
        await settled(pilot)
        chart = screen.query_one(ScatterChart)
        plot = chart.plot()
        assert plot is not None
        cell = next(cell for cell, points in plot.points_in.items() if len(points) == 2)
        at = (plot.left + cell % plot.width, len(plot.legend) + cell // plot.width)
        await pilot.click(chart, offset=at)
        first = screen.selected
        assert "1 of 2 here" in screen_text(app)
        await pilot.press("space")
        assert "2 of 2 here" in screen_text(app)
        assert {first, screen.selected} == {identifier("model", 0), identifier("model", 90)}
        await pilot.click(chart, offset=at)
        assert screen.selected == first


async def test_a_change_of_the_cache_is_shown_and_the_crosshair_stays(
    library: Library, open_app: Open
) -> None:
    many_runs(library, 20)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("y", *"last_validation_loss", "enter")
        await settled(pilot)
        await pilot.press("right", "right")
        chosen = screen.selected
        library.put_models(*(run_row(number) for number in range(20, 25)))
        app.poll_cache()
        await until(pilot, lambda: "25 models" in screen_text(app))
        assert screen.selected == chosen


async def test_it_is_over_what_the_list_shows_and_says_when_that_is_nothing_to_compare(
    library: Library, open_app: Open
) -> None:
    many_runs(library, 12)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert isinstance(app.screen, ModelsScreen)
        app.screen.ask(app.screen.model_query._replace(preset="balanced"))
        await until(pilot, lambda: "4 of 12" in screen_text(app))
        await opened(app, pilot)
        text = screen_text(app)
        assert "4 runs: too few to tell." in text
        assert "balanced" in text.splitlines()[0]
        await pilot.press("y", *"effective", "enter")
        await settled(pilot)
        assert "Nothing to compare" in screen_text(app)
        assert "No run has both rank and effective rank." in screen_text(app)
        await pilot.resize_terminal(50, 12)
        await until(pilot, lambda: "Terminal too small" in screen_text(app))


async def test_hostile_names_and_ascii_stay_in_their_place(
    library: Library, open_app: Open
) -> None:
    library.put_state()
    library.put_models(*(run_row(n, name=name) for n, name in enumerate(HOSTILE_NAMES)))
    app = open_app(ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("y", *"last_validation_loss", "enter")
        await settled(pilot)
        await pilot.press("x", *"name", "enter")
        await settled(pilot)
        for key in ("right", "right", "right", "v", "v", "b", "enter", "right"):
            await pilot.press(key)
            await settled(pilot)
            text = screen_text(app)
            assert text.isascii()
            assert all(len(line) == 80 for line in text.splitlines())
