"""Work of the engine that nobody waits for: one thread of the lowest priority for each kind."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from sqlite3 import Connection
from typing import Final

from lora_tui.errors import CancelledError, LoraTuiError

_LOWEST_PRIORITY: Final = 19
_log: Final = logging.getLogger("lora_tui.engine")


class IdleWork:
    """Work on the cache, done by one thread at a time."""

    def __init__(
        self,
        name: str,
        work: Callable[[Connection, Callable[[], None]], None],
        cache: Callable[[], AbstractContextManager[Connection]],
    ) -> None:
        """`cache` opens the cache. `work` calls its second argument often, which may raise."""
        self._name, self._work, self._cache = name, work, cache
        self._stop = threading.Event()
        self._lock = threading.Lock()
        """Guards the fields below."""
        self._thread: threading.Thread | None = None
        self._again = False

    def start(self) -> None:
        """Look for work; returns at once. Once more later, if it is at work."""
        with self._lock:
            self._again = True
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Stop soon; what is missing is done after the next start."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until it has nothing more to do."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        with suppress(OSError, AttributeError):  # threads have a priority of their own on Linux
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        while True:
            with self._lock:
                if not self._again or self._stop.is_set():
                    self._thread = None
                    return
                self._again = False
            try:
                with self._cache() as db:
                    self._work(db, self._check_stop)
            except CancelledError:
                continue
            except Exception as error:  # tried again when it is started again
                if not self._stop.is_set():  # else the engine ends, and closes connections under us
                    cause = error if isinstance(error, LoraTuiError) else type(error).__name__
                    _log.warning("%s: not done: %s", self._name, cause)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise CancelledError("The application is ending")
