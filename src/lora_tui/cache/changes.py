"""The change feed: reports which parts of the cache this or another process has changed.

Each writing transaction increments the generation of the topics that it changed. A reader reads
SQLite's `data_version`, which changes when another connection commits, and only then compares the
generations. This works for threads and for processes, and a check without changes takes
microseconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from enum import StrEnum


class Topic(StrEnum):
    """A part of the cache whose changes a screen can wait for."""

    MODELS = "models"
    DATASETS = "datasets"
    JOBS = "jobs"
    CURVES = "curves"
    NOTIFICATIONS = "notifications"
    COSTS = "costs"
    TRANSFERS = "transfers"
    WEIGHTS = "weights"
    MARKS = "marks"
    SERVERS = "servers"
    """What servers have loaded, and what was proved there."""
    SYNC = "sync"


def publish(connection: sqlite3.Connection, topics: Iterable[Topic]) -> None:
    """Increment the generation of each topic. Call inside the transaction that writes."""
    connection.executemany(
        "INSERT INTO generations (topic, n) VALUES (?, 1)"
        " ON CONFLICT (topic) DO UPDATE SET n = n + 1",
        [(topic.value,) for topic in topics],
    )


class ChangeFeed:
    """Reports what has changed since the last call of `poll`. Use it in the connection's thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._data_version = self._read_data_version()
        self._generations = self._read_generations()

    def poll(self) -> frozenset[Topic]:
        """The topics that other connections have changed since the last call."""
        data_version = self._read_data_version()
        if data_version == self._data_version:
            return frozenset()
        self._data_version = data_version
        before, self._generations = self._generations, self._read_generations()
        return frozenset(
            topic
            for topic in Topic
            if self._generations.get(topic.value) != before.get(topic.value)
        )

    def _read_data_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _read_generations(self) -> dict[str, int]:
        return dict(
            tuple(row) for row in self._connection.execute("SELECT topic, n FROM generations")
        )
