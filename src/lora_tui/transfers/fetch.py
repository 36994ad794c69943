"""One file from a signed URL onto the disk, going on where an earlier attempt stopped.

The bytes go to `<target>.part`, locked against a second process. The hot loop is `http.client`
reading into one buffer: httpx manages half of that rate (docs/architecture.md, "Decisions").
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

from lora_tui import __version__
from lora_tui.errors import (
    BackendError,
    DiskError,
    ExpiredLinkError,
    IntegrityError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)

_BUFFER: Final = 1 << 20
_TIMEOUT: Final = 30.0
_MARGIN: Final = 64 << 20
"""Bytes that stay free on the disk."""


class CancelledError(LoraTuiError):
    """The user stopped the transfer; the `.part` file stays for a resume."""


@dataclass(frozen=True)
class Fetched:
    """A whole file in its `.part`, not yet verified or renamed."""

    part: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class FetchOptions:
    """What a fetch needs besides the file itself."""

    sign: Callable[[], str]
    """Makes a signed URL. Called when an attempt starts; the URL is kept nowhere."""
    progress: Callable[[int, int | None], None]
    """Told bytes done and bytes in all, as often as buffers arrive."""
    stop: threading.Event
    wait: Callable[[int], bool]
    """Called after the n-th failed attempt (from 1): sleeps and says whether to try again."""


def fetch(target: Path, options: FetchOptions, *, expected_size: int | None = None) -> Fetched:
    """Fetch into `<target>.part`, resuming what is there.

    Raises UnreachableError when the attempts are used up, NotFoundError where the object is gone,
    IntegrityError where the length is wrong, DiskError, CancelledError.
    """
    part = target.with_name(target.name + ".part")
    with _disk_errors(part), _locked(part) as file, _removed_if_empty(part, file):
        attempt = 0
        while True:
            before = _length(file)
            try:
                return _attempt(part, file, options, expected_size)
            except (UnreachableError, ExpiredLinkError) as error:
                if _length(file) > before:
                    attempt = 0  # it moved: a slow and broken line is still a line
                attempt += 1
                if not options.wait(attempt):
                    if isinstance(error, ExpiredLinkError):
                        raise UnreachableError(str(error), details=error.details) from error
                    raise


def _attempt(
    part: Path, file: IO[bytes], options: FetchOptions, expected_size: int | None
) -> Fetched:
    tag_file = part.with_name(part.name + ".etag")
    etag = _read_tag(tag_file)
    # one byte is asked for again, so that a complete `.part` is no range beyond the end
    have = max(0, _length(file) - 1)
    if etag is None or (expected_size is not None and have >= expected_size):
        have = 0  # nothing says which version these bytes are of
    with _answer(options.sign(), have, etag) as answer:
        if answer.status == 416:
            tag_file.unlink(missing_ok=True)  # the next attempt begins anew
        start, total, new_etag = _read_head(answer, have, etag)
        file.truncate(start)
        if expected_size is not None and total is not None and total != expected_size:
            raise IntegrityError(
                "The stored file has another size than its manifest says",
                details=f"{total} bytes, the manifest says {expected_size}",
            )
        _write_tag(tag_file, new_etag)
        _check_space(part, (total or expected_size or 0) - start)
        digest = hashlib.sha256()
        file.seek(0)
        _digest_existing(file, start, digest)
        done = start
        options.progress(done, total)
        buffer = memoryview(bytearray(_BUFFER))
        while True:
            if options.stop.is_set():
                raise CancelledError("The download was stopped")
            count = _read_into(answer, buffer)
            if not count:
                break
            file.write(buffer[:count])
            digest.update(buffer[:count])
            done += count
            options.progress(done, total)
    if total is not None and done < total:
        raise UnreachableError("The connection ended in the middle of a file")
    if total is not None and done > total:
        file.truncate(0)
        raise IntegrityError("The server sent more bytes than it announced")
    file.flush()
    os.fsync(file.fileno())
    tag_file.unlink(missing_ok=True)
    return Fetched(part, done, digest.hexdigest())


@contextmanager
def _answer(url: str, start: int, etag: str | None) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(
            parts.hostname or "",
            parts.port,
            timeout=_TIMEOUT,
            context=ssl.create_default_context(),
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
    headers = {
        "User-Agent": f"lora-tui/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    try:
        try:
            connection.request(
                "GET", f"{parts.path}?{parts.query}" if parts.query else parts.path, headers=headers
            )
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise _unreachable(error) from error
        yield answer
    finally:
        connection.close()


def _read_head(
    answer: http.client.HTTPResponse, have: int, etag: str | None
) -> tuple[int, int | None, str | None]:
    """Where the body starts, how long the file is in all, and which version it is."""
    status = answer.status
    new_etag = answer.getheader("ETag")
    length = _whole(answer.getheader("Content-Length"))
    if status == 200:
        return 0, length, new_etag
    if status == 206:
        start, total = _content_range(answer.getheader("Content-Range"))
        if start != have or (etag and new_etag and new_etag != etag):
            raise BackendError("The server answered with another part of the file than asked for")
        return start, total, new_etag or etag
    if status == 416 and have:
        raise UnreachableError("The file in the bucket has become shorter")
    if status in (400, 401, 403):
        # an expired link; where it is refused for good the attempts run out and say so
        raise ExpiredLinkError("The signed link was refused", details=f"HTTP {status}")
    if status == 404:
        raise NotFoundError("The file is missing from the bucket")
    if status == 429 or status >= 500:
        raise UnreachableError("The storage did not answer", details=f"HTTP {status}")
    raise BackendError("The storage gave an answer that makes no sense", details=f"HTTP {status}")


def _read_into(answer: http.client.HTTPResponse, buffer: memoryview) -> int:
    try:
        return answer.readinto(buffer)
    except http.client.IncompleteRead:
        return 0
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> UnreachableError:
    # the error's own text may hold the URL, and with it the token
    return UnreachableError("The connection to the storage failed", details=type(error).__name__)


def _content_range(value: str | None) -> tuple[int, int | None]:
    unit, _, span = (value or "").partition(" ")
    positions, _, total = span.partition("/")
    start = _whole(positions.partition("-")[0])
    if unit != "bytes" or start is None:
        raise BackendError("The storage gave a range that makes no sense")
    return start, _whole(total)


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _length(file: IO[bytes]) -> int:
    file.flush()
    return os.fstat(file.fileno()).st_size


def _digest_existing(file: IO[bytes], length: int, digest: hashlib._Hash) -> None:
    remaining = length
    while remaining:
        block = file.read(min(_BUFFER, remaining))
        if not block:
            raise DiskError("The partial file was changed by another program")
        digest.update(block)
        remaining -= len(block)


def _check_space(part: Path, needed: int) -> None:
    usage = os.statvfs(part.parent)
    free = usage.f_bavail * usage.f_frsize
    if needed + _MARGIN > free and needed:
        raise DiskError(
            "There is not enough space on the disk",
            details=f"{needed:,} bytes are needed, {free:,} are free in {part.parent}",
            remedy="free some space, or choose another directory with --to",
        )


def _read_tag(path: Path) -> str | None:
    """A strong ETag guards a resume; a weak one promises nothing about bytes."""
    try:
        tag = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return tag if tag.startswith('"') else None


def _write_tag(path: Path, tag: str | None) -> None:
    if tag and tag.startswith('"') and tag.isascii():
        path.write_text(tag, encoding="ascii")
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    part.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DiskError(
                "Another lora-tui is downloading this file",
                details=str(part),
                remedy="wait for it, or end it",
            ) from None
        yield file


@contextmanager
def _removed_if_empty(part: Path, file: IO[bytes]) -> Iterator[None]:
    """A failure before the first byte leaves nothing behind."""
    try:
        yield
    except LoraTuiError:
        if not _length(file):
            part.unlink(missing_ok=True)
        raise


@contextmanager
def _disk_errors(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"The file can't be written: {error.strerror or type(error).__name__}",
            details=str(part),
            remedy="free some space or choose another directory with --to; a resume goes on",
        ) from error
