"""Fetches one file of the queue: bytes, checks, record, and the final name last."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lora_tui.cache.transfer_queue import Checked, Transfer, checked_of
from lora_tui.domain import Model
from lora_tui.errors import DiskError, IntegrityError
from lora_tui.gateway.headers import md5_of_etag
from lora_tui.transfers.fetch_bytes import FetchedBytes, FetchOptions, fetch_bytes
from lora_tui.transfers.model_directory import (
    claim_directory,
    is_this_version,
    record_file,
    record_of,
    recorded_files,
    release_directory,
)
from lora_tui.transfers.part import Part, open_part
from lora_tui.transfers.verify import check_structure, md5_of, sha256_of


@dataclass(frozen=True)
class FetchedFile:
    """A file under its final name."""

    size: int
    sha256: str
    modified: int
    """Its modification time, in nanoseconds."""
    checked: Checked
    etag: str | None = None
    """The storage's ETag of this version."""


def fetch_file(
    row: Transfer,
    model: Model,
    options: FetchOptions,
    verifying: Callable[[int], None],
    etag_of: Callable[[str], str | None] = lambda _path: None,
    check_unused: Callable[[Path], None] = lambda _directory: None,
) -> FetchedFile:
    """Fetch one file to its target. `verifying` is called when all bytes have arrived.

    An existing file is kept if it is this version of the file; `etag_of` asks the storage for the
    ETag of an object path. `check_unused` raises for a directory that a server has loaded; it is
    called before anything is fetched, and again before the file gets its name. Raises what
    `fetch_bytes` raises, IntegrityError if the bytes are wrong (the `.part` is removed then),
    DiskError if another file has the name or the directory belongs to another model.
    """
    directory = row.target.parent
    with open_part(row.target) as part:
        if not row.force and not record_of(directory, model.id):
            part.check_ours()
        claim_directory(directory, model, force=row.force)
        try:
            return _fetch_into(part, row, model, options, verifying, etag_of, check_unused)
        except BaseException:
            if part.is_empty():
                part.discard()
            if part.in_its_directory:
                release_directory(directory, model.id)
            raise


def _fetch_into(
    part: Part,
    row: Transfer,
    model: Model,
    options: FetchOptions,
    verifying: Callable[[int], None],
    etag_of: Callable[[str], str | None],
    check_unused: Callable[[Path], None],
) -> FetchedFile:
    if _is_there(row.target):
        here = _existing_file(row, model, etag_of)
        if here is not None:
            _record(row, model, here)
            return here
        if not row.force:
            raise _conflict_error(row, model)
    check_unused(row.target.parent)
    resumed = part.resume() is not None
    fetched, checked = _fetch_checked(part, row, options, verifying, etag_of, again=resumed)
    modified = os.fstat(part.descriptor).st_mtime_ns
    file = FetchedFile(fetched.size, fetched.sha256, modified, checked, fetched.etag)
    part.check_in_place()

    def place() -> None:
        if not row.force and _is_there(row.target):
            raise _conflict_error(row, model)
        part.move_to(row.target)

    _record(row, model, file, check_unused, place)
    return file


def _fetch_checked(
    part: Part,
    row: Transfer,
    options: FetchOptions,
    verifying: Callable[[int], None],
    etag_of: Callable[[str], str | None],
    *,
    again: bool,
) -> tuple[FetchedBytes, Checked]:
    """The fetched and checked file. With `again`, it is fetched once more if the check fails."""
    fetched = fetch_bytes(part, options, expected_size=row.bytes_total)
    verifying(fetched.size)
    part.check_in_place()
    try:
        return fetched, _check(part.path, row, fetched, etag_of)
    except IntegrityError:
        if not again:
            part.discard()
            raise
    part.restart()
    return _fetch_checked(part, row, options, verifying, etag_of, again=False)


