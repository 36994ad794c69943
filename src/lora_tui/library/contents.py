"""Finds downloaded adapters on this disk, tells the state of their files, removes them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from os.path import lexists
from pathlib import Path
from typing import Any

from lora_tui import formats
from lora_tui.cache.transfer_queue import Checked, checked_of
from lora_tui.domain import Model
from lora_tui.errors import IntegrityError
from lora_tui.files import read_regular_file, remove_abandoned_files
from lora_tui.json_values import integer
from lora_tui.locks.file_lock import locked_directory
from lora_tui.text import terminal_safe
from lora_tui.transfers.model_directory import (
    MANIFEST,
    expected_files,
    local_names,
    read_record,
    recorded_files,
)
from lora_tui.transfers.part import (
    SUFFIXES,
    discard_part,
    has_partial_download,
    part_of,
    translate_write_errors,
)
from lora_tui.transfers.verify import check_structure, sha256_of


class FileState(StrEnum):
    """The state of a file on this disk, from best to worst."""

    OK = "ok"
    EXTRA = "extra"
    """It is in the directory, but not one of the model's files."""
    UNRECORDED = "unrecorded"
    """Its structure is valid; there is no record of its checksum."""
    OUTDATED = "outdated"
    """Unchanged since its download; the project has another version now."""
    PARTIAL = "partial"
    """Its download is not finished."""
    UNREADABLE = "unreadable"
    """It can't be read: an error of the disk, or its permissions."""
    MISSING = "missing"
    WRONG_SIZE = "wrong-size"
    CHANGED = "changed"
    """It has the right size and other bytes."""
    DAMAGED = "damaged"
    """Its structure is invalid, or it is not a regular file."""


ALTERED = (FileState.WRONG_SIZE, FileState.CHANGED, FileState.DAMAGED)


@dataclass(frozen=True)
class LocalFile:
    """One file of an adapter."""

    name: str
    """Its name on the disk."""
    state: FileState
    size: int | None
    """Bytes on the disk."""
    reason: str | None = None
    """What is wrong; None if nothing is."""
    checked: Checked | None = None
    """How it was verified; None if that is not known, or the file has changed."""
    fetched: bool = True
    """Whether it was downloaded once."""

    @property
    def broken(self) -> bool:
        """Whether it was downloaded, and is missing or changed now."""
        return self.state in ALTERED or (self.state is FileState.MISSING and self.fetched)

    @property
    def unreadable(self) -> bool:
        """Whether its state is unknown."""
        return self.state is FileState.UNREADABLE

    @property
    def pending(self) -> bool:
        """Whether it is a file of the model that was never completely downloaded."""
        return self.state is FileState.PARTIAL or (
            self.state is FileState.MISSING and not self.fetched
        )


@dataclass(frozen=True)
class Adapter:
    """A directory that holds an adapter."""

    directory: Path
    model_id: str | None
    name: str
    version: str | None
    files: tuple[LocalFile, ...]

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(file.size or 0 for file in self.files)

    @property
    def state(self) -> FileState:
        """The state of its worst file; `partial` if files were never downloaded."""
        order = list(FileState)
        states = [
            FileState.PARTIAL if file.pending else file.state
            for file in self.files
            if file.state is not FileState.EXTRA
        ]
        return max(states, key=order.index, default=FileState.OK)

    @property
    def checked(self) -> Checked | None:
        """The weakest check of its unchanged files; None if one is not known."""
        order = list(Checked)
        found = [file.checked for file in self.files if file.state is FileState.OK]
        known = [checked for checked in found if checked is not None]
        return max(known, key=order.index) if known and len(known) == len(found) else None


def adapter_directories(root: Path, elsewhere: Iterable[Path] = ()) -> list[Path]:
    """The directories of adapters: `root` or its children, and those of `elsewhere`.

    Includes directories that can't be read. Raises OSError if `root` can't be read.
    """
    children: list[Path] = []
    if (root / MANIFEST).is_file():
        children = [root]
    elif root.is_dir():
        children = sorted(path for path in root.iterdir() if _may_have_record(path))
    others = [path for path in elsewhere if _may_have_record(path)]
    return list(dict.fromkeys([*children, *others]))


