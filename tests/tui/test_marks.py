"""One's own marks at the screen: keys, forms, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest
from textual.widgets import Input, TextArea

from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache, open_existing, transaction
from lora_tui.cache.own_marks import put_marks
from lora_tui.domain.own_marks import AliasMove, Marks, ModelMarks
from lora_tui.engine.marks import MarksWriter
from lora_tui.errors import DiskError
from lora_tui.marks.changes import move_alias, set_note
from lora_tui.marks.copy import refresh_copy
from lora_tui.marks.file import MarksFile
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.edit_note import EditNoteScreen
from lora_tui.screens.edit_tags import EditTagsScreen
from lora_tui.screens.leaderboard import LeaderboardScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.set_alias import SetAliasScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, identifier
from tests.tui.test_state_pictures import Compare

SIZE = (130, 40)
NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)
NEWEST, SECOND = identifier("model", 0), identifier("model", 1)


class MarkingWriters(FakeWriters):
    """Does what the engine does for marks, in the caller's thread."""

    engine: MarksWriter

    def toggle_favorite(self, models: Mapping[str, str]) -> tuple[bool, int]:
        return self.engine.toggle_favorite(models=models)

    def change_tags(
        self, models: Mapping[str, str], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        self.engine.change_tags(models=models, add=add, remove=remove)

    def set_note(self, model_id: str, name: str, text: str, *, before: str) -> None:
        self.engine.set_note(model_id=model_id, name=name, text=text, before=before)

    def move_alias(self, alias: str, model_id: str, name: str, *, before: str) -> None:
        self.engine.move_alias(alias=alias, model_id=model_id, name=name, before=before)

    def remove_alias(self, alias: str, *, before: str) -> None:
        self.engine.remove_alias(alias=alias, before=before)


@pytest.fixture
def file(tmp_path: Path) -> MarksFile:
    return MarksFile(tmp_path / "marks" / "mine.json", print)


@pytest.fixture
def writers(library: Library, file: MarksFile) -> MarkingWriters:
    @contextmanager
    def cache() -> Iterator[Connection]:
        with closing(open_existing(library.path)) as db:
            yield db

    made = MarkingWriters(cache_path=library.path)
    made.engine = MarksWriter(lambda: file.path, cache, lambda _name, _data: None)
    return made


def typed(pilot: Any, text: str) -> Any:
    return pilot.press(*("space" if character == " " else character for character in text))


async def test_keys_of_the_list_mark_and_the_page_and_the_preview_show_it(
    library: Library, open_app: Open, file: MarksFile
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("asterisk", "asterisk", "asterisk")  # quickly: each counts
        await until(pilot, lambda: "♥ " in screen_text(app))
        assert file.read().marks.models[NEWEST].favorite
        assert any("favorite" in toast for toast in toasts(app))

        await pilot.press("number_sign")
        assert isinstance(app.screen, EditTagsScreen)
        await typed(pilot, "candidate b+d")
        await pilot.press("enter")
        assert "can't be a tag" in screen_text(app)
        await pilot.press("backspace", "backspace", "backspace", "enter")
        await until(pilot, lambda: "Tags     candidate" in screen_text(app))  # the preview

        await pilot.press("down", "number_sign", "c")
        await until(pilot, lambda: bool(app.screen.query_one(Input)._suggestion))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: SECOND in file.read().marks.models)
        assert file.read().marks.models[SECOND].tags == ("candidate",)

        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, EditNoteScreen))
        await typed(pilot, "first")
        await pilot.press("escape")
        assert "again drops" in screen_text(app)
        await pilot.press("enter")
        await typed(pilot, "more")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, EditNoteScreen))
        assert file.read().marks.models[SECOND].note == "first\nmore"

        await pilot.press("at")
        await until(pilot, lambda: isinstance(app.screen, SetAliasScreen))
        await typed(pilot, "production")
        await pilot.press("enter")
        await until(pilot, lambda: file.read().marks.current("production") is not None)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        await until(pilot, lambda: "@production" in screen_text(app))
        text = screen_text(app)
        assert "Your marks" in text
        assert "more" in text

        await pilot.press("left_square_bracket", "at")  # the model above
        await until(pilot, lambda: isinstance(app.screen, SetAliasScreen))
        await typed(pilot, "PRODUCTION")
        await until(pilot, lambda: "@production names SQL" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "Move @production from" in screen_text(app))
        await pilot.press("n")
        assert file.read().marks.aliases_of(SECOND) == ["production"]
        await pilot.press("at")
        await typed(pilot, "production")
        await pilot.press("enter", "y")
        await until(pilot, lambda: file.read().marks.aliases_of(NEWEST) == ["production"])
        await pilot.press("at")
        await typed(pilot, "production")
        await pilot.press("enter", "y")
        await until(pilot, lambda: file.read().marks.aliases_of(NEWEST) == [])