def _record(
    row: Transfer,
    model: Model,
    file: FetchedFile,
    check: Callable[[Path], None] = lambda _directory: None,
    place: Callable[[], None] = lambda: None,
) -> None:
    record_file(
        row.target.parent,
        model,
        row.target.name,
        sha256=file.sha256,
        size=file.size,
        remote_name=row.file,
        checked=file.checked,
        etag=file.etag,
        force=row.force,
        check=check,
        place=place,
    )


def _check(
    path: Path, row: Transfer, fetched: FetchedBytes, etag_of: Callable[[str], str | None]
) -> Checked:
    """Verify it by the strongest available check. Raises IntegrityError.

    The ETag of a response may be of the server in front of the storage (that of @supabase/lite is),
    so where it is not the MD5 of the bytes, the one that the storage keeps decides.
    """
    if row.expected_sha256 is not None and fetched.sha256 != row.expected_sha256:
        raise IntegrityError(
            "The checksum is wrong: these are not the bytes that were stored",
            details=f"{fetched.sha256}, the manifest says {row.expected_sha256}",
        )
    proven = row.expected_sha256 is not None
    structured = check_structure(path, row.target.name, proven=proven)
    if proven:
        return Checked.SHA256
    expected = md5_of_etag(fetched.etag)
    if expected is None:
        return Checked.STRUCTURE if structured else Checked.LENGTH
    digest = md5_of(path)
    if digest not in (expected, md5_of_etag(etag_of(row.object_path))):
        raise IntegrityError(
            "The checksum is wrong: these are not the bytes that were stored",
            details=f"MD5 {digest}, the ETag says {expected}",
        )
    return Checked.ETAG


def _existing_file(
    row: Transfer, model: Model, etag_of: Callable[[str], str | None]
) -> FetchedFile | None:
    """The file at the target, if it is the wanted version."""
    try:
        if row.target.is_symlink() or not row.target.is_file():
            return None
        status = row.target.stat()
        if row.bytes_total not in (None, status.st_size):
            return None
        digest = sha256_of(row.target)
        if row.expected_sha256 is not None:
            checked = Checked.SHA256 if digest == row.expected_sha256 else None
            etag = _record_entry(row, model).get("etag") if checked else None
        else:
            etag = etag_of(row.object_path)
            checked = _compared_with_storage(row, model, digest, etag)
    except OSError:
        return None
    if checked is None:
        return None
    known = etag if isinstance(etag, str) else None
    return FetchedFile(status.st_size, digest, status.st_mtime_ns, checked, known)


def _compared_with_storage(
    row: Transfer, model: Model, digest: str, etag: str | None
) -> Checked | None:
    """How the file is verified without a manifest: by the current ETag, or the record."""
    expected = md5_of_etag(etag)
    if expected is not None:
        return Checked.ETAG if md5_of(row.target) == expected else None
    record, entry = record_of(row.target.parent, model.id), _record_entry(row, model)
    if entry.get("object") != row.file or entry.get("sha256") != digest:
        return None
    before = entry.get("etag")
    if isinstance(before, str) and etag is not None:
        same = before.strip('"') == etag.strip('"')
    else:
        same = is_this_version(entry, record, model)
    return (checked_of(entry.get("checked")) or Checked.LENGTH) if same else None


def _conflict_error(row: Transfer, model: Model) -> DiskError:
    entry = _record_entry(row, model)
    if entry.get("object") != row.file:
        what = "Another file of that name is there already"
    elif not row.target.is_file() or sha256_of(row.target) != entry.get("sha256"):
        what = "The file there was changed since it was downloaded"
    else:
        what = "The file there is of an earlier version of the model"
    return DiskError(
        what,
        details=str(row.target),
        remedy="move it away, choose another directory with --to, or replace it with --force",
    )


def _record_entry(row: Transfer, model: Model) -> dict[str, object]:
    """The record's entry of the target; empty if the directory is another model's."""
    files = recorded_files(record_of(row.target.parent, model.id))
    return dict(files.get(row.target.name, {}))


def _is_there(path: Path) -> bool:
    return path.is_symlink() or path.exists()
