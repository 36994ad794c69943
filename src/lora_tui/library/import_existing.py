"""Imports finished downloads on this disk into a new cache, by their records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from lora_tui.cache import metadata, models
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.downloaded import downloaded_models, put_downloaded, put_existing_files
from lora_tui.cache.transfers import Checked, FileRequest, checked_of
from lora_tui.domain import Model
from lora_tui.transfers.model_directory import MANIFEST, is_outdated, read_record, recorded_files


def import_existing(db: sqlite3.Connection, downloads: Path) -> int:
    """Import the models that are complete in a directory under `downloads`; returns their number.

    Done once in a new cache, after its first sync. Only models of the cache's owner are imported.
    """
    if metadata.get_value(db, metadata.DOWNLOADS_UNKNOWN) is None:
        return 0
    known = downloaded_models(db)
    found = {
        model.id: (model, directory)
        for directory, model in _recorded(db, downloads)
        if model.id not in known and _is_current(model, directory)
    }
    with transaction(db, *((Topic.TRANSFERS, Topic.MODELS) if found else ())):
        for model, directory in found.values():
            _put(db, model, directory)
        metadata.put_value(db, metadata.DOWNLOADS_UNKNOWN, None)
    return len(found)


def import_copy(db: sqlite3.Connection, model: Model, directory: Path) -> bool:
    """Import one complete copy of a model; returns whether it is one. In a transaction."""
    try:
        if not _is_current(model, directory):
            return False
    except OSError:
        return False  # a directory that can't be read is no copy to rely on
    _put(db, model, directory)
    return True


def _put(db: sqlite3.Connection, model: Model, directory: Path) -> None:
    put_existing_files(db, model.id, _files(model, directory))
    put_downloaded(db, model.id, directory)


def _is_current(model: Model, directory: Path) -> bool:
    return _is_whole(model, directory) and not is_outdated(model, directory)


def _recorded(db: sqlite3.Connection, downloads: Path) -> Iterator[tuple[Path, Model]]:
    for record in sorted(downloads.glob(f"*/{MANIFEST}")):
        model = models.get_model(db, str(read_record(record.parent).get("id") or ""))
        if model is not None:
            yield record.parent, model


def _is_whole(model: Model, directory: Path) -> bool:
    """Whether each file of the model exists in its recorded size."""
    there = {file.file for file in _files(model, directory) if _has_size(file)}
    return bool(model.files) and there >= {file.name for file in model.files}


def _has_size(file: FileRequest) -> bool:
    return file.target.is_file() and file.target.stat().st_size == file.size


def _files(model: Model, directory: Path) -> list[FileRequest]:
    """The model's files by the record in `directory`."""
    paths = {file.name: file.path for file in model.files}
    found = []
    for name, entry in recorded_files(read_record(directory)).items():
        of, size, sha256 = entry.get("object"), entry.get("size"), entry.get("sha256")
        if of in paths and isinstance(size, int) and isinstance(sha256, str):
            checked = checked_of(entry.get("checked")) or Checked.LENGTH
            found.append(FileRequest(of, paths[of], directory / name, size, sha256, checked))
    return found
