"""Ways to damage a cache as disks, crashes and people do, chosen by a seed."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

PAGE: Final = 4096
_SIDES: Final = ("-wal", "-shm")
_FIELDS: Final = (
    *((0, 16), (16, 2), (18, 1), (19, 1), (20, 1), (21, 3), (24, 4), (28, 4), (32, 4), (36, 4)),
    *((40, 4), (44, 4), (48, 4), (52, 4), (56, 4), (60, 4), (64, 4), (68, 4), (72, 20), (92, 8)),
)
"""Of the header: where each begins and how long it is."""

Damage = Callable[[Path, random.Random], None]


def damage(path: Path, seed: int) -> str:
    """Damage the cache at `path`, which nobody has open; says how. The same for the same seed."""
    chance = random.Random(seed)
    each = seed < len(DAMAGES) or chance.random() < 0.5
    name = sorted(DAMAGES)[seed % len(DAMAGES)] if each else "bytes"
    DAMAGES[name](path, chance)
    return f"{name} (seed {seed})"


def _bytes(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        place = chance.randrange(len(content))
        content[place] ^= chance.choice((1, 2, 4, 32, 64, 128, 255))
    path.write_bytes(content)


def _a_page(content: bytearray, chance: random.Random) -> slice:
    number = chance.randrange(1, max(2, len(content) // PAGE))
    return slice(number * PAGE, (number + 1) * PAGE)


def _on_pages(change: Callable[[bytearray, random.Random], None]) -> Damage:
    def do(path: Path, chance: random.Random) -> None:
        content = bytearray(path.read_bytes())
        change(content, chance)
        path.write_bytes(content)

    return do


def _zero(content: bytearray, chance: random.Random) -> None:
    content[_a_page(content, chance)] = bytes(PAGE)


def _garbage(content: bytearray, chance: random.Random) -> None:
    content[_a_page(content, chance)] = chance.randbytes(PAGE)


def _swap(content: bytearray, chance: random.Random) -> None:
    one, two = _a_page(content, chance), _a_page(content, chance)
    content[one], content[two] = content[two], content[one]


def _copy(content: bytearray, chance: random.Random) -> None:
    content[_a_page(content, chance)] = content[_a_page(content, chance)]


def _half_a_page(content: bytearray, chance: random.Random) -> None:
    """A write that was torn: the second half is that of another page."""
    one, two = _a_page(content, chance), _a_page(content, chance)
    content[one.start + PAGE // 2 : one.stop] = content[two.start + PAGE // 2 : two.stop]


def _append(content: bytearray, chance: random.Random) -> None:
    content += chance.randbytes(chance.choice((1, 100, PAGE, 3 * PAGE)))


def _truncate(content: bytearray, chance: random.Random) -> None:
    length = chance.choice(
        (0, 1, 50, 100, PAGE, len(content) // 2 // PAGE * PAGE, len(content) - 1)
    )
    del content[length:]


def _header(content: bytearray, chance: random.Random) -> None:
    start, length = chance.choice(_FIELDS)
    content[start : start + length] = chance.choice(
        (chance.randbytes(length), bytes(length), b"\xff" * length, b"\x02".rjust(length, b"\x00"))
    )


def _side(suffix: str) -> Damage:
    def do(path: Path, chance: random.Random) -> None:
        file = path.with_name(path.name + suffix)
        content = bytearray(file.read_bytes()) if file.exists() else bytearray()
        match chance.randrange(3):
            case 0:
                content = bytearray(chance.randbytes(chance.choice((0, 1, 32, 5000, 40_000))))
            case 1:
                content[len(content) // 2 :] = chance.randbytes(len(content) // 2 + 10)
            case _:
                with tempfile.TemporaryDirectory() as directory:
                    other = Path(directory) / "other.sqlite3"
                    with closing(sqlite3.connect(other)) as db:
                        db.execute("PRAGMA journal_mode = WAL")
                        db.execute("CREATE TABLE models (id)")
                        db.execute("INSERT INTO models VALUES ('foreign')")
                        db.commit()
                        content = bytearray(other.with_name(other.name + suffix).read_bytes())
        file.write_bytes(content)

    return do


def _instead(make: Callable[[Path], None], *suffixes: str) -> Damage:
    """Something else in the place of a file."""

    def do(path: Path, chance: random.Random) -> None:
        file = path.with_name(path.name + chance.choice(suffixes))
        file.unlink(missing_ok=True)
        make(file)

    return do


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "something").write_text("of somebody's")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:  # its path is short enough only from beside it
        before = Path.cwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _sql(*statements: str) -> Damage:
    def do(path: Path, chance: random.Random) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute(chance.choice(statements))
            db.commit()

    return do


def _another_database(path: Path, chance: random.Random) -> None:
    with closing(sqlite3.connect(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = [
            row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
    for suffix in ("", *_SIDES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db:
        for table in tables:
            if not table.startswith(("sqlite_", "models_words")):
                db.execute(f"CREATE TABLE {table} (id, name, row, key, value, moment, total)")
        db.execute(f"PRAGMA user_version = {chance.choice((0, version))}")
        db.commit()


def _mode(path: Path, chance: random.Random) -> None:
    path.chmod(chance.choice((0o000, 0o400, 0o644, 0o777)))


DAMAGES: Final[dict[str, Damage]] = {
    "bytes": _bytes,
    "a page of zeros": _on_pages(_zero),
    "a page of garbage": _on_pages(_garbage),
    "two pages swapped": _on_pages(_swap),
    "a page over another": _on_pages(_copy),
    "half a page": _on_pages(_half_a_page),
    "garbage at the end": _on_pages(_append),
    "cut off": _on_pages(_truncate),
    "a header field": _on_pages(_header),
    "the -wal": _side("-wal"),
    "the -shm": _side("-shm"),
    "a directory": _instead(_directory, "", *_SIDES),
    "a pipe": _instead(os.mkfifo, "", *_SIDES),
    "a socket": _instead(_socket, "", *_SIDES),
    "a link to itself": _instead(_loop, "", *_SIDES),
    "a directory as lock": _instead(_directory, ".lock"),
    "another database": _another_database,
    "another mode": _mode,
    "another version": _sql(
        *(f"PRAGMA user_version = {n}" for n in (0, 1, 6, -1, 99, 2**31 - 1, 16_777_216))
    ),
    "another schema": _sql(
        "UPDATE sqlite_master SET sql = replace(sql, 'TEXT', 'BLOB') WHERE name = 'jobs'",
        "UPDATE sqlite_master SET sql = sql || 'x' WHERE name = 'models_stars_desc'",
        "UPDATE sqlite_master SET rootpage = 3 WHERE name = 'models_name_asc'",
        "DELETE FROM sqlite_master WHERE name = 'models_created_at_desc'",
        "DELETE FROM sqlite_master WHERE name = 'models'",
        "DELETE FROM sqlite_master WHERE type = 'trigger'",
        "DROP TABLE marks",
        "DROP TABLE models_words",
        "DROP INDEX models_created_at_desc",
        "ALTER TABLE models DROP COLUMN description",
        "ALTER TABLE datasets ADD COLUMN more",
        "CREATE TABLE more (id)",
    ),
    "rows": _sql(
        "UPDATE models SET name = 'Another' WHERE n = 2",
        "UPDATE models SET stars = 'x', created_at = 'y' WHERE n = 1",
        "UPDATE models SET row = '[]' WHERE n = 1",
        "UPDATE models SET row = CAST(x'ff00fe' AS TEXT), name = CAST(x'80' AS TEXT) WHERE n = 1",
        "UPDATE datasets SET name = 'Another'",
        "UPDATE jobs SET row = 'null'",
        "UPDATE notifications SET row = '5'",
        "UPDATE curves SET points = '[[1]]', sparkline = '{}'",
        "UPDATE metrics SET training_loss = 'x'",
        "UPDATE model_counts SET total = total + 1",
        "UPDATE job_counts SET total = total + 1",
        "UPDATE jobs SET dataset_name = 'Another'",
        "UPDATE facts SET value = x'00ff' WHERE key = 'sync.success'",
        "UPDATE marks SET moment = 'never'",
        "UPDATE marks SET moment = '9998-01-01T00:00:00+00:00'",
        "UPDATE sums SET total = total - 1",
        "DELETE FROM models WHERE n < 3",
        "DELETE FROM sums",
        "DELETE FROM facts",
        "DELETE FROM models_words",
        "INSERT INTO models (id, row, name, created_at, updated_at)"
        " VALUES ('ghost', '{\"id\": \"ghost\"}', 'Ghost', 1, '')",
        "INSERT INTO transfers (model_id, file, object_path, target, state, bytes_done, attempts)"
        " VALUES (5, x'00', 'p', 't', 'nowhere', 'x', 0)",
        "INSERT INTO library (model_id, directory, completed_at) VALUES ('m', x'ff', 'z')",
    ),
}
"""By name; each may be done to a cache in order."""


def copy_home(home: Path, to: Path) -> Path:
    """A copy of a home with a cache; the copy's cache."""
    shutil.copytree(home, to, dirs_exist_ok=True)
    return next(file for file in (to / "cache").rglob("*.sqlite3"))
