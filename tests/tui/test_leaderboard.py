"""Leaderboard: the best of each dataset and base model, as the command ranks them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.documents import leaderboard
from lora_tui.screens.compare import CompareScreen
from lora_tui.screens.leaderboard import LeaderboardScreen
from lora_tui.screens.model import ModelScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library, identifier, model_row
from tests.tui.test_snapshots import Compare


def run(number: int, rank: int, loss: float | None, **changes: Any) -> dict[str, Any]:
    """A model of one of five datasets, with settings that make a difference."""
    quality = {"overall_score": 4, "convergence_quality": "good", "final_training_loss": 0.5}
    hyper = {"base_model": "meta-llama/Llama-3.1-8B-Instruct", "lora_rank": rank}
    configuration = {"preset_id": "balanced", "hyperparameters": hyper}
    quality_metrics = quality | ({} if loss is None else {"final_validation_loss": loss})
    row = model_row(number, quality_metrics=quality_metrics, configuration=configuration)
    return row | changes


def fill(library: Library) -> None:
    library.fill(count=5)
    library.put_models(
        run(0, 32, 0.61),
        run(5, 8, 0.72),
        run(10, 16, 0.66),
        run(15, 16, 0.9),
        run(20, 16, None),
        run(1, 8, None),
        run(6, 8, None),
        run(2, 8, 0.5, dataset_id=None),
    )


async def opened(app: LoraTuiApp, pilot: Pilot[Any], *keys: str) -> str:
    if not isinstance(app.screen, LeaderboardScreen):
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, LeaderboardScreen))
    for key in ("", *keys):
        await pilot.press(*key.split())
        await until(pilot, lambda: not list(app.screen.workers))
    await pilot.pause()
    return screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
def test_picture(
    library: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
) -> None:
    library.begin("leaders", lambda: fill(library))

    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await opened(pilot.app, pilot)

    assert snap_compare(open_app(), terminal_size=size, run_before=shown)


async def test_groups_tell_their_best_and_keys_open_and_compare_them(
    library: Library, open_app: Open
) -> None:
    library.begin("leaders", lambda: fill(library))
    app = open_app()
    async with app.run_test(size=(120, 48)) as pilot:
        text = await opened(app, pilot)
        (heading,) = [line for line in text.splitlines() if "Customer Support Emails, meta" in line]
        assert heading.rstrip().endswith("3 of 5 models")
        assert text.index("SQL Assistant, meta") < text.index("Legal Clause Review, meta")  # 2, 1
        assert "The first differs from the others in: Rank 32 (others 16, 8)." in text
        assert "1 model has no validation loss: not ranked." in text
        assert "ranked by training loss, which hides overfitting" in text
        assert "1 model is of an unknown dataset or base model: not ranked." in text
        assert "4 of 5 models" in await opened(app, pilot, "a")
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "4 models" in screen_text(app))
        await pilot.press("escape", "j", "enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        assert isinstance(app.screen, ModelScreen)
        assert app.screen.model_id == identifier("model", 10)
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, LeaderboardScreen))
        assert len(app.screen_stack) == 2


async def test_it_ranks_the_models_that_the_list_shows(library: Library, open_app: Open) -> None:
    library.begin("leaders", lambda: fill(library))
    app = open_app()
    async with app.run_test(size=(120, 48)) as pilot:
        await pilot.press("slash", *"customer", "enter")
        text = await opened(app, pilot)
        assert "1 group  “customer”" in text
        assert "3 of 5 models" in text
        await pilot.press("escape", "escape")
        await pilot.pause()
        text = await opened(app, pilot)
        assert "“customer”" not in text
        assert "1 of 1 model" in text or "groups" in text


async def test_it_says_that_models_are_being_ranked_and_why_there_are_none(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill(count=0)
    goes_on = threading.Event()
    read = leaderboard.leaders.read_groups

    def waiting(*asked: Any) -> Any:
        goes_on.wait(10)
        return read(*asked)

    monkeypatch.setattr(leaderboard.leaders, "read_groups", waiting)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("O")
        await until(pilot, lambda: "Ranking 0 models" in screen_text(app))
        goes_on.set()
        await until(pilot, lambda: "No model can be ranked" in screen_text(app))
        library.put_models(run(0, 8, 0.5), run(1, 8, 0.5, configuration={}))
        app.poll_cache()
        await until(pilot, lambda: "1 of 1 model" in screen_text(app))
        await pilot.press("c")
        await until(pilot, lambda: any("only one ranked model" in text for text in toasts(app)))
        await pilot.resize_terminal(50, 12)
        assert "Terminal too small" in screen_text(app)
