"""The workers of the download queue in this process.

Several processes share one queue: a token marks the files of each (queue_owner.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic, publish
from lora_tui.cache.connection import open_cache, transaction, translate_database_errors
from lora_tui.cache.downloaded import put_downloaded
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import require_model
from lora_tui.cache.transfer_queue import (
    ACTIVE,
    Transfer,
    TransferState,
    active_transfers,
    get_transfer,
    transfers_of,
)
from lora_tui.config.table import PARALLEL_DOWNLOADS
from lora_tui.domain import Model
from lora_tui.errors import (
    CancelledError,
    InUseError,
    LoraTuiError,
    error_of_kind,
    kind_name,
    unexpected_error,
)
from lora_tui.processes import LockHolder
from lora_tui.transfers.fetch_bytes import FetchOptions
from lora_tui.transfers.fetch_file import fetch_file
from lora_tui.transfers.kept_connections import KeptConnections
from lora_tui.transfers.links import Links
from lora_tui.transfers.queue_owner import QueueOwner
from lora_tui.transfers.rate import RateLimit
from lora_tui.transfers.waiting import WATCH_SECONDS, QueueWatch

_SHORT_CONNECTIONS: Final = 4
"""Connections to the cache that are open at once for short blocks."""
_POLL_SECONDS: Final = 0.1
"""Seconds between two looks at a file that waits for its next attempt."""
_SMALL_FACTOR: Final = 4
_SMALL: Final = 4 << 20
"""Bytes."""
_SMALL_ENDINGS: Final = (".json", ".txt", ".md", ".jinja", ".model")
"""Of files that are usually small, for those whose size is not known."""


@dataclass(frozen=True)
class RunnerOptions:
    """Callbacks and limits of the runner."""

    sign: Callable[[str], str] = field(repr=False)
    """Object path → signed URL. Raises NotFoundError if there is no such object."""
    delay: Callable[[int, str | None], float | None]
    """The retry policy: seconds to wait after the n-th failure in a row (from 1), given the
    server's Retry-After; None to give up."""
    sign_many: Callable[[Sequence[str]], Mapping[str, str | LoraTuiError]] = field(
        default=lambda _paths: {}, repr=False
    )
    """Object paths → signed URLs, by one request; those it leaves out are signed one by one."""
    host: str = ""
    """The URL of the host of the signed URLs, to connect to it while they are made."""
    etag_of: Callable[[str], str | None] = lambda _path: None
    """Object path → its current ETag; None if the storage does not tell."""
    files_at_once: int = PARALLEL_DOWNLOADS
    """Of files that are not small; see `small_at_once`."""
    connections: int = 8
    """The maximum for one file."""
    limit: RateLimit | None = None
    stall_seconds: float = 20.0
    check_unused: Callable[[Path], None] = lambda _directory: None
    """Raises for a directory that a server has loaded, as `deployments/holders.py` does."""

    @property
    def small_at_once(self) -> int:
        """Files at once if they are small: each of them waits longer than it takes to arrive."""
        return 1 if self.files_at_once == 1 else _SMALL_FACTOR * self.files_at_once


