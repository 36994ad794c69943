"""Stores the files of one job in the bucket, several at once.

Small ones come first: they show other harvesters that the job is in work, and the configuration is
known when the weights have passed. What the worker has put into the bucket itself stays there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from lora_tui.adapters.config import CONFIG
from lora_tui.fetching.read_ahead import ReadAhead
from lora_tui.gateway.retry import RETRY
from lora_tui.gateway.storage import ObjectInfo, Storage
from lora_tui.harvest.artifact_rows import Identity, StoredFile
from lora_tui.harvest.attempt import Attempt, StoppedError
from lora_tui.harvest.byte_budget import Share
from lora_tui.harvest.events import FileStored, UploadVerified
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.in_bucket import Upload, find_upload
from lora_tui.harvest.lease import Lease
from lora_tui.harvest.passing_weights import PassingWeights, load_measuring
from lora_tui.harvest.receipts import Receipt, Receipts
from lora_tui.harvest.source import SourceFiles
from lora_tui.harvest.store import store_file
from lora_tui.harvest.structure import DamagedFileError

PROGRESS_SECONDS: Final = 0.5


@dataclass(frozen=True)
class StoredFiles:
    """The files of one model, all of them in the bucket."""

    files: Sequence[StoredFile]
    weights: dict[str, Any] | None
    """The summary of the weights."""
    listed: Sequence[ObjectInfo] | None = None
    """The objects in the folder, where they were listed after the last file had been stored."""


def store_files(
    attempt: Attempt, lease: Lease, found: Sequence[ObjectInfo], *, yielding: bool
) -> StoredFiles:
    """Store all files. `found`: the objects in the folder of the artifact.

    Where one file fails, the others end at once; where a stop is requested, those in hand are
    finished first. Raises the error of the first file that failed, StoppedError, LeaseLostError.
    """
    harvester, identity = attempt.harvester, attempt.identity
    receipts = attempt.receipts()
    upload = find_upload(harvester.storage, identity, found)
    files = _accept_upload(attempt, upload, receipts)
    if upload.is_whole:
        return StoredFiles(files, None)
    with ReadAhead() as ahead:  # beside the question to the worker, as each takes a moment
        ahead.call(harvester.storage.host_for_large_files)
        ahead.call(load_measuring)
        source = open_source(harvester, identity, upload)
    names = [name for name in source.names if name not in upload.files]
    ended = threading.Event()

    def check_stop() -> None:
        if ended.is_set():
            raise _EndedError
        attempt.check_stop()

    passing = PassingWeights([*upload.files, *names], check_stop)
    if CONFIG in upload.files:
        passing.take(CONFIG, None, upload.configuration)
    job = _JobFiles(
        attempt,
        source,
        receipts,
        passing,
        {entry.path: entry for entry in found},
        _StoredObjects(harvester.storage, identity.folder, len(names)),
        check_stop,
        ended,
        yielding,
    )
    try:
        job.start(sorted(names, key=lambda name: not name.endswith(".json")), lease)
    finally:
        stored = job.finish()
    return StoredFiles([*files, *stored], passing.summary, job.stored.listed)


class _EndedError(StoppedError):
    """Another file of the job failed."""


class _StoredObjects:
    """The objects that were just sent.

    The last one is looked up in a list of all: it shows what the others are by then, so the check
    right before the model is written needs no further list.
    """

    def __init__(self, storage: Storage, folder: str, files: int) -> None:
        self._storage = storage
        self._folder = folder
        self._lock = threading.Lock()
        self._missing = files
        self.listed: Sequence[ObjectInfo] | None = None

    def find(self, path: str) -> ObjectInfo:
        """The object of a file; called once for each. Raises NotFoundError."""
        with self._lock:
            is_last = self._missing == 1
        found = self._found_in_list(path) if is_last else None
        if found is None:
            found = self._storage.info(path)
        with self._lock:
            self._missing -= 1
        return found

    def _found_in_list(self, path: str) -> ObjectInfo | None:
        listed = list(self._storage.list(self._folder))
        found = next((entry for entry in listed if entry.path == path), None)
        if found is not None:
            self.listed = listed
        return found


@dataclass(frozen=True)
class _JobFiles:
    """The files of one job that are in hand."""

    attempt: Attempt
    source: SourceFiles
    receipts: Receipts
    passing: PassingWeights
    there: Mapping[str, ObjectInfo]
    stored: _StoredObjects
    check_stop: Callable[[], None]
    ended: threading.Event
    yielding: bool
    _futures: list[Future[StoredFile]] = field(default_factory=list)

    def start(self, names: Sequence[str], lease: Lease) -> None:
        """Start one file after the other, as soon as the byte budget has a place for it.

        Raises StoppedError where a stop is requested, LeaseLostError.
        """
        budget = self.attempt.harvester.budget
        with ThreadPoolExecutor(min(len(names), budget.most_files), "harvest file") as pool:
            job_id, turn = self.attempt.identity.job_id, self.attempt.turn
            for name in names:
                # the weights wait for the configuration, so it waits for no bytes
                share = budget.enter(job_id, turn, self._check_while_queued, waits=name != CONFIG)
                try:
                    if self.attempt.stopping():
                        raise StoppedError
                    self.check_stop()
                    lease.check()
                except BaseException as error:
                    share.close()
                    if not isinstance(error, StoppedError):
                        self.ended.set()
                    raise
                self._futures.append(pool.submit(self._store, name, share))

    def finish(self) -> list[StoredFile]:
        """The files, when all have ended. Raises the error of the one that failed first."""
        wait(self._futures)
        errors = [error for future in self._futures if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(error, _EndedError):
                raise error
        return [] if errors else [future.result() for future in self._futures]

    def _check_while_queued(self) -> None:
        self.check_stop()
        self.attempt.on_progress("", 0, None)  # it is not slow, but has to wait

    def _reserve(self, share: Share, size: int | None, require_open: Callable[[], None]) -> None:
        def check() -> None:
            require_open()
            self._check_while_queued()

        share.reserve(size, check)

    def _store(self, name: str, share: Share) -> StoredFile:
        attempt, identity = self.attempt, self.attempt.identity
        try:
            try:
                file = self._store_once(name, share)
            except DamagedFileError as error:  # perhaps an error page of an overloaded host
                RETRY.wait(error)
                self.check_stop()
                file = self._store_once(name, share)
            attempt.emit(_stored_event(identity, file))
        except StoppedError:
            raise
        except BaseException:
            self.ended.set()
            raise
        finally:
            share.close()
        return file

    def _store_once(self, name: str, share: Share) -> StoredFile:
        attempt = self.attempt
        report = _progress_reporter(attempt, name)

        def on_growth(done: int, total: int | None) -> None:
            share.grow(done)
            report(done, total)

        return store_file(
            attempt.harvester.sender,
            name,
            attempt.identity.path(name),
            partial(self.source.download, name),
            spool_dir=attempt.harvester.spool_dir,
            receipts=self.receipts,
            on_growth=on_growth,
            check_stop=self.check_stop,
            yielding=self.yielding,
            measure=partial(self.passing.take, name),
            reserve=partial(self._reserve, share),
            look_up=self.there.get,
            look_up_stored=self.stored.find,
        )


def _accept_upload(attempt: Attempt, upload: Upload, receipts: Receipts) -> list[StoredFile]:
    """Take the files of an upload as stored; with receipts, so that a crash leaves no manifest."""
    identity = attempt.identity
    if upload.files:
        attempt.emit(upload_event(identity, upload))
    for file in upload.files.values():
        receipts.add(file.name, Receipt(file.size, file.sha256, file.etag))
        attempt.emit(_stored_event(identity, file))
    return list(upload.files.values())


def _progress_reporter(attempt: Attempt, name: str) -> Callable[[int, int | None], None]:
    """Records the progress of a file, at most every PROGRESS_SECONDS, and its end."""
    harvester, job_id = attempt.harvester, attempt.identity.job_id
    last = 0.0

    def note(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_SECONDS:
            last = now
            harvester.ledger.progress(job_id, name, done, total)
            harvester.beat()
            attempt.on_progress(name, done, total)
        elif done == total:
            attempt.on_progress(name, done, total)

    return note


def open_source(harvester: Harvester, identity: Identity, upload: Upload) -> SourceFiles:
    """The worker's files, checked to complete the upload."""
    with upload.explained():
        source = SourceFiles(
            harvester.worker,
            identity.external_job_id,
            allow_private_urls=harvester.allow_private_urls,
        )
    upload.require(source.names)
    source.check()
    return source


def upload_event(identity: Identity, upload: Upload) -> UploadVerified:
    """The event of files that the worker has put into the bucket itself."""
    return UploadVerified(
        job_id=identity.job_id,
        artifact_id=identity.artifact_id,
        files=len(upload.files),
        bytes=upload.size,
        bytes_read=upload.bytes_read,
        whole=upload.is_whole,
    )


def _stored_event(identity: Identity, file: StoredFile) -> FileStored:
    return FileStored(
        job_id=identity.job_id,
        artifact_id=identity.artifact_id,
        file=file.name,
        size=file.size,
        sha256=file.sha256,
        sent=file.sent,
    )