async def test_several_models_that_are_marked_in_the_list_are_marked_at_once(
    library: Library, open_app: Open, file: MarksFile
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("number_sign", *"one", "enter")
        await pilot.press("space", "space", "asterisk")
        await until(pilot, lambda: len(file.read().marks.models) == 2)
        await pilot.press("number_sign")
        await until(pilot, lambda: isinstance(app.screen, EditTagsScreen))
        assert "tags of only some of them stay: one" in screen_text(app)
        await pilot.press(*"both", "enter")
        await until(pilot, lambda: "both" in file.read().marks.models[NEWEST].tags)
        marks = file.read().marks.models
        assert marks[NEWEST][1:3] == (True, ("both", "one"))
        assert marks[SECOND][1:3] == (True, ("both",))


async def test_a_note_that_another_program_changed_meanwhile_is_not_overwritten(
    library: Library, open_app: Open, file: MarksFile
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, EditNoteScreen))
        await pilot.press(*"mine")
        with file.changing() as marks:
            set_note(marks, NEWEST, "", "theirs")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "changed by another program" in screen_text(app))
        assert app.screen.query_one(TextArea).text == "mine"
        assert file.read().marks.models[NEWEST].note == "theirs"


async def test_an_alias_that_another_program_gave_away_meanwhile_stays_where_it_is(
    library: Library, open_app: Open, file: MarksFile
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("at")
        await until(pilot, lambda: isinstance(app.screen, SetAliasScreen))
        assert "@production" in screen_text(app)  # offered where there is none
        with file.changing() as marks:
            move_alias(marks, "production", SECOND, "Theirs", NOW)
        await pilot.press("tab", "enter")  # the form knows of no such alias, and asks nothing
        await until(pilot, lambda: any("it names Theirs" in toast for toast in toasts(app)))
        assert file.read().marks.aliases_of(SECOND) == ["production"]


async def test_which_of_300_runs_goes_to_production_in_seven_keys(
    library: Library, open_app: Open, file: MarksFile
) -> None:
    """The walk of docs/guide.md."""
    library.fill(300)
    with file.changing() as marks:
        move_alias(marks, "production", SECOND, "Before", NOW)
        move_alias(marks, "staging", SECOND, "Before", NOW)
    with closing(open_cache(library.path)) as db:
        refresh_copy(db, file)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:

        async def after(key: str, condition: Callable[[], bool]) -> None:
            await pilot.press(key)
            await until(pilot, condition)

        boards = LeaderboardScreen
        await after("O", lambda: isinstance(app.screen, boards) and bool(app.screen.chosen))
        await after("down", lambda: True)
        await after("enter", lambda: isinstance(app.screen, ModelScreen))
        await after("at", lambda: isinstance(app.screen, SetAliasScreen))
        await after("tab", lambda: "@production names Before" in screen_text(app))
        await after("enter", lambda: isinstance(app.screen, ConfirmScreen))
        await after("y", lambda: "production" not in file.read().marks.aliases_of(SECOND))
        assert isinstance(app.screen, ModelScreen)
        assert file.read().marks.aliases_of(app.screen.model_id) == ["production"]


async def test_what_can_not_be_written_is_said(
    library: Library, open_app: Open, writers: MarkingWriters, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill()

    def fails(**_: object) -> None:
        raise DiskError("Your marks can't be written: the disk is full", remedy="free some space")

    monkeypatch.setattr(writers.engine, "toggle_favorite", fails)
    app: LoraTuiApp = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("asterisk")
        await until(pilot, lambda: any("the disk is full" in toast for toast in toasts(app)))
        assert "♥" not in screen_text(app)


@pytest.mark.parametrize(("size", "keys"), [((80, 24), ["number_sign"]), ((160, 48), [])])
def test_picture_of_marks(
    library: Library,
    open_app: Open,
    snap_compare: Compare,
    size: tuple[int, int],
    keys: list[str],
) -> None:
    library.fill()
    note = "Forgets greetings;\nelse the best that we have for this customer."
    marks = Marks(
        {
            NEWEST: ModelMarks("x", True, ("candidate", "customer/acme"), note),
            SECOND: ModelMarks("y", True, ("candidate", "old")),
        },
        {"production": (AliasMove("2026-11-01T00:00:00+00:00", NEWEST),)},
    )
    with closing(open_cache(library.path)) as db, transaction(db):
        put_marks(db, marks, "stamp")
    assert snap_compare(open_app(), press=keys, terminal_size=size)
