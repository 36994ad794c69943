"""The record of deployments: one SQLite file for all profiles and accounts of this home.

It is one file because it protects directories, which profiles may share: what a server has loaded
must not be changed by anybody (`holders_of`). Rows of an account are read by that account alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.domain.servers import Loaded, Proof, Vote
from lora_tui.errors import DiskError
from lora_tui.json_values import json_text, parse_json
from lora_tui.sqlite_file import database_error, make_private_database, use_wal

_VERSION: Final = 1
_BUSY_SECONDS: Final = 15.0
_SCHEMA: Final = """
CREATE TABLE loaded (
    owner TEXT NOT NULL, server TEXT NOT NULL, url TEXT NOT NULL, name TEXT NOT NULL,
    model_id TEXT NOT NULL, model_name TEXT NOT NULL, version TEXT NOT NULL,
    server_path TEXT NOT NULL, directory TEXT NOT NULL, loaded_at TEXT NOT NULL,
    PRIMARY KEY (owner, server, name)
);
CREATE TABLE proofs (
    owner TEXT NOT NULL, model_id TEXT NOT NULL, server TEXT NOT NULL, url TEXT NOT NULL,
    name TEXT NOT NULL, version TEXT NOT NULL, verdict TEXT NOT NULL, difference REAL,
    noise REAL NOT NULL, prompts INTEGER NOT NULL, tokens INTEGER NOT NULL, reasons TEXT NOT NULL,
    warning TEXT NOT NULL, proved_at TEXT NOT NULL,
    PRIMARY KEY (owner, model_id, server)
);
CREATE TABLE votes (
    n INTEGER PRIMARY KEY, owner TEXT NOT NULL, server TEXT NOT NULL, url TEXT NOT NULL,
    at TEXT NOT NULL, prompt TEXT NOT NULL, winner TEXT NOT NULL, contestants TEXT NOT NULL
);
"""


def record_path(paths: Paths) -> Path:
    """Where the record lies."""
    return paths.deployments_file


def owner_key(profile: Profile, user_id: str) -> str:
    """What stands for one account of one project in the record."""
    return profile.cache_path(user_id).stem


class Deployments:
    """The open record. Use it in the thread that opened it; see `open_deployments`."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path

    # What is loaded -----------------------------------------------------------------------------

    def note_loaded(self, loaded: Loaded) -> None:
        """Note it before the server is asked, so that a crash leaves the directory protected."""
        self._write("INSERT OR REPLACE INTO loaded VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", loaded)

    def forget_loaded(
        self, owner: str, server: str, name: str, *, loaded_at: str | None = None
    ) -> None:
        """The server has it no longer; nothing happens where it is not noted.

        With `loaded_at` only what was noted at that time: it may have been loaded again since.
        """
        self._write(
            "DELETE FROM loaded WHERE owner = ? AND server = ? AND name = ?"
            " AND loaded_at = coalesce(?, loaded_at)",
            (owner, server, name, loaded_at),
        )

    def forget_everywhere(self, url: str, name: str) -> None:
        """The server at this address has it no longer, whatever the server is called here."""
        self._write("DELETE FROM loaded WHERE url = ? AND name = ?", (url, name))

    def loaded(self, owner: str, *, server: str | None = None) -> list[Loaded]:
        """What this account has loaded, by server and name."""
        sql = "SELECT * FROM loaded WHERE owner = ? AND (? IS NULL OR server = ?)"
        rows = self._read(f"{sql} ORDER BY server, name", (owner, server, server))
        return [Loaded(*row) for row in rows]

    def holders_of(self, directory: Path) -> list[Loaded]:
        """What was loaded from this directory, or from one in it, by any account of this home."""
        place = str(directory.resolve())
        rows = self._read("SELECT * FROM loaded WHERE directory <> '' ORDER BY server, name", ())
        found = [Loaded(*row) for row in rows]
        return [one for one in found if one.directory == place
                or Path(place) in Path(one.directory).parents]  # fmt: skip

    # Proofs -------------------------------------------------------------------------------------

    def note_proof(self, proof: Proof) -> None:
        """Keep the newest proof of a model on a server."""
        values = (*proof[:11], json_text(list(proof.reasons)), *proof[12:])
        places = ", ".join("?" * len(values))
        self._write(f"INSERT OR REPLACE INTO proofs VALUES ({places})", values)  # noqa: S608 - only question marks

    def proofs(self, owner: str) -> list[Proof]:
        """The newest proof of each model on each server."""
        rows = self._read(
            "SELECT * FROM proofs WHERE owner = ? ORDER BY model_id, server", (owner,)
        )
        return [Proof._make((*row[:11], tuple(parse_json(row[11])), *row[12:])) for row in rows]

    # Votes --------------------------------------------------------------------------------------

    def note_vote(self, vote: Vote) -> None:
        """Keep a choice."""
        self._write(
            "INSERT INTO votes (owner, server, url, at, prompt, winner, contestants)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*vote[:6], json_text(list(vote.contestants))),
        )

    def votes(self, owner: str) -> list[Vote]:
        """All choices of this account, the oldest first."""
        sql = "SELECT owner, server, url, at, prompt, winner, contestants FROM votes"
        rows = self._read(f"{sql} WHERE owner = ? ORDER BY n", (owner,))
        return [Vote._make((*row[:6], tuple(parse_json(row[6])))) for row in rows]

    # What they share ----------------------------------------------------------------------------

    def _write(self, sql: str, values: Sequence[object]) -> None:
        with _translated(self._path), self._db:
            self._db.execute(sql, values)

    def _read(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with _translated(self._path):
            return self._db.execute(sql, values).fetchall()


@contextmanager
def open_deployments(paths: Paths) -> Iterator[Deployments]:
    """The record of this home, which is made where it is missing. Raises DiskError."""
    path = record_path(paths)
    with _translated(path):
        make_private_database(path)
        db = sqlite3.connect(path, timeout=_BUSY_SECONDS)
        with closing(db):
            use_wal(db, patience=_BUSY_SECONDS)
            _create(db, path)
            yield Deployments(db, path)


def is_recorded(paths: Paths) -> bool:
    """Whether anything was ever loaded, proved or chosen here; without opening the file."""
    return record_path(paths).exists()


def _create(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise DiskError(
            "The record of deployments was written by a newer version of lora-tui",
            details=str(path),
            remedy="upgrade lora-tui",
        )
    if version == 0:
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:  # another process may have made it meanwhile
            for statement in _SCHEMA.split(";")[:-1]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.commit()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        found = database_error(error, "The record of deployments can't be used", path)
        if found.remedy and found.remedy.startswith("move it away"):
            found.remedy = (
                "unload what your servers have, or stop them: without it the files are protected no"
                f" more. Then {found.remedy}"
            )
        raise found from error
