"""The copy of one's own marks in the cache: it follows the file, and the search finds it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lora_tui.cache import models
from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import ModelQuery, find_models, select_models
from lora_tui.cache.own_marks import ShownMarks, get_marks
from lora_tui.marks.changes import change_tags, move_alias, set_favorite, set_note
from lora_tui.marks.copy import refresh_copy
from lora_tui.marks.file import MarksFile
from tests.cache.test_models import row

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)
ONE, TWO, THREE = (row(number)["id"] for number in (1, 2, 3))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db, transaction(db, Topic.MODELS):
        models.put_models(db, [row(1, name="Support mails"), row(2, name="Legal"), row(3)])
    return path


@pytest.fixture
def db(cache: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(cache)) as connection:
        yield connection


@pytest.fixture
def file(tmp_path: Path) -> MarksFile:
    made = MarksFile(tmp_path / "marks" / "mine.json", print)
    with made.changing() as marks:
        set_favorite(marks, {ONE: "Support mails", "gone": "Gone"}, wanted=True)
        change_tags(marks, {ONE: "Support mails", TWO: "Legal"}, add=["candidate", "Kunde/Größe"])
        set_note(marks, TWO, "Legal", "Forgets greetings;\nelse 100% fine")
        move_alias(marks, "production", TWO, "Legal", NOW)
    return made


def found(db: sqlite3.Connection, search: str) -> set[str]:
    return {m.id for m in select_models(db, ModelQuery(search=search), offset=0, limit=99)}


def test_the_search_finds_words_of_tags_notes_and_aliases_together_with_those_of_names(
    db: sqlite3.Connection, file: MarksFile
) -> None:
    refresh_copy(db, file)
    for search, expected in (
        ("candidate", {ONE, TWO}),
        ("CAND supp", {ONE}),
        ("grosse", {ONE, TWO}),
        ("größe", {ONE, TWO}),
        ("kunde/gro", {ONE, TWO}),
        ("greet", {TWO}),
        ("reet", set()),
        ("legal greet prod", {TWO}),
        ("support greet", set()),
        ("@production", {TWO}),
        ("100%", {TWO}),
        (f"{ONE[:8]} cand", {ONE}),
        ("100% %", set()),
    ):
        assert found(db, search) == expected, search
    one = select_models(db, ModelQuery(search="candidate support"), offset=0, limit=9)
    assert [(m.name, m.favorite) for m in one] == [("Support mails", True)]


def test_the_copy_follows_the_file_whoever_changed_it(
    cache: Path, db: sqlite3.Connection, file: MarksFile
) -> None:
    with closing(open_cache(cache)) as screen:
        feed = ChangeFeed(screen)
        refresh_copy(db, file)
        assert feed.poll() == {Topic.MARKS}
        refresh_copy(db, file)
        os.utime(file.path, (1, 1))  # another stamp, the same marks: no screen need look
        refresh_copy(db, file)
        assert feed.poll() == frozenset()
    assert get_marks(db, TWO) == ShownMarks(
        False, ("candidate", "Kunde/Größe"), "Forgets greetings;\nelse 100% fine", ("production",)
    )
    assert [m.id for m in find_models(db, "@PRODUCTION")] == [TWO]
    text = file.path.read_text().replace(TWO, THREE)  # an editor, or git
    file.path.write_text(text)
    refresh_copy(db, file)
    assert get_marks(db, TWO) == ShownMarks()
    assert [m.id for m in find_models(db, "@production")] == [THREE]
    file.path.unlink()
    refresh_copy(db, file)
    assert get_marks(db, THREE) == ShownMarks()
    assert find_models(db, "@production") == []
