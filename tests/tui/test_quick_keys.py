"""Two keys in one breath, as typed ahead over a slow line: the second harms nothing."""

from __future__ import annotations

import pytest
from textual import events

from lora_tui.screens.model import ModelScreen
from lora_tui.screens.models import ModelsScreen
from tests.tui.conftest import Open, screen_text, type_at_once, until
from tests.tui.library import FakeWriters, Library


@pytest.mark.slow
@pytest.mark.parametrize(
    "opens", [("s",), ("ctrl+p",), ("ctrl+p", "s"), ("f",), ("C",), ("v", "s")]
)
@pytest.mark.parametrize("key", ["enter", "escape"])
async def test_a_second_key_closes_nothing_below_what_the_first_has_closed(
    library: Library, open_app: Open, opens: tuple[str, ...], key: str
) -> None:
    library.fill(count=5)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        await pilot.press("escape")
        await pilot.press(*opens)
        await pilot.pause()
        character = "\r" if key == "enter" else None
        for _ in range(3):
            app.post_message(events.Key(key, character))
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen | ModelScreen))
        await pilot.pause()
        assert app.is_running
        assert not app._exit
        assert isinstance(app.screen_stack[0], ModelsScreen)


@pytest.mark.parametrize("keys", [("d",), ("t", "h", "question_mark"), ("enter", "i", "d")])
async def test_keys_behind_the_one_that_quits_do_nothing(
    library: Library, open_app: Open, writers: FakeWriters, keys: tuple[str, ...]
) -> None:
    library.fill(count=5)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        type_at_once(app, "q", *keys)
        await until(pilot, lambda: app._exit)
    assert not app.crashed
    assert not [call for call in writers.asked if call[0] == "download"]
    assert "ModelsScreen.download" not in app.actions


async def test_two_enters_open_a_model_once(library: Library, open_app: Open) -> None:
    library.fill(count=5)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(2):
            app.post_message(events.Key("enter", "\r"))
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        assert "5 models" in screen_text(app)
