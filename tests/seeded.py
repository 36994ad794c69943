"""Seeds sandboxes of equal settings once a run; later ones get a copy of the rows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Final

from lora_tui import clock
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.seed.fill import seed_backend
from lora_tui.sandbox.seed.seeding import SeedSettings

_MOST_MODELS: Final = 100
"""Data with more models are not kept."""
_prepared: Final[dict[tuple[int, SeedSettings, datetime], sqlite3.Connection]] = {}
_lock: Final = threading.Lock()


def seed_from_copy(
    backend: Backend, seed: int, settings: SeedSettings, now: datetime | None
) -> None:
    """`seed_backend`, run once for each seed, settings and moment."""
    moment = now or clock.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    database = backend.database
    empty = database.row("SELECT 1 FROM sqlite_master") is None
    if not empty or settings.models > _MOST_MODELS:
        seed_backend(backend, seed, settings, now)
        return
    with _lock:
        prepared = _prepared.get((seed, settings, moment))
        if prepared is not None:
            with _file_of(backend) as file:
                prepared.backup(file)
            return
        seed_backend(backend, seed, settings, moment)
        prepared = sqlite3.connect(":memory:", check_same_thread=False)
        with _file_of(backend) as file:
            file.backup(prepared)
        _prepared[seed, settings, moment] = prepared


@contextmanager
def _file_of(backend: Backend) -> Iterator[sqlite3.Connection]:
    """A second connection to the sandbox's database."""
    with closing(sqlite3.connect(backend.directory / "sandbox.sqlite3")) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection
