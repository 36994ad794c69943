"""Every screen can be used with the mouse alone: click, double click, wheel, headings, footer.

The list and the cards: test_models, test_cards; the chart's wheel and drag: test_chart_views.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import OptionList

from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.card_grid import CardGrid
from lora_tui.widgets.screen_bars import KeyBar
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import Library, notice_row
from tests.tui.test_harvest import Made, job_row, make  # noqa: F401 - a fixture

SIZE: Final = (80, 24)
OPENED_BY: Final[dict[str, Sequence[str]]] = {
    "notifications": ("n",),
    "transfers": ("t",),
    "harvest": ("h",),
    "settings": ("comma",),
    "model": ("enter",),
    "compare": ("space", "space", "c"),
}


async def click_word(pilot: Pilot[Any], word: str, times: int = 1) -> None:
    """On the first place where the screen shows it."""
    for y, line in enumerate(screen_text(pilot.app).splitlines()):
        if word in line:
            await pilot.click(offset=(line.index(word), y), times=times)
            await pilot.pause()
            return
    raise AssertionError(f"{word} is not on the screen:\n{screen_text(pilot.app)}")


@pytest.fixture
def app(library: Library, make: Made, home: Path) -> App[Any]:  # noqa: F811
    del home
    library.put_notices(*(notice_row(number, read=number > 2) for number in range(30)))
    library.put_jobs(*(job_row(number, 3 + number) for number in range(30)))
    library.put_transfer(done=10, total=20)
    profile = Profile("demo", find_paths(), "http://127.0.0.1:9", "k")
    return make(settings=Settings(profile, Path("c"), environment={}))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPENED_BY)
async def test_a_click_on_back_in_the_footer_goes_back(app: App[Any], name: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*OPENED_BY[name])
        assert not isinstance(app.screen, ModelsScreen)
        place = screen_text(app).splitlines()[-1].index("Back")
        await pilot.click(KeyBar, offset=(place, 0))
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))


@pytest.mark.parametrize("name", ["notifications", "harvest", "settings"])
async def test_the_wheel_scrolls_a_list(app: App[Any], name: str) -> None:
    async with app.run_test(size=(80, 15)) as pilot:
        await pilot.press(*OPENED_BY[name])
        listing = app.screen.query_one(OptionList)
        before = screen_text(app)
        for _ in range(3):
            await pilot._post_mouse_events([_wheel()], OptionList, offset=(5, 5))
        await until(pilot, lambda: listing.scroll_offset.y > 0)
        assert screen_text(app) != before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "compare"])
async def test_the_wheel_scrolls_what_is_longer_than_the_screen(app: App[Any], name: str) -> None:
    async with app.run_test(size=(80, 20)) as pilot:
        await pilot.press(*OPENED_BY[name])
        await pilot.pause()
        part = app.screen.query_one("#page" if name == "model" else "#rows")
        for _ in range(3):
            await pilot._post_mouse_events([_wheel()], f"#{part.id}", offset=(3, 1))
        await until(pilot, lambda: part.scroll_offset.y > 0)


@pytest.mark.slow
async def test_a_click_on_a_notification_opens_its_model(app: App[Any]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n")
        await click_word(pilot, "SQL Assistant")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))


async def test_a_click_on_a_download_opens_its_model(app: App[Any]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("t")
        await click_word(pilot, "weights")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))


async def test_a_click_on_a_setting_changes_it(app: App[Any]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma")
        await click_word(pilot, "automatic")
        await until(pilot, lambda: app.theme == "light" or "dark" in screen_text(app))


@pytest.mark.slow
async def test_a_click_chooses_an_order_a_filter_and_a_column(app: App[Any]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("s")
        await click_word(pilot, f"{'Cost':<21} most")
        await until(pilot, lambda: "Cost, most expensive first" in screen_text(app))
        await pilot.press("f")
        await click_word(pilot, "[ ] good")
        await until(pilot, lambda: "[x] good" in screen_text(app))
        await pilot.press("enter", "C")
        await click_word(pilot, "[x] Rating")
        await until(pilot, lambda: "[ ] Rating" in screen_text(app))


@pytest.mark.slow
async def test_a_click_on_a_snippet_program_shows_it(app: App[Any]) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter", "s")
        await click_word(pilot, "4 Ollama")
        await until(pilot, lambda: "ADAPTER" in screen_text(app))


@pytest.mark.slow
async def test_the_view_is_changed_and_the_help_opened_from_the_footer(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await click_word(pilot, "View")
        await until(pilot, lambda: bool(app.screen.query(CardGrid)))
        await click_word(pilot, "? Help")
        await until(pilot, lambda: "In the list" in screen_text(app))


def _wheel() -> type[Any]:
    from textual.events import MouseScrollDown

    return MouseScrollDown
