"""Checks while a file arrives whether it can be used, so that no unusable file is published.

The first bytes are looked at when they are there, the whole when it is: weights that are cut short
are told from their header, long before their last byte. Memory holds a header, never a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lora_tui.errors import IntegrityError
from lora_tui.safetensors_header import PREFIX_BYTES, header_length, parse_header
from lora_tui.text import terminal_safe
from lora_tui.transfers.verify import check_structure

_WEIGHT_ENDS: Final = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".tar", ".tar.gz", ".tgz", ".zip",
)  # fmt: skip
_NO_WEIGHTS: Final = re.compile(
    r"(training_args|optimizer|scheduler|scaler|sampler|rng_state|random_states|trainer_state"
    r"|tokenizer|vocab|spiece)"
)
_SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.[a-z.]+)")
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
_NEVER: Final = 1 << 62


class DamagedFileError(IntegrityError):
    """A file, or a result, that nobody could use; the next try may bring a whole one."""

    default_remedy = "it is tried again for as long as the worker has the result"


def require_weights(names: Iterable[str]) -> None:
    """Raises DamagedFileError where there are no weights among these files, or not all of them."""
    found = [name for name in names if is_weights(name)]
    if not found:
        raise DamagedFileError("The result holds no weights", details=_listed(names))
    for name in found:
        shard = _SHARD.fullmatch(name.lower())
        if shard is None:
            continue
        count, present = int(shard[3]), {other.lower() for other in found}
        expected = [f"{shard[1]}-{n:05}-of-{shard[3]}{shard[4]}" for n in range(1, count + 1)][:200]
        missing = [other for other in expected if other not in present]
        if missing:
            raise DamagedFileError(
                "The result holds only a part of the weights", details=_listed(missing)
            )


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
        for end, magic in _MAGIC.items():
            if self._plain.endswith(end) and not head.startswith(magic):
                raise IntegrityError(f"The file's contents don't match its name ({end})")

    def _check_weights(self, descriptor: int, total: int | None) -> None:
        prefix = os.pread(descriptor, PREFIX_BYTES, 0)
        size = header_length(prefix, total)
        header = parse_header(os.pread(descriptor, size, PREFIX_BYTES), file_size=total)
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


def _listed(names: Iterable[str]) -> str:
    chosen = list(names)
    more = ", …" if len(chosen) > 8 else ""
    return ", ".join(terminal_safe(name, limit=80) for name in chosen[:8]) + more or "no files"
