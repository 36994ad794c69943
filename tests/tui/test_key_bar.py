"""The line of keys never cuts one off, and always says how to get help."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.screens.help import HelpScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.screen_bars import KeyBar
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import Library

KNOWN = {"Open", "Mark", "Search", "Sort", "Filter", "Download", "View", "Preview", "Sync", "Help"}


@pytest.mark.parametrize("width", [40, 47, 60, 73, 80, 160])
async def test_whole_keys_are_shown_and_help_is_always_among_them(
    library: Library, open_app: Open, width: int
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(width, 20)):
        words = screen_text(app).splitlines()[-1].split()
        assert {word for word in words if word[0].isupper()} <= KNOWN
        assert words[-2:] == ["?", "Help"]
        assert words[:2] == ["enter", "Open"]


async def click_key(app: LoraTuiApp, pilot: Pilot[Any], description: str) -> None:
    """Click on a key as soon as the line has all keys of the list, and so keeps its places."""

    def line() -> str:
        return screen_text(app).splitlines()[-1]

    await until(pilot, lambda: {"Open", "Download", "Help"} <= set(line().split()))
    await pilot.click(KeyBar, offset=(line().index(description), 0))


async def test_a_click_on_a_key_presses_it(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await click_key(app, pilot, "Sort")
        await until(pilot, lambda: "Sort by" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        await click_key(app, pilot, "Help")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
