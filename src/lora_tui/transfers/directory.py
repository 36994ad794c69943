"""Where on this disk a model lies, or is to lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lora_tui.domain import Model
from lora_tui.errors import DiskError
from lora_tui.filenames import slug
from lora_tui.transfers.part import SUFFIXES
from lora_tui.transfers.record import check_directory, read_record, recorded_files


def model_directory(model: Model, downloads: Path) -> Path:
    """`<downloads>/<name slug>-<short id>`, or with the whole id where another model has that.

    A model that was renamed since stays where it is: of the directories that hold something of
    it, the one with the most files.
    """
    short, whole = f"-{slug(model.id[:8])}", f"-{slug(model.id, limit=80)}"
    named = [downloads / f"{slug(model.name)}{ending}" for ending in (short, whole)]
    there = [path for path in _ending(downloads, (short, whole)) if _holds(path, model)]
    if there:
        return max(there, key=lambda path: (len(_files(path)), path == named[0]))
    return next((path for path in named if _is_free(path, model)), named[-1])


def _ending(downloads: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(downloads.iterdir()):
            if path.name.endswith(endings) and path.is_dir() and not path.is_symlink():
                yield path


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
