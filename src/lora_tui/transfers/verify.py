"""Whether a file on this disk is what it claims to be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from lora_tui.errors import IntegrityError

_BLOCK: Final = 1 << 20
_LARGEST_HEADER: Final = 100_000_000
"""What the safetensors format allows."""
_LARGEST_JSON: Final = 256 << 20
_BITS: Final = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


def sha256_of(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_structure(path: Path, name: str) -> None:
    """Look into what `name` says it is: safetensors or JSON; anything else passes.

    Raises IntegrityError with the reason.
    """
    if name.endswith(".safetensors"):
        check_safetensors(path)
    elif name.endswith(".json"):
        check_json(path)


def check_json(path: Path) -> None:
    """Raises IntegrityError unless the file is one JSON document."""
    if path.stat().st_size > _LARGEST_JSON:
        raise IntegrityError("The file is too large to be a JSON document of an adapter")
    try:
        json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise IntegrityError("The file is not valid JSON") from error


def check_safetensors(path: Path) -> None:
    """Raises IntegrityError unless header and length agree.

    The format: 8 bytes little-endian header length, a JSON header that maps each tensor to dtype,
    shape and data_offsets, then the tensors' bytes, gapless and to the end of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > min(_LARGEST_HEADER, size - 8):
            raise IntegrityError("The safetensors header is longer than the file")
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError) as error:
            raise IntegrityError("The safetensors header is not valid JSON") from error
    if not isinstance(header, dict):
        raise IntegrityError("The safetensors header is not a table of tensors")
    spans = sorted(_span(name, tensor) for name, tensor in header.items() if name != "__metadata__")
    position = 0
    for start, end in spans:
        if start != position:
            raise IntegrityError("The tensors in the safetensors file overlap or leave gaps")
        position = end
    if 8 + length + position != size:
        raise IntegrityError(
            "The safetensors file is cut short or padded",
            details=f"{size} bytes, its header promises {8 + length + position}",
        )


def _span(name: str, tensor: object) -> tuple[int, int]:
    broken = IntegrityError("A tensor in the safetensors header is malformed", details=name[:80])
    if not isinstance(tensor, dict):
        raise broken
    dtype, shape, offsets = (tensor.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        raise broken
    figures = [*shape, *offsets]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in figures):
        raise broken
    start, end = offsets
    bits = _BITS.get(dtype) if isinstance(dtype, str) else None
    if bits is not None:
        for dimension in shape:
            bits *= dimension
        if bits != (end - start) * 8:
            raise broken
    if end < start:
        raise broken
    return start, end
