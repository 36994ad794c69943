"""Compare of more than six models: a table, and the curves of those that are marked in it."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.screens.compare import CompareScreen
from lora_tui.screens.compare_table import CompareTableScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.widgets.charts.overlay_chart import OverlayChart
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, identifier, model_row
from tests.tui.test_snapshots import Compare

LOSSES = (0.72, 0.61, 0.9, 0.66, None, 0.8, 0.7, 0.75)


def fill(library: Library) -> None:
    """Eight models of one dataset and base model; one has no validation loss."""
    library.fill(count=1)
    rows = []
    for number, loss in enumerate(LOSSES):
        quality = {"overall_score": 4, "final_training_loss": 0.5 + number / 100}
        hyper = {
            "base_model": "meta-llama/Llama-3.1-8B-Instruct",
            "lora_rank": 4 * 2 ** (number % 3),
        }
        rows.append(
            model_row(
                number,
                dataset_id=identifier("dataset", 0),
                quality_metrics=quality | ({} if loss is None else {"final_validation_loss": loss}),
                configuration={"preset_id": "balanced", "hyperparameters": hyper},
            )
        )
    library.put_models(*rows)


async def opened(app: LoraTuiApp, pilot: Pilot[Any], *keys: str) -> str:
    if not isinstance(app.screen, CompareTableScreen):
        await pilot.press(*["space"] * len(LOSSES), "c")
        await until(pilot, lambda: isinstance(app.screen, CompareTableScreen))
    for key in ("", *keys):
        await pilot.press(*key.split())
        await until(pilot, lambda: not list(app.screen.workers))
    await pilot.pause()
    return screen_text(app)


def numbers(text: str) -> list[str]:
    """The numbers of the models, from the top."""
    lines = text.partition("NAME")[2].splitlines()[1:]
    cells = [line[3:6].strip() for line in lines]
    return [cell for cell in cells if cell.isdigit()][: len(LOSSES)]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_picture(
    library: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
) -> None:
    library.begin("many compared", lambda: fill(library))

    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await opened(pilot.app, pilot, "space", "j space", "j")

    assert snap_compare(open_app(), terminal_size=size, run_before=shown)


async def test_the_table_ranks_marks_sorts_compares_and_exports(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.begin("many compared", lambda: fill(library))
    app = open_app()
    async with app.run_test(size=(160, 48)) as pilot:
        text = await opened(app, pilot)
        assert numbers(text) == ["2", "4", "7", "1", "8", "6", "3", "5"]
        assert "best first" in text
        assert "Model 2 has the best last validation loss: 0.6100." in text
        assert "Model 5 has no validation loss" in text.replace("\n", " ")
        assert "0.6100*" in text
        text = await opened(app, pilot, "s", "S")
        assert "by validation loss, reversed" in text
        assert numbers(text) == ["3", "6", "8", "1", "7", "4", "2", "5"]
        assert not app.screen.query_one(OverlayChart).display
        text = await opened(app, pilot, "home space", "j space")
        assert "2 of 6 marked" in text
        assert app.screen.query_one(OverlayChart).display
        assert [line[1] for line in text.splitlines() if "2026-11" in line][:2] == ["A", "B"]
        await opened(app, pilot, "j space", "j space", "j space", "j space", "j space")
        assert any("at most 6 models" in toast for toast in toasts(app))
        await opened(app, pilot, "space", "e")
        await until(pilot, lambda: any("comparison-2026-11-23.md" in text for text in toasts(app)))
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "6 models" in screen_text(app))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
    (_, report) = next(asked[1:] for asked in writers.asked if asked[0] == "save_text")
    assert report.startswith("# Comparison of 8 models")


async def test_models_that_no_loss_ranks_are_not_called_the_best_first(
    library: Library, open_app: Open
) -> None:
    library.fill(count=len(LOSSES))
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        text = await opened(app, pilot)
        assert "losses can't be compared" in text
        assert "best first" not in text
        assert numbers(text) == sorted(numbers(text))
