"""Seeds sandboxes of equal settings once a run; later ones get a copy of the rows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from lora_tui import clock
from lora_tui.sandbox.backend import Backend
from lora_tui.sandbox.seed.fill import seed_backend
from lora_tui.sandbox.seed.seeding import SeedSettings

_MOST_MODELS: Final = 100
"""Data with more models are not kept."""
_SHORT: Final = 60
"""The most points of a run with `short_curves`."""
_prepared: Final[dict[tuple[int, SeedSettings, datetime, bool], sqlite3.Connection]] = {}
_lock: Final = threading.Lock()
_short: Final = ContextVar("short curves", default=False)


@contextmanager
def short_curves() -> Iterator[None]:
    """Sandboxes that start in this block have few points in each run.

    A run of the demo has up to 3,000, and reading them takes most of the time of a sync: tests
    that are not about curves do without.
    """
    before = _short.set(True)
    try:
        yield
    finally:
        _short.reset(before)


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
        key = (seed, settings, moment, _short.get())
        prepared = _prepared.get(key)
        if prepared is not None:
            with _file_of(backend) as file:
                prepared.backup(file)
            return
        seed_backend(backend, seed, settings, moment)
        if _short.get():
            _thin_out(backend)
        prepared = sqlite3.connect(":memory:", check_same_thread=False)
        with _file_of(backend) as file:
            file.backup(prepared)
        _prepared[key] = prepared


def _thin_out(backend: Backend) -> None:
    """Leave the first, the last and some points between of each long run."""
    backend.database.execute(
        """
        DELETE FROM metrics_points WHERE id IN (
            SELECT id FROM (
                SELECT id,
                    row_number() OVER run AS number,
                    count(*) OVER (PARTITION BY job_id) AS points
                FROM metrics_points
                WINDOW run AS (PARTITION BY job_id ORDER BY timestamp, id)
            )
            WHERE number NOT IN (1, points)
            AND number * ? / points = (number - 1) * ? / points
        )
        """,
        (_SHORT - 2, _SHORT - 2),
    )


@contextmanager
def _file_of(backend: Backend) -> Iterator[sqlite3.Connection]:
    """A second connection to the sandbox's database."""
    with closing(sqlite3.connect(backend.directory / "sandbox.sqlite3")) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection
