"""Chooses how a file is sent into the bucket, and sends it while it arrives in the spool.

| bytes | way |
|---|---|
| up to 6 MiB | one standard upload, repeated where it fails |
| 32 MiB and more, with S3 keys | parts in parallel (multipart.py) |
| up to 512 MiB | one standard upload |
| all others, and after a way failed | pieces that are resumed (TUS) |

An unfinished upload in pieces of an earlier run is continued in the same way.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from lora_tui.errors import (
    AuthenticationError,
    ConflictError,
    DeniedError,
    DiskError,
    IntegrityError,
    LoraTuiError,
    TooLargeError,
    UnreachableError,
)
from lora_tui.gateway.resumable import CHUNK
from lora_tui.gateway.retry import repeat
from lora_tui.gateway.s3 import S3Uploads
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.multipart import PartsFailedError, PartsUpload
from lora_tui.harvest.receipts import Receipts
from lora_tui.harvest.spool import Spool

WHOLE_LIMIT: Final = CHUNK
"""Bytes; a file up to this size is sent when it has arrived, larger ones while they arrive."""
STANDARD_LIMIT: Final = 512 << 20
"""Bytes; a break of one request for a larger file would cost too much."""
PARTS_LEAST: Final = 32 << 20
"""Bytes; for a smaller file the two requests more cost as much as parallel parts save."""
_BREAKS: Final = 2
"""After so many standard uploads in a row that broke, files of that size are not sent so."""
_PARTS: Final = "s3:"
"""Begins the address of a multipart upload in the receipts; TUS has URLs there."""
_log: Final = logging.getLogger("lora_tui.harvest")


class Sender:
    """Sends files to one bucket. Safe to use from several threads; one for a process."""

    def __init__(self, storage: Storage, s3: S3Uploads | None = None) -> None:
        """`s3`: where S3 keys are configured."""
        self.storage = storage
        self._s3 = s3
        self._lock = threading.Lock()
        self._standard_limit = STANDARD_LIMIT
        self._breaks = 0

    def send(
        self, name: str, path: str, spool: Spool, receipts: Receipts, size: int, *, replace: bool
    ) -> str | None:
        """Store the spool's file as the object `path`; the ETag that it has to have, where known.

        Raises ConflictError where the object exists and must not be replaced, TooLargeError,
        UnreachableError, and what reading the spool raises.
        """
        if size <= WHOLE_LIMIT:
            repeat(lambda: self.storage.upload(path, spool.read_from(0), size=size, upsert=replace))
            return None
        unfinished = receipts.upload_of(name, size, spool.version)
        if unfinished is not None and unfinished.startswith(_PARTS):
            parts_id, pieces_url = unfinished.removeprefix(_PARTS), None
        else:
            parts_id, pieces_url = None, unfinished
        s3 = self._s3
        if s3 is not None and size >= PARTS_LEAST and pieces_url is None:
            try:
                return self._send_parts(
                    s3, name, path, spool, receipts, size, replace=replace, upload_id=parts_id
                )
            except PartsFailedError as failure:
                self._note_parts_failure(failure.error)
        if pieces_url is None and self._send_whole(path, spool, size, replace=replace):
            return None
        self.storage.upload_resumable(
            path,
            spool.read_from,
            size=size,
            upsert=replace,
            upload_url=pieces_url,
            on_created=lambda url: receipts.upload_begun(name, size, spool.version, url),
        )
        return None

    def _send_whole(self, path: str, spool: Spool, size: int, *, replace: bool) -> bool:
        """One standard upload. False where it broke, or is not possible for files of this size."""
        if size > self._standard_limit:
            return False
        try:
            self.storage.upload(path, spool.read_from(0), size=size, upsert=replace)
        except TooLargeError:  # perhaps of a proxy, which does not see the size of pieces
            with self._lock:
                self._standard_limit = min(self._standard_limit, size - 1)
            return False
        except UnreachableError:
            spool.check_source()
            with self._lock:
                self._breaks += 1
                if self._breaks >= _BREAKS:
                    self._standard_limit = min(self._standard_limit, size - 1)
            return False
        with self._lock:
            self._breaks = 0
        return True

    def _send_parts(
        self,
        s3: S3Uploads,
        name: str,
        path: str,
        spool: Spool,
        receipts: Receipts,
        size: int,
        *,
        replace: bool,
        upload_id: str | None,
    ) -> str:
        """Raises PartsFailedError, ConflictError, and what reading the spool raises."""
        upload, there = None, None
        if upload_id is not None:
            upload = PartsUpload(s3, self.storage, path, upload_id)
            there = upload.parts()
        if upload is None or there is None:
            upload = PartsUpload.begin(s3, self.storage, path)
            receipts.upload_begun(name, size, spool.version, f"{_PARTS}{upload.upload_id}")
        try:
            return upload.send(spool, size, replace=replace, there=there)
        except (PartsFailedError, ConflictError, DiskError, IntegrityError):
            upload.abort()
            raise
        except BaseException:
            if spool.version is None:  # nobody could continue it
                upload.abort()
            raise

    def _note_parts_failure(self, error: LoraTuiError) -> None:
        """Say why another way is taken; where no file can go in parts, for all further files.

        That is where keys, bucket or protocol are refused, or no part's checksum is confirmed.
        """
        passing = not isinstance(error, AuthenticationError | DeniedError | IntegrityError)
        if not passing:
            self._s3 = None
        _log.warning(
            "%s, not over S3: %s",
            "this file is sent in another way" if passing else "all files are sent in another way",
            error if error.details is None else f"{error} ({error.details})",
        )
        if isinstance(error, AuthenticationError) and error.remedy:
            _log.warning("%s", error.remedy)
