"""From the page of a model to the next and the previous one, in the order of the list."""

from __future__ import annotations

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.models import ModelsScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library, identifier

SIZE = (100, 30)


def opened(app: LoraTuiApp) -> str:
    return app.screen.model_id if isinstance(app.screen, ModelScreen) else ""


@pytest.mark.parametrize(
    ("keys", "number"),
    [
        (("enter", "]"), 1),
        (("enter", "]", "]", "["), 1),
        (("S", "enter", "["), 1),
        (("j", "v", "enter", "[", "]", "]"), 2),
        (("slash", *"legal", "enter", "enter", "]"), 8),
    ],
)
async def test_the_next_and_the_previous_model_are_those_of_the_list(
    library: Library, open_app: Open, keys: tuple[str, ...], number: int
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        for key in keys:
            await pilot.press(key)
        await until(pilot, lambda: opened(app) == identifier("model", number))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        assert isinstance(app.screen, ModelsScreen)
        current = app.screen.rows.current
        assert current is not None
        assert current.id == identifier("model", number)


async def test_the_ends_of_the_list_say_so(library: Library, open_app: Open) -> None:
    library.fill(count=2)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter", "[")
        assert "This is the first model of the list" in toasts(app)[-1]
        await pilot.press("]")
        await until(pilot, lambda: opened(app) == identifier("model", 1))
        await pilot.press("]")
        assert "This is the last model of the list" in toasts(app)[-1]
        assert opened(app) == identifier("model", 1)


async def test_a_model_that_the_search_hides_says_so(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    model = identifier("model", 7)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", *"legal", "enter", "ctrl+p", *model[:8])
        await until(pilot, lambda: model in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: opened(app) == model)
        await pilot.press("]")
        assert "not in the list" in toasts(app)[-1]


async def test_the_order_is_that_of_now_while_models_come_and_go(
    library: Library, open_app: Open
) -> None:
    library.fill(count=5)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        library.delete_models(1)
        await pilot.press("]")
        await until(pilot, lambda: opened(app) == identifier("model", 2))
