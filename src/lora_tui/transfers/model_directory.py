"""The directory of a model on this disk, and its record `lora-tui.json`.

The record says whose directory it is, and what each file in it was:

id, name, version, …  of the model; the directory belongs to that model alone
model_files           remote name → name on this disk, and size and sha256 where known
files                 name on this disk → what was fetched: sha256, size, object (its remote
                      name), checked (how it was verified), etag, updated_at (of the model, then)
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from os.path import lexists, realpath
from pathlib import Path
from typing import Any, Final

from lora_tui import clock
from lora_tui.cache.transfer_queue import Checked
from lora_tui.clock import timestamp_text
from lora_tui.domain import Model
from lora_tui.errors import DiskError, InUseError
from lora_tui.filenames import distinct_file_names, safe_file_name, same_file_key, slug
from lora_tui.files import PUBLIC_MODE, write_file
from lora_tui.json_values import json_text, mapping, read_object
from lora_tui.locks.file_lock import locked_directory
from lora_tui.text import terminal_safe
from lora_tui.transfers.part import SUFFIXES, part_of, translate_write_errors

MANIFEST: Final = "lora-tui.json"
"""The name of the record."""

_MOST_BYTES: Final = 16 << 20


def model_directory(model: Model, downloads: Path, *, replace: bool = False) -> Path:
    """`<downloads>/<name slug>-<short id>`, or with the whole id if another model uses that.

    A renamed model keeps its directory: of those with files of it, the one with the most. A
    directory with an earlier version is used only with `replace`, as a server may have it loaded;
    else the new version gets its own directory.
    """
    short, whole = f"-{slug(model.id[:8])}", f"-{slug(model.id, limit=80)}"
    there = [path for path in _named_by(downloads, short) if _holds(path, model)]
    usable = [path for path in there if replace or not is_outdated(model, path)]
    names = [f"{slug(model.name)}{ending}" for ending in (short, whole)]
    if usable:
        return max(usable, key=lambda path: (len(_files(path)), path.name == names[0]))
    if there:
        names = [f"{name}-{version_mark(model)}" for name in names]
    named = [downloads / name for name in names]
    return next((path for path in named if _is_free(path, model)), named[-1])


def read_record(directory: Path) -> Mapping[str, Any]:
    """The record of a directory; empty if there is none, or it is invalid."""
    return read_object(directory / MANIFEST, _MOST_BYTES)


def recorded_files(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name on this disk → entry, of the files that lora-tui downloaded."""
    return {
        name: mapping(entry)
        for name, entry in mapping(record.get("files")).items()
        if _is_file_name(name)
    }


def record_of(directory: Path, model_id: str) -> Mapping[str, Any]:
    """The record if the directory belongs to this model; else empty."""
    record = read_record(directory)
    return record if record.get("id") == model_id else {}


def local_names(model: Model, directory: Path) -> dict[str, str]:
    """Remote name → name on this disk, of every file of the model.

    A file keeps the name that the record in `directory` gives it.
    """
    known: dict[str, str] = {}
    used = {same_file_key(MANIFEST)}
    for remote, local in _recorded_names(record_of(directory, model.id)).items():
        key = same_file_key(local)
        usable = local == safe_file_name(local) and not key.endswith(SUFFIXES)
        if usable and key not in used:
            used.add(key)
            known[remote] = local
    there = {file.name: known[file.name] for file in model.files if file.name in known}
    rest = [file.name for file in model.files if file.name not in there]
    new = distinct_file_names(rest, taken={MANIFEST, *known.values()}, endings=SUFFIXES)
    return {file.name: (there | new)[file.name] for file in model.files}


