"""The terminal may become any size at any moment, whatever is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from lora_tui.config.paths import Paths, find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Preferences, Profile
from lora_tui.first_run import FirstRunApp
from lora_tui.screens.models import ModelsScreen
from tests.tui.accounts import fake_writers, form_of
from tests.tui.conftest import Open, screen_text, type_at_once, until
from tests.tui.library import Library, notice_row

pytestmark = pytest.mark.slow

SIZES = ((1, 1), (200, 60), (79, 4))
PLACES = {
    "models": (),
    "cards": ("v",),
    "search": ("slash", "s"),
    "sort": ("s",),
    "filter": ("f",),
    "model": ("enter",),
    "compare": ("space", "space", "c"),
    "notifications": ("n",),
    "transfers": ("t",),
    "settings": ("comma",),
    "setting": ("comma", *"jjjj", "enter"),
    "login": ("L",),
    "help": ("question_mark",),
    "palette": ("ctrl+p",),
}


@pytest.mark.parametrize("place", PLACES)
async def test_every_screen_outlives_every_size(
    library: Library, open_app: Open, home: Path, place: str
) -> None:
    del home
    library.fill(count=5)
    library.put_notices(notice_row(0))
    library.put_transfer(done=10, total=20)
    profile = Profile("work", find_paths(), "https://p.example", "k")
    settings = Settings(profile, library.path, environment={})
    app = open_app(login=form_of(profile), settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*PLACES[place])
        shown = type(app.screen)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
        await pilot.resize_terminal(80, 24)
        assert type(app.screen) is shown
        assert screen_text(app).strip()
        assert app.return_code in (None, 0)


@pytest.mark.parametrize("place", PLACES)
async def test_on_a_terminal_that_is_too_small_no_key_acts_but_those_that_quit(
    library: Library, open_app: Open, home: Path, place: str
) -> None:
    del home
    library.fill(count=5)
    library.put_notices(notice_row(0))
    profile = Profile("work", find_paths(), "https://p.example", "k")
    settings = Settings(profile, library.path, environment={})
    app = open_app(login=form_of(profile), settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*PLACES[place])
        shown = app.screen
        before = screen_text(app)
        await pilot.resize_terminal(39, 9)
        await until(pilot, lambda: "q quits" in screen_text(app))
        assert "Terminal too small" in screen_text(app)
        keys = ("enter", "d", "r", "x", "y", "t", "space", "j", "tab", "a", "ctrl+p")
        type_at_once(app, *keys, "ctrl+l", "slash", "comma")
        app.post_message(events.Paste("pasted"))
        await pilot.pause()
        await pilot.click(offset=(5, 5))
        assert app.screen is shown
        assert len(app.screen_stack) == 1 + (shown is not app.screen_stack[0])
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: screen_text(app).split() == before.split())
        await pilot.resize_terminal(39, 9)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running or app._exit)


async def test_a_page_that_is_too_large_can_be_left_for_a_list_that_is_not(
    library: Library, open_app: Open
) -> None:
    library.fill(count=5)
    app = open_app()
    async with app.run_test(size=(50, 12)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "esc goes back, q quits" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "Terminal too small" not in screen_text(app))
        assert isinstance(app.screen, ModelsScreen)


@pytest.mark.parametrize("keys", [(), ("enter",)], ids=["welcome", "connect"])
async def test_the_first_run_outlives_every_size(tmp_path: Path, keys: tuple[str, ...]) -> None:
    paths = Paths(tmp_path / "config.toml", tmp_path, tmp_path, tmp_path)
    app = FirstRunApp(Preferences(), "default", paths, fake_writers())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
        assert app.is_running
        await pilot.resize_terminal(39, 9)
        await until(pilot, lambda: "Terminal too small" in screen_text(app))
        shown = app.screen
        await pilot.press("enter", "down", "tab", "escape")
        assert app.screen is shown
