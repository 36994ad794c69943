"""One file of the queue: fetched, verified, written down, and only then given its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from lora_tui.cache.transfers import Transfer
from lora_tui.domain import Model
from lora_tui.errors import DiskError, IntegrityError
from lora_tui.transfers.fetch import Fetched, FetchOptions, fetch
from lora_tui.transfers.part import open_part
from lora_tui.transfers.record import read_record, record_file, recorded_files
from lora_tui.transfers.verify import check_structure, sha256_of


@dataclass(frozen=True)
class Brought:
    """A file in its place."""

    size: int
    sha256: str
    modified: int
    """When it was written, in nanoseconds."""


def bring(
    row: Transfer, model: Model, options: FetchOptions, verifying: Callable[[int], None]
) -> Brought:
    """Bring one file into its place. `verifying` is told when all its bytes are there.

    What is at the target already is kept where it is the file that is wanted. Raises what `fetch`
    raises, IntegrityError where the bytes are wrong (the `.part` is removed then), DiskError where
    another file is in the way.
    """
    target = row.target
    with open_part(target) as part:
        if target.is_symlink() or target.exists():
            here = _already_here(row)
            if here is not None:
                if target.name not in recorded_files(read_record(target.parent)):
                    _record(row, model, here)
                return here
            if not row.force:
                raise _in_the_way(row)
        fetched = fetch(part, options, expected_size=row.bytes_total)
        verifying(fetched.size)
        try:
            _check(row, fetched)
            check_structure(part.path, target.name)
        except IntegrityError:
            part.discard()
            raise
        modified = os.fstat(part.descriptor).st_mtime_ns
        brought = Brought(fetched.size, fetched.sha256, modified)
        _record(row, model, brought)
        if not row.force and (target.is_symlink() or target.exists()):
            raise _in_the_way(row)
        part.move_to(target)
        return brought


def _record(row: Transfer, model: Model, brought: Brought) -> None:
    record_file(
        row.target.parent,
        model,
        row.target.name,
        sha256=brought.sha256,
        size=brought.size,
        remote_name=row.file,
    )


def _check(row: Transfer, fetched: Fetched) -> None:
    if row.expected_sha256 is not None and fetched.sha256 != row.expected_sha256:
        raise IntegrityError(
            "The checksum is wrong: these are not the bytes that were stored",
            details=f"{fetched.sha256}, the manifest says {row.expected_sha256}",
        )


def _already_here(row: Transfer) -> Brought | None:
    recorded = recorded_files(read_record(row.target.parent)).get(row.target.name, {})
    promised = row.expected_sha256 or recorded.get("sha256")
    if promised is None or not row.target.is_file() or row.target.is_symlink():
        return None
    try:
        facts = row.target.stat()
        size = facts.st_size
        if row.expected_sha256 is not None and row.bytes_total not in (None, size):
            return None
        digest = sha256_of(row.target)
    except OSError:
        return None
    return Brought(size, digest, facts.st_mtime_ns) if digest == promised else None


def _in_the_way(row: Transfer) -> DiskError:
    return DiskError(
        "Another file of that name is there already",
        details=str(row.target),
        remedy="move it away, choose another directory with --to, or use --force",
    )
