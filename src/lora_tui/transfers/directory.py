"""Where on this disk a model lies, or is to lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lora_tui.domain import Model
from lora_tui.errors import DiskError
from lora_tui.filenames import slug
from lora_tui.transfers.part import SUFFIXES
from lora_tui.transfers.record import check_directory, is_outdated, read_record, recorded_files


def model_directory(model: Model, downloads: Path, *, replace: bool = False) -> Path:
    """`<downloads>/<name slug>-<short id>`, or with the whole id where another model has that.

    A model that was renamed since stays where it is: of the directories that hold something of
    it, the one with the most files. One that holds an earlier version is left alone, unless it is
    to be `replace`d: a server may have it loaded. The new version gets a directory of its own.
    """
    short, whole = f"-{slug(model.id[:8])}", f"-{slug(model.id, limit=80)}"
    there = [path for path in _named_by(downloads, short) if _holds(path, model)]
    usable = [path for path in there if replace or not is_outdated(model, path)]
    names = [f"{slug(model.name)}{ending}" for ending in (short, whole)]
    if usable:
        return max(usable, key=lambda path: (len(_files(path)), path.name == names[0]))
    if there:
        names = [f"{name}-{_version_mark(model)}" for name in names]
    named = [downloads / name for name in names]
    return next((path for path in named if _is_free(path, model)), named[-1])


def _named_by(downloads: Path, ending: str) -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(downloads.iterdir()):
            if ending in path.name and path.is_dir() and not path.is_symlink():
                yield path


def _version_mark(model: Model) -> str:
    checksums = sorted(f"{file.name} {file.sha256}" for file in model.files)
    return hashlib.sha256("\n".join(checksums).encode(errors="surrogatepass")).hexdigest()[:6]


def _is_free(path: Path, model: Model) -> bool:
    if path.is_symlink():
        return False
    try:
        check_directory(path, model)
    except DiskError:
        return False
    return True


def _holds(directory: Path, model: Model) -> bool:
    """Whether lora-tui put something of this model there, if only the beginning of a file."""
    record = read_record(directory)
    if record:
        return record.get("id") == model.id
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError:
        return False
    return bool(names) and all(name.endswith(SUFFIXES) for name in names)


def _files(directory: Path) -> list[str]:
    return [name for name in recorded_files(read_record(directory)) if (directory / name).is_file()]
