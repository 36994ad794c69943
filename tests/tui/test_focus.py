"""One always sees where one is: what has the focus looks different, under every theme."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import THEME_NAMES, Preferences, Profile
from lora_tui.first_run import FirstRunApp
from tests.tui.accounts import fake_writers, form_of
from tests.tui.conftest import Open
from tests.tui.library import Library, notice_row
from tests.tui.test_harvest import Made, job_row, make  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

SIZE: Final = (100, 30)
SCREENS: Final[dict[str, Sequence[str]]] = {
    "models": (),
    "cards": ("v",),
    "search": ("slash", "a"),
    "filter": ("f",),
    "filter, typed": ("f", "j", "j", "tab", "a"),
    "sort": ("s",),
    "columns": ("C",),
    "model": ("enter",),
    "files": ("j", "enter", "D"),
    "serve": ("enter", "s"),
    "compare": ("space", "space", "c"),
    "notifications": ("n",),
    "transfers": ("t",),
    "harvest": ("h",),
    "settings": ("comma",),
    "settings, typed": ("comma", *"jjjj", "enter"),
    "help": ("question_mark",),
    "palette": ("ctrl+p",),
    "login": ("L",),
    "confirm": ("space", "space", "d"),
}


_seen: Final[set[tuple[object, ...]]] = set()
"""The widgets whose focus was seen under a theme: one that is on many screens is drawn alike."""


def kind(widget: Widget) -> tuple[object, ...]:
    """What decides how it is drawn with the focus."""
    above = [type(node) for node in widget.ancestors if not isinstance(node, Screen)]
    return type(widget), widget.id, frozenset(widget.classes), *above


def looks(widget: Widget) -> list[str]:
    """Every cell of it as it is drawn, with its style."""
    left, top, width, height = widget.region
    strips = widget.screen._compositor.render_strips()
    return [
        str([(s.text, str(s.style)) for s in strip.crop(left, left + width)])
        for strip in strips[top : top + height]
    ]


async def walk(app: App[Any], pilot: Pilot[Any], key: str) -> list[Widget]:
    """Press the key once a widget of the focus chain; the widgets that had the focus."""
    visited: list[Widget] = []
    for _ in app.screen.focus_chain:
        widget = app.screen.focused
        if widget is not None and widget not in visited:
            visited.append(widget)
        await pilot.press(key)
    return visited


async def focus_is_visible(app: App[Any], pilot: Pilot[Any], widgets: Sequence[Widget]) -> None:
    """Compare how each widget looks with the focus and without it."""
    app.screen.set_focus(None)
    await pilot.pause()
    without = {widget: looks(widget) for widget in widgets}
    for widget in widgets:
        app.screen.set_focus(widget)
        await pilot.pause()
        assert looks(widget) != without[widget], f"{widget!r} under {app.theme}"
        _seen.add((app.theme, *kind(widget)))


async def under_every_theme(app: App[Any], pilot: Pilot[Any]) -> int:
    """Walk through the screen and back, then look at it in each theme; how many had the focus."""
    widgets = await walk(app, pilot, "shift+tab")
    widgets += [widget for widget in await walk(app, pilot, "tab") if widget not in widgets]
    for theme in THEME_NAMES:
        new = [widget for widget in widgets if (theme, *kind(widget)) not in _seen]
        if new:
            app.theme = theme
            await pilot.pause()
            await focus_is_visible(app, pilot, new)
    return len(widgets)


@pytest.mark.parametrize("name", SCREENS)
async def test_what_has_the_focus_is_seen_to_have_it(
    library: Library,
    make: Made,  # noqa: F811
    home: Path,
    name: str,
) -> None:
    del home
    library.put_notices(notice_row(0), notice_row(1, read=True))
    library.put_jobs(job_row(0, 3), job_row(1, 5))
    library.put_transfer(done=10, total=20)
    profile = Profile("demo", find_paths(), "http://127.0.0.1:9", "k")
    settings = Settings(profile, Path("c"), environment={})
    app = make(settings=settings, login=form_of(profile))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*SCREENS[name])
        await pilot.pause()
        visited = await under_every_theme(app, pilot)
        # the others are moved by the screen's own keys, whatever has the focus
        assert visited or name in ("model", "compare", "serve", "confirm", "help")


@pytest.mark.parametrize("keys", [(), ("enter",)], ids=["welcome", "connect"])
async def test_in_the_first_run_too(home: Path, keys: Sequence[str]) -> None:
    del home
    app = FirstRunApp(Preferences(), "default", find_paths(), fake_writers())
    app.animation_level = "none"
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*keys)
        assert await under_every_theme(app, pilot)


@pytest.mark.parametrize("theme", THEME_NAMES)
async def test_the_place_where_one_types_is_seen(
    library: Library, open_app: Open, theme: str
) -> None:
    library.fill(count=3)
    app = open_app(theme=theme)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", "a")
        line = app.screen.query_one("#search-input", Input)
        await pilot.pause()
        styles = [s.style for s in app.screen._compositor.render_strips()[line.region.y] if s.style]
        text, cursor = styles[3], styles[4]
        assert (cursor.bgcolor, cursor.reverse) != (text.bgcolor, text.reverse)
        assert cursor.reverse or cursor.color != cursor.bgcolor
        if theme in ("ansi", "mono"):  # any colour may be that of the terminal
            assert cursor.reverse
            assert cursor.bgcolor is None or cursor.bgcolor.is_default
