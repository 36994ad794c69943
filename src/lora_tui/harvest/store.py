"""Stores one file in the bucket: sends it while it arrives, then compares size and ETag.

Between download and upload the file passes a spool (spool.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from lora_tui import clock, formats
from lora_tui.errors import ConflictError, IntegrityError, NotFoundError
from lora_tui.gateway.headers import md5_of_etag
from lora_tui.gateway.s3 import differs
from lora_tui.gateway.storage import ObjectInfo, Storage
from lora_tui.harvest.artifact_rows import StoredFile
from lora_tui.harvest.receipts import Receipt, Receipts
from lora_tui.harvest.sending import WHOLE_LIMIT, Sender
from lora_tui.harvest.spool import Contents, Spool
from lora_tui.harvest.structure import DamagedFileError, Inspector

ORPHAN_AGE: Final = timedelta(days=2)
"""An object of this age that no model names is an orphan; at half of it, it is sent anew."""


class HeldElsewhereError(Exception):
    """Another harvester works on this job."""


def store_file(
    sender: Sender,
    name: str,
    path: str,
    fill: Callable[[Spool], None],
    *,
    spool_dir: Path,
    receipts: Receipts,
    on_growth: Callable[[int, int | None], None] | None = None,
    check_stop: Callable[[], None] | None = None,
    yielding: bool = False,
    measure: Callable[[int | None, Any], Any] = lambda _descriptor, _recorded: None,
    reserve: Callable[[int | None, Callable[[], None]], None] | None = None,
    look_up: Callable[[str], ObjectInfo | None] | None = None,
    look_up_stored: Callable[[str], ObjectInfo] | None = None,
) -> StoredFile:
    """Store what `fill` writes, in a thread, as the object `path`.

    An object with the same bytes, by its receipt or its ETag, is not sent again. An unfinished
    upload in pieces or parts is continued if the source still gives the same strong ETag; with a
    receipt the source is then not read at all. Unusable files (structure.py) never become whole
    objects.
    `measure` gets the whole file, or None where it was not read, and what the receipt has recorded;
    the receipt records what it returns. It is called as soon as the file is whole, in the thread
    that has filled the spool, while the file may still be on its way into the bucket.
    `reserve` gets the size as soon as it is known, and may wait until there is room for it.
    `look_up` gives the object that is there before, `look_up_stored` the one that is there then;
    without them the bucket is asked.
    Raises what `fill` raises, what Storage raises, DamagedFileError, IntegrityError where the
    service has another size or ETag than we sent, with `yielding` HeldElsewhereError, and what
    `check_stop` raises.
    """
    with Spool(
        spool_dir,
        on_growth=on_growth,
        inspector=Inspector(name),
        check_stop=check_stop,
        reserve=reserve,
    ) as spool:
        fetch = _Fetch(spool, fill, lambda: measure(spool.whole_file(), receipts.measured(name)))
        thread = threading.Thread(target=fetch.run, name=f"fetch {name}", daemon=True)
        thread.start()
        try:
            contents, sent, etag = _store_contents(
                sender, name, path, spool, receipts, yielding=yielding, look_up=look_up
            )
        except DamagedFileError:
            receipts.forget(name)  # an upload of these bytes must not be continued
            raise
        finally:
            spool.close()
            thread.join()
        measured = fetch.measured() if fetch.is_whole else measure(None, receipts.measured(name))
    stored = (look_up_stored or sender.storage.info)(path)
    if stored.size != contents.size:
        raise IntegrityError(
            "The bucket holds another size than was sent",
            details=f"{name}: sent {formats.exact_bytes(contents.size)}, stored {stored.size}",
            remedy="nothing to do: the next cycle sends it again",
        )
    if etag is not None and differs(stored.etag, etag):
        raise IntegrityError(
            "The bucket holds other bytes than were sent",
            details=f"{name}: its ETag is not that of the parts that were sent",
            remedy="nothing to do: the next cycle sends it again",
        )
    receipts.add(
        name, Receipt(contents.size, contents.sha256, stored.etag, spool.version, measured=measured)
    )
    return StoredFile(name, path, contents.size, contents.sha256, sent)


class _Fetch:
    """Fills a spool, then measures the file; `run` is the main function of the thread."""

    def __init__(
        self, spool: Spool, fill: Callable[[Spool], None], measure: Callable[[], Any]
    ) -> None:
        self._spool = spool
        self._fill = fill
        self._measure = measure
        self._measured: Any = None
        self._error: BaseException | None = None
        self.is_whole = False
        """Whether the spool was filled, so that the file is measured."""

    def run(self) -> None:
        try:
            self._fill(self._spool)
        except BaseException as error:
            self._spool.fail(error)
            return
        self.is_whole = True
        try:
            self._measured = self._measure()
        except BaseException as error:
            self._error = error

    def measured(self) -> Any:
        """What measuring gave, once the thread has ended. Raises its error."""
        if self._error is not None:
            raise self._error
        return self._measured


def _store_contents(
    sender: Sender,
    name: str,
    path: str,
    spool: Spool,
    receipts: Receipts,
    *,
    yielding: bool,
    look_up: Callable[[str], ObjectInfo | None] | None,
) -> tuple[Contents, bool, str | None]:
    """Size and checksum of the file, whether it was sent, and the ETag that it has to have then."""
    there = _find_object(sender.storage, path) if look_up is None else look_up(path)
    total = spool.wait_for_total()
    recent = there if there is not None and _is_recent(there) else None
    if recent is not None:
        known = receipts.known(name, recent, spool.version)
        if known is not None and known.size == total:
            return Contents(known.size, known.sha256), False, None
    other = there is None or there.size != total
    if total is None or total <= WHOLE_LIMIT or not other:
        contents = spool.wait_for_end()
        if recent is not None and (
            receipts.proves(name, recent, contents.sha256) or _has_checksum(recent, contents, spool)
        ):
            return contents, False, None
        total = contents.size
    etag = None
    try:
        etag = sender.send(name, path, spool, receipts, total, replace=there is not None)
    except ConflictError:
        # a lost response or another harvester; the caller compares the size
        if there is not None:
            raise
        if yielding:
            raise HeldElsewhereError from None
    return spool.wait_for_end(), True, etag


def _find_object(storage: Storage, path: str) -> ObjectInfo | None:
    try:
        return storage.info(path)
    except NotFoundError:
        return None


def _is_recent(there: ObjectInfo) -> bool:
    """Whether it can't become an orphan before the model is published (publish.py)."""
    stored = clock.parse_timestamp(there.updated_at)
    return stored is None or clock.now() - stored < ORPHAN_AGE / 2


def _has_checksum(there: ObjectInfo, contents: Contents, spool: Spool) -> bool:
    """Whether the ETag is the MD5 of these bytes, as it is on many stacks for small objects."""
    md5 = md5_of_etag(there.etag)
    return there.size == contents.size and md5 is not None and md5 == spool.md5()
