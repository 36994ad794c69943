"""The unfinished file `<name>.part`: locked by one process, with a note of what it lacks.

The note (`<name>.part.json`) says which version of the object the bytes are of, and which are
missing. It is written after the bytes it vouches for are on the disk, so it never promises too
much: whatever ends the process, or the machine, the next attempt goes on from a true state.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Final

from lora_tui.errors import DiskError, not_enough_space
from lora_tui.files import (
    PUBLIC_MODE,
    FileLock,
    disk_error,
    read_regular_file,
    remove_abandoned_files,
    write_file,
)
from lora_tui.gateway.headers import strong_etag
from lora_tui.transfers.pieces import Pieces

SUFFIXES: Final = (".part", ".part.json", ".part.new")
"""What lora-tui puts beside a file that it fetches; earlier versions left a `.part.new`."""

ANOTHER_DIRECTORY: Final = "choose another directory with --to"

SPACE_MARGIN: Final = 64 << 20
"""Bytes that stay free on the disk."""
_LARGEST_NOTE: Final = 16 << 20
_LONGEST: Final = 1 << 40
"""Bytes; no bucket has a file of that length."""


@dataclass(frozen=True)
class Version:
    """Which bytes these are: a strong ETag and the length, as the server tells them."""

    etag: str | None
    total: int | None

    @property
    def resumable(self) -> bool:
        """Whether bytes of two answers are known to be of the same object."""
        return self.etag is not None and self.total is not None


class Part:
    """An open, locked `.part`. Make one with `open_part`."""

    def __init__(self, path: Path, descriptor: int, directory: int, *, found: bool) -> None:
        """`directory`: the descriptor of the one that it lies in; `found`: it was there before."""
        self.path = path
        self.descriptor = descriptor
        self._directory = directory
        self._note = _note_of(path)
        self._moved = False
        self._found, self._foreign = found, False

    @property
    def exists(self) -> bool:
        """Whether it is still there under its own name."""
        return not self._moved and _is_same(self.path, self.descriptor)

    @property
    def in_its_directory(self) -> bool:
        """Whether its directory is still the one in which it was opened."""
        return _is_same(self.path.parent, self._directory)

    def check_in_place(self) -> None:
        """Raises DiskError where another program put something else in its place."""
        if not self.in_its_directory:
            raise DiskError(
                "The model's directory was replaced during the download",
                details=str(self.path.parent),
                remedy="see what is there now; then run the same command again",
            )
        if not self.exists:
            raise DiskError(
                "The unfinished file was replaced or removed during the download",
                details=str(self.path),
                remedy="see what is there now; then run the same command again",
            )

    def check_ours(self) -> None:
        """Raises DiskError where the file or the note is nothing that lora-tui writes.

        Only the directory's record tells more; ask where that does not know the file.
        """
        if _read_note(self._note) is not None:
            return
        for path, empty in ((self.path, self.is_empty()), (self._note, False)):
            if _is_file(path) and not empty:
                self._foreign = True
                raise DiskError(
                    "Another program's file has the name of the unfinished file",
                    details=str(path),
                    remedy="move it away, choose another directory with --to, or use --force",
                )

    def check_space(self, needed: int) -> None:
        """Raises DiskError unless `needed` bytes, less those that it occupies, fit on its disk."""
        usage = os.fstatvfs(self.descriptor)
        free = usage.f_bavail * usage.f_frsize
        missing = needed - os.fstat(self.descriptor).st_size
        margin = min(SPACE_MARGIN, needed)
        if missing > 0 and missing + margin > free:
            raise not_enough_space(
                missing, free, self.path.parent, margin=margin, instead=ANOTHER_DIRECTORY
            )

    def resume(self) -> tuple[Version, Pieces] | None:
        """What an earlier attempt left; None where there is nothing that can be relied on."""
        found = _read_note(self._note)
        if found is None:
            return None
        version, total, gaps = found
        reach = max(_ends(gaps, total), default=0)
        if os.fstat(self.descriptor).st_size < reach:
            return None  # the bytes are not there: another program was at it
        if not gaps:
            # the bucket may have another object by now: its answer to this byte tells
            gaps = [(total - 1, total)]
        return version, Pieces(total, gaps)

    def write(self, data: memoryview, at: int) -> None:
        """Write all of `data` at this offset."""
        while data:
            count = os.pwrite(self.descriptor, data, at)
            data, at = data[count:], at + count

    def restart(self) -> None:
        """Forget what was fetched."""
        if self.in_its_directory:
            self._note.unlink(missing_ok=True)
        os.ftruncate(self.descriptor, 0)

    def note(self, version: Version, gaps: list[tuple[int, int]]) -> None:
        """Write down what is missing; `gaps` were missing before the call."""
        if not version.resumable or not self.exists or not self.in_its_directory:
            return
        flush_to_disk(self.descriptor)
        data = {"etag": version.etag, "total": version.total, "missing": gaps}
        write_file(self._note, json.dumps(data), mode=PUBLIC_MODE)

    def finish(self, total: int) -> None:
        """All `total` bytes are there: bring them safely to the disk."""
        os.ftruncate(self.descriptor, total)
        os.fsync(self.descriptor)

    def move_to(self, target: Path) -> None:
        """Give it its final name, atomically and for good. Raises DiskError, OSError."""
        self.check_in_place()
        self.path.replace(target)
        self._moved = True
        if not _is_same(target, self.descriptor):
            raise DiskError(
                "Another program's file was put in place of the download",
                details=str(target),
                remedy="see what is there now; then run the same command again",
            )
        self._note.unlink(missing_ok=True)
        with suppress(OSError):  # SMB and FUSE can't; the file has its name all the same
            directory = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def discard(self) -> None:
        """Remove it and its note."""
        if self._moved or not self.in_its_directory or (self._foreign and self._found):
            return
        if self.exists:
            self.path.unlink(missing_ok=True)
        if not self._foreign:
            self._note.unlink(missing_ok=True)
        self._moved = True

    def is_empty(self) -> bool:
        """Whether nothing was fetched so far."""
        return os.fstat(self.descriptor).st_size == 0


def part_of(target: Path) -> Path:
    """Where the bytes of `target` are gathered."""
    return target.with_name(f"{target.name}.part")


def has_partial_download(target: Path) -> bool:
    """Whether an unfinished download of `target` left a `.part` and a note: it is none of the
    user's own."""
    path = part_of(target)
    return _is_file(path) and _read_note(_note_of(path)) is not None


