"""The list of models keeps its promises to the person at the keyboard."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from rich.cells import cell_len
from textual import events

from lora_tui.app import LoraTuiApp
from lora_tui.cache import metadata
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import Owner, SyncErrorKind
from lora_tui.cache.models import Sort
from lora_tui.errors import CacheError
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.model_table import ModelTable
from lora_tui.widgets.search_bar import SearchInput
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import (
    HOSTILE_NAMES,
    NOW,
    FakeWriters,
    Library,
    curve,
    identifier,
    model_row,
)

SIZE = (80, 24)


def table(app: LoraTuiApp) -> ModelTable:
    return app.screen.query_one(ModelTable)


def current_id(app: LoraTuiApp) -> str:
    model = table(app).current
    assert model is not None
    return model.id


def line_of_cursor(app: LoraTuiApp) -> int:
    return table(app).cursor - table(app).scroll_offset.y


def shown_names(app: LoraTuiApp) -> list[str]:
    """The beginnings of the names in the list, from the first line on."""
    lines = screen_text(app).splitlines()
    head = next(index for index, line in enumerate(lines) if "Converg." in line)
    return [line[3:20].strip() for line in lines[head + 1 : -2] if line.strip()]


async def test_opens_on_the_newest_model_with_its_figures(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE):
        assert current_id(app) == identifier("model", 0)
        first = screen_text(app).splitlines()[2]
        assert "Customer Support" in first
        assert "★★★★★" in first
        assert "excellent" in first
        assert "Nov 23" in first
        assert "$2.00" in first
        assert any(0x2800 < ord(character) < 0x2900 for character in first)
        assert "37 models" in screen_text(app)


async def test_a_wide_terminal_shows_loss_perplexity_base_model_preset_hours_and_size(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(190, 48)) as pilot:
        await pilot.press("p")
        first = screen_text(app).splitlines()[2]
        for figure in ("0.4000", "1.82", "Llama-3.1-8", "balanced", "1.00", "24.0 MiB"):
            assert figure in first


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("j", "j", "k"), 1),
        (("down", "down", "up"), 1),
        (("G",), 36),
        (("end",), 36),
        (("G", "g"), 0),
        (("G", "home"), 0),
        (("pagedown",), 19),
        (("pagedown", "pageup"), 0),
        (("k",), 0),
    ],
)
async def test_keys_move_the_cursor_and_it_stays_in_view(
    library: Library, open_app: Open, keys: tuple[str, ...], line: int
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*keys)
        assert current_id(app) == identifier("model", line)
        assert 0 <= line_of_cursor(app) < 20


async def test_enter_opens_the_model_under_the_cursor_and_escape_comes_back(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "enter")
        assert getattr(app.screen, "model_id", None) == identifier("model", 1)
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)
        assert current_id(app) == identifier("model", 1)


async def test_a_click_moves_the_cursor_and_a_double_click_opens(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.click(ModelTable, offset=(10, 4))
        assert current_id(app) == identifier("model", 3)
        await pilot.click(ModelTable, offset=(10, 5), times=2)
        assert getattr(app.screen, "model_id", None) == identifier("model", 4)


async def test_a_click_on_a_heading_sorts_by_it_and_again_turns_it_around(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        heading = screen_text(app).splitlines()[1].index("Cost")
        await pilot.click(ModelTable, offset=(heading, 0))
        assert "↓Cost" in screen_text(app)
        await pilot.press("g")
        assert current_id(app) == identifier("model", 36)
        await pilot.click(ModelTable, offset=(heading, 0))
        assert "↑Cost" in screen_text(app)
        await pilot.press("g")
        assert current_id(app) == identifier("model", 0)


async def test_the_wheel_scrolls_without_moving_the_cursor(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        top = table(app).scroll_offset.y
        table(app).action_scroll_down()
        await until(pilot, lambda: table(app).scroll_offset.y > top)
        assert current_id(app) == identifier("model", 0)


async def test_the_list_follows_every_letter_of_a_search(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", "s", "q", "l")
        assert "8 of 37 models" in screen_text(app)
        assert set(shown_names(app)) == {"SQL Assistant - 2"}
        await pilot.press("space", "x", "x")
        assert "No matching models" in screen_text(app)


async def test_escape_is_offered_while_it_clears_something_and_says_what(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        assert "Clear" not in screen_text(app).splitlines()[-1]
        await pilot.press("slash", *"xxx", "enter")
        await until(pilot, lambda: "esc clears the search" in screen_text(app))
        assert "esc Clear" in screen_text(app).splitlines()[-1]
        await pilot.press("f", "5", "enter")
        hint = "esc clears the search, again the filters"
        await until(pilot, lambda: hint in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "5 stars" in screen_text(app))
        assert "esc Clear" in screen_text(app).splitlines()[-1]
        await pilot.press("escape")
        await until(pilot, lambda: "Clear" not in screen_text(app).splitlines()[-1])
        await pilot.press("space")
        await until(pilot, lambda: "esc Clear" in screen_text(app).splitlines()[-1])


async def test_enter_keeps_a_search_and_letters_are_commands_again(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", "s", "q", "l", "enter", "j")
        assert "8 of 37 models" in screen_text(app)
        assert table(app).has_focus
        assert current_id(app) == identifier("model", 6)


async def type_at_once(app: LoraTuiApp, *keys: str) -> None:
    """What a slow line does: each key arrives while those before it are still on their way."""
    for key in keys:
        app.post_message(events.Key(key, key if len(key) == 1 else None))
        await asyncio.sleep(0)


async def test_letters_typed_fast_behind_the_slash_are_searched_for_and_are_no_commands(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await type_at_once(app, "j", "slash", *"radiosdq", "backspace", "backspace", "backspace")
        await until(pilot, lambda: isinstance(app.focused, SearchInput))
        assert app.screen.query_one(SearchInput).value == "radio"
        assert "7 of 37 models" in screen_text(app)
        assert set(shown_names(app)) == {"Radiology Reports"}
        assert writers.asked == []
        await type_at_once(app, *"logyd")
        await until(pilot, lambda: "No matching models" in screen_text(app))
        assert app.screen.query_one(SearchInput).value == "radiologyd"
        assert writers.asked == []


async def test_a_search_that_starts_while_the_last_one_is_cleared_keeps_its_letters(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", *"zzz", "enter")
        await until(pilot, lambda: "No matching models" in screen_text(app))
        for key in ("escape", "r", "slash", *"q1 quick"):  # all are there before one is looked at
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: isinstance(app.focused, SearchInput))
        await until(pilot, lambda: app.screen.query_one(SearchInput).value == "q1 quick")
        assert app.is_running
        assert not app._exit


async def test_a_letter_that_was_still_on_its_way_through_the_list_is_searched_for(
    library: Library, open_app: Open
) -> None:
    library.fill(count=3)
    app = open_app()
    async with app.run_test() as pilot:
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(app.focused, SearchInput))
        late = events.Key("q", "q")  # in the list it would quit
        late._set_forwarded()
        app.screen.query_one("#body").post_message(late)
        await until(pilot, lambda: app.screen.query_one(SearchInput).value == "q")
        await pilot.press("x")
        assert app.screen.query_one(SearchInput).value == "qx"


async def test_a_whole_search_in_one_burst_ends_in_the_list_that_it_leaves(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await type_at_once(app, "slash", *"sql", "enter", "j", "d")
        await until(pilot, lambda: bool(writers.asked))
        assert writers.asked == [("download", identifier("model", 6))]
        assert table(app).has_focus
        assert "8 of 37 models" in screen_text(app)


async def test_escape_clears_a_search_and_then_leaves_it(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", "s", "q", "l", "escape")
        assert "37 models" in screen_text(app)
        assert not table(app).has_focus
        await pilot.press("escape")
        assert table(app).has_focus


async def test_escape_in_the_list_clears_a_kept_search(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", "z", "z", "enter", "escape")
        assert "No matching models" not in screen_text(app)
        assert "37 models" in screen_text(app)


async def test_the_sort_menu_sorts_and_the_heading_says_so(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("s", "j", "enter")
        assert "Rating↓" in screen_text(app)
        assert "Rating, best first" in screen_text(app)
        await pilot.press("g")
        assert current_id(app) == identifier("model", 0)
        await pilot.press("j")
        assert current_id(app) == identifier("model", 5)
        await pilot.press("S", "g")
        assert "Rating↑" in screen_text(app)
        assert current_id(app) == identifier("model", 4)


@pytest.mark.parametrize("sort", list(Sort))
async def test_the_cursor_stays_on_its_model_whatever_the_order(
    library: Library, open_app: Open, sort: Sort
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("pagedown", "j", "j")
        before = current_id(app)
        app.screen.post_message(ModelTable.SortChosen(sort))
        await pilot.pause()
        await pilot.press("S")
        assert current_id(app) == before
        assert 0 <= line_of_cursor(app) < 20


async def test_the_cursor_and_its_line_stay_when_models_arrive_above(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("G", "k", "k")
        before, line = current_id(app), line_of_cursor(app)
        library.put_models(
            *(model_row(100 + n, created_at="2026-11-23T11:00:00+00:00") for n in range(5))
        )
        await until(pilot, lambda: table(app).total == 42)
        assert current_id(app) == before
        assert line_of_cursor(app) == line


async def test_a_new_model_is_seen_at_once_at_the_top_of_the_list(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        newest = model_row(100, name="Fresh", created_at="2026-11-23T11:00:00+00:00")
        library.put_models(newest)
        await until(pilot, lambda: "Fresh" in screen_text(app))
        assert shown_names(app)[0] == "Fresh"
        assert current_id(app) == identifier("model", 0)


async def test_the_cursor_moves_to_a_neighbour_when_its_model_is_deleted(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("G")
        library.delete_models(36, 35)
        await until(pilot, lambda: table(app).total == 35)
        assert current_id(app) == identifier("model", 34)


async def test_space_marks_a_model_and_goes_on_to_the_next(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space")
        assert table(app).marked == {identifier("model", 0), identifier("model", 1)}
        assert "2 marked" in screen_text(app)
        assert screen_text(app).splitlines()[2][1] == "●"
        await pilot.press("escape")
        assert "marked" not in screen_text(app)


async def test_y_copies_the_id_of_the_model(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "y")
        assert app.clipboard == identifier("model", 1)


async def test_d_downloads_the_model_under_the_cursor(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "d")
        await app.workers.wait_for_complete()
        assert writers.asked == [("download", identifier("model", 1))]


@pytest.mark.slow
async def test_a_list_of_ten_thousand_reads_only_what_is_on_the_screen(
    library: Library, open_app: Open
) -> None:
    library.fill(count=1)
    row = model_row(0)
    library.put_models(
        *({**row, "id": identifier("model", n), "name": f"Model {n:05}"} for n in range(10_000)),
        curves=False,
    )
    app = open_app()
    asked: list[tuple[int, int]] = []
    async with app.run_test(size=SIZE) as pilot:
        fetch = table(app).rows.fetch
        table(app).rows.fetch = lambda offset, limit: (
            asked.append((offset, limit))
            or fetch(  # type: ignore[func-returns-value]
                offset, limit
            )
        )
        await pilot.press("G")
        assert table(app).cursor == 9_999
        assert sum(limit for _, limit in asked) <= 256


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (60, 15), (101, 20)])
async def test_hostile_names_neither_break_the_lines_nor_reach_the_terminal(
    library: Library, open_app: Open, size: tuple[int, int]
) -> None:
    library.fill(count=1)
    library.put_models(
        *(model_row(1 + index, name=name) for index, name in enumerate(HOSTILE_NAMES))
    )
    app = open_app()
    async with app.run_test(size=size):
        text = screen_text(app)
        assert all(cell_len(line) == size[0] for line in text.splitlines())
        assert "[red]" in text
        assert all(character.isprintable() for character in text.replace("\n", ""))
        column = {line.index("$") for line in text.splitlines() if "$" in line and line.isascii()}
        assert len(column) <= 2


@pytest.mark.slow
async def test_ascii_mode_shows_nothing_but_ascii(library: Library, open_app: Open) -> None:
    library.fill(count=5)
    library.put_models(
        *(model_row(5 + index, name=name) for index, name in enumerate(HOSTILE_NAMES))
    )
    library.put_state(error="No answer – “timeout”")
    app = open_app(ascii_only=True)
    async with app.run_test(size=SIZE) as pilot:
        for keys in (("space",), ("s",), ("escape", "f"), ("escape", "slash", "z", "z", "enter")):
            await pilot.press(*keys)
            assert screen_text(app).isascii(), screen_text(app)


async def test_an_unrated_model_has_dashes_where_nothing_is_known(
    library: Library, open_app: Open
) -> None:
    library.fill(count=0)
    library.put_models(
        model_row(
            0, quality_metrics=None, training_summary=None, configuration=None, dataset_id=None
        )
    )
    app = open_app()
    async with app.run_test(size=(120, 24)):
        line = screen_text(app).splitlines()[2]
        assert "unknown" in line
        assert line.count("–") >= 3


async def test_an_empty_cache_says_what_to_do_next(library: Library, open_app: Open) -> None:
    library.put_state()
    app = open_app()
    async with app.run_test(size=SIZE):
        assert "No models yet" in screen_text(app)
        assert "--harvest --once" in screen_text(app)
        assert "Download" not in screen_text(app)


async def test_a_cache_that_was_never_synced_says_how_to_sync(
    library: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=SIZE):
        assert "Never synced" in screen_text(app)
        assert "r fetches your models" in screen_text(app)
        assert "never synced" in screen_text(app)


async def test_a_rebuilt_cache_says_that_it_needs_a_sync(library: Library, open_app: Open) -> None:
    with closing(open_cache(library.path)) as db, transaction(db):
        metadata.put_value(db, metadata.REBUILT, "5")
    app = open_app()
    async with app.run_test(size=SIZE):
        text = screen_text(app)
        assert "The cache needs a sync" in text
        assert "downloads are kept" in text
        assert "r fetches your models" in text
        assert "never synced" not in text.lower()


async def test_the_first_sync_says_that_models_are_on_their_way(
    library: Library, open_app: Open
) -> None:
    library.put_state(synced=None, running=True)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        assert "Fetching your models" in screen_text(app)
        assert screen_text(app).count("━━━") > 10, "placeholders of the lines to come"
        await pilot.press("v")
        assert screen_text(app).count("━━━") > 10, "of the cards"
        await pilot.press("v")
        library.fill(count=3)
        await until(pilot, lambda: "3 models" in screen_text(app))
        assert "Fetching your models" not in screen_text(app)
        assert "━━━" not in screen_text(app)


async def test_offline_the_list_stays_with_its_age_and_the_reason(
    library: Library, open_app: Open
) -> None:
    library.fill()
    library.put_state(error="No answer from the backend")
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        text = screen_text(app)
        assert "Offline" in text
        assert "5 min ago" in text
        assert "No answer from the backend" in text
        assert len(shown_names(app)) == 19
        library.put_state()
        await until(pilot, lambda: "Offline" not in screen_text(app))


@pytest.mark.parametrize(
    ("error_kind", "words"),
    [
        (SyncErrorKind.LOGIN, "Session expired"),
        (SyncErrorKind.DENIED, "Access denied"),
        (SyncErrorKind.OTHER, "Sync failed"),
    ],
)
async def test_only_a_backend_that_does_not_answer_is_called_offline(
    library: Library, open_app: Open, error_kind: SyncErrorKind, words: str
) -> None:
    library.fill()
    library.put_state(error="The reason", error_kind=error_kind)
    app = open_app()
    async with app.run_test(size=(100, 24)):
        text = screen_text(app)
        assert words in text.splitlines()[1]
        assert "The reason" in text
        assert words.lower() in text.splitlines()[-2]
        assert "offline" not in text.lower()


async def test_the_cache_of_another_account_is_not_opened(library: Library, open_app: Open) -> None:
    open_app(owner=Owner("alice", "https://one.example"))
    with pytest.raises(CacheError, match="another account"):
        open_app(owner=Owner("bob", "https://one.example"))


async def test_a_terminal_that_is_too_small_says_so_and_how_to_quit(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(39, 20)) as pilot:
        await until(pilot, lambda: "too small" in screen_text(app))
        words = [line.strip() for line in screen_text(app).splitlines() if line.strip()]
        assert words == ["Terminal too small", "40 x 10 needed, now 39 x 20", "q quits"]
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "37 models" in screen_text(app))
        await pilot.resize_terminal(80, 9)
        await until(pilot, lambda: "40 x 10 needed" in screen_text(app))


@pytest.mark.slow
async def test_any_size_is_drawn_without_a_crash(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("G")
        for size in ((1, 1), (300, 3), (60, 15), (99, 40), (103, 40), (250, 80), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: tuple(app.size) == size)  # type: ignore[misc]
            assert all(cell_len(line) <= size[0] for line in screen_text(app).splitlines())
        assert current_id(app) == identifier("model", 36)
        assert 0 <= line_of_cursor(app) < 20


def test_the_test_curves_are_not_all_alike() -> None:
    assert curve(4)[-1].training_loss > curve(0)[-1].training_loss + 1
    assert NOW.tzinfo is not None
