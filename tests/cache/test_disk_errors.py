"""Errors of the cache file are told apart and reported, and nothing is half-written."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache import metadata, models
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction, translate_database_errors
from lora_tui.cache.metadata import Owner
from lora_tui.errors import CacheError, DamagedCacheError, DiskError

ALICE = Owner("a11ce000-0000-4000-8000-000000000001", "https://one.example")
NOBODY = 65534


def row(number: int) -> dict[str, object]:
    moment = "2026-11-20T10:00:00+00:00"
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "user_id": ALICE.user_id,
        "name": f"Model {number}",
        "description": "x" * 900,
        "created_at": moment,
        "updated_at": moment,
    }


def fill(db: sqlite3.Connection, count: int) -> None:
    with transaction(db, Topic.MODELS):
        models.put_models(db, [row(number) for number in range(count)])


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that another user can reach."""
    directory = Path(tempfile.mkdtemp(prefix="lora-tui-test-"))
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o700)
    shutil.rmtree(directory)


def in_child(act: Callable[[], None], *, as_nobody: bool = False) -> str:
    """Run it in a process of its own, without the rights of root; what it raised, as text."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        said = "nothing was raised"
        try:
            if as_nobody and os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            act()
        except BaseException as error:
            said = f"{type(error).__name__}: {error} / {getattr(error, 'remedy', None)}"
            if not isinstance(error, (CacheError, DiskError)):
                said += traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(process, 0)
    return said


# Whose it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        Owner("b0b00000-0000-4000-8000-000000000002", ALICE.project),
        Owner(ALICE.user_id, "https://two.example"),
    ],
)
def test_a_cache_is_refused_to_another_user_or_project(tmp_path: Path, other: Owner) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path, ALICE)) as db:
        fill(db, 1)
    with pytest.raises(CacheError, match="another account or project") as caught:
        open_cache(path, other)
    assert not isinstance(caught.value, DamagedCacheError)
    assert "cache clear" in str(caught.value.remedy)
    with closing(open_cache(path, ALICE)) as db:
        assert metadata.get_owner(db) == ALICE
        assert models.get_row(db, str(row(0)["id"])) is not None


# Damage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["fts5: no such table: models", "no such table: temp.matches"])
def test_a_search_that_looks_like_an_error_message_is_no_damage(text: str) -> None:
    with pytest.raises(CacheError) as caught, translate_database_errors():
        raise sqlite3.OperationalError(text)
    assert not isinstance(caught.value, DamagedCacheError)


@pytest.mark.parametrize("table", ["models", "library", "generations", "marks"])
def test_a_missing_table_is_damage(tmp_path: Path, table: str) -> None:
    path = tmp_path / "cache.sqlite3"
    open_cache(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"DROP TABLE {table}")
    with pytest.raises(DamagedCacheError) as caught:
        open_cache(path)
    assert table in str(caught.value.details)


def test_tables_of_another_program_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE models (id TEXT)")
    with pytest.raises(DamagedCacheError):
        open_cache(path)


def test_garbage_in_the_file_is_detected_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        fill(db, 400)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4 // 16384 * 16384)
        file.write(b"\xde\xad\xbe\xef" * 4096 * 20)
    with (  # noqa: PT012 - it may show at the opening or at the reading
        pytest.raises(DamagedCacheError),
        translate_database_errors(path),
        closing(open_cache(path)) as db,
    ):
        for number in range(400):
            models.get_row(db, str(row(number)["id"]))
        db.execute("SELECT sum(length(row)) FROM models").fetchone()


def test_a_row_with_invalid_json_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        fill(db, 1)
        db.execute("UPDATE models SET row = substr(row, 20)")
        with pytest.raises(DamagedCacheError), translate_database_errors(path):
            models.get_row(db, str(row(0)["id"]))


# The disk ---------------------------------------------------------------------------------------


def test_a_full_disk_is_reported_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        fill(db, 3)
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(DiskError, match="full") as caught:
            fill(db, 500)
        assert "free some space" in str(caught.value.remedy)
        assert not db.in_transaction
        assert db.execute("SELECT count(*) FROM models").fetchone()[0] == 3
        db.execute("PRAGMA max_page_count = 1000000")
        fill(db, 500)
        assert db.execute("SELECT count(*) FROM models").fetchone()[0] == 500


@pytest.mark.slow
def test_an_exceeded_quota_is_reported_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db:
        fill(db, 3)

    def write() -> None:
        with closing(open_cache(path)) as db:
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
            fill(db, 5000)

    said = in_child(write)
    assert said.startswith("DiskError: The cache can't be")
    assert "full" in said
    with closing(open_cache(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("SELECT count(*) FROM models").fetchone()[0] == 3


def test_a_read_only_directory_is_reported(open_directory: Path) -> None:
    open_directory.chmod(0o555)
    said = in_child(lambda: open_cache(open_directory / "cache.sqlite3").close(), as_nobody=True)
    assert said.startswith("DiskError: The cache can't be")
    assert "LORA_TUI_HOME" in said


def test_a_read_only_file_is_reported(open_directory: Path) -> None:
    path = open_directory / "cache.sqlite3"
    open_cache(path).close()
    path.chmod(0o444)

    def write() -> None:
        with closing(open_cache(path)) as db:
            fill(db, 1)

    said = in_child(write, as_nobody=True)
    assert said.startswith("DiskError: The cache can't be")
