"""Parses the header of a safetensors file and checks that its tensors fill the file exactly.

Pure functions on untrusted bytes: every count and length is bounded. The format: 8 bytes with the
little-endian length of the header, a JSON header that maps each tensor to dtype, shape and
data_offsets, then the bytes of the tensors without gaps up to the end of the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

PREFIX_BYTES: Final = 8
MAX_HEADER_BYTES: Final = 32 << 20
"""Bytes; the format allows 100 MB, an adapter of 100,000 tensors needs 15 MB."""

_MAX_OCCURRENCES: Final = {b"{": 120_000, b"[": 250_000, b",": 1_500_000}
"""How often a character may occur, because each creates an object; enough for any adapter."""
_MAX_DIMENSIONS: Final = 32
_MAX_NUMBER: Final = 1 << 62
_BITS: Final = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One entry of the header."""

    dtype: str
    """Safe for a terminal."""
    shape: tuple[int, ...]
    start: int
    """Offset in bytes from the end of the header."""
    end: int

    @property
    def parameters(self) -> int:
        """The number of values in the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """A checked header: its tensors follow one another without a gap."""

    length: int
    """Length of the JSON in bytes."""
    data_bytes: int
    tensors: Mapping[str, Tensor]
    """By name as in the file; the names are untrusted text."""
    metadata: object
    """The value of `__metadata__`, unchecked."""


def read_header_at(read_at: Callable[[int, int], bytes], file_size: int | None = None) -> Header:
    """The header of a file; `read_at(count, offset)` reads bytes of it. Raises IntegrityError."""
    length = header_length(read_at(PREFIX_BYTES, 0), file_size)
    return parse_header(read_at(length, PREFIX_BYTES), file_size=file_size)


def header_length(prefix: bytes, file_size: int | None = None) -> int:
    """Bytes of the JSON header, from the first eight bytes of the file. Raises IntegrityError."""
    if len(prefix) < PREFIX_BYTES:
        raise IntegrityError("The file is too short to be a safetensors file")
    length = int.from_bytes(prefix[:PREFIX_BYTES], "little")
    if file_size is not None and length > file_size - PREFIX_BYTES:
        raise IntegrityError("The safetensors header is longer than the file")
    if length > MAX_HEADER_BYTES:
        raise IntegrityError(
            "The safetensors header is longer than that of any adapter", details=f"{length} bytes"
        )
    return length


def parse_header(text: bytes, *, file_size: int | None = None) -> Header:
    """Parse the JSON of a header. A known `file_size` must match the tensors.

    Raises IntegrityError.
    """
    if any(text.count(sign) > most for sign, most in _MAX_OCCURRENCES.items()):
        raise IntegrityError("The safetensors header has more entries than any adapter")
    table = json_table(text, "The safetensors header")
    metadata = table.pop("__metadata__", {})
    tensors = {name: _tensor(name, entry) for name, entry in table.items()}
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != end:
            raise IntegrityError("The tensors in the safetensors file overlap or leave gaps")
        end = tensor.end
    expected = PREFIX_BYTES + len(text) + end
    if file_size is not None and expected != file_size:
        raise IntegrityError(
            "The safetensors file is cut short or padded",
            details=f"{file_size} bytes instead of {expected}",
        )
    return Header(len(text), end, tensors, metadata)


def json_table(content: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object without duplicate keys. Raises IntegrityError."""
    try:
        table = json.loads(content, object_pairs_hook=_reject_duplicates)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not valid JSON") from error
    if not isinstance(table, dict):
        raise IntegrityError(f"{what} is not a JSON object")
    return table


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("duplicate key")
    return table


def _tensor(name: str, entry: object) -> Tensor:
    broken = IntegrityError(
        "A tensor in the safetensors header is malformed",
        details=terminal_safe(name, limit=120) or None,
    )
    if not isinstance(entry, dict):
        raise broken
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offsets, list):
        raise broken
    if len(offsets) != 2 or len(shape) > _MAX_DIMENSIONS:
        raise broken
    for figure in (*shape, *offsets):
        if type(figure) is not int or not 0 <= figure < _MAX_NUMBER:
            raise broken
    start, end = offsets
    tensor = Tensor(terminal_safe(dtype, limit=20) or "?", tuple(shape), start, end)
    bits = _BITS.get(dtype)
    if end < start or (bits is not None and bits * tensor.parameters != (end - start) * 8):
        raise broken
    # a value of an unknown type takes at least four bits
    if bits is None and tensor.parameters > (end - start) * 2:
        raise broken
    return tensor
