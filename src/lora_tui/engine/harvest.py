"""The harvest in the background of an application: one thread of the engine, off until started."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from typing import Any, Final

from lora_tui.config.table import Profile
from lora_tui.engine.protocol import HARVEST, error_document
from lora_tui.engine.server import log_unexpected
from lora_tui.engine.unexpected_errors import unexpected
from lora_tui.errors import LoraTuiError
from lora_tui.harvest.events import Event
from lora_tui.harvest.harvester import Harvester, connect, open_queue
from lora_tui.harvest.ledger import Ledger, ledger_path
from lora_tui.harvest.loop import run_forever
from lora_tui.harvest.state_use import using_state

INTERVAL: Final = 60.0
"""Seconds between two looks for new jobs."""


class BackgroundHarvest:
    """Starts and stops the harvest; its progress is in the ledger, its state in events.

    The data of an event: `running` (also while it stops), `stopping`, and `error`, a document of
    the error that ended it, or None.
    """

    def __init__(
        self,
        profile: Profile,
        tell: Callable[[str, Any], None],
        *,
        interval: float = INTERVAL,
        emit: Callable[[Event], None] = lambda _event: None,
    ) -> None:
        """`emit` takes the events of the harvest."""
        self._profile, self._tell, self._emit = profile, tell, emit
        self._interval = interval
        self._starting = threading.Lock()
        """Held while it connects: two requests at once start one harvest."""
        self._lock = threading.Lock()
        """Guards the fields below, and the order of the events."""
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        """The newest one, until it ends."""

    def start(self) -> None:
        """Start it, unless it runs. Raises ConfigError, DiskError, InUseError."""
        with self._starting:
            if self._thread is None or self._stop.is_set():
                with ExitStack() as stack:
                    stack.enter_context(using_state(self._profile, service=False))
                    harvester = stack.enter_context(closing(connect(self._profile)))
                    self._run(harvester, stack.pop_all())

    def _run(self, harvester: Harvester, resources: ExitStack) -> None:
        stop, wake = threading.Event(), threading.Event()

        def wait(seconds: float) -> bool:
            wake.wait(seconds)
            wake.clear()
            return stop.is_set()

        def run() -> None:
            failure: LoraTuiError | None = None
            try:
                with resources:
                    run_forever(
                        harvester,
                        interval=self._interval,
                        limit=None,
                        emit=self._emit,
                        stop=stop,
                        wait=wait,
                    )
            except LoraTuiError as error:
                failure = error
            except Exception as error:
                log_unexpected("the harvest", error)
                failure = unexpected(error)
            with self._lock:
                if self._stop is stop:  # else another one was started meanwhile
                    self._thread = None
                    self._tell_state(running=False, error=failure)

        thread = threading.Thread(target=run, name="harvest", daemon=True)
        with self._lock:
            thread.start()
            self._stop, self._wake, self._thread = stop, wake, thread
            self._tell_state(running=True)

    def stop(self) -> None:
        """Stop after the current file; returns at once."""
        with self._lock:
            if self._thread is not None:
                self._tell_state(running=True, stopping=True)
            self._stop.set()
            self._wake.set()

    def retry(self, job_ids: Iterable[str]) -> None:
        """Retry failed jobs, at once if it runs. Raises the error family."""
        with (
            closing(Ledger(ledger_path(self._profile))) as ledger,
            open_queue(self._profile, ledger) as queue,
        ):
            if queue is None:
                ledger.retry(job_ids)
            else:
                queue.retry(list(job_ids))
        self._wake.set()

    def _tell_state(
        self, *, running: bool, stopping: bool = False, error: LoraTuiError | None = None
    ) -> None:
        document = error_document(error) if error else None
        self._tell(HARVEST, {"running": running, "stopping": stopping, "error": document})
