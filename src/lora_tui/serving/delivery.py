"""Delivers a version of a model to where a server reads it: each version at a real path of its own.

A server keeps what it has computed by name and path, and reads the files again when it likes. So
the files of one version lie in one directory, whose name carries the version, and are not changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from lora_tui.config.servers import Server
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import DiskError, NotFoundError, UsageError
from lora_tui.filenames import slug
from lora_tui.text import terminal_safe
from lora_tui.transfers.model_directory import (
    is_this_version,
    local_names,
    record_of,
    recorded_files,
    version_mark,
)
from lora_tui.transfers.part import ANOTHER_DIRECTORY
from lora_tui.transfers.verify import sha256_of


class Version(NamedTuple):
    """One version of a model's files, and what it is called on a server."""

    mark: str
    """Of the checksums of the files: `version_mark`."""
    name: str
    """`<slug>-<short id>-<mark>`: of its directory, and of the adapter; ASCII, no slash."""


class Delivery(NamedTuple):
    """Where the files of a version are."""

    server_path: str
    """The path at which the server reads them."""
    directory: Path | None
    """The same directory on this machine; None where it is not on it."""


def version_of(model: Model, stamp_of: Callable[[ArtifactFile], str | None]) -> Version:
    """The version of the files that the project has now.

    `stamp_of` is asked for a file whose checksum the project does not know: its ETag, say. Raises
    NotFoundError where the model has no files.
    """
    if not model.files:
        raise NotFoundError(
            "The model has no files",
            details=model.name,
            remedy="its training job was stored without artifacts; harvest it again",
        )
    moment = model.updated_at.isoformat() if model.updated_at else ""
    stamps = {file.name: stamp_of(file) or moment for file in model.files if file.sha256 is None}
    mark = version_mark(model, stamps)
    return Version(mark, f"{slug(model.name)}-{slug(model.id[:8])}-{mark}")


def is_intact(model: Model, directory: Path) -> bool:
    """Whether all files of this version are in the directory, byte for byte. Reads all of them."""
    record = record_of(directory, model.id)
    entries = recorded_files(record)
    for file, name in _local_files(model, directory):
        path, entry = directory / name, entries.get(name, {})
        if file.sha256 is None and not is_this_version(entry, record, model):
            return False
        wanted = file.sha256 or entry.get("sha256")
        try:
            if path.is_symlink() or not path.is_file() or sha256_of(path) != wanted:
                return False
        except OSError:
            return False
    return True


def deliver(
    model: Model,
    version: Version,
    server: Server,
    *,
    downloads: Path,
    existing: Iterable[Path],
    fetch: Callable[[Path], None],
) -> Delivery:
    """Have the files of this version in a directory of this machine that the server sees.

    An intact download among `existing` is used where the server sees it; else `fetch` downloads
    into a directory of this version alone, below the server's `local` or `downloads`. Raises
    UsageError where the server sees no directory of this machine, what `fetch` raises, and
    DiskError where the directory has other contents.
    """
    for place in dict.fromkeys(Path(os.path.realpath(path)) for path in existing):
        seen = server.server_path(place)
        if seen is not None and is_intact(model, place):
            return Delivery(_text_of(seen), place)
    root = Path(os.path.realpath(server.local or downloads))
    directory = root / version.name
    seen = server.server_path(directory)
    if seen is None:
        raise UsageError(
            f"{server.name} does not see the files of this machine",
            details=f"it is reached by {terminal_safe(server.via, limit=100)}"
            if server.via
            else None,
            remedy="name `local` and `remote` of a shared directory in its settings,"
            " or a directory of its own by `remote`",
        )
    if directory.is_symlink():
        raise DiskError(
            "A link is in the place of this version's directory",
            details=str(directory),
            remedy="remove the link",
        )
    path = _text_of(seen)
    if not is_intact(model, directory):
        _refuse_other_contents(model, directory)
        try:
            fetch(directory)
        except DiskError as error:
            remedy = (error.remedy or "").removesuffix(f", or {ANOTHER_DIRECTORY}")
            raise type(error)(str(error), details=error.details, remedy=remedy or None) from error
    return Delivery(path, directory)


def known_files(model: Model, existing: Iterable[Path]) -> dict[str, tuple[ArtifactFile, int, str]]:
    """Safe local name → file, size and sha256, of every file of this version.

    Where the project does not know them, they are those of an intact download. Raises
    NotFoundError where there is none.
    """
    for place in (Path(os.path.realpath(path)) for path in existing):
        entries = recorded_files(record_of(place, model.id))
        if is_intact(model, place):
            return {
                name: (file, (place / name).stat().st_size, str(entries[name].get("sha256")))
                if name in entries
                else (file, (place / name).stat().st_size, sha256_of(place / name))
                for file, name in _local_files(model, place)
            }
    known = {
        name: (file, file.size, file.sha256)
        for file, name in _local_files(model, Path(os.devnull))
        if file.size is not None and file.sha256 is not None
    }
    if len(known) < len(model.files):
        raise NotFoundError(
            "The project does not know the checksums of all files of this model",
            details=model.name,
            remedy=f"run `lora-tui download {model.id[:8]}` first: a verified download has them",
        )
    return known


def _local_files(model: Model, directory: Path) -> Iterable[tuple[ArtifactFile, str]]:
    names: Mapping[str, str] = local_names(model, directory)
    return [(file, names[file.name]) for file in model.files]


def _refuse_other_contents(model: Model, directory: Path) -> None:
    """Raises DiskError where a file of this version's directory is not that of this version."""
    record = record_of(directory, model.id)
    entries = recorded_files(record)
    for file, name in _local_files(model, directory):
        path = directory / name
        if not os.path.lexists(path):
            continue
        wanted = file.sha256 or entries.get(name, {}).get("sha256")
        try:
            same = not path.is_symlink() and path.is_file() and sha256_of(path) == wanted
        except OSError:
            same = False
        if not same:
            raise DiskError(
                "A file of the delivered version was changed",
                details=str(path),
                remedy=f"unload it where it is loaded, then `lora-tui library remove {directory}`",
            )


def _text_of(path: str) -> str:
    """The path, which is sent to the server as JSON. Raises UsageError where it is no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(
            "The path can't be sent to a server: its name is not UTF-8 text",
            details=terminal_safe(path, limit=400),
            remedy="choose another directory for downloads",
        ) from None
    return path
