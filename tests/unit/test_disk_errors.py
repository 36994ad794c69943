"""What the disk refuses is said by its reason, with a remedy that fits it, wherever it happens."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.config.load import read_document
from lora_tui.errors import ConfigError, DiskError
from lora_tui.files import disk_error
from lora_tui.harvest import ledger_schema
from lora_tui.harvest.ledger import Ledger
from lora_tui.harvest.spool import Spool
from lora_tui.reports.exports import write_new_file
from lora_tui.sqlite_file import database_error
from lora_tui.transfers import part
from tests.conftest import Run

REASONS = [
    (errno.ENOSPC, "disk is full", "free some space"),
    (errno.EDQUOT, "quota", "free some space"),
    (errno.EFBIG, "larger than is allowed", "limits"),
    (errno.EACCES, "permission denied", "owner and permissions"),
    (errno.EPERM, "permission denied", "owner and permissions"),
    (errno.EROFS, "read-only", "mount"),
    (errno.ENOENT, "no such file or directory", "moved or deleted"),
    (errno.EIO, "disk fails", "look at the disk"),
    (errno.ENOTDIR, "not a directory", "move that file away"),
    (errno.EISDIR, "a directory of that name", "rename or move"),
    (errno.ENAMETOOLONG, "too long", "shorter"),
    (errno.EMFILE, "too many files are open", "ulimit -n"),
    (errno.ELOOP, "symbolic link", "remove the link"),
]


@pytest.mark.parametrize(
    ("number", "reason", "remedy"), REASONS, ids=lambda value: str(value).replace(" ", "-")
)
def test_each_reason_has_its_own_words_and_remedy(number: int, reason: str, remedy: str) -> None:
    said = disk_error(OSError(number, os.strerror(number)), "The file can't be written", "/a/b")
    assert str(said).startswith("The file can't be written: ")
    assert reason in str(said)
    assert remedy in str(said.remedy)
    assert said.details == "/a/b"
    others = {words for other, _, words in REASONS if words != remedy}
    assert not [words for words in others if words in str(said.remedy)]


@pytest.mark.parametrize(
    ("number", "helps"), [(errno.ENOSPC, True), (errno.EMFILE, False), (errno.ENOENT, False)]
)
def test_another_directory_is_suggested_only_where_it_helps(number: int, helps: bool) -> None:
    error = OSError(number, os.strerror(number))
    said = disk_error(error, "It can't be written", "/a/b", instead="use --to")
    assert str(said.remedy).endswith(", or use --to") is helps


def test_an_unlisted_reason_is_given_in_the_words_of_the_system() -> None:
    said = disk_error(OSError(errno.EXDEV, os.strerror(errno.EXDEV)), "It can't be moved")
    assert str(said) == "It can't be moved: invalid cross-device link"


@pytest.fixture
def configured(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of a machine with a configuration and an empty home."""
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "sb_publishable_x")
    return run


def refused(number: int, ending: str = "") -> Callable[..., Any]:
    """`os.open`, which fails with this number for paths that end like this."""
    real = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith(ending):
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    return refuse


def test_a_full_disk_is_not_reported_as_a_problem_of_permissions(
    configured: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_schema.os, "open", refused(errno.ENOSPC, ".sqlite3"))
    ran = configured("harvest", "status")
    assert ran.code == 1
    assert "the disk is full" in ran.err
    assert "Free some space" in ran.err
    assert "owner" not in ran.err


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "read-only"), (errno.EACCES, "permission denied")]
)
def test_other_errors_of_the_state_are_reported_with_their_own_reason(
    configured: Run, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    monkeypatch.setattr(ledger_schema.os, "open", refused(number, ".sqlite3"))
    ran = configured("harvest", "status")
    assert ran.code == 1
    assert words in ran.err


def test_a_pipe_in_the_place_of_the_state_of_the_harvest_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state.sqlite3")
    with pytest.raises(DiskError, match="of that name"):
        Ledger(tmp_path / "state.sqlite3")


def test_the_file_system_gives_the_reason_that_sqlite_does_not_report(tmp_path: Path) -> None:
    missing = tmp_path / "gone" / "state.sqlite3"
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(missing).execute("SELECT 1")
    said = database_error(caught.value, "The state can't be kept", missing)
    assert "no such file or directory" in str(said)
    in_the_way = tmp_path / "directory"
    in_the_way.mkdir()
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(in_the_way).execute("SELECT 1")
    said = database_error(caught.value, "The state can't be kept", in_the_way)
    assert "there is a directory of that name" in str(said)
    with sqlite3.connect(tmp_path / "small.sqlite3") as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as caught:
            db.executemany("INSERT INTO t VALUES (?)", [("x" * 900,)] * 20)
    said = database_error(caught.value, "The state can't be kept", tmp_path / "small.sqlite3")
    assert "the disk is full" in str(said)
    assert "free some space" in str(said.remedy)


def test_too_many_open_files_are_not_reported_as_a_problem_of_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "gone" / "state.sqlite3").execute("SELECT 1")
    monkeypatch.setattr("lora_tui.files.os.open", refused(errno.EMFILE))
    said = database_error(caught.value, "The state can't be kept", tmp_path / "state.sqlite3")
    assert "too many files are open" in str(said)
    assert "permission" not in f"{said} {said.remedy}"


def test_a_directory_that_is_deleted_midway_is_made_anew_for_the_next_file(tmp_path: Path) -> None:
    directory = tmp_path / "cache" / "harvest"
    directory.mkdir(parents=True)
    with Spool(directory) as spool:
        shutil.rmtree(tmp_path / "cache")
        spool.announce(3)
        spool.append(memoryview(b"abc"))
        spool.finish()
        assert spool.wait_for_end().size == 3
    with Spool(directory):
        assert directory.is_dir()


def test_a_file_in_the_place_of_a_directory_is_named_and_no_space_is_asked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(DiskError, match=r"not a directory|of that name") as caught:
        Spool(tmp_path / "cache" / "harvest")
    assert "free some space" not in str(caught.value.remedy)
    with pytest.raises(DiskError, match=r"not a directory|of that name"):
        write_new_file(tmp_path / "cache", "a.csv", "text")


def test_a_lack_of_space_names_the_margin_that_stays_free(tmp_path: Path) -> None:
    with (
        Spool(tmp_path) as spool,
        pytest.raises(DiskError, match="not enough space") as caught,
    ):
        spool.announce(1 << 60)
    needed = f"{(1 << 60) + (64 << 20):,} bytes are needed, incl. a margin of {64 << 20:,}"
    assert needed in str(caught.value.details)
    assert part.SPACE_MARGIN == 64 << 20


def test_a_configuration_that_can_not_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigError, match="there is a directory of that name"):
        read_document(tmp_path / "config.toml")
