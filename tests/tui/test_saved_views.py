"""The list is as it was left at the next start, and views of it are kept under names."""

from __future__ import annotations

from pathlib import Path

from lora_tui.app import LoraTuiApp
from lora_tui.screens.models import ModelsScreen
from lora_tui.views.saved import beside
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library

SIZE = (100, 24)


def title(app: LoraTuiApp) -> str:
    return screen_text(app).splitlines()[0]


async def test_search_and_filters_are_there_at_the_next_start_and_one_key_shows_all(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("f", "tab", "5", "escape")  # undone: the next start shows all of it
        await pilot.press("f", "tab", "5", "enter", "slash", *"customer", "enter")
        await until(pilot, lambda: "8 of 37 models" in screen_text(app))
        assert "Last view" not in title(app)
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "8 of 37 models" in screen_text(app))
        assert "Last view: “customer” · 5 stars · esc shows all" in title(app)
        await until(pilot, lambda: "/ customer" in screen_text(app))
        await pilot.press("escape")
        assert "37 models" in screen_text(app)
        assert "Last view" not in title(app)
        assert "/ customer" not in screen_text(app)
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, ModelsScreen)
        assert "37 models" in screen_text(app)
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        assert "Last view" not in title(app)


async def test_a_view_is_saved_chosen_by_its_number_renamed_and_deleted(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("1")
        assert any("No views are saved: V saves" in toast for toast in toasts(app))
        await pilot.press("f", "tab", "4", "enter", "S", "v", "V", "s", *"best 4", "enter")
        await until(pilot, lambda: "1 best 4" in screen_text(app))
        assert "4 stars or more; Date, oldest first" in screen_text(app)
        await pilot.press("escape", "0", "v", "S")
        assert "37 models" in screen_text(app)
        assert "of 4" not in screen_text(app)
        await pilot.press("1")
        assert "best 4: 4 stars or more" in title(app)
        assert "Date, oldest first" in title(app)
        assert "of 2 " in screen_text(app)
        await pilot.press("V", "r", "backspace", "5", "enter")
        await until(pilot, lambda: "1 best 5" in screen_text(app))
        await pilot.press("x", "y")
        await until(pilot, lambda: "No views are saved yet" in screen_text(app))


async def test_a_damaged_file_of_views_is_kept_aside_and_said(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    damaged = beside(path)
    damaged.parent.mkdir()
    damaged.write_text('{"views": [')
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("V")
        await until(pilot, lambda: any("views.json.damaged-1" in each for each in toasts(app)))
        assert damaged.with_name("views.json.damaged-1").read_text() == '{"views": ['
        await pilot.press("s", *"all", "enter")
        await until(pilot, lambda: "1 all" in screen_text(app))


async def test_a_view_that_names_a_vanished_column_opens_without_it_and_says_so(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    beside(path).parent.mkdir()
    beside(path).write_text(
        '{"views": [{"name": "old", "query": {"min_stars": 5, "where": "charm > 3"},'
        ' "columns": ["cost", "charm"]}]}'
    )
    app = open_app(views=path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("1")
        assert any("no column 'charm' any more" in toast for toast in toasts(app))
        assert any("condition is left out" in toast and "charm" in toast for toast in toasts(app))
        assert "old: 5 stars  " in title(app)
        heading = screen_text(app).splitlines()[1]
        assert "Cost" in heading
        assert "Rating" not in heading
