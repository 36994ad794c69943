"""The terminal may become any size at any moment, whatever is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_tui.config import Paths, Profile, find_paths
from lora_tui.connect import Login
from lora_tui.first_run import FirstRunApp
from lora_tui.preferences import Preferences
from lora_tui.settings import Settings
from tests.tui.conftest import Open, screen_text
from tests.tui.library import Library, notice_row

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
    app = open_app(login=Login(profile), settings=settings)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*PLACES[place])
        shown = type(app.screen)
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
        await pilot.resize_terminal(80, 24)
        assert type(app.screen) is shown
        assert screen_text(app).strip()
        assert app.return_code in (None, 0)


@pytest.mark.parametrize("keys", [(), ("enter",)], ids=["welcome", "connect"])
async def test_the_first_run_outlives_every_size(tmp_path: Path, keys: tuple[str, ...]) -> None:
    paths = Paths(tmp_path / "config.toml", tmp_path, tmp_path, tmp_path)
    app = FirstRunApp(Preferences(), "default", paths)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
        assert app.is_running
