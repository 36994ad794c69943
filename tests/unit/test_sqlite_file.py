"""Two programs that open a new database at the same time both get it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.sqlite_file import use_wal


def test_while_another_writes_its_first_rows_the_log_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None)) as ours,
    ):
        other.execute("BEGIN IMMEDIATE")
        use_wal(ours, patience=60, sleep=lambda _: other.execute("ROLLBACK") and None)
        assert ours.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_patience_ends(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite3"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None)) as ours,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(ours, patience=0)