def has_record(directory: Path) -> bool:
    """Whether a directory has a readable record."""
    try:
        return (directory / MANIFEST).is_file()
    except OSError:
        return False


def _may_have_record(directory: Path) -> bool:
    try:
        return (directory / MANIFEST).is_file()
    except OSError:
        return True


def partial_downloads(directory: Path) -> list[str]:
    """The names of the files with partial downloads in a directory.

    Only those with a note, as other programs write `.part` files too. Raises OSError.
    """
    parts = sorted(path.name for path in directory.iterdir() if path.name.endswith(".part"))
    names = [part.removesuffix(".part") for part in parts]
    return [
        name
        for name in names
        if name not in ("", MANIFEST) and has_partial_download(directory / name)
    ]


def examine(
    directory: Path,
    *,
    thorough: bool,
    model_of: Callable[[str], Model | None] = lambda _model_id: None,
) -> Adapter:
    """Compare an adapter with its record, and with the project's manifest if known.

    `thorough` reads every byte and lists extra files; else only sizes are compared. Without a
    record, the structure of the files is checked. Files that can't be read are `unreadable`.
    """
    try:
        return _adapter(directory, thorough, model_of)
    except OSError as error:
        return Adapter(directory, None, _name(directory.name), None, (_unreadable(".", error),))


def _adapter(directory: Path, thorough: bool, model_of: Callable[[str], Model | None]) -> Adapter:
    check_record(directory)
    record = read_record(directory)
    model_id = record.get("id")
    model = model_of(model_id) if isinstance(model_id, str) else None
    files = recorded_files(record)
    missing = {
        name: entry
        for name, entry in (expected_files(record) or _files_in_cache(model, directory)).items()
        if name not in files
    }
    if not files and not missing:
        found = [*_unrecorded(directory), *_unfinished(directory, set())]
    else:
        found = [
            _examine(directory, name, entry, _current_checksum(model, entry), thorough=thorough)
            for name, entry in files.items()
        ]
        found += [_not_downloaded(directory, name) for name in missing]
        found += _unfinished(directory, {*files, *missing})
        if thorough:
            found += _extra(directory, {*files, *missing})
    return Adapter(
        directory=directory,
        model_id=model_id if isinstance(model_id, str) else None,
        name=_name(record.get("name") or directory.name),
        version=terminal_safe(record.get("version"), limit=40) or None,
        files=tuple(found),
    )


def _name(text: object) -> str:
    return terminal_safe(text, limit=200)


def check_record(directory: Path) -> None:
    """Raises OSError if a record exists that can't be read."""
    try:
        read_regular_file(directory / MANIFEST, 1)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise


def _unreadable(name: str, error: OSError) -> LocalFile:
    reason = f"it can't be read: {error.strerror or type(error).__name__}"
    return LocalFile(name, FileState.UNREADABLE, None, reason, fetched=False)


def _examine(
    directory: Path, name: str, entry: Mapping[str, Any], promised: str | None, *, thorough: bool
) -> LocalFile:
    try:
        return _compare(directory, name, entry, promised, thorough=thorough)
    except OSError as error:
        return _unreadable(name, error)


def _compare(
    directory: Path, name: str, entry: Mapping[str, Any], promised: str | None, *, thorough: bool
) -> LocalFile:
    path = directory / name
    expected, sha256 = integer(entry.get("size")), entry.get("sha256")
    if not lexists(path):
        if part_of(path).is_file():
            return LocalFile(name, FileState.PARTIAL, None, "its download is not finished")
        return LocalFile(name, FileState.MISSING, None, "it was downloaded, and is gone")
    if path.is_symlink() or not path.is_file():
        return LocalFile(name, FileState.DAMAGED, None, "it is not a file any more")
    size = path.stat().st_size
    if expected is not None and size != expected:
        reason = f"wrong size: {formats.exact_bytes(size)} instead of {formats.count(expected)}"
        return LocalFile(name, FileState.WRONG_SIZE, size, reason)
    checked = checked_of(entry.get("checked"))
    if thorough:
        if isinstance(sha256, str) and sha256_of(path) != sha256:
            reason = "its contents are not those that were downloaded"
            return LocalFile(name, FileState.CHANGED, size, reason)
        proven = checked is Checked.SHA256 or (promised is not None and promised == sha256)
        try:
            structured = check_structure(path, name, proven=proven and isinstance(sha256, str))
        except IntegrityError as error:
            return LocalFile(name, FileState.DAMAGED, size, str(error))
        checked = checked or (Checked.STRUCTURE if structured else Checked.LENGTH)
    if promised is not None and promised != sha256:
        reason = "the project has another version now"
        return LocalFile(name, FileState.OUTDATED, size, reason, checked)
    if promised is not None and thorough:
        checked = Checked.SHA256
    return LocalFile(name, FileState.OK, size, checked=checked)


