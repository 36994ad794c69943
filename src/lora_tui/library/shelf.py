"""Finds the adapters that lora-tui has put on this disk, and says what state each is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from lora_tui.domain import Model
from lora_tui.errors import IntegrityError
from lora_tui.json_values import whole
from lora_tui.text import terminal_safe
from lora_tui.transfers.part import part_of
from lora_tui.transfers.plan import MANIFEST
from lora_tui.transfers.record import read_record, recorded_files
from lora_tui.transfers.verify import check_structure, sha256_of


class FileState(StrEnum):
    """How a file on this disk compares with what it should be."""

    OK = "ok"
    UNRECORDED = "unrecorded"
    """Sound as far as its structure tells; nobody wrote down what it should be."""
    OUTDATED = "outdated"
    """As it was downloaded; the project has another one by now."""
    PARTIAL = "partial"
    """Its download is not finished."""
    MISSING = "missing"
    DAMAGED = "damaged"


BROKEN = (FileState.MISSING, FileState.DAMAGED)


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
        """That of its worst file."""
        order = list(FileState)
        return max((file.state for file in self.files), key=order.index, default=FileState.OK)


def directories(root: Path, elsewhere: Iterable[Path] = ()) -> list[Path]:
    """Where adapters lie: `root` itself, its children, and the directories named besides."""
    children: list[Path] = []
    if (root / MANIFEST).is_file():
        children = [root]
    elif root.is_dir():
        children = sorted(path for path in root.iterdir() if (path / MANIFEST).is_file())
    others = [path for path in elsewhere if (path / MANIFEST).is_file()]
    return list(dict.fromkeys([*children, *others]))


def examine(
    directory: Path,
    *,
    thorough: bool,
    model_of: Callable[[str], Model | None] = lambda _model_id: None,
) -> Adapter:
    """Compare an adapter with its record, and with the project's manifest where that is known.

    `thorough` reads every byte; else sizes alone are compared. A directory without a record is
    looked at for its structure. Raises OSError where the directory can't be read.
    """
    record = read_record(directory)
    model_id = record.get("id")
    model = model_of(model_id) if isinstance(model_id, str) else None
    files = recorded_files(record)
    if not files:
        found = list(_unrecorded(directory))
    else:
        found = [
            _examine(directory, name, facts, _promised(model, facts), thorough=thorough)
            for name, facts in files.items()
            if Path(name).name == name
        ]
        found += _unfinished(directory, set(files))
    return Adapter(
        directory=directory,
        model_id=model_id if isinstance(model_id, str) else None,
        name=terminal_safe(record.get("name") or directory.name, limit=200),
        version=terminal_safe(record.get("version"), limit=40) or None,
        files=tuple(found),
    )


def _examine(
    directory: Path, name: str, facts: Any, promised: str | None, *, thorough: bool
) -> LocalFile:
    path = directory / name
    expected, sha256 = whole(facts.get("size")), facts.get("sha256")
    if not path.exists() and not path.is_symlink():
        state = FileState.PARTIAL if part_of(path).exists() else FileState.MISSING
        return LocalFile(name, state, None, "it is not there")
    if path.is_symlink() or not path.is_file():
        return LocalFile(name, FileState.DAMAGED, None, "it is not a file any more")
    size = path.stat().st_size
    if expected is not None and size != expected:
        reason = f"it has {size:,} bytes instead of {expected:,}"
        return LocalFile(name, FileState.DAMAGED, size, reason)
    if thorough:
        if isinstance(sha256, str) and sha256_of(path) != sha256:
            return LocalFile(name, FileState.DAMAGED, size, "its checksum is wrong")
        try:
            check_structure(path, name)
        except IntegrityError as error:
            return LocalFile(name, FileState.DAMAGED, size, str(error))
    if promised is not None and promised != sha256:
        return LocalFile(name, FileState.OUTDATED, size, "the project has another one by now")
    return LocalFile(name, FileState.OK, size)


def _promised(model: Model | None, facts: Any) -> str | None:
    """The checksum that the project's manifest has for it today."""
    files = model.files if model is not None else ()
    return next((file.sha256 for file in files if file.name == facts.get("object")), None)


def _unfinished(directory: Path, recorded: set[str]) -> Iterator[LocalFile]:
    for part in sorted(directory.glob("*.part")):
        name = part.name.removesuffix(".part")
        if name not in recorded and name != MANIFEST:
            yield LocalFile(name, FileState.PARTIAL, part.stat().st_size, "download unfinished")


def _unrecorded(directory: Path) -> Iterator[LocalFile]:
    for path in sorted(directory.iterdir()):
        if not path.is_file() or path.suffix not in (".safetensors", ".json"):
            continue
        try:
            check_structure(path, path.name)
        except IntegrityError as error:
            yield LocalFile(path.name, FileState.DAMAGED, path.stat().st_size, str(error))
        else:
            yield LocalFile(path.name, FileState.UNRECORDED, path.stat().st_size)
