"""Checks while a file arrives whether it can be used, so that no unusable file is published.

The first bytes are looked at when they are there, the whole when it is: weights that are cut short
are told from their header, long before their last byte. Memory holds a header, never a file.
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

from lora_tui.adapters.config import MAX_CONFIG_BYTES
from lora_tui.adapters.safetensors_header import PREFIX_BYTES, header_length, read_header_at
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
"""How torch.save began before it wrote zips: tensors follow its pickles to the end."""
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
_TARS: Final = (".tar", ".tar.gz", ".tgz")
_TABLES: Final = (
    "adapter_config.json", "config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "generation_config.json",
)  # fmt: skip
"""JSON files that are a table wherever they come from."""
_CONFIG: Final = "adapter_config.json"
_MAGIC: Final = {".gguf": b"GGUF", ".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b", ".npy": b"\x93NUMPY"}
_MAY_BE_EMPTY: Final = (".txt", ".md", ".jinja", ".log", ".csv", ".jsonl")
_DESCRIPTORS: Final = Path("/dev/fd" if Path("/dev/fd").is_dir() else "/proc/self/fd")
"""Where an open file without a name can be opened once more."""
_HEAD: Final = 512
_MOST_SHARDS: Final = 10_000
_NEVER: Final = 1 << 62


class DamagedFileError(IntegrityError):
    """A file, or a result, that nobody could use; the next try may bring a whole one."""

    default_remedy = "it is tried again for as long as the worker has the result"


def require_weights(names: Iterable[str]) -> None:
    """Raises DamagedFileError where there are no weights among these files, or not all of them."""
    given = list(names)
    found = [name for name in given if is_weights(name)]
    if not found:
        raise DamagedFileError("The result holds no weights", details=_listed(given))
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
                details=f"{_listed([name])}: {len(present)} of {count:,}",
            )
    plain = {name.lower() for name in given}
    if any(name.lower().startswith("adapter_model") for name in found) and _CONFIG not in plain:
        raise DamagedFileError("The result holds no adapter_config.json", details=_listed(found))


def is_weights(name: str) -> bool:
    """Whether a file of this name holds an adapter's weights, or an archive that may."""
    plain = name.lower()
    return plain.endswith(_WEIGHT_ENDS) and not _NO_WEIGHTS.match(plain)


class Inspector:
    """Looks at one file, by its name, while it arrives in an open file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._plain = name.lower()
        self._needed = PREFIX_BYTES
        """Bytes that have to be there for the next look."""

    def look(self, descriptor: int, length: int, total: int | None) -> None:
        """`length` bytes have arrived. Raises DamagedFileError as soon as that can be told."""
        try:
            while length >= self._needed:
                self._needed = self._begun(descriptor, length, total)
        except IntegrityError as error:
            raise self._damaged(error) from None

    def check(self, descriptor: int, length: int) -> None:
        """All has arrived. Raises DamagedFileError."""
        try:
            self._whole(descriptor, length)
        except IntegrityError as error:
            raise self._damaged(error) from None

    def _begun(self, descriptor: int, length: int, total: int | None) -> int:
        """How many bytes the next look needs."""
        if not self._plain.endswith(".safetensors"):
            return _NEVER
        prefix = os.pread(descriptor, PREFIX_BYTES, 0)
        needed = PREFIX_BYTES + header_length(prefix, total)
        if length < needed:
            return needed
        self._check_weights(descriptor, total)
        return _NEVER

    def _whole(self, descriptor: int, length: int) -> None:
        if length == 0:
            if self._plain.endswith(_MAY_BE_EMPTY):
                return
            raise IntegrityError("The file is empty")
        check_structure(_DESCRIPTORS / str(descriptor), self._name)
        head = os.pread(descriptor, _HEAD, 0)
        if self._plain.endswith(".safetensors"):
            self._check_weights(descriptor, length)
        elif self._plain.endswith(".json"):
            self._check_table(head)
            if self._plain == _CONFIG:
                _check_config(os.pread(descriptor, MAX_CONFIG_BYTES + 1, 0))
        elif self._plain.endswith((*_PICKLES, ".zip")):
            _check_saved(descriptor, length, head, pickles=self._plain.endswith(_PICKLES))
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

    def _check_table(self, head: bytes) -> None:
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if self._plain in _TABLES and not start.startswith(b"{"):
            raise IntegrityError("The JSON in it is not an object")
        if self._plain == _CONFIG and start[1:].lstrip().startswith(b"}"):
            raise IntegrityError("The configuration is empty")

    def _damaged(self, error: IntegrityError) -> DamagedFileError:
        name = terminal_safe(self._name, limit=120)
        reason = f"{error} ({error.details})" if error.details else str(error)
        return DamagedFileError(
            "The worker's storage gives a file that can't be used", details=f"{name}: {reason}"
        )


def _check_config(content: bytes) -> None:
    """As `push` takes it, and a loader."""
    if len(content) > MAX_CONFIG_BYTES:
        raise IntegrityError("The configuration is larger than that of any adapter")
    if content.startswith(b"\xef\xbb\xbf"):
        raise IntegrityError("The configuration begins with a byte order mark: no loader reads it")
    try:
        table = json.loads(content)
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict) or not table.keys() & _CONFIG_KEYS:
        raise IntegrityError("The configuration is not that of an adapter")


def _check_saved(descriptor: int, length: int, head: bytes, *, pickles: bool) -> None:
    """A zip has something in it, of PyTorch's a pickle; a pickle has its end."""
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


def _listed(names: Iterable[str]) -> str:
    chosen = list(names)
    more = ", …" if len(chosen) > 8 else ""
    return ", ".join(terminal_safe(name, limit=80) for name in chosen[:8]) + more or "no files"
