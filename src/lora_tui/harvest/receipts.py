"""Records which files of an unfinished job this machine has stored in the bucket.

An upload in pieces records its address here, so that it continues after a restart. After a crash a
file is not sent again if its receipt still matches the object in the bucket, and not fetched again
if the source still gives the same strong ETag. Receipts only save work: without one the file is
fetched and sent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from lora_tui.files import write_private_file
from lora_tui.gateway.headers import etag_value
from lora_tui.gateway.storage import ObjectInfo
from lora_tui.harvest.artifact_rows import Identity, stored_name
from lora_tui.json_values import read_object
from lora_tui.locks.presence import is_alive, show_presence

_MOST_BYTES: Final = 16 << 20
_OWNER: Final = "."
"""The key of the entry that names the job; no file has this name."""


@dataclass(frozen=True)
class Receipt:
    """A stored and checked object."""

    size: int
    """Bytes."""
    sha256: str
    etag: str | None
    """Of the object in the bucket."""
    source: str | None = None
    """The strong ETag of the source; None where it has none."""
    checked: bool = True
    """False in receipts of versions that did not check the structure of files."""
    measured: Any = None
    """What was measured when the file passed (passing_weights.py), as JSON."""


@dataclass(frozen=True)
class Owner:
    """The job that the receipts belong to."""

    job_id: str
    folder: str
    """Of the artifact's objects, in the bucket."""

    @classmethod
    def of(cls, identity: Identity) -> Owner:
        """The owner of the receipts of this job."""
        return cls(identity.job_id, identity.folder)


class Receipts:
    """The receipts of one artifact, in one small file. Safe to use from several threads."""

    def __init__(
        self, directory: Path, artifact_id: str, holder: str, owner: Owner | None = None
    ) -> None:
        self.artifact_id = artifact_id
        self._holder = holder
        self._file = directory / f"{artifact_id}.json"
        self._entries = read_object(self._file, _MOST_BYTES)
        self._lock = threading.Lock()
        self.owner = owner or _owner(self._entries.get(_OWNER))
        """None in receipts of an earlier version."""

    @classmethod
    def all_in(cls, directory: Path, holder: str) -> list[Self]:
        """The receipts of every artifact that this machine has not finished."""
        return [cls(directory, file.stem, holder) for file in sorted(directory.glob("*.json"))]

    def proves(self, name: str, there: ObjectInfo, sha256: str) -> bool:
        """Whether the object holds the bytes of this checksum."""
        receipt = self._receipt(name)
        return receipt is not None and receipt.sha256 == sha256 and _fits(receipt, there)

    def known(self, name: str, there: ObjectInfo, version: str | None) -> Receipt | None:
        """The receipt of an object whose bytes the source still gives this strong ETag."""
        receipt = self._receipt(name)
        if receipt is None or version is None or receipt.source != version or not receipt.checked:
            return None
        return receipt if _fits(receipt, there) else None

    def measured(self, name: str) -> Any:
        """What the receipt of a file has recorded about it; untrusted."""
        receipt = self._receipt(name)
        return None if receipt is None else receipt.measured

    def all_ours(self, names: Iterable[str]) -> bool:
        """Whether this machine has begun or stored each of these files, by their stored names."""
        ours = {stored_name(name) for name in self._entries}
        return all(name in ours for name in names)

    def add(self, name: str, receipt: Receipt) -> None:
        """Record a stored file."""
        self._put(name, asdict(receipt))

    def forget(self, name: str) -> None:
        """Remove the record of a file."""
        self._put(name, None)

    def upload_begun(self, name: str, size: int, version: str | None, url: str) -> None:
        """Record the address of an upload in pieces, if the source gives a strong ETag."""
        if version is not None:
            with suppress(OSError):  # other machines may continue this upload meanwhile
                show_presence(self._presence_directory, self._holder)
            entry = {"upload": url, "size": size, "version": version, "holder": self._holder}
            self._put(name, entry)

    def upload_of(self, name: str, size: int, version: str | None) -> str | None:
        """The address of an unfinished upload of the same bytes."""
        entry = self._entries.get(name)
        if version is None or not isinstance(entry, Mapping):
            return None
        if (entry.get("size"), entry.get("version")) != (size, version):
            return None
        holder = str(entry.get("holder"))
        if holder != self._holder and is_alive(holder, self._presence_directory):
            return None  # its harvester may still be sending
        url = entry.get("upload")
        return url if isinstance(url, str) else None

    def discard(self) -> None:
        """Remove the receipts of a job that is finished or given up."""
        with suppress(OSError):  # a later cycle removes them
            self._file.unlink(missing_ok=True)

    @property
    def _presence_directory(self) -> Path:
        return self._file.with_name("uploads.owners")

    def _receipt(self, name: str) -> Receipt | None:
        entry = self._entries.get(name)
        if not isinstance(entry, Mapping):
            return None
        size, sha256, etag = (entry.get(key) for key in ("size", "sha256", "etag"))
        if not (isinstance(size, int) and isinstance(sha256, str) and isinstance(etag, str)):
            return None
        source = entry.get("source")
        return Receipt(
            size,
            sha256,
            etag,
            source if isinstance(source, str) else None,
            checked=entry.get("checked") is True,
            measured=entry.get("measured"),
        )

    def _put(self, name: str, entry: Mapping[str, Any] | None) -> None:
        """Write the entry of a file, or remove it; several files may be on their way."""
        with self._lock:
            if entry is not None:
                self._entries[name] = entry
            elif self._entries.pop(name, None) is None:
                return
            if self.owner is not None:
                self._entries[_OWNER] = asdict(self.owner)
            with suppress(OSError):
                write_private_file(self._file, json.dumps(self._entries))


def _fits(receipt: Receipt, there: ObjectInfo) -> bool:
    return (receipt.size, etag_value(receipt.etag)) == (there.size, etag_value(there.etag))


def _owner(entry: object) -> Owner | None:
    if not isinstance(entry, Mapping):
        return None
    job_id, folder = entry.get("job_id"), entry.get("folder")
    if not (isinstance(job_id, str) and isinstance(folder, str)):
        return None
    return Owner(job_id, folder)
