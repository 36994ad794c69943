"""Keys that the configuration has moved: they work, the old ones do not, every text names them."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.command import CommandPalette

from lora_tui.app import LoraTuiApp
from lora_tui.config.keys import keymap_of
from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.screens.compare import CompareScreen
from lora_tui.screens.help import HelpScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.screens.sort_menu import SortMenu
from lora_tui.screens.transfers import TransfersScreen
from tests.tui.accounts import form_of
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library

SIZE = (80, 24)
MOVED = keymap_of(
    {
        "keys": {
            "app.sync": "Z",
            "app.help": "f1",
            "app.transfers": "W",
            "app.palette": "ctrl+o",
            "list.down": "u,down",
            "app.notifications": "N",
            "models.sort": "o",
            "models.compare": "ctrl+k,B",
            "models.search": "f3",
            "models.reset": "backspace",
            "compare.everything": "A",
            "columns.automatic": "w",
            "transfers.pause": "Q",
            "models.download": "D",
        }
    }
)


@pytest.fixture
def app(library: Library, open_app: Open) -> LoraTuiApp:
    library.fill(count=9)
    return open_app(keys=MOVED)


async def test_a_moved_key_works_and_the_old_one_does_not(
    app: LoraTuiApp, writers: FakeWriters
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r")
        assert writers.asked == []
        await pilot.press("Z")
        await until(pilot, lambda: "sync" in str(writers.asked))
        await pilot.press("s")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("o")
        assert isinstance(app.screen, SortMenu)
        await pilot.press("o")  # the key that opened it closes it
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("t")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("W")
        assert isinstance(app.screen, TransfersScreen)
        await pilot.press("W")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("ctrl+p")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("ctrl+o")
        assert isinstance(app.screen, CommandPalette)


async def test_two_actions_can_swap_their_keys_in_the_application(
    library: Library, open_app: Open
) -> None:
    library.fill(count=3)
    keys = keymap_of({"keys": {"app.transfers": "comma", "app.settings": "t"}})
    app = open_app(keys=keys)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma")
        assert isinstance(app.screen, TransfersScreen)
        await pilot.press("comma")
        assert isinstance(app.screen, ModelsScreen)


async def test_the_cursor_moves_by_the_moved_key_in_every_list(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("u", "down", "u")
        assert app.screen.rows.cursor == 3
        await pilot.press("C", "u")
        assert "w automatic" in screen_text(app)


@pytest.mark.slow
async def test_footer_help_and_palette_name_the_moved_keys(app: LoraTuiApp) -> None:
    async with app.run_test(size=(120, 80)) as pilot:
        footer = screen_text(app).splitlines()[-1]
        assert " o Sort " in footer
        assert " f3 Search " in footer
        assert " f1 Help" in footer
        assert " Z Sync " in footer
        await pilot.press("f1")
        assert isinstance(app.screen, HelpScreen)
        text = screen_text(app)
        lines = {line.strip(" │┃▕▏").partition("  ")[0]: line for line in text.splitlines()}
        assert "Sync with the project now" in lines["Z"]
        assert "Choose the order" in lines["o"]
        assert "Next model" in text
        assert "u down" in text  # the frame of the help
        assert "r" not in lines
        await pilot.press("escape", "ctrl+o", *"sync with")
        await until(pilot, lambda: "Sync: Z" in screen_text(app))


@pytest.mark.slow
async def test_hints_name_the_moved_keys(app: LoraTuiApp, library: Library) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "u", "space")
        assert "^k compares" in screen_text(app)
        await pilot.press("B")
        assert isinstance(app.screen, CompareScreen)
        await pilot.press("end")
        assert ": A shows them" in screen_text(app)
        await pilot.press("escape", "W")
        assert "Press D in the list" in screen_text(app)
        await pilot.press("escape", "f3", *"nothing at all", "enter")
        await until(pilot, lambda: "No matching models" in screen_text(app))
        assert "backspace clears" in screen_text(app) or "⌫ clears" in screen_text(app)


async def test_an_empty_cache_and_a_failed_sync_name_the_moved_keys(
    library: Library, open_app: Open
) -> None:
    app = open_app(keys=MOVED)
    async with app.run_test(size=SIZE):
        assert "Z fetches your models" in screen_text(app)
    library.fill(count=3)
    library.put_state(error="The network is down")
    app = open_app(keys=MOVED)
    async with app.run_test(size=SIZE):
        assert "Z retries" in screen_text(app)


async def test_while_typing_the_footer_shows_no_plain_character(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f3", "Z")
        footer = screen_text(app).splitlines()[-1]
        assert "Sync" not in footer


@pytest.mark.parametrize(
    ("keys", "says"),
    [((), "Press q to quit"), (("slash", "s"), "Press ctrl+q to quit"), (("L",), "Press ctrl+q")],
)
async def test_ctrl_c_shows_how_to_quit(
    library: Library, open_app: Open, home: Path, keys: tuple[str, ...], says: str
) -> None:
    library.fill(count=2)
    app = open_app(login=form_of(Profile("work", find_paths(), "https://p.example", "k")))
    async with app.run_test() as pilot:
        await pilot.press(*keys, "ctrl+c")
        assert [toast for toast in toasts(app) if says in toast]
        await pilot.press("ctrl+q")
        await until(pilot, lambda: app._exit)


async def test_ctrl_c_copies_the_selection_of_an_input(library: Library, open_app: Open) -> None:
    library.fill(count=2)
    app = open_app()
    async with app.run_test() as pilot:
        await pilot.press("slash", *"radio", "shift+home", "ctrl+c")
        assert app.clipboard == "radio"
        assert not toasts(app)
