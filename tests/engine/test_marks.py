"""The engine writes one's own marks for the screens, and follows the file while nobody asks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.account.sessions import cache_owner
from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache
from lora_tui.cache.own_marks import get_marks
from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.engine.writers import Writers
from lora_tui.errors import CacheError, UsageError
from lora_tui.marks.changes import change_tags
from lora_tui.marks.file import MarksFile
from tests.engine.profile_engine import writers_of
from tests.pseudo_terminal import PATIENCE
from tests.tui.library import USER

URL = "http://127.0.0.1:9"


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    paths = Paths(tmp_path / "config.toml", tmp_path / "cache", tmp_path / "state", tmp_path)
    profile = Profile("test", paths, URL, "anon")
    open_cache(profile.cache_path(USER), cache_owner(profile, USER)).close()
    return profile


@pytest.fixture
def writers(profile: Profile) -> Iterator[Writers]:
    """Offline, as all that marks need."""
    with closing(writers_of(profile, USER, connect=None)) as made:
        yield made


def test_what_a_screen_asks_for_is_in_the_file_and_in_the_cache(
    profile: Profile, writers: Writers
) -> None:
    assert writers.toggle_favorite({"m1": "One", "m2": "Two"}) == (True, 2)
    assert writers.toggle_favorite({"m2": "Two"}) == (False, 1)
    writers.change_tags({"m1": "One"}, add=["a"])
    writers.set_note("m1", "One", "text", before="")
    writers.move_alias("production", "m1", "One", before="")
    with pytest.raises(CacheError, match="it names One"):
        writers.move_alias("production", "m2", "Two", before="")
    with pytest.raises(CacheError, match="it names One"):
        writers.remove_alias("production", before="m2")
    with pytest.raises(CacheError):
        writers.set_note("m1", "One", "other", before="another")
    with pytest.raises(UsageError):
        writers.change_tags({"m1": "One"}, add=["not a tag"])
    marks = MarksFile(profile.marks_path(USER), print).read().marks
    with closing(open_cache(profile.cache_path(USER))) as db:
        assert get_marks(db, "m1") == (True, ("a",), "text", ("production",))
    assert marks.models.keys() == {"m1"}
    writers.remove_alias("production", before="m1")
    assert MarksFile(profile.marks_path(USER), print).read().marks.current("production") is None


def test_a_file_that_another_program_changes_reaches_the_open_screens(
    profile: Profile, writers: Writers
) -> None:
    file = MarksFile(profile.marks_path(USER), print)
    with file.changing() as marks:  # while nothing ran
        change_tags(marks, {"m1": "One"}, add=["before"])
    said: list[str] = []
    told = threading.Event()

    def tell(sentence: str) -> None:
        said.append(sentence)
        told.set()

    writers.on_marks = tell
    with closing(open_cache(profile.cache_path(USER))) as screen:
        feed, wait = ChangeFeed(screen), threading.Event()
        writers.start()
        while Topic.MARKS not in feed.poll():
            wait.wait(0.02)
        assert get_marks(screen, "m1").tags == ("before",)
        with file.changing() as marks:
            change_tags(marks, {"m1": "One"}, add=["pulled"])
        while Topic.MARKS not in feed.poll():
            wait.wait(0.02)
        assert get_marks(screen, "m1").tags == ("before", "pulled")
        file.path.write_text('{"lora_tui_marks": 9}')
        assert told.wait(PATIENCE)
        assert "newer lora-tui" in said[0]
        assert str(file.path) in said[0]
        assert get_marks(screen, "m1").tags == ("before", "pulled")
