"""Compares finished downloads with this disk, and updates the cache.

A check finds the files that were changed or removed; it needs one `stat` a file, and reads a file
once, if its modification time differs. An import adds the files that their records name to a new
cache.
"""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from sqlite3 import Connection

from lora_tui.cache import metadata, models
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.downloaded import (
    delete_downloaded,
    downloaded_files,
    downloaded_models,
    downloaded_to,
    put_downloaded,
    put_existing_files,
    put_file_state,
    put_intact,
)
from lora_tui.cache.models import get_model
from lora_tui.cache.transfer_queue import Checked, FileRequest, Transfer, TransferState, checked_of
from lora_tui.domain import ArtifactFile, Model
from lora_tui.library.contents import ALTERED, Adapter
from lora_tui.transfers.model_directory import (
    MANIFEST,
    is_outdated,
    read_record,
    record_of,
    recorded_files,
)
from lora_tui.transfers.verify import sha256_of


def check_presence(db: Connection) -> None:
    """Check every downloaded file, and update the states that differ."""
    before = {row.id: row for row in downloaded_files(db)}
    states = {number: _state_on_disk(row) for number, row in before.items()}
    changed = {
        number: found
        for number, found in states.items()
        if found != (before[number].state, before[number].modified)
    }
    if changed:
        shown = any(state is not before[number].state for number, (state, _) in changed.items())
        with transaction(db, *((Topic.TRANSFERS,) if shown else ())):
            for number, (state, modified) in changed.items():
                put_file_state(db, before[number], state, modified)
    _check_models(db)


def record_removal(db: Connection, model_id: str, directory: Path, others: Iterable[Path]) -> None:
    """Store that the copy in `directory` was removed; one of the `others` takes its place."""
    model = get_model(db, model_id)
    with transaction(db, Topic.TRANSFERS, Topic.MODELS):
        delete_downloaded(db, model_id, directory)
        if model is not None and model_id not in downloaded_models(db):
            for copy in others:
                if import_copy(db, model, copy):
                    break
    check_presence(db)


def record_damage(db: Connection, adapters: Iterable[Adapter]) -> None:
    """Store which files a thorough check found broken; a `stat` does not show it."""
    damaged = {
        adapter.directory / file.name
        for adapter in adapters
        for file in adapter.files
        if file.state in ALTERED
    }
    changed = [
        row
        for row in downloaded_files(db)
        if row.target in damaged and row.state is TransferState.DONE
    ]
    if changed:
        with transaction(db, Topic.TRANSFERS):
            for row in changed:
                put_file_state(db, row, TransferState.CHANGED, _modified(row.target))
    check_presence(db)


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


def _modified(path: Path) -> int | None:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return None


def _state_on_disk(row: Transfer) -> tuple[TransferState, int | None]:
    """The state of a file, and the modification time that it belongs to."""
    known = (row.state, row.modified)
    try:
        status = row.target.lstat()
    except (FileNotFoundError, NotADirectoryError):
        # a file that replaces a changed one must be read
        changed = row.state is TransferState.CHANGED
        return TransferState.MISSING, None if changed else row.modified
    except OSError:
        return known  # an error of the disk says nothing about the file
    modified = status.st_mtime_ns
    if not stat.S_ISREG(status.st_mode) or status.st_size != row.bytes_done:
        return TransferState.CHANGED, modified
    if modified == row.modified:
        still_changed = row.state is TransferState.CHANGED
        return TransferState.CHANGED if still_changed else TransferState.DONE, modified
    try:
        same = row.sha256 is not None and sha256_of(row.target) == row.sha256
    except OSError:
        return known
    return TransferState.DONE if same else TransferState.CHANGED, modified


def _check_models(db: Connection) -> None:
    """Update which downloaded models are still complete."""
    rows: dict[tuple[str, Path], dict[str, Transfer]] = {}
    for row in downloaded_files(db):
        rows.setdefault((row.model_id, row.target.parent), {})[row.file] = row
    changed: dict[str, bool] = {}
    copies: dict[str, Path] = {}
    for model_id, directory in downloaded_models(db).items():
        try:
            intact = _is_intact(db, model_id, directory, rows.get((model_id, directory), {}))
        except OSError:
            continue  # an error of the disk says nothing about the file
        copy = None if intact else _intact_copy(db, model_id, rows)
        if copy is not None:
            copies[model_id] = copy
        elif intact is not (downloaded_to(db, model_id) is not None):
            changed[model_id] = intact
    if changed or copies:
        with transaction(db, Topic.TRANSFERS, Topic.MODELS):
            for model_id, intact in changed.items():
                put_intact(db, model_id, intact)
            for model_id, copy in copies.items():
                put_downloaded(db, model_id, copy)


def _intact_copy(
    db: Connection, model_id: str, rows: Mapping[tuple[str, Path], Mapping[str, Transfer]]
) -> Path | None:
    """The directory of another complete copy of the model; None if there is none."""
    for (of, directory), files in rows.items():
        try:
            if of == model_id and _is_intact(db, model_id, directory, files):
                return directory
        except OSError:
            continue  # this copy can't be checked now
    return None


def _is_intact(
    db: Connection, model_id: str, directory: Path, rows: Mapping[str, Transfer]
) -> bool:
    if any(row.state is not TransferState.DONE for row in rows.values()):
        return False
    model = get_model(db, model_id)
    if model is not None and any(map(partial(_is_outdated, rows), model.files)):
        return False
    if model is None or all(file.name in rows for file in model.files):
        return directory.is_dir()
    # files that were removed from the list of transfers are in the record
    recorded = {
        str(entry.get("object")): directory / name
        for name, entry in recorded_files(record_of(directory, model_id)).items()
    }
    return all(
        file.name in rows or (file.name in recorded and recorded[file.name].is_file())
        for file in model.files
    )


def _is_outdated(rows: Mapping[str, Transfer], file: ArtifactFile) -> bool:
    """Whether the project has another version of a file than the downloaded one."""
    row = rows.get(file.name)
    return row is not None and file.sha256 is not None and row.sha256 not in (None, file.sha256)


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
