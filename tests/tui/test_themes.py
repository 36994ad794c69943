"""Colours suit the terminal, can be chosen, and carry no meaning that is not there without them."""

from __future__ import annotations

from typing import Any

import pytest
from rich.color import ColorType
from textual.app import App

from lora_tui.config.table import THEME_NAMES
from lora_tui.tui.colours import THEMES, suitable_theme
from tests.tui.conftest import Open, toasts
from tests.tui.library import Library, notice_row

SIZE = (80, 24)
KEYS = ("j", "space", "f", "escape", "enter", "escape", "n", "escape", "t", "escape", "ctrl+p")


def colour_types(app: App[Any]) -> set[ColorType]:
    """What kinds of colours stand on the screen."""
    return {
        colour.type
        for strip in app.screen._compositor.render_strips()
        for segment in strip
        if segment.style is not None
        for colour in (segment.style.color, segment.style.bgcolor)
        if colour is not None
    }


@pytest.mark.parametrize(
    ("color_system", "theme"),
    [(None, "mono"), ("standard", "ansi"), ("256", "dark"), ("truecolor", "dark")],
)
def test_the_theme_is_one_that_the_terminal_can_show(color_system: str | None, theme: str) -> None:
    assert suitable_theme(None, no_color=False, color_system=color_system) == theme


@pytest.mark.parametrize("wanted", [None, *THEME_NAMES])
def test_no_color_wins_over_the_configuration(wanted: str | None) -> None:
    assert suitable_theme(wanted, no_color=True, color_system="truecolor") == "mono"


@pytest.mark.parametrize(
    ("term", "colorterm", "theme"),
    [
        ("xterm-256color", "truecolor", "dark"),
        ("xterm-16color", "", "ansi"),
        ("linux", "", "ansi"),
        ("dumb", "", "mono"),
    ],
)
def test_the_terminal_is_known_by_its_environment(
    library: Library,
    open_app: Open,
    monkeypatch: pytest.MonkeyPatch,
    term: str,
    colorterm: str,
    theme: str,
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLORTERM", colorterm)
    library.fill(count=1)
    assert open_app().theme == theme


@pytest.mark.slow
@pytest.mark.parametrize(
    ("theme", "allowed"),
    [
        ("ansi", {ColorType.DEFAULT, ColorType.STANDARD}),
        ("mono", {ColorType.DEFAULT}),
    ],
)
async def test_no_screen_uses_other_colours_than_the_terminals_own(
    library: Library, open_app: Open, theme: str, allowed: set[ColorType]
) -> None:
    library.fill()
    library.put_transfer(done=10, total=20)
    library.put_notices(notice_row(0), notice_row(1, read=True))
    library.put_state(error="No answer")
    app = open_app(theme=theme)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        for key in KEYS:
            await pilot.press(key)
            assert colour_types(app) <= allowed, key


def test_the_configuration_knows_exactly_the_themes_that_there_are() -> None:
    assert tuple(theme.name for theme in THEMES) == THEME_NAMES


async def test_t_goes_through_the_themes_and_comes_back(library: Library, open_app: Open) -> None:
    library.fill(count=1)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        seen = []
        for _ in THEME_NAMES:
            await pilot.press("T")
            seen.append(app.theme)
        assert seen == [*THEME_NAMES[1:], THEME_NAMES[0]]


async def test_under_no_color_t_says_why_there_are_no_colours(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    library.fill(count=1)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("T")
        assert app.theme == "mono"
        assert colour_types(app) <= {ColorType.DEFAULT}
        assert any("NO_COLOR is set" in toast for toast in toasts(app))


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["ansi", "mono"])
async def test_what_is_below_a_question_is_dim_where_colours_can_not_be_mixed(
    library: Library, open_app: Open, theme: str
) -> None:
    library.fill()
    app = open_app(theme=theme)
    async with app.run_test(size=SIZE) as pilot:
        for keys in (("s",), ("escape", "question_mark"), ("escape", "ctrl+p")):
            await pilot.press(*keys)
            below = app.screen._compositor.render_strips()[0]
            assert "Models" in below.text
            for segment in below:
                assert segment.style is not None
                assert segment.style.dim
                assert not segment.style.reverse


async def test_on_the_cursor_of_sixteen_colours_all_is_white(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app(theme="ansi")
    async with app.run_test(size=SIZE):
        on_blue = [
            segment.style
            for strip in app.screen._compositor.render_strips()
            for segment in strip
            if segment.style and segment.style.bgcolor and segment.style.bgcolor.number == 4
        ]
        assert on_blue
        assert {str(style.color and style.color.number) for style in on_blue} == {"15"}
