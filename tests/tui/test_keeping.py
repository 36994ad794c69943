"""Renaming, describing, archiving, deleting and restoring models on the screen, with undo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from sqlite3 import Connection
from typing import Any, cast

import pytest
from textual.widgets import Input, TextArea

from lora_tui.cache.connection import open_cache, open_existing, transaction
from lora_tui.cache.deleted_models import deleted_row, select_deleted, state_of
from lora_tui.cache.models import get_model, get_row
from lora_tui.cache.own_marks import put_marks
from lora_tui.cache.remote_tables import MODEL_TABLE, Tally, write_rows
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain.own_marks import AliasMove, Marks
from lora_tui.engine.keeping import KeepingWriter
from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import CacheError, LoraTuiError, NotMigratedError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.edit_name import EditNameScreen
from lora_tui.screens.edit_note import EditNoteScreen
from lora_tui.screens.keep_menu import KeepMenu
from lora_tui.screens.model import ModelScreen
from lora_tui.widgets.file_list import FileList
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import NOW, FakeWriters, Library, identifier

SIZE = (130, 40)
NEWEST, SECOND = identifier("model", 0), identifier("model", 1)


class Project:
    """Changes rows of the cache as the project and the engine would."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.refusal: LoraTuiError | None = None
        self.changes = 0
        self.changed_elsewhere: set[str] = set()

    @contextmanager
    def cache(self) -> Iterator[Connection]:
        with closing(open_existing(self.library.path)) as db:
            yield db

    def seen(self, model_id: str) -> str:
        with self.cache() as db:
            return state_of(db, model_id)

    def change_model(
        self, model_id: str, changes: Mapping[str, Any], *, seen: str = ""
    ) -> dict[str, Any]:
        if self.refusal is not None:
            raise self.refusal
        self.changes += 1
        with self.cache() as db:
            row = get_row(db, model_id) or deleted_row(db, model_id)
            assert row is not None
            if seen != state_of(db, model_id) or model_id in self.changed_elsewhere:
                raise CacheError("The model was changed elsewhere meanwhile")
            row = {key: row[key] for key in row if key not in ("dataset", "job")}
            stamp = NOW.replace(microsecond=self.changes)
            row |= {**changes, "updated_at": timestamp_text(stamp)}
            with transaction(db, MODEL_TABLE.topic):
                write_rows(db, MODEL_TABLE, [row], Tally())
        return row


class KeepingWriters(FakeWriters):
    """Does what the engine does for one's own models, in the caller's thread."""

    project: Project
    engine: KeepingWriter

    def rename_model(self, model_id: str, name: str, *, seen: str) -> None:
        self.engine.rename_model(model_id=model_id, name=name, seen=seen)

    def describe_model(self, model_id: str, text: str, *, seen: str) -> None:
        self.engine.describe_model(model_id=model_id, text=text, seen=seen)

    def keep_models(self, act: str, models: Mapping[str, str]) -> str | None:
        return self.engine.keep_models(act=act, models=models)


@pytest.fixture
def writers(library: Library) -> KeepingWriters:
    made = KeepingWriters(cache_path=library.path)
    made.project = Project(library)
    online = cast("OnlineWriters", made.project)
    made.engine = KeepingWriter(lambda: online, made.project.cache, lambda _name, _data: None)
    return made


def name_of(library: Library, model_id: str) -> str | None:
    with closing(open_cache(library.path)) as db:
        model = get_model(db, model_id)
        return None if model is None else model.name


def typed(text: str) -> list[str]:
    return ["space" if character == " " else character for character in text]


async def choose(pilot: Any, letters: str) -> None:
    """Open the menu, and choose the line with these letters."""
    await pilot.press("K")
    await until(pilot, lambda: isinstance(pilot.app.screen, KeepMenu))
    await pilot.press(*typed(letters), "enter")


async def test_a_model_is_renamed_and_described_from_the_list_and_the_menu_undoes_it(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill()
    before = name_of(library, NEWEST)
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "rename")
        await until(pilot, lambda: isinstance(app.screen, EditNameScreen))
        app.screen.query_one(Input).value = ""
        await pilot.press("enter")
        assert "1 to 200" in screen_text(app)
        await pilot.press(*typed("Support final"), "enter")
        await until(pilot, lambda: "Support final" in screen_text(app))
        assert name_of(library, NEWEST) == "Support final"
        assert any("K undoes it" in toast for toast in toasts(app))
        await choose(pilot, "undo")
        await until(pilot, lambda: name_of(library, NEWEST) == before)

        await choose(pilot, "descr")
        await until(pilot, lambda: isinstance(app.screen, EditNoteScreen))
        app.screen.query_one(TextArea).text = "for\nthe shop"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: not isinstance(app.screen, EditNoteScreen))
        with closing(open_cache(library.path)) as db:
            model = get_model(db, NEWEST)
            assert model is not None
            assert model.description == "for\nthe shop"


