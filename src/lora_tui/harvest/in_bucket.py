"""Accepts files that the GPU worker has put into the bucket itself, without moving them.

The worker uploads the files to the artifact's folder, and last of all a manifest that names each
file with its size, SHA-256 and ETag. Without a manifest of this job and run nothing counts as
uploaded. Sizes and ETags are compared with the bucket's list; of the contents only the manifest,
the configuration and the headers of safetensors files are read. The worker is not asked, so such a
job has no deadline. docs/harvest.md describes the contract.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES
from lora_tui.adapters.header import bytes_needed, read_header_at
from lora_tui.errors import IntegrityError, LoraTuiError, NotFoundError
from lora_tui.gateway.gpu import MalformedResultError, ResultGoneError, WorkerResult
from lora_tui.gateway.headers import etag_value
from lora_tui.gateway.read_prefix import read_prefix
from lora_tui.gateway.storage import ObjectInfo, Storage
from lora_tui.harvest.artifact_rows import Identity, StoredFile, stored_name
from lora_tui.harvest.failures import RefusedResultError
from lora_tui.harvest.source import checked_files
from lora_tui.harvest.structure import DamagedFileError, check_config, may_be_empty, require_weights
from lora_tui.json_values import mapping, parse_json
from lora_tui.text import terminal_safe
from lora_tui.transfers.remote_file import MOST_BYTES

MANIFEST: Final = "upload-manifest.json"
"""The object that the worker writes last; it is removed when the model is published."""
VERSION: Final = 1

_MOST_MANIFEST_BYTES: Final = 1 << 20
FIRST_READ: Final = 64 << 10
"""Bytes of a safetensors file; the header of most adapters is shorter."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_AGAIN: Final = (
    "have the worker upload the files again, the manifest last, then `lora-tui harvest retry`"
)


class UploadError(MalformedResultError):
    """What the worker has put into the bucket can't be used, and its answer names no files."""

    default_remedy = f"{_AGAIN}; it is tried again by itself while the worker has the result"


@dataclass(frozen=True)
class Upload:
    """What the worker has put into the bucket for one job."""

    files: Mapping[str, StoredFile]
    """By name: the files that are in the bucket as the manifest describes them."""
    is_whole: bool
    """Whether they are the whole model, so that the worker need not be asked."""
    problem: str | None = None
    """What is wrong with the upload, in a sentence without a full stop."""
    configuration: str | None = None
    """The text of adapter_config.json."""
    bytes_read: int = 0
    wanted: frozenset[str] = frozenset()
    """The names of all files in the manifest."""
    has_manifest: bool = True

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Around the question to the worker: name the problem where its answer has no files."""
        try:
            yield
        except ResultGoneError as error:
            if self.problem is None or not self.has_manifest:
                raise  # objects without a manifest may be those of an earlier harvest
            raise ResultGoneError(
                f"{self.problem}; and the GPU worker no longer has the result",
                details=self.problem,
                remedy=_AGAIN,
            ) from error
        except MalformedResultError as error:
            if self.problem is None:
                raise
            raise UploadError(self.problem, details=str(error)) from error

    def require(self, others: Iterable[str]) -> None:
        """Check that `others`, the files that the worker names, complete the upload.

        Raises RefusedResultError where one of them has the manifest's name, UploadError where a
        file of the manifest is still missing, DamagedFileError where weights are.
        """
        names = {*others, *self.files}
        if MANIFEST in names:
            raise RefusedResultError(
                "The GPU worker names a file by a name that is reserved", details=MANIFEST
            )
        if self.problem is not None and not names >= self.wanted:
            raise UploadError(self.problem)
        require_weights(names)


def find_upload(storage: Storage, identity: Identity, found: Iterable[ObjectInfo]) -> Upload:
    """The files of this job that the worker has uploaded itself; none without a usable manifest.

    `found`: the objects in the folder. Reads a few kilobytes of them. Raises what Storage raises.
    """
    there = {entry.path: entry for entry in found}
    manifest = there.get(identity.path(MANIFEST))
    if manifest is None:
        problem = f"The bucket has files of this job, but no {MANIFEST} beside them"
        return Upload({}, is_whole=False, problem=problem if there else None, has_manifest=False)
    return _Check(storage, identity, there).upload(manifest)


def has_manifest(found: Iterable[ObjectInfo]) -> bool:
    """Whether a worker's upload is among these objects of a folder."""
    return any(entry.path.rpartition("/")[2] == MANIFEST for entry in found)


class _BadUploadError(Exception):
    """What is wrong with the manifest or a file; the text is shown."""


