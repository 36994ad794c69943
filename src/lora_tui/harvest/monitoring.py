"""What other programs read about a running harvest: the health file and Prometheus metrics."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from lora_tui import clock
from lora_tui.errors import UsageError, missing_extra
from lora_tui.files import PUBLIC_MODE, disk_error_reason, write_file
from lora_tui.harvest.events import (
    CycleFinished,
    CycleStarted,
    Event,
    FileStored,
    JobFailed,
    JobHarvested,
    ObjectsRemoved,
    RemovalFailed,
    ResultLost,
)
from lora_tui.json_values import json_text

LEAST_SECONDS: Final = 5.0
_log: Final = logging.getLogger("lora_tui.harvest")


class HealthFile:
    """A small JSON object that is rewritten at every event; failed writes are logged.

    A probe checks its age, and `ok`, which is false while whole cycles fail.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._written = 0.0
        self._state: dict[str, Any] = {"ok": True, "last_cycle": None, "error": None}
        self._write()

    def note(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, CycleFinished):
            self._state |= {
                "ok": event.error is None,
                "error": event.error,
                "last_cycle": {
                    "finished_at": event.at,
                    "harvested": event.harvested,
                    "failed": event.failed,
                    "elsewhere": event.elsewhere,
                    "left": event.left,
                },
            }
        self._write()

    def beat(self) -> None:
        """Rewrite the file while a transfer runs."""
        if time.monotonic() - self._written >= LEAST_SECONDS:
            self._write()

    def _write(self) -> None:
        with self._lock:
            self._written = time.monotonic()
            body = {"alive_at": clock.timestamp_text(clock.now()), "pid": os.getpid()}
            try:
                write_file(self._path, json_text(body | self._state) + "\n", mode=PUBLIC_MODE)
            except OSError as error:
                _log.warning("the health file can't be written: %s", disk_error_reason(error).words)


_ADDRESS: Final = "127.0.0.1"


class Metrics:
    """Prometheus metrics on this machine's own address. Close it at the end."""

    def __init__(self, port: int) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

        registry = CollectorRegistry()
        prefix = "lora_tui_harvest"
        self._jobs = Counter(f"{prefix}_jobs", "Jobs by outcome", ["outcome"], registry=registry)
        for outcome in ("harvested", "failed", "failed_for_good", "lost"):
            self._jobs.labels(outcome)
        self._bytes = Counter(
            f"{prefix}_sent_bytes", "Bytes put into the bucket", registry=registry
        )
        self._removed = Counter(
            f"{prefix}_removed_bytes", "Bytes of deleted models removed", registry=registry
        )
        self._removals = Counter(
            f"{prefix}_removals", "Deleted models by outcome", ["outcome"], registry=registry
        )
        for outcome in ("removed", "failed"):
            self._removals.labels(outcome)
        self._cycles = Counter(
            f"{prefix}_cycles", "Cycles by outcome", ["result"], registry=registry
        )
        self._queue = Gauge(
            f"{prefix}_queue", "Jobs when the queue was last read", ["state"], registry=registry
        )
        self._success = Gauge(
            f"{prefix}_last_success_timestamp_seconds",
            "Time at which the last complete cycle ended",
            registry=registry,
        )
        try:
            self._server, self._thread = start_http_server(port, addr=_ADDRESS, registry=registry)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"The port for metrics can't be used: {getattr(error, 'strerror', 'no such port')}",
                details=f"{_ADDRESS}:{port}",
                remedy="choose another --metrics-port",
            ) from error

    @property
    def address(self) -> str:
        """The address of the server."""
        return str(self._server.server_address[0])

    def note(self, event: Event) -> None:
        """Record an event."""
        match event:
            case CycleStarted():
                self._queue.labels("waiting").set(event.waiting)
                self._queue.labels("later").set(event.later)
                self._queue.labels("dead").set(event.dead)
            case FileStored(sent=True):
                self._bytes.inc(event.size)
            case JobHarvested():
                self._jobs.labels("harvested").inc()
            case JobFailed():
                self._jobs.labels("failed_for_good" if event.permanent else "failed").inc()
            case ResultLost():
                self._jobs.labels("lost").inc()
            case ObjectsRemoved(dry_run=False):
                self._removed.inc(event.bytes)
                self._removals.labels("removed").inc()
            case RemovalFailed():
                self._removals.labels("failed").inc()
            case CycleFinished():
                self._cycles.labels("failed" if event.error else "ok").inc()
                if event.error is None:
                    self._success.set_to_current_time()

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        thread: Any = self._thread
        thread.join()


def serve_metrics(port: int) -> Metrics:
    """Serve http://127.0.0.1:PORT/metrics. Raises UsageError."""
    try:
        return Metrics(port)
    except ModuleNotFoundError as error:
        raise missing_extra("--metrics-port", str(error.name), "metrics") from error