async def test_archived_models_are_marked_in_the_list_and_come_out_again(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill()
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "down", "space")  # two marked models
        await choose(pilot, "arch")
        await until(pilot, lambda: screen_text(app).count("(archived)") == 2)
        await pilot.press("v")  # as cards
        await until(pilot, lambda: screen_text(app).count(" archived") == 2)
        await pilot.press("v")
        await choose(pilot, "takeout")
        await until(pilot, lambda: "(archived)" not in screen_text(app))


async def test_the_undo_takes_back_only_what_it_had_changed(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill(count=3)
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "arch")
        await until(pilot, lambda: screen_text(app).count("(archived)") == 1)
        await pilot.press("space", "down", "space")  # one of the two is archived already
        await choose(pilot, "staysin")
        await until(pilot, lambda: screen_text(app).count("(archived)") == 2)
        await choose(pilot, "undo")
        await until(pilot, lambda: screen_text(app).count("(archived)") == 1)
        with closing(open_cache(library.path)) as db:
            statuses = [(get_row(db, one) or {}).get("status") for one in (NEWEST, SECOND)]
        assert statuses == ["archived", "stored"]


async def test_where_some_were_changed_elsewhere_the_undo_takes_back_the_others(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill(count=3)
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "down", "space")
        writers.project.changed_elsewhere.add(NEWEST)
        await choose(pilot, "arch")
        await until(pilot, lambda: any("as they were" in toast for toast in toasts(app)))
        assert screen_text(app).count("(archived)") == 1
        await choose(pilot, "undo")
        await until(pilot, lambda: "(archived)" not in screen_text(app))


async def test_the_page_of_a_restored_model_says_that_its_files_were_removed(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill(count=2)
    configuration = {"files_removed_at": "2026-11-20T10:00:00+00:00"}
    writers.project.change_model(
        NEWEST, {"configuration": configuration}, seen=writers.project.seen(NEWEST)
    )
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        files = app.screen.query_one(FileList)
        words = "Its files were removed from the bucket on 2026-11-20."
        await until(pilot, lambda: words in [text for line in files.lines(80) for text, _ in line])


async def test_a_deletion_is_asked_for_says_what_stays_and_is_undone(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill(count=2)
    before = name_of(library, NEWEST)
    with closing(open_cache(library.path)) as db, transaction(db):
        put_marks(db, Marks({}, {"production": (AliasMove(timestamp_text(NOW), NEWEST, "x"),)}), "")
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        await choose(pilot, "delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, lambda: "@production" in screen_text(app))
        await pilot.press("n")
        assert name_of(library, NEWEST) == before
        await choose(pilot, "delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: "This model is gone" in screen_text(app))
        with closing(open_cache(library.path)) as db:
            assert [model.id for model in select_deleted(db)] == [NEWEST]
        await choose(pilot, "undo")  # also where the model is gone
        await until(pilot, lambda: "This model is gone" not in screen_text(app))
        assert name_of(library, NEWEST) == before


async def test_the_last_model_that_was_deleted_is_restored_from_an_empty_list(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill(count=1)
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: name_of(library, NEWEST) is None)
        await until(pilot, lambda: any("deleted" in toast for toast in toasts(app)))
        app.undo = None  # as after a new start
        await choose(pilot, "restore")
        await until(pilot, lambda: isinstance(app.screen, KeepMenu))
        await pilot.press("enter")
        await until(pilot, lambda: name_of(library, NEWEST) is not None)


async def test_where_the_project_lets_nobody_change_models_the_form_says_so_and_keeps_the_text(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill()
    writers.project.refusal = NotMigratedError("The project does not let you change your models")
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "rename")
        await until(pilot, lambda: isinstance(app.screen, EditNameScreen))
        await pilot.press("x", "enter")
        await until(pilot, lambda: "does not let you" in screen_text(app))
        assert isinstance(app.screen, EditNameScreen)
        await pilot.press("escape")
        await choose(pilot, "arch")
        await until(pilot, lambda: any("lora-tui schema" in toast for toast in toasts(app)))


async def test_a_model_that_was_changed_elsewhere_is_left_as_it_is(
    library: Library, open_app: Open, writers: KeepingWriters
) -> None:
    library.fill()
    app = open_app(writers=writers)
    async with app.run_test(size=SIZE) as pilot:
        await choose(pilot, "rename")
        await until(pilot, lambda: isinstance(app.screen, EditNameScreen))
        with closing(open_cache(library.path)) as db:
            seen = state_of(db, NEWEST)
        assert parse_timestamp(seen)
        writers.project.change_model(NEWEST, {"description": "from the web"}, seen=seen)
        await pilot.press("x", "enter")
        await until(pilot, lambda: "changed elsewhere" in screen_text(app))