class _Check:
    """One look at an upload."""

    def __init__(
        self, storage: Storage, identity: Identity, there: Mapping[str, ObjectInfo]
    ) -> None:
        self._storage = storage
        self._identity = identity
        self._there = there
        self._read = 0
        self._configuration: str | None = None

    def upload(self, manifest: ObjectInfo) -> Upload:
        """The upload that this manifest describes."""
        try:
            wanted = self._parse(self._load(manifest))
        except _BadUploadError as error:
            return Upload({}, is_whole=False, problem=str(error), bytes_read=self._read)
        files, problems = {}, []
        links = self._storage.sign_many(file.path for file in wanted.values())
        for name, file in wanted.items():
            try:
                files[name] = self._checked(file, links[file.path])
            except _BadUploadError as error:
                problems.append(str(error))
        if not problems:
            try:
                require_weights(files)
            except DamagedFileError as error:
                problems.append(f"{error}: {error.details}")
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return Upload(
            files,
            is_whole=not problems,
            problem=f"{problems[0]}{more}" if problems else None,
            configuration=self._configuration,
            bytes_read=self._read,
            wanted=frozenset(wanted),
        )

    def _load(self, manifest: ObjectInfo) -> Mapping[str, Any]:
        if manifest.size is not None and manifest.size > _MOST_MANIFEST_BYTES:
            raise _BadUploadError(f"{MANIFEST} in the bucket is larger than any manifest")
        try:
            text = self._prefix(self._storage.sign(manifest.path), _MOST_MANIFEST_BYTES + 1)
            content = parse_json(text)
        except (IntegrityError, NotFoundError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise _BadUploadError(f"{MANIFEST} in the bucket is no manifest of version {VERSION}")
        return content

    def _parse(self, content: Mapping[str, Any]) -> dict[str, StoredFile]:
        """The files of a manifest. Raises _BadUploadError."""
        for key, ours, what in (
            ("job_id", self._identity.job_id, "job"),
            ("external_job_id", self._identity.external_job_id, "run"),
        ):
            if content.get(key) != ours:
                named = terminal_safe(str(content.get(key)), limit=80)
                raise _BadUploadError(f"{MANIFEST} in the bucket is of another {what} ({named})")
        entries = content.get("files")
        if not isinstance(entries, dict) or not entries:
            raise _BadUploadError(f"{MANIFEST} in the bucket names no files")
        try:
            checked_files(WorkerResult("", dict.fromkeys(entries, ""), {}))
        except RefusedResultError as error:
            raise _BadUploadError(f"{MANIFEST} in the bucket can't be used: {error}") from None
        return {name: self._file(name, mapping(entry)) for name, entry in entries.items()}

    def _file(self, name: str, entry: Mapping[str, Any]) -> StoredFile:
        size, sha256, etag = (entry.get(key) for key in ("size", "sha256", "etag"))
        shown = terminal_safe(name, limit=120)
        if name == MANIFEST or stored_name(name) != name:
            raise _BadUploadError(f"{MANIFEST} in the bucket names {shown}, which can't be stored")
        if type(size) is not int or not 0 <= size <= MOST_BYTES:
            raise _BadUploadError(f"{MANIFEST} in the bucket has no usable size of {shown}")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            raise _BadUploadError(f"{MANIFEST} in the bucket has no SHA-256 of {shown}")
        value = etag_value(etag) if isinstance(etag, str) else None
        if value is None:
            raise _BadUploadError(f"{MANIFEST} in the bucket has no ETag of {shown}")
        path = self._identity.path(name)
        return StoredFile(name, path, size, sha256, sent=False, etag=value, told_by_worker=True)

    def _checked(self, file: StoredFile, link: str | LoraTuiError) -> StoredFile:
        """The file, if the bucket has it as the manifest says. Raises _BadUploadError."""
        shown = terminal_safe(file.name, limit=120)
        found = self._there.get(file.path)
        if found is None or isinstance(link, LoraTuiError):
            raise _BadUploadError(f"The worker's upload of {shown} is not in the bucket")
        if found.size != file.size:
            raise _BadUploadError(
                f"{shown} in the bucket has {found.size} bytes, its manifest says {file.size}"
            )
        if etag_value(found.etag) != file.etag:
            raise _BadUploadError(f"{shown} in the bucket has another ETag than its manifest says")
        try:
            return self._with_structure(file, link)
        except IntegrityError as error:
            reason = f"{error} ({error.details})" if error.details else str(error)
            raise _BadUploadError(f"{shown} in the bucket can't be used: {reason}") from None
        except NotFoundError:
            raise _BadUploadError(f"{shown} in the bucket can't be read") from None

    def _with_structure(self, file: StoredFile, link: str) -> StoredFile:
        """Check a configuration, or the header of weights. Raises IntegrityError, NotFoundError."""
        plain = file.name.lower()
        if file.size == 0 and not may_be_empty(file.name):
            raise IntegrityError("The file is empty")
        if plain == CONFIG:
            content = self._prefix(link, MAX_CONFIG_BYTES + 1)
            check_config(content)
            if hashlib.sha256(content).hexdigest() != file.sha256:
                raise IntegrityError("It has another SHA-256 than its manifest says")
            self._configuration = content.decode()
            return replace(file, told_by_worker=False)
        if plain.endswith(".safetensors"):
            prefix = self._prefix(link, FIRST_READ)
            needed = bytes_needed(prefix, file.size)
            if needed > len(prefix):
                prefix = self._prefix(link, needed)
            header = read_header_at(_reader(prefix), file.size)
            if not header.data_bytes:
                raise IntegrityError("The safetensors file holds no tensor data")
        return file

    def _prefix(self, link: str, most: int) -> bytes:
        content, _ = read_prefix(link, most)
        self._read += len(content)
        return content


def _reader(content: bytes) -> Callable[[int, int], bytes]:
    return lambda count, at: content[at : at + count]
