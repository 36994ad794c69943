"""Opening the cache: the file is private, and errors take one line."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache.cache_file import delete_cache
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.errors import CacheError, DamagedCacheError


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


def test_the_cache_is_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        with transaction(db):
            db.execute("INSERT INTO facts VALUES ('a', 'b')")
        assert len(list(path.parent.iterdir())) == 3
        assert modes(path.parent) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_cache_that_others_could_read_becomes_private(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    path.touch(0o644)
    open_cache(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"SQLite format 3\0" * 99])
def test_a_damaged_file_is_reported_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cache.sqlite3"
    path.write_bytes(content)
    with pytest.raises(CacheError) as caught:
        open_cache(path)
    assert "cache clear" in str(caught.value.remedy)
    assert path.read_bytes() == content


def test_a_cache_of_a_newer_version_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    open_cache(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9999")
    with pytest.raises(CacheError, match="newer"):
        open_cache(path)


def test_a_directory_in_place_of_the_cache_is_damage(tmp_path: Path) -> None:
    (tmp_path / "cache.sqlite3").mkdir()
    with pytest.raises(DamagedCacheError):
        open_cache(tmp_path / "cache.sqlite3")


def test_a_cache_that_is_emptied_while_it_is_open_is_damage_and_held_by_nobody(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        with transaction(db):
            db.execute("INSERT INTO facts VALUES ('a', 'b')")
        os.truncate(path, 0)
        with pytest.raises(DamagedCacheError) as caught:
            open_cache(path)
    assert str(path) in str(caught.value.details)
    assert "emptied" in str(caught.value.details)


def test_clearing_removes_every_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    open_cache(path).close()
    assert delete_cache(path)
    assert list(tmp_path.iterdir()) == []
    assert not delete_cache(path)