def expected_files(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name on this disk → size and sha256, if known, of every file that the model had."""
    found: dict[str, Mapping[str, Any]] = {}
    for remote, entry in mapping(record.get("model_files")).items():
        name = mapping(entry).get("name")
        if isinstance(name, str) and _is_file_name(name):
            found[name] = {**mapping(entry), "object": remote}
    return found


def check_directory(directory: Path, model: Model) -> None:
    """Raises DiskError if it holds files of another model, or another program's record."""
    record = read_record(directory)
    owner = record.get("id")
    place = directory / MANIFEST
    if owner == model.id or place.is_symlink() or not lexists(place):
        return  # a link is replaced, not followed
    if not isinstance(owner, str):
        raise DiskError(
            f"The file {MANIFEST} there was not written by lora-tui",
            details=str(place),
            remedy="move it away, choose another directory with --to, or use --force",
        )
    names = [*recorded_files(record), *expected_files(record)]
    if any(lexists(directory / name) or lexists(part_of(directory / name)) for name in names):
        name = terminal_safe(record.get("name"), limit=120) or "unnamed"
        raise DiskError(
            "The directory holds files of another model",
            details=f"{directory}: {name} ({terminal_safe(owner, limit=40)})",
            remedy="choose another directory with --to, or replace them with --force",
        )


def claim_directory(directory: Path, model: Model, *, force: bool = False) -> None:
    """Record that the directory belongs to this model, before any file is written.

    With `force` another's record stays until the first file of this model replaces it, in
    `record_file`. Raises what `check_directory` raises.
    """
    if recorded_files(record_of(directory, model.id)):
        return  # it is kept; the lock may be held long, while other files are recorded
    with translate_write_errors(directory / MANIFEST), locked_directory(directory):
        try:
            check_directory(directory, model)
        except DiskError:
            if force:
                return
            raise
        if not record_of(directory, model.id):
            _write(directory, model, {})


def release_directory(directory: Path, model_id: str) -> None:
    """Remove the record if there is no file of the model, after a failed download."""
    with suppress(OSError, InUseError), locked_directory(directory):
        record = record_of(directory, model_id)
        begun = any(lexists(part_of(directory / name)) for name in expected_files(record))
        if record and not recorded_files(record) and not begun:
            (directory / MANIFEST).unlink()


def record_file(
    directory: Path,
    model: Model,
    name: str,
    *,
    sha256: str,
    size: int,
    remote_name: str,
    checked: Checked,
    etag: str | None,
    force: bool = False,
    check: Callable[[Path], None] = lambda _directory: None,
    place: Callable[[], None] = lambda: None,
) -> None:
    """Record a file, then call `place`, which gives it its name: a crash in between is harmless.

    `check` is called first; all three under the directory's lock, which who hands the directory to
    a server takes too. Files of one model that wait for the lock are recorded together, by the
    thread that gets it, with one flush to the disk. Raises DiskError, also if another model has
    claimed the directory meanwhile (unless `force`), and what `check` and `place` raise.
    """
    entry = {
        "sha256": sha256,
        "size": size,
        "object": remote_name,
        "checked": checked.value,
        "etag": etag,
        "updated_at": _moment_of(model),
    }
    file = _Unrecorded(model, name, entry, force, check, place)
    key = realpath(directory)
    with _unrecorded_lock:
        _unrecorded.setdefault(key, []).append(file)
    with translate_write_errors(directory / MANIFEST):
        try:
            with locked_directory(directory):
                _record_together(directory, _take_with(file, key))
        except BaseException:
            if file in _take_with(file, key, alone=True):
                raise
        file.settled.wait()  # another thread may have taken it
        if file.error is not None:
            raise file.error


@dataclass(eq=False)
class _Unrecorded:
    """A file that waits to be recorded and placed."""

    model: Model
    name: str
    entry: Mapping[str, Any]
    force: bool
    check: Callable[[Path], None]
    place: Callable[[], None]
    error: BaseException | None = None
    settled: threading.Event = field(default_factory=threading.Event)
    """Set when it was recorded and placed, or has an error."""


_unrecorded: Final[dict[str, list[_Unrecorded]]] = {}
_unrecorded_lock: Final = threading.Lock()


def _take_with(file: _Unrecorded, key: str, *, alone: bool = False) -> list[_Unrecorded]:
    """Take `file`, and those that can be recorded with it; empty if another thread has taken it."""
    with _unrecorded_lock:
        waiting = _unrecorded.get(key, [])
        if file not in waiting:
            return []
        taken = [
            one
            for one in waiting
            if one is file or (not alone and one.force == file.force and one.model == file.model)
        ]
        left = [one for one in waiting if one not in taken]
        if left:
            _unrecorded[key] = left
        else:
            del _unrecorded[key]
        return taken


def _record_together(directory: Path, taken: list[_Unrecorded]) -> None:
    """Record and place files of one model. Call under the directory's lock.

    An error of one file is kept in it, and does not concern the others.
    """
    try:
        for file in taken:
            _attempt(file, partial(file.check, directory))
        files = [file for file in taken if file.error is None]
        if files:
            model = files[0].model
            if not files[0].force:
                check_directory(directory, model)
            recorded = dict(recorded_files(record_of(directory, model.id)))
            _write(directory, model, recorded | {file.name: file.entry for file in files})
        for file in files:
            _attempt(file, file.place)
    except BaseException as error:
        for file in taken:
            file.error = file.error or error
    finally:
        for file in taken:
            file.settled.set()


def _attempt(file: _Unrecorded, act: Callable[[], None]) -> None:
    try:
        act()
    except BaseException as error:
        file.error = error


def is_this_version(entry: Mapping[str, Any], record: Mapping[str, Any], model: Model) -> bool:
    """Whether a file was fetched from the model's current version, judged by times alone."""
    moment = entry.get("updated_at")
    if moment is not None:
        return bool(moment == _moment_of(model))
    fetched = clock.parse_timestamp(record.get("downloaded_at"))  # written by an earlier lora-tui
    return fetched is not None and (model.updated_at is None or model.updated_at <= fetched)


def is_outdated(model: Model, directory: Path) -> bool:
    """Whether a file in it is known to be of an earlier version than the project's."""
    today = {file.name: file.sha256 for file in model.files}
    files = recorded_files(record_of(directory, model.id)).values()
    return any(
        today.get(str(entry.get("object"))) not in (None, entry.get("sha256")) for entry in files
    )


def _named_by(downloads: Path, ending: str) -> Iterator[Path]:
    with suppress(OSError):
        for path in sorted(downloads.iterdir()):
            if ending in path.name and path.is_dir() and not path.is_symlink():
                yield path


def version_mark(model: Model, stamps: Mapping[str, str] | None = None) -> str:
    """Six hexadecimal digits that tell this version of the files from others.

    `stamps`: name → what tells the bytes of a file whose checksum the project does not know.
    """
    known = stamps or {}
    checksums = sorted(f"{file.name} {file.sha256 or known.get(file.name)}" for file in model.files)
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
    """Whether it holds files of this model, also partial ones."""
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


def _write(directory: Path, model: Model, files: Mapping[str, Any]) -> None:
    names = local_names(model, directory)
    data = {
        "id": model.id,
        "name": model.name,
        "version": model.version,
        "stars": model.quality.stars,
        "convergence": model.quality.convergence,
        "dataset": model.dataset.name if model.dataset else None,
        "base_model": model.hyperparameters.base_model,
        "updated_at": _moment_of(model),
        "downloaded_at": timestamp_text(clock.now()),
        "model_files": {
            file.name: {"name": names[file.name], "size": file.size, "sha256": file.sha256}
            for file in model.files
        },
        "files": files,
    }
    write_file(directory / MANIFEST, _record_text(data), mode=PUBLIC_MODE, durable=True)


def _record_text(data: Mapping[str, Any]) -> str:
    """The record as JSON with one line for each file: it is written anew after each one."""
    lines = []
    for key, value in data.items():
        text = json_text(value)
        if isinstance(value, Mapping) and value:
            entries = (
                f"    {json_text(name)}: {json_text(entry)}" for name, entry in value.items()
            )
            text = "{\n" + ",\n".join(entries) + "\n  }"
        lines.append(f"  {json_text(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _recorded_names(record: Mapping[str, Any]) -> dict[str, str]:
    fetched = {str(entry.get("object")): name for name, entry in recorded_files(record).items()}
    promised = {str(entry["object"]): name for name, entry in expected_files(record).items()}
    return promised | fetched


def _moment_of(model: Model) -> str | None:
    return timestamp_text(model.updated_at) if model.updated_at else None


def _is_file_name(name: str) -> bool:
    """Whether it can be the name of a file in the directory; a record is not trusted."""
    return name == Path(name).name and name not in ("", "..", MANIFEST) and "\0" not in name
