"""Sends a file to the bucket in parts that go in parallel, while it arrives.

Only parts that have arrived whole are sent, so a slow source holds no connection. The server must
confirm the MD5 of each part. The object appears with the last request, when the whole file has been
checked; until then the parts are invisible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from lora_tui import clock
from lora_tui.errors import (
    ConflictError,
    IntegrityError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.gateway.retry import SOON
from lora_tui.gateway.s3 import PARTS_AT_ONCE, S3Uploads, etag_of_parts
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.spool import Spool

PART: Final = 8 << 20
"""Bytes of each part but the last; 5 GiB, the bucket's limit, are 640 of the 10,000 parts."""
ABANDONED_AGE: Final = timedelta(days=1)
"""An unfinished upload of this age has no sender any more."""
_CHECK_SECONDS: Final = 1.0


class PartsFailedError(Exception):
    """The parts could not be sent; `error` says why. The source and the disk are not the reason."""

    def __init__(self, error: LoraTuiError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class PartsUpload:
    """One multipart upload of the object `path`."""

    s3: S3Uploads
    storage: Storage
    path: str
    upload_id: str

    @classmethod
    def begin(cls, s3: S3Uploads, storage: Storage, path: str) -> PartsUpload:
        """Begin a new one. Raises PartsFailedError."""
        try:
            return cls(s3, storage, path, s3.begin(path))
        except LoraTuiError as error:
            raise PartsFailedError(error) from None

    def parts(self) -> Mapping[int, str] | None:
        """Number → MD5 of the parts that the server has; None if it does not know the upload."""
        try:
            return self.s3.parts(self.path, self.upload_id)
        except NotFoundError:
            return None
        except LoraTuiError as error:
            raise PartsFailedError(error) from None

    def send(
        self, spool: Spool, size: int, *, replace: bool, there: Mapping[int, str] | None = None
    ) -> str:
        """Send everything, and make the object; the ETag that it has to have.

        `there`: the parts that the server has; those with the same MD5 are not sent again.
        Raises PartsFailedError, what reading the spool raises, and ConflictError where the object
        exists and must not be replaced.
        """
        there = there or {}
        spans = [(start, min(start + PART, size)) for start in range(0, size, PART)]
        md5s: list[str] = []
        futures: list[Future[None]] = []
        pool = ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part")
        try:
            # meanwhile, so that it costs no round trip; where it fails, the next upload does it
            folder = self.path.rpartition("/")[0]
            pool.submit(abort_abandoned, self.s3, folder, but=self.upload_id)
            for number, (start, end) in enumerate(spans, 1):
                md5 = hashlib.md5(usedforsecurity=False)
                for piece in spool.read_range(start, end):
                    md5.update(piece)
                    _raise_failure(futures)
                md5s.append(md5.hexdigest())
                if there.get(number) != md5s[-1]:
                    body = _Range(spool, start, end)
                    futures.append(pool.submit(self._send_part, number, body, md5s[-1]))
            # beside the last parts, as it costs a round trip
            looking = [] if replace else [pool.submit(self._find)]
            everything: list[Future[Any]] = [*futures, *looking]
            while wait(everything, _CHECK_SECONDS, FIRST_EXCEPTION).not_done:
                _raise_failure(everything)
                spool.check_stop()
            _raise_failure(everything)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if any(look.result() is not None for look in looking):
            raise ConflictError("Could not store a file: it is already there")
        self._complete(md5s, size)
        return etag_of_parts(md5s)

    def abort(self) -> None:
        """Remove the parts, if the server can be reached."""
        with suppress(LoraTuiError):
            self.s3.abort(self.path, self.upload_id)

    def _send_part(self, number: int, body: _Range, md5: str) -> None:
        attempts = SOON  # each of which is repeated by RETRY where it gets no answer
        while True:
            failure: LoraTuiError
            try:
                stored = self.s3.put_part(self.path, self.upload_id, number, body, body.size)
            except UnreachableError as error:
                failure = error
            else:
                if stored == md5:
                    return
                failure = IntegrityError(
                    "The storage confirms other bytes than were sent",
                    details=f"part {number} of an upload over S3",
                )
            if attempts.is_exhausted():
                raise failure
            attempts = attempts.wait(failure)

    def _complete(self, md5s: list[str], size: int) -> None:
        """Make the object; an answer that was lost is made up for by looking at the object."""
        attempts = SOON
        while True:
            try:
                self.s3.complete(self.path, self.upload_id, md5s)
            except LoraTuiError as error:
                if self._is_made(md5s, size):
                    return
                if not isinstance(error, UnreachableError) or attempts.is_exhausted():
                    raise PartsFailedError(error) from None
                attempts = attempts.wait(error)
            else:
                return

    def _is_made(self, md5s: list[str], size: int) -> bool:
        found = self._find()
        expected = etag_of_parts(md5s)
        return found is not None and found == (size, expected)

    def _find(self) -> tuple[int | None, str] | None:
        """Size and ETag of the object."""
        try:
            found = self.storage.info(self.path)
        except NotFoundError:
            return None
        except LoraTuiError as error:
            raise PartsFailedError(error) from None
        return found.size, (found.etag or "").strip('"').lower()


def abort_abandoned(s3: S3Uploads, folder: str, *, but: str) -> int:
    """Remove unfinished uploads below a folder that a killed process left; how many.

    Younger ones may still have a sender, and the one with the id `but` has. Raises LoraTuiErrors.
    """
    removed = 0
    for upload in s3.unfinished(f"{folder.strip('/')}/"):
        if upload.begun is None or upload.upload_id == but:
            continue
        if clock.now() - upload.begun > ABANDONED_AGE:
            s3.abort(upload.key, upload.upload_id)
            removed += 1
    return removed


@dataclass(frozen=True)
class _Range:
    """A range of the spool that has arrived; it can be read several times."""

    spool: Spool
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start

    def __iter__(self) -> Iterator[bytes]:
        return self.spool.read_range(self.start, self.end)


def _raise_failure(futures: Iterable[Future[Any]]) -> None:
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            if isinstance(error, LoraTuiError):
                raise PartsFailedError(error) from None
            raise error
