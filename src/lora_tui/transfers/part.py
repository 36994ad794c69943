"""The partial file `<name>.part`: locked by one process, with a note of its missing bytes.

The note (`<name>.part.json`) says which version of the object the bytes belong to, and which are
missing. It is written after the bytes are on the disk, so it never claims too much: after a crash
of the process or the machine, the next attempt resumes from a correct state.
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

from lora_tui.errors import DiskError, LoraTuiError, not_enough_space
from lora_tui.files import (
    PUBLIC_MODE,
    disk_error,
    free_bytes,
    remove_abandoned_files,
    write_file,
)
from lora_tui.gateway.headers import strong_etag
from lora_tui.json_values import read_object
from lora_tui.locks.file_lock import FileLock
from lora_tui.processes import LockHolder, in_use_error
from lora_tui.transfers.pieces import Pieces

SUFFIXES: Final = (".part", ".part.json", ".part.new")
"""Names of files beside a download; earlier versions left a `.part.new`."""

ANOTHER_DIRECTORY: Final = "choose another directory with --to"

SPACE_MARGIN: Final = 64 << 20
"""Bytes that stay free on the disk."""
_LARGEST_NOTE: Final = 16 << 20
_LONGEST: Final = 1 << 40
"""Bytes; larger than any file in a bucket."""


@dataclass(frozen=True)
class Version:
    """A version of an object: its strong ETag and length, as the server sends them."""

    etag: str | None
    total: int | None

    @property
    def resumable(self) -> bool:
        """Whether bytes of two responses can be combined."""
        return self.etag is not None and self.total is not None


class Part:
    """An open, locked `.part`. Make one with `open_part`."""

    def __init__(self, path: Path, descriptor: int, directory: int, *, found: bool) -> None:
        """`directory`: the descriptor of its directory; `found`: whether the file existed."""
        self.path = path
        self.descriptor = descriptor
        self._directory = directory
        self._note = _note_of(path)
        self._moved = False
        self._found, self._foreign = found, False

    @property
    def exists(self) -> bool:
        """Whether it still exists under its name."""
        return not self._moved and _is_same(self.path, self.descriptor)

    @property
    def in_its_directory(self) -> bool:
        """Whether its directory is still the one that was opened."""
        return _is_same(self.path.parent, self._directory)

    def check_in_place(self) -> None:
        """Raises DiskError if another program replaced it or its directory."""
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
        """Raises DiskError if the file or the note was not written by lora-tui.

        Call it for files that the directory's record does not know.
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
        """Raises DiskError unless `needed` bytes, minus those that it occupies, fit on the disk."""
        free = free_bytes(self.descriptor)
        missing = needed - os.fstat(self.descriptor).st_size
        margin = min(SPACE_MARGIN, needed)
        if missing > 0 and missing + margin > free:
            raise not_enough_space(
                missing, free, self.path.parent, margin=margin, instead=ANOTHER_DIRECTORY
            )

    def resume(self) -> tuple[Version, Pieces] | None:
        """Version and pieces of an earlier attempt; None if there are none, or they are invalid."""
        found = _read_note(self._note)
        if found is None:
            return None
        version, total, gaps = found
        reach = max(_ends(gaps, total), default=0)
        if os.fstat(self.descriptor).st_size < reach:
            return None  # the file was cut by another program
        if not gaps:
            # the object may have changed: the response to a request of this byte tells
            gaps = [(total - 1, total)]
        return version, Pieces(total, gaps)

    def write(self, data: memoryview, at: int) -> None:
        """Write all of `data` at this offset."""
        while data:
            count = os.pwrite(self.descriptor, data, at)
            data, at = data[count:], at + count

    def restart(self) -> None:
        """Delete the note and all bytes."""
        if self.in_its_directory:
            self._note.unlink(missing_ok=True)
        os.ftruncate(self.descriptor, 0)

    def note(self, version: Version, gaps: list[tuple[int, int]]) -> None:
        """Write the note; `gaps` are the missing spans."""
        if not version.resumable or not self.exists or not self.in_its_directory:
            return
        flush_to_disk(self.descriptor)
        data = {"etag": version.etag, "total": version.total, "missing": gaps}
        write_file(self._note, json.dumps(data), mode=PUBLIC_MODE)

    def finish(self, total: int) -> None:
        """Flush the complete file of `total` bytes to the disk."""
        os.ftruncate(self.descriptor, total)
        os.fsync(self.descriptor)

    def move_to(self, target: Path) -> None:
        """Rename it to its final name, atomically and durably. Raises DiskError, OSError."""
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
        with suppress(OSError):  # SMB and FUSE can't; the file is renamed all the same
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
        """Whether it has no bytes yet."""
        return os.fstat(self.descriptor).st_size == 0


def part_of(target: Path) -> Path:
    """The path of the partial file of `target`."""
    return target.with_name(f"{target.name}.part")


def has_partial_download(target: Path) -> bool:
    """Whether `target` has a `.part` with a note, so that it is not a file of the user."""
    path = part_of(target)
    return _is_file(path) and _read_note(_note_of(path)) is not None


def discard_part(target: Path) -> None:
    """Remove the partial file of `target` and its note; only regular files are removed.

    Raises InUseError if a download is writing it; DiskError.
    """
    path = part_of(target)
    if _is_file(path) and path.lstat().st_nlink == 1:
        with open_part(target) as part:
            part.discard()
    elif not lexists(path) and _read_note(_note_of(path)) is not None:
        _note_of(path).unlink(missing_ok=True)


@contextmanager
def open_part(target: Path) -> Iterator[Part]:
    """Open and lock the `.part` of `target`; makes the directory if it is missing.

    If it is empty at the end, it is removed. Raises DiskError for errors of the disk, or if its
    directory is a link; InUseError if another process or thread has it.
    """
    path = part_of(target)
    with translate_write_errors(path):
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


def file_in_use_error(holder: LockHolder, path: Path) -> LoraTuiError:
    """The error for a file that another process is downloading."""
    return in_use_error("Another lora-tui is downloading this file", holder, path)


@contextmanager
def translate_write_errors(path: Path) -> Iterator[None]:
    """Raise every OSError of the block as DiskError."""
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
                raise file_in_use_error(holder, path)
            # its previous holder may have renamed it to its final name
            if _is_same(path, lock.descriptor):
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()


def _open(path: Path, directory: int) -> int:
    """Create or open it; only a regular file is opened. Raises OSError, DiskError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path.name, flags, 0o644, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _not_a_file_error(path) from error
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise _not_a_file_error(path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _not_a_file_error(path: Path) -> DiskError:
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
    """Version, length and gaps of a note; None if it is invalid."""
    note = read_object(path, _LARGEST_NOTE)
    try:
        etag, total = note["etag"], note["total"]
        gaps = [(at, end) for at, end in note["missing"]]
    except (ValueError, KeyError, TypeError):
        return None
    numbers = [total, *(number for gap in gaps for number in gap)]
    if any(type(number) is not int for number in numbers) or not isinstance(etag, str):
        return None
    if strong_etag(etag) is None or not etag.isprintable():
        return None  # it is sent to the server
    if not 0 < total <= _LONGEST or not _are_valid(gaps, total):
        return None
    return Version(etag, total), total, gaps


def _are_valid(gaps: list[tuple[int, int]], total: int) -> bool:
    at = 0
    for start, end in gaps:
        if not at <= start < end <= total:
            return False
        at = end
    return True


def _ends(gaps: list[tuple[int, int]], total: int) -> Iterator[int]:
    """The end of each fetched span."""
    at = 0
    for start, end in gaps:
        if start > at:
            yield start
        at = end
    if at < total:
        yield total
