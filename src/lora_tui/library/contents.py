"""Finds the adapters that lora-tui has put on this disk, checks their state, removes them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from os.path import lexists
from pathlib import Path
from typing import Any

from lora_tui.cache.transfers import Checked, checked_of
from lora_tui.domain import Model
from lora_tui.errors import IntegrityError
from lora_tui.files import read_regular_file, remove_abandoned_files
from lora_tui.json_values import integer
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
    explained_disk,
    has_partial_download,
    part_of,
)
from lora_tui.transfers.verify import check_structure, sha256_of


class FileState(StrEnum):
    """How a file on this disk compares with what it should be; the worst last."""

    OK = "ok"
    EXTRA = "extra"
    """It is beside the model's files but not one of them."""
    UNRECORDED = "unrecorded"
    """Its structure is right; there is no record to compare it with."""
    OUTDATED = "outdated"
    """As it was downloaded; the project has another version now."""
    PARTIAL = "partial"
    """Its download is not finished."""
    UNREADABLE = "unreadable"
    """The disk or its permissions refuse it, so nobody knows."""
    MISSING = "missing"
    WRONG_SIZE = "wrong-size"
    CHANGED = "changed"
    """Of the right size; the bytes are others."""
    DAMAGED = "damaged"
    """It can't be used: its structure is wrong, or it is no file."""


ALTERED = (FileState.WRONG_SIZE, FileState.CHANGED, FileState.DAMAGED)


@dataclass(frozen=True)
class LocalFile:
    """One file of an adapter."""

    name: str
    """As it is on the disk."""
    state: FileState
    size: int | None
    """Bytes on the disk."""
    reason: str | None = None
    """What is wrong, where something is."""
    checked: Checked | None = None
    """What its bytes were compared with at the source; None where nobody knows, or it is altered.
    """
    fetched: bool = True
    """Whether it was downloaded once; else its download is still to come."""

    @property
    def broken(self) -> bool:
        """Whether it was here as it should be, and is not any more."""
        return self.state in ALTERED or (self.state is FileState.MISSING and self.fetched)

    @property
    def unreadable(self) -> bool:
        """Whether nothing can be said of it."""
        return self.state is FileState.UNREADABLE

    @property
    def to_come(self) -> bool:
        """Whether the model has this file, and it was never here whole."""
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
        """That of its worst file; `partial` where files were never downloaded."""
        order = list(FileState)
        states = [
            FileState.PARTIAL if file.to_come else file.state
            for file in self.files
            if file.state is not FileState.EXTRA
        ]
        return max(states, key=order.index, default=FileState.OK)

    @property
    def checked(self) -> Checked | None:
        """The weakest check among its files that are as downloaded."""
        order = list(Checked)
        found = [file.checked for file in self.files if file.state is FileState.OK]
        known = [checked for checked in found if checked is not None]
        return max(known, key=order.index) if known and len(known) == len(found) else None


def directories(root: Path, elsewhere: Iterable[Path] = ()) -> list[Path]:
    """Where adapters lie: `root` itself, its children, and the directories named besides.

    Those that can't be looked into are among them. Raises OSError where `root` is one of these.
    """
    children: list[Path] = []
    if (root / MANIFEST).is_file():
        children = [root]
    elif root.is_dir():
        children = sorted(path for path in root.iterdir() if _may_hold_one(path))
    others = [path for path in elsewhere if _may_hold_one(path)]
    return list(dict.fromkeys([*children, *others]))


def is_adapter(directory: Path) -> bool:
    """Whether a record lies in it that can be seen."""
    try:
        return (directory / MANIFEST).is_file()
    except OSError:
        return False


def _may_hold_one(directory: Path) -> bool:
    try:
        return (directory / MANIFEST).is_file()
    except OSError:
        return True


