"""The filter form takes a condition as `--where` does, and helps to write it."""

from __future__ import annotations

from contextlib import closing

from textual import events

from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_existing, transaction
from lora_tui.screens.condition_line import completed, completions, error_lines, error_of
from lora_tui.screens.models import ModelsScreen
from tests.tui.conftest import Open, screen_text, type_at_once, until
from tests.tui.library import Library


async def test_the_list_changes_as_a_condition_is_typed_and_a_wrong_word_is_marked(
    library: Library, open_app: Open
) -> None:
    library.fill()
    with closing(open_existing(library.path, None)) as db, transaction(db, Topic.MODELS):
        db.execute("UPDATE model_values SET rank = n")
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f", "shift+tab", "shift+tab", *"ran", "tab", *">= 3o")
        assert "rank >= 3o" in screen_text(app)
        assert "        ^^" in screen_text(app)
        assert "36 of 37" not in screen_text(app)
        await pilot.press("backspace", "0")
        assert "8 of 37 models" in screen_text(app)
        assert "^^" not in screen_text(app)
        assert "↓Date" not in screen_text(app)
        await pilot.press("enter")
        title, heading = screen_text(app).splitlines()[:2]
        assert "rank >= 30" in title
        assert "Rank" in heading
        await pilot.press("f", "shift+tab", "shift+tab", "left", "left", *"1", "escape")
        assert "8 of 37 models" in screen_text(app)
        await pilot.press("escape")
        assert "37 models" in screen_text(app)
        assert "Rank" not in screen_text(app).splitlines()[1]


async def test_a_condition_that_is_pasted_in_lines_or_typed_ahead_is_taken_whole(
    library: Library, open_app: Open
) -> None:
    library.fill()
    with closing(open_existing(library.path, None)) as db, transaction(db, Topic.MODELS):
        db.execute("UPDATE model_values SET rank = n")
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("f", "shift+tab", "shift+tab")
        app.post_message(events.Paste("\n rank >= 30\r\n  and rank < 32\n"))
        await until(pilot, lambda: "2 of 37 models" in screen_text(app))
        type_at_once(app, "backspace", "backspace", *"35", "enter")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        assert app.screen.list_query.where == "rank >= 30 and rank < 35"


def test_names_are_completed_where_the_cursor_is_and_not_inside_of_quotes() -> None:
    text = "rank >= 8 and best_v < 1"
    assert [each.name for each in completions(text, 20)] == [
        *("best_validation_loss", "best_validation_step"),
    ]
    assert completed(text, 20, "best_validation_loss") == (
        "rank >= 8 and best_validation_loss < 1",
        35,
    )
    assert completed("ra", 2, "rank") == ("rank ", 5)
    assert [each.name for each in completions("gap", 3)] == ["validation_gap"]
    assert completions("name ~ 'ra", 10) == []
    assert completions("rank", 4) == []
    assert len(completions("", 0)) > 20


def test_the_mark_stands_below_its_word() -> None:
    text = "charm > 3"
    error = error_of(text)
    assert error is not None
    pointer, words = error_lines(text, error, 60)
    assert pointer == "^^^^^"
    assert "charm" in words
    assert error_of("rank > 3") is error_of("  ") is None
