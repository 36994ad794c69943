"""A key that can't do anything now says why, in one line; escape pressed again changes nothing."""

from __future__ import annotations

from lora_tui.screens.models import ModelsScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library


async def test_in_an_empty_list(library: Library, open_app: Open) -> None:
    library.fill(count=0)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for key, words in (
            ("enter", "There is no model to open"),
            ("space", "There is no model to mark"),
            ("d", "There is no model to download"),
            ("y", "There is no model to copy the id of"),
            ("c", "There is no model to compare"),
            ("p", "The preview needs a terminal of 100 columns"),
            ("U", "No marks were cleared"),
        ):
            await pilot.press(key)
            assert words in toasts(app)[-1], key
        said = len(toasts(app))
        await pilot.press("j", "k", "G", "S", "escape", "escape", "escape")
        assert len(toasts(app)) == said
        assert isinstance(app.screen, ModelsScreen)


async def test_in_a_narrowed_list_in_cards_and_on_the_page(
    library: Library, open_app: Open
) -> None:
    library.fill(count=1)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("slash", *"zzz", "enter")
        await until(pilot, lambda: "No matching models" in screen_text(app))
        assert not toasts(app)
        await pilot.press("enter")
        assert "There is no model to open: esc shows all" in toasts(app)[-1]
        await pilot.press("escape", "v", "C")
        assert "Cards have no columns: v shows the table" in toasts(app)[-1]
        await pilot.press("c")
        assert "Mark 2 to " in toasts(app)[-1]
        await pilot.press("enter")
        for key, words in (
            ("x", "Nothing is being downloaded: d downloads it"),
            ("J", "The job that trained it is not in the cache"),
            ("right_square_bracket", "This is the last model of the list"),
        ):
            await pilot.press(key)
            assert words in toasts(app)[-1], key
        await pilot.press("escape", "escape", "escape")
        assert isinstance(app.screen, ModelsScreen)