class Runner:
    """The queue's workers in this process. Every method may be called from any thread."""

    def __init__(
        self, cache_path: Path, tools: RunnerOptions, cache_owner: Owner | None = None
    ) -> None:
        """`cache_owner`: the required owner of the cache."""
        self._cache_path, self._cache_owner = cache_path, cache_owner
        self._tools = tools
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._owner: QueueOwner | None = None
        self._workers: list[threading.Thread] = []
        self._large = 0
        """How many workers fetch a file that is not small, or look for one."""
        self._links = Links(tools.sign, tools.sign_many)
        self._kept = KeptConnections(stall_seconds=tools.stall_seconds)
        self._wanted: set[int] = set()
        self._unreleased: set[int] = set()
        """Rows that could not be released in the cache."""
        self._everything = False
        self._errors: dict[int, LoraTuiError] = {}
        """Errors of this process, with details and remedy, which the cache does not keep."""
        self._broken: LoraTuiError | None = None
        """The error of a worker that could not write to the cache."""
        self._few = threading.BoundedSemaphore(_SHORT_CONNECTIONS)
        """Held while a connection is open for a short block, which has no other one in it."""
        self._waiting = QueueWatch(
            self._opened_cache,
            self._own,
            spawn_workers=self._spawn_workers,
            recover=self.recover,
        )

    @contextmanager
    def cache(self) -> Iterator[Connection]:
        """A connection to the cache that holds the queue, for the time of a short block.

        Where many downloads are asked for at once, they take turns: SQLite keeps the descriptor of
        a closed connection as long as another one of the process is open.
        """
        with self._few, self._opened_cache() as db:
            yield db

    @contextmanager
    def _opened_cache(self) -> Iterator[Connection]:
        with translate_database_errors(self._cache_path), closing(self._open_cache()) as db:
            yield db

    def _open_cache(self) -> Connection:
        return open_cache(self._cache_path, self._cache_owner)

    def prepare(self, paths: Sequence[str]) -> None:
        """Have the links of objects made while their files are queued; returns at once."""
        if paths:
            self._links.request(paths[0], lambda: paths)

    def start(self, ids: Collection[int] | None = None) -> None:
        """Fetch these files; None: everything that is queued, now and later."""
        with self._lock:
            self._broken = None
            if ids is not None:
                self._wanted.update(ids)
            elif not self._everything:
                self._everything = True
                threading.Thread(target=self._watch, name="queue", daemon=True).start()
        self._spawn_workers()

    def _watch(self) -> None:
        """Search regularly for files that other processes queued, or claimed before they died."""
        while not self._stop.wait(WATCH_SECONDS):
            with suppress(LoraTuiError):  # a cache that is busy or gone: tried again
                self.recover()
                self._spawn_workers()

    def recover(self) -> None:
        """Queue the files again that a dead process or a failed worker had claimed."""
        own = self._own()
        with self._few, closing(self._open_cache()) as db:
            dead = [owner for owner in queue.owners(db) if not own.is_alive(owner)]
            left = list(self._unreleased)
            if dead or left:
                with transaction(db, Topic.TRANSFERS):
                    for owner in dead:
                        queue.release_all(db, owner)
                    for number in left:
                        queue.release(db, number, own.token)
                self._unreleased.difference_update(left)

    def wait_for(
        self,
        ids: Collection[int],
        on_change: Callable[[Transfer], None] | None = None,
        on_held: Callable[[Transfer, LockHolder], None] | None = None,
    ) -> list[Transfer]:
        """Wait until none of these files is active, in this process or another.

        Does not wait for a file of another process that is suspended or has stalled: the row
        stays active, and `error_of` returns an error that names the process. `on_change` is
        called in this thread for each change of a row, `on_held` once for each file that
        another process has claimed.
        """
        seen: dict[int, Transfer] = {}
        holders: dict[int, str] = {}
        with self._waiting.waiting(ids) as next_look:
            while True:
                if self._broken is not None:
                    raise self._broken
                look = next_look()
                rows = [look.rows[number] for number in ids if number in look.rows]
                for row in rows:
                    if on_change is not None and seen.get(row.id) != row:
                        on_change(row)
                    owner = look.owners.get(row.id) if row.state in ACTIVE else None
                    if on_held is not None and owner is not None and holders.get(row.id) != owner:
                        on_held(row, self._own().process_of(owner))
                    holders[row.id] = owner or ""
                seen = {row.id: row for row in rows}
                if all(row.state not in ACTIVE or row.id in look.stalled for row in rows):
                    self._errors.update(look.stalled)
                    return rows

    def error_of(self, row: Transfer) -> LoraTuiError:
        """The error of a failed file."""
        known = self._errors.get(row.id)
        if known is not None and (str(known) == row.error or isinstance(known, InUseError)):
            return known
        return error_of_kind(row.error_kind, row.error or "")

    def close(self) -> None:
        """Stop all workers; their files are queued again for the next start."""
        self._stop.set()
        self._waiting.close()
        for worker in list(self._workers):
            worker.join(timeout=5.0)
        self._kept.close()
        with self._lock:
            if self._owner is not None:
                self._owner.close()
                self._owner = None

    def _own(self) -> QueueOwner:
        with self._lock:
            if self._owner is None:
                self._owner = QueueOwner(self._cache_path)
            return self._owner

    def _spawn_workers(self) -> None:
        """Start workers, up to the limits and the number of queued files."""
        if self._stop.is_set() or self._room() <= 0:
            return
        owner = self._own()
        with self._few, closing(self._open_cache()) as db:
            queued = [row for row in self._active(db) if row.state is TransferState.QUEUED]
        small = sum(map(_is_small, queued))
        with self._lock:
            self._workers = [worker for worker in self._workers if worker.is_alive()]
            large = min(len(queued) - small, self._tools.files_at_once - self._large)
            for _ in range(min(self._room(), small + max(0, large))):
                if self._stop.is_set():
                    return
                worker = threading.Thread(
                    target=self._worker_main, args=(owner.token,), name="transfers", daemon=True
                )
                self._workers.append(worker)
                worker.start()

    def _room(self) -> int:
        """How many workers may be started now."""
        return self._tools.small_at_once - sum(worker.is_alive() for worker in self._workers)

    def _active(self, db: Connection) -> list[Transfer]:
        """The files that this process fetches, or will, in order."""
        return [row for row in active_transfers(db) if self._is_wanted(row.id)]

    def _is_wanted(self, transfer_id: int) -> bool:
        return self._everything or transfer_id in self._wanted

    def _worker_main(self, owner: str) -> None:
        try:
            self._work(owner)
        except LoraTuiError as error:
            self._broken = error
            self._waiting.fail(error)

    def _work(self, owner: str) -> None:
        """Process queued files until there is none."""
        with closing(self._open_cache()) as db:
            while not self._stop.is_set():
                with self._claimed(db, owner) as row:
                    if row is None:
                        break
                    try:
                        self._process(db, row, owner)
                    finally:
                        self._release(db, row, owner)
        with self._lock:
            others = any(
                worker.is_alive() and worker is not threading.current_thread()
                for worker in self._workers
            )
        if not others:
            self._kept.close()

    @contextmanager
    def _claimed(self, db: Connection, owner: str) -> Iterator[Transfer | None]:
        """The next file for this worker: a small one if enough others are in hand."""
        with self._lock:
            counted = self._large < self._tools.files_at_once
            self._large += counted
        try:
            with transaction(db, Topic.TRANSFERS):
                row = queue.claim(
                    db,
                    owner,
                    None if self._everything else self._wanted,
                    lambda row: counted or _is_small(row),
                )
            if counted and (row is None or _is_small(row)):
                with self._lock:
                    self._large -= 1
                counted = False
            yield row
        finally:
            with self._lock:
                self._large -= counted

    def _release(self, db: Connection, row: Transfer, owner: str) -> None:
        try:
            with transaction(db, Topic.TRANSFERS):
                queue.release(db, row.id, owner)
        except BaseException:
            self._unreleased.add(row.id)
            raise

    def _process(self, db: Connection, row: Transfer, owner: str) -> None:
        last = (-1, -1)
        signed = False

        def sign() -> str:
            nonlocal signed
            if signed:
                self._links.discard(row.object_path)  # it was refused
            signed = True
            return self._links.get(row.object_path)

        def progress(done: int, total: int | None, retries: int) -> None:
            nonlocal last
            if self._stop.is_set():
                raise CancelledError("The download was interrupted")
            if (done, retries) == last:
                if get_transfer(db, row.id).state is TransferState.RUNNING:
                    return
                raise CancelledError("The download was stopped")
            last = (done, retries)
            report(TransferState.RUNNING, done=done, total=total, attempts=retries)

        def report(
            state: TransferState,
            *,
            done: int | None = None,
            total: int | None = None,
            attempts: int | None = None,
        ) -> None:
            with transaction(db, Topic.TRANSFERS):
                still_ours = queue.report(
                    db,
                    row.id,
                    owner,
                    state,
                    bytes_done=done,
                    bytes_total=total,
                    attempts=attempts,
                )
            if not still_ours:
                raise CancelledError("The download was stopped")

        def wait(attempt: int, retry_after: str | None) -> bool:
            seconds = self._tools.delay(attempt, retry_after)
            if seconds is None:
                return False
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if self._stop.wait(min(left, _POLL_SECONDS)):
                    break
                if get_transfer(db, row.id).state is not TransferState.RUNNING:
                    raise CancelledError("The download was stopped")
            return True

        try:
            model = require_model(db, row.model_id)
            options = FetchOptions(
                sign=sign,
                prepare=lambda: self._links.request(
                    row.object_path, lambda: [other.object_path for other in self._active(db)]
                ),
                progress=progress,
                wait=wait,
                stop=self._stop,
                connections=self._tools.connections,
                limit=self._tools.limit,
                kept=self._kept,
                host=self._tools.host,
            )
            fetched = fetch_file(
                row,
                model,
                options,
                lambda size: report(TransferState.VERIFYING, done=size, total=size),
                self._tools.etag_of,
                self._tools.check_unused,
            )
            # MODELS too: the list marks a model that is complete
            with transaction(db, Topic.TRANSFERS, Topic.MODELS):
                if queue.report(
                    db,
                    row.id,
                    owner,
                    TransferState.DONE,
                    bytes_done=fetched.size,
                    bytes_total=fetched.size,
                    sha256=fetched.sha256,
                    modified=fetched.modified,
                    checked=fetched.checked,
                ):
                    _mark_downloaded(db, model, row.target.parent)
        except CancelledError:
            return  # whoever paused or stopped it has set the state of the row
        except LoraTuiError as error:
            self._fail(db, row, owner, error)
        except Exception as error:
            self._fail(db, row, owner, unexpected_error(error))
            raise
        finally:
            self._links.discard(row.object_path)
            self._waiting.look_now()

    def _fail(self, db: Connection, row: Transfer, owner: str, error: LoraTuiError) -> None:
        self._errors[row.id] = error
        kind = kind_name(error)
        with transaction(db, Topic.TRANSFERS):
            queue.report(db, row.id, owner, TransferState.FAILED, error=str(error), error_kind=kind)


def _is_small(row: Transfer) -> bool:
    if row.bytes_total is None:
        return row.file.lower().endswith(_SMALL_ENDINGS)
    return row.bytes_total <= _SMALL


def _mark_downloaded(db: Connection, model: Model, directory: Path) -> None:
    """Mark the model as downloaded if all files are done. Call inside a transaction."""
    if queue.has_active(db, model.id):
        return
    rows = {row.file: row for row in transfers_of(db, model.id)}
    if all(
        file.name in rows
        and rows[file.name].state is TransferState.DONE
        and rows[file.name].target.parent == directory
        for file in model.files
    ):
        put_downloaded(db, model.id, directory)
        publish(db, (Topic.MODELS,))
