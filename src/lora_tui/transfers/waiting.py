"""Waits for files of the queue: one thread looks, with one connection, for all calls that wait.

So a download that waits behind others holds no connection and no descriptor, and a thousand of them
cost the cache no more than one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from sqlite3 import Connection
from typing import Final, NamedTuple

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.transfer_queue import Transfer, TransferState, get_transfers
from lora_tui.errors import CancelledError, LoraTuiError, unexpected_error
from lora_tui.transfers.queue_owner import OtherProcesses, QueueOwner

_POLL_SECONDS: Final = 0.1
"""Seconds between two looks at the rows."""
WATCH_SECONDS: Final = 10.0
"""Seconds between two searches for files that other processes queued, or left when they died."""


class Look(NamedTuple):
    """The files that are waited for, at one moment; each mapping is by the id of the row."""

    rows: Mapping[int, Transfer]
    """Those that still exist."""
    owners: Mapping[int, str]
    """The token of each that another process has claimed."""
    stalled: Mapping[int, LoraTuiError]
    """Why it is of no use to wait longer for a file of another process."""


class _Waiting:
    """One call that waits, and what it has not read yet."""

    def __init__(self, ids: Sequence[int], lock: threading.Lock) -> None:
        self.ids = ids
        self.ready = threading.Condition(lock)
        self.look: Look | None = None
        self.error: LoraTuiError | None = None
        self._seen: object = None

    def offer(self, look: Look) -> None:
        """Wake the call if one of its files has changed."""
        seen = [
            (look.rows.get(number), look.owners.get(number), number in look.stalled)
            for number in self.ids
        ]
        if seen != self._seen:
            self._seen, self.look = seen, look
            self.ready.notify()

    def fail(self, error: LoraTuiError) -> None:
        """Have the call raise this."""
        self.error = error
        self.ready.notify()


class QueueWatch:
    """Looks while a call waits. Safe to use from any thread."""

    def __init__(
        self,
        cache: Callable[[], AbstractContextManager[Connection]],
        own: Callable[[], QueueOwner],
        *,
        spawn_workers: Callable[[], None],
        recover: Callable[[], None],
    ) -> None:
        """`cache` opens a connection for a block.

        `spawn_workers` is called while files are queued, and `recover` every WATCH_SECONDS.
        """
        self._cache, self._own = cache, own
        self._spawn_workers, self._recover = spawn_workers, recover
        self._lock = threading.Lock()
        """Guards the fields below, and what waits."""
        self._nudged = threading.Condition(self._lock)
        self._waiting: list[_Waiting] = []
        self._thread: threading.Thread | None = None
        self._is_new = self._closed = False

    @contextmanager
    def waiting(self, ids: Collection[int]) -> Iterator[Callable[[], Look]]:
        """Yield a function that returns a look at these files: at once, then after each change.

        It raises CancelledError after `close`, the error of `fail`, and CacheError.
        """
        waiting = _Waiting(list(ids), self._lock)
        with self._lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="waiting", daemon=True)
                thread.start()  # it begins with the lock
                self._thread = thread
            self._waiting.append(waiting)
            self._is_new = True
            self._nudged.notify()

        def next_look() -> Look:
            with self._lock:
                waiting.ready.wait_for(lambda: waiting.look or waiting.error or self._closed)
                if waiting.error is not None:
                    raise waiting.error
                look, waiting.look = waiting.look, None
            if look is None:
                raise CancelledError("The download was interrupted; it continues at the next start")
            return look

        try:
            yield next_look
        finally:
            with self._lock:
                self._waiting.remove(waiting)
                self._nudged.notify()

    def look_now(self) -> None:
        """Look without waiting for the next turn, because a file has ended."""
        with self._lock:
            self._is_new = True
            self._nudged.notify()

    def fail(self, error: LoraTuiError) -> None:
        """Have all calls that wait now raise this."""
        with self._lock:
            for waiting in self._waiting:
                waiting.fail(error)

    def close(self) -> None:
        """Have all calls end that wait now or later."""
        with self._lock:
            self._closed = True
            self._nudged.notify()
            for waiting in self._waiting:
                waiting.ready.notify()

    def _run(self) -> None:
        error: LoraTuiError
        try:
            with self._cache() as db:
                self._look_while_needed(db)
        except LoraTuiError as raised:
            error = raised
        except BaseException as raised:
            error = unexpected_error(raised)
        else:
            return
        with self._lock:
            self._thread = None
            for waiting in self._waiting:
                waiting.fail(error)

    def _look_while_needed(self, db: Connection) -> None:
        own = self._own()
        others = OtherProcesses(own)
        recovered_at = time.monotonic()
        rows: dict[int, Transfer] = {}
        owners: dict[int, str] = {}
        read: object = None
        while True:
            with self._lock:
                if self._closed or not self._waiting:
                    self._thread = None
                    return
                ids = {number for waiting in self._waiting for number in waiting.ids}
                self._is_new = False
            if time.monotonic() - recovered_at >= WATCH_SECONDS:
                recovered_at = time.monotonic()
                self._recover()  # the process of one of them may have died
            (version,) = db.execute("PRAGMA data_version").fetchone()
            if (version, ids) != read:
                read = (version, ids)
                rows = {row.id: row for row in get_transfers(db, ids)}
                claimed = queue.holders(db, ids).items()
                owners = {number: token for number, token in claimed if token != own.token}
            if any(row.state is TransferState.QUEUED for row in rows.values()):
                self._spawn_workers()
            look = Look(rows, owners, others.find_stalled(rows.values(), owners))
            with self._lock:
                for waiting in self._waiting:
                    if ids.issuperset(waiting.ids):  # else it came while the rows were read
                        waiting.offer(look)
                self._nudged.wait_for(lambda: self._closed or self._is_new, _POLL_SECONDS)
