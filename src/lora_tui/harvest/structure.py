"""Checks the structure of a file while it arrives, so that no unusable file is published.

The header is checked as soon as it has arrived, the whole file at its end: truncated weights are
recognised by their header, long before the last byte. Memory holds a header, never a file.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lora_tui import formats
from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES
from lora_tui.adapters.header import PREFIX_BYTES, header_length, read_header_at
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe
from lora_tui.transfers.verify import check_structure

_WEIGHT_ENDS: Final = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".tar", ".tar.gz", ".tgz", ".zip",
)  # fmt: skip
_NO_WEIGHTS: Final = re.compile(
    r"(training_args|scaler|sampler|trainer_state|tokenizer|vocab|spiece|logs?\b)"
    r"|.*(optim(izer|_states)|scheduler|rng_state|random_states)"
)
_SHARD: Final = re.compile(r"(.+?)[-_](\d{1,9})-of-(\d{1,9})(\.[a-z.]+)")
_CONFIG_KEYS: Final = frozenset(
    {"peft_type", "r", "lora_alpha", "target_modules", "base_model_name_or_path"}
    | {"fine_tune_type", "lora_parameters"}  # as MLX writes it
)
_OLD_TORCH: Final = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The start of torch.save's old format, in which tensors follow the pickle."""
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
_TARS: Final = (".tar", ".tar.gz", ".tgz")
_MAGIC: Final = {".gguf": b"GGUF", ".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".npy": b"\x93NUMPY"}
_MAY_BE_EMPTY: Final = (".txt", ".md", ".jinja", ".log", ".csv", ".jsonl")
_DESCRIPTORS: Final = Path("/dev/fd" if Path("/dev/fd").is_dir() else "/proc/self/fd")
"""Where an open file without a name can be opened again."""
_HEAD: Final = 512
_MOST_SHARDS: Final = 10_000
_NO_MORE_CHECKS: Final = 1 << 62


class DamagedFileError(IntegrityError):
    """A file or result that can't be used; the next attempt may bring a valid one."""

    default_remedy = "it is tried again for as long as the worker has the result"


def require_weights(names: Iterable[str]) -> None:
    """Raises DamagedFileError where there are no weights among these files, or not all of them."""
    given = list(names)
    found = [name for name in given if is_weights(name)]
    if not found:
        raise DamagedFileError("The result holds no weights", details=_list_names(given))
    for name in found:
        shard = _SHARD.fullmatch(name.lower())
        if shard is None:
            continue
        same = [other for other in map(_SHARD.fullmatch, map(str.lower, found)) if other]
        present = {
            int(other[2])
            for other in same
            if (other[1], other[3], other[4]) == (shard[1], shard[3], shard[4])
        }
        count = int(shard[3])
        if not 0 < count <= _MOST_SHARDS or present != set(range(1, count + 1)):
            raise DamagedFileError(
                "The result holds only a part of the weights",
                details=f"{_list_names([name])}: {len(present)} of {formats.count(count)}",
            )
    plain = {name.lower() for name in given}
    if any(name.lower().startswith("adapter_model") for name in found) and CONFIG not in plain:
        raise DamagedFileError(
            "The result holds no adapter_config.json", details=_list_names(found)
        )


def is_weights(name: str) -> bool:
    """Whether a file of this name holds an adapter's weights, or an archive that may."""
    plain = name.lower()
    return plain.endswith(_WEIGHT_ENDS) and not _NO_WEIGHTS.match(plain)


def may_be_empty(name: str) -> bool:
    """Whether a file of this name is valid without a single byte."""
    return name.lower().endswith(_MAY_BE_EMPTY)


class Inspector:
    """Checks one file, by its name, while it arrives."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._plain = name.lower()
        self._needed = PREFIX_BYTES
        """Bytes that the next check needs."""

    def check_received(self, descriptor: int, length: int, total: int | None) -> None:
        """Check the first `length` bytes. Raises DamagedFileError as early as possible."""
        try:
            while length >= self._needed:
                self._needed = self._check_prefix(descriptor, length, total)
        except IntegrityError as error:
            raise self._damaged_error(error) from None

    def check(self, descriptor: int, length: int) -> None:
        """Check the complete file. Raises DamagedFileError."""
        try:
            self._check_complete(descriptor, length)
        except IntegrityError as error:
            raise self._damaged_error(error) from None

    def _check_prefix(self, descriptor: int, length: int, total: int | None) -> int:
        """How many bytes the next check needs."""
        if not self._plain.endswith(".safetensors"):
            return _NO_MORE_CHECKS
        prefix = os.pread(descriptor, PREFIX_BYTES, 0)
        needed = PREFIX_BYTES + header_length(prefix, total)
        if length < needed:
            return needed
        self._check_weights(descriptor, total)
        return _NO_MORE_CHECKS

    def _check_complete(self, descriptor: int, length: int) -> None:
        if length == 0:
            if may_be_empty(self._name):
                return
            raise IntegrityError("The file is empty")
        check_structure(_DESCRIPTORS / str(descriptor), self._name)
        head = os.pread(descriptor, _HEAD, 0)
        if self._plain.endswith(".safetensors"):
            self._check_weights(descriptor, length)
        elif self._plain.endswith(".json"):
            if self._plain == CONFIG:
                check_config(os.pread(descriptor, MAX_CONFIG_BYTES + 1, 0))
        elif self._plain.endswith((*_PICKLES, ".zip")):
            _check_archive_or_pickle(
                descriptor, length, head, pickles=self._plain.endswith(_PICKLES)
            )
        elif self._plain.endswith(_TARS):
            _check_tar(_DESCRIPTORS / str(descriptor))
        elif self._plain.endswith(".gguf") and length < 32:
            raise IntegrityError("The GGUF file holds no tensors")
        for end, magic in _MAGIC.items():
            if self._plain.endswith(end) and not head.startswith(magic):
                raise IntegrityError(f"The file's contents don't match its name ({end})")

    def _check_weights(self, descriptor: int, total: int | None) -> None:
        header = read_header_at(lambda count, at: os.pread(descriptor, count, at), total)
        if not header.data_bytes:
            raise IntegrityError("The safetensors file holds no tensor data")

    def _damaged_error(self, error: IntegrityError) -> DamagedFileError:
        name = terminal_safe(self._name, limit=120)
        reason = f"{error} ({error.details})" if error.details else str(error)
        return DamagedFileError(
            "The worker's storage gives a file that can't be used", details=f"{name}: {reason}"
        )


def check_config(content: bytes) -> None:
    """Check adapter_config.json as `push` and loaders do. Raises IntegrityError."""
    if len(content) > MAX_CONFIG_BYTES:
        raise IntegrityError("The configuration is larger than that of any adapter")
    if content.startswith(b"\xef\xbb\xbf"):
        raise IntegrityError("The configuration begins with a byte order mark: no loader reads it")
    try:
        table = json.loads(content.decode())  # UTF-16, which json guesses, no loader reads
    except (ValueError, RecursionError):
        table = None
    if table == {}:
        raise IntegrityError("The configuration is empty")
    if not isinstance(table, dict) or not table.keys() & _CONFIG_KEYS:
        raise IntegrityError("The configuration is not that of an adapter")


def _check_archive_or_pickle(descriptor: int, length: int, head: bytes, *, pickles: bool) -> None:
    """Check that an archive is not empty, PyTorch's holds a pickle, and a pickle is complete."""
    if head.startswith(b"PK"):
        try:
            with zipfile.ZipFile(_DESCRIPTORS / str(descriptor)) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
            raise IntegrityError("The zip archive can't be read") from None
        if not any(member.file_size for member in members):
            raise IntegrityError("The zip archive holds nothing")
        pickled = any(
            member.filename.rpartition("/")[2] == "data.pkl" and member.file_size
            for member in members
        )
        if pickles and not pickled:
            raise IntegrityError("The zip archive holds no pickle, as PyTorch saves it")
    elif (
        head[:1] == b"\x80"
        and not head.startswith(_OLD_TORCH)
        and (length < 4 or os.pread(descriptor, 1, length - 1) != b".")
    ):
        raise IntegrityError("The pickle is cut short")


def _check_tar(path: Path) -> None:
    try:
        with tarfile.open(path) as archive:
            whole = sum(member.size for member in archive) > 0
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError):
        raise IntegrityError("The archive is cut short, or is none") from None
    if not whole:
        raise IntegrityError("The archive holds nothing")


def _list_names(names: Iterable[str]) -> str:
    chosen = list(names)
    more = ", …" if len(chosen) > 8 else ""
    return ", ".join(terminal_safe(name, limit=80) for name in chosen[:8]) + more or "no files"