def _not_downloaded(directory: Path, name: str) -> LocalFile:
    path = directory / name
    if lexists(path):
        reason = "another file is in its place; it was not downloaded"
        return LocalFile(name, FileState.MISSING, None, reason, fetched=False)
    if part_of(path).is_file():
        reason = "its download is not finished"
        return LocalFile(name, FileState.PARTIAL, None, reason, fetched=False)
    return LocalFile(name, FileState.MISSING, None, "it was not downloaded", fetched=False)


def _files_in_cache(model: Model | None, directory: Path) -> dict[str, Mapping[str, Any]]:
    """The model's files by the cache, for records of an earlier version, which lack them."""
    if model is None:
        return {}
    names = local_names(model, directory)
    return {names[file.name]: {"object": file.name} for file in model.files}


def _current_checksum(model: Model | None, entry: Mapping[str, Any]) -> str | None:
    """The current checksum of the file in the project's manifest."""
    files = model.files if model is not None else ()
    return next((file.sha256 for file in files if file.name == entry.get("object")), None)


def _unfinished(directory: Path, known: set[str]) -> Iterator[LocalFile]:
    for name in partial_downloads(directory):
        if name not in known:
            size = part_of(directory / name).lstat().st_size
            reason = "its download is not finished"
            yield LocalFile(name, FileState.PARTIAL, size, reason, fetched=False)


def _extra(directory: Path, known: set[str]) -> Iterator[LocalFile]:
    begun = [*known, *partial_downloads(directory)]
    ours = {MANIFEST, *known, *(f"{name}{suffix}" for name in begun for suffix in SUFFIXES)}
    for path in sorted(directory.iterdir()):
        hidden = path.name.startswith(".lora-tui-")
        if path.name in ours or hidden or path.is_dir():
            continue
        size = path.lstat().st_size
        reason = "it is not one of the model's files"
        yield LocalFile(path.name, FileState.EXTRA, size, reason, fetched=False)


def _unrecorded(directory: Path) -> Iterator[LocalFile]:
    for path in sorted(directory.iterdir()):
        if not path.is_file() or path.suffix not in (".safetensors", ".json"):
            continue
        size = path.stat().st_size
        try:
            check_structure(path, path.name)
        except OSError as error:
            yield _unreadable(path.name, error)
        except IntegrityError as error:
            yield LocalFile(path.name, FileState.DAMAGED, size, str(error))
        else:
            yield LocalFile(path.name, FileState.UNRECORDED, size, checked=Checked.STRUCTURE)


def remove(directory: Path, check_unused: Callable[[Path], None] = lambda _directory: None) -> int:
    """Remove the recorded files, partial downloads, the record, and the directory if it is empty
    then; returns the number of files.

    `check_unused` raises for a directory that a server has loaded. Raises DiskError, also if a file
    is being downloaded.
    """
    check_unused(directory)
    with translate_write_errors(directory / MANIFEST):
        check_record(directory)
    record = read_record(directory)
    names = list(recorded_files(record))
    count = 0
    with translate_write_errors(directory):
        begun = partial_downloads(directory)
        for name in dict.fromkeys([*names, *expected_files(record), *begun]):
            discard_part(directory / name)
        with locked_directory(directory):  # who hands it to a server takes this lock too
            check_unused(directory)
            for name in [*names, MANIFEST]:
                path = directory / name
                if path.is_symlink() or path.is_file():
                    path.unlink()
                    count += 1
        remove_abandoned_files(directory)
        if not directory.is_symlink() and not any(directory.iterdir()):
            directory.rmdir()
    return count
