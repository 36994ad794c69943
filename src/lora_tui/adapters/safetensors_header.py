"""The header of a safetensors file: which tensors it holds, and whether they fill it exactly.

Pure: bytes in, frozen facts out. The bytes are anybody's: every count and length is bounded. The
format: 8 bytes little-endian header length, a JSON header that maps each tensor to dtype, shape
and data_offsets, then the tensors' bytes, gapless and to the end of the file.
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

_MOST_SIGNS: Final = {b"{": 120_000, b"[": 250_000, b",": 1_500_000}
"""The most of each character, which costs an object in memory; enough for the largest adapters."""
_MOST_DIMENSIONS: Final = 32
_LARGEST_FIGURE: Final = 1 << 62
_BITS: Final = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One tensor, by its entry in the header."""

    dtype: str
    """Safe for a terminal."""
    shape: tuple[int, ...]
    start: int
    """Bytes from the end of the header."""
    end: int

    @property
    def parameters(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """A header whose tensors lie one after the other without a gap."""

    length: int
    """Bytes of the JSON."""
    data_bytes: int
    tensors: Mapping[str, Tensor]
    """By name, as the file has it: anybody's text."""
    metadata: object
    """Whatever stands under `__metadata__`."""


def read_header_at(read_at: Callable[[int, int], bytes], file_size: int | None = None) -> Header:
    """The header of a file; `read_at(count, offset)` reads bytes of it. Raises IntegrityError."""
    length = header_length(read_at(PREFIX_BYTES, 0), file_size)
    return parse_header(read_at(length, PREFIX_BYTES), file_size=file_size)


def header_length(beginning: bytes, file_size: int | None = None) -> int:
    """Bytes of the JSON header, from the first eight of the file. Raises IntegrityError."""
    if len(beginning) < PREFIX_BYTES:
        raise IntegrityError("The file is too short to be a safetensors file")
    length = int.from_bytes(beginning[:PREFIX_BYTES], "little")
    if file_size is not None and length > file_size - PREFIX_BYTES:
        raise IntegrityError("The safetensors header is longer than the file")
    if length > MAX_HEADER_BYTES:
        raise IntegrityError(
            "The safetensors header is longer than that of any adapter", details=f"{length} bytes"
        )
    return length


def parse_header(text: bytes, *, file_size: int | None = None) -> Header:
    """Read the JSON of a header. `file_size`, where it is known, must be what it promises.

    Raises IntegrityError.
    """
    if any(text.count(sign) > most for sign, most in _MOST_SIGNS.items()):
        raise IntegrityError("The safetensors header holds more than that of any adapter")
    table = json_table(text, "The safetensors header")
    metadata = table.pop("__metadata__", {})
    tensors = {name: _tensor(name, entry) for name, entry in table.items()}
    end = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != end:
            raise IntegrityError("The tensors in the safetensors file overlap or leave gaps")
        end = tensor.end
    promised = PREFIX_BYTES + len(text) + end
    if file_size is not None and promised != file_size:
        raise IntegrityError(
            "The safetensors file is cut short or padded",
            details=f"{file_size} bytes, its header promises {promised}",
        )
    return Header(len(text), end, tensors, metadata)


def json_table(content: bytes, what: str) -> dict[str, Any]:
    """A JSON object in which no name occurs twice. Raises IntegrityError."""
    try:
        table = json.loads(content, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} is not valid JSON") from error
    if not isinstance(table, dict):
        raise IntegrityError(f"{what} is not a table")
    return table


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name occurs twice")
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
    if len(offsets) != 2 or len(shape) > _MOST_DIMENSIONS:
        raise broken
    for figure in (*shape, *offsets):
        if type(figure) is not int or not 0 <= figure < _LARGEST_FIGURE:
            raise broken
    start, end = offsets
    tensor = Tensor(terminal_safe(dtype, limit=20) or "?", tuple(shape), start, end)
    bits = _BITS.get(dtype)
    if end < start or (bits is not None and bits * tensor.parameters != (end - start) * 8):
        raise broken
    # of a type that we don't know, one number takes at least four bits
    if bits is None and tensor.parameters > (end - start) * 2:
        raise broken
    return tensor