def partial_downloads(directory: Path) -> list[str]:
    """The names of the files whose unfinished downloads lie there, by the notes beside them.

    Other programs write files that end in `.part` too. Raises OSError.
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
    """Compare an adapter with its record, and with the project's manifest where that is known.

    `thorough` reads every byte and names what is there besides; else sizes alone are compared. A
    directory without a record is looked at for its structure. What can't be read is `unreadable`.
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
        name: facts
        for name, facts in (expected_files(record) or _expected_by(model, directory)).items()
        if name not in files
    }
    if not files and not missing:
        found = [*_unrecorded(directory), *_unfinished(directory, set())]
    else:
        found = [
            _examine(directory, name, facts, _promised(model, facts), thorough=thorough)
            for name, facts in files.items()
        ]
        found += [_to_come(directory, name) for name in missing]
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
    """Raises OSError where there is a record that can't be read: its files are not unrecorded."""
    try:
        read_regular_file(directory / MANIFEST, 1)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise


def _unreadable(name: str, error: OSError) -> LocalFile:
    reason = f"it can't be read: {error.strerror or type(error).__name__}"
    return LocalFile(name, FileState.UNREADABLE, None, reason, fetched=False)


def _examine(
    directory: Path, name: str, facts: Mapping[str, Any], promised: str | None, *, thorough: bool
) -> LocalFile:
    try:
        return _compared(directory, name, facts, promised, thorough=thorough)
    except OSError as error:
        return _unreadable(name, error)


def _compared(
    directory: Path, name: str, facts: Mapping[str, Any], promised: str | None, *, thorough: bool
) -> LocalFile:
    path = directory / name
    expected, sha256 = integer(facts.get("size")), facts.get("sha256")
    if not lexists(path):
        if part_of(path).is_file():
            return LocalFile(name, FileState.PARTIAL, None, "its download is not finished")
        return LocalFile(name, FileState.MISSING, None, "it was downloaded, and is gone")
    if path.is_symlink() or not path.is_file():
        return LocalFile(name, FileState.DAMAGED, None, "it is not a file any more")
    size = path.stat().st_size
    if expected is not None and size != expected:
        reason = f"wrong size: {size:,} bytes instead of {expected:,}"
        return LocalFile(name, FileState.WRONG_SIZE, size, reason)
    checked = checked_of(facts.get("checked"))
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


def _to_come(directory: Path, name: str) -> LocalFile:
    path = directory / name
    if lexists(path):
        reason = "another file is in its place; it was not downloaded"
        return LocalFile(name, FileState.MISSING, None, reason, fetched=False)
    if part_of(path).is_file():
        reason = "its download is not finished"
        return LocalFile(name, FileState.PARTIAL, None, reason, fetched=False)
    return LocalFile(name, FileState.MISSING, None, "it was not downloaded", fetched=False)


def _expected_by(model: Model | None, directory: Path) -> dict[str, Mapping[str, Any]]:
    """The files of the model as the cache has it; a record of an earlier version names none."""
    if model is None:
        return {}
    names = local_names(model, directory)
    return {names[file.name]: {"object": file.name} for file in model.files}


def _promised(model: Model | None, facts: Mapping[str, Any]) -> str | None:
    """The checksum that the project's manifest has for it today."""
    files = model.files if model is not None else ()
    return next((file.sha256 for file in files if file.name == facts.get("object")), None)


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


def remove(directory: Path) -> int:
    """Remove the recorded files, what unfinished downloads left, the record, and the directory
    where nothing else is in it; how many files those were.

    Raises DiskError, also where a file is being downloaded.
    """
    with explained_disk(directory / MANIFEST):
        check_record(directory)
    record = read_record(directory)
    names = list(recorded_files(record))
    count = 0
    with explained_disk(directory):
        begun = partial_downloads(directory)
        for name in dict.fromkeys([*names, *expected_files(record), *begun]):
            discard_part(directory / name)
        for name in [*names, MANIFEST]:
            path = directory / name
            if path.is_symlink() or path.is_file():
                path.unlink()
                count += 1
        remove_abandoned_files(directory)
        if not directory.is_symlink() and not any(directory.iterdir()):
            directory.rmdir()
    return count