def discard_part(target: Path) -> None:
    """Remove what an unfinished download of `target` left. Raises DiskError where it is in use.

    What is no file is not ours.
    """
    path = part_of(target)
    if _is_file(path) and path.lstat().st_nlink == 1:
        with open_part(target) as part:
            part.discard()
    elif not lexists(path) and _read_note(_note_of(path)) is not None:
        _note_of(path).unlink(missing_ok=True)


@contextmanager
def open_part(target: Path) -> Iterator[Part]:
    """Open and lock the `.part` of `target`, with its directory made where it is missing.

    One that is empty at the end is removed. Raises DiskError where the disk refuses, or another
    process (or thread) has it, or a link is where its directory was.
    """
    path = part_of(target)
    with explained_disk(path):
        if path.parent.is_symlink():
            raise DiskError(
                "The model's directory was replaced by a link",
                details=str(path.parent),
                remedy="remove it, or name the directory itself with --to",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        directory = os.open(path.parent, flags)
        try:
            found = lexists(path)
            lock = _open_locked(path, directory)
            try:
                remove_abandoned_files(path.parent)
                part = Part(path, lock.descriptor, directory, found=found)
                try:
                    yield part
                finally:
                    with suppress(OSError):
                        if part.is_empty():
                            part.discard()
            finally:
                lock.close()
        finally:
            os.close(directory)


@contextmanager
def explained_disk(path: Path) -> Iterator[None]:
    """What the file system refuses, as DiskError."""
    try:
        yield
    except OSError as error:
        raise disk_error(
            error, "The file can't be written", path, instead=ANOTHER_DIRECTORY
        ) from error


def flush_to_disk(descriptor: int) -> None:
    if sys.platform == "darwin":
        os.fsync(descriptor)
    else:
        os.fdatasync(descriptor)


def _open_locked(path: Path, directory: int) -> FileLock:
    while True:
        lock = FileLock(_open(path, directory), path)
        try:
            holder = lock.acquire()
            if holder is not None:
                raise DiskError(
                    "Another lora-tui is downloading this file",
                    details=f"{path} is held by {holder}",
                    remedy=holder.remedy,
                )
            # its previous holder may have renamed it to its final name: then it is not a .part
            if _is_same(path, lock.descriptor):
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()


def _open(path: Path, directory: int) -> int:
    """Make or open it; whatever else has its name is not written to. Raises OSError, DiskError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path.name, flags, 0o644, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _no_file(path) from error
        raise
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
            raise _no_file(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _no_file(path: Path) -> DiskError:
    return DiskError(
        "Something else has the name of the unfinished file",
        details=str(path),
        remedy="remove it, or choose another directory with --to",
    )


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        named = path.stat(follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def _is_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(path: Path) -> tuple[Version, int, list[tuple[int, int]]] | None:
    """Version, length and gaps; None where it is no note that lora-tui could have written."""
    try:
        note = json.loads(read_regular_file(path, _LARGEST_NOTE))
        etag, total = note["etag"], note["total"]
        gaps = [(at, end) for at, end in note["missing"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    numbers = [total, *(number for gap in gaps for number in gap)]
    if any(type(number) is not int for number in numbers) or not isinstance(etag, str):
        return None
    if strong_etag(etag) is None or not etag.isprintable():
        return None  # it is sent to the server
    if not 0 < total <= _LONGEST or not _sound(gaps, total):
        return None
    return Version(etag, total), total, gaps


def _sound(gaps: list[tuple[int, int]], total: int) -> bool:
    at = 0
    for start, end in gaps:
        if not at <= start < end <= total:
            return False
        at = end
    return True


def _ends(gaps: list[tuple[int, int]], total: int) -> Iterator[int]:
    """Where each span that is there ends."""
    at = 0
    for start, end in gaps:
        if start > at:
            yield start
        at = end
    if at < total:
        yield total
