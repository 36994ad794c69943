"""Reads the header of a safetensors file: its tensors, its LoRA modules and their ranks.

Pure functions on untrusted bytes: every count and length is bounded. The format: 8 bytes with the
little-endian length of the header, a JSON header that maps each tensor to dtype, shape and
data_offsets, then the bytes of the tensors without gaps up to the end of the file. What is refused
is what the real reader refuses, and headers larger than those of any adapter.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from lora_tui import formats
from lora_tui.adapters.header_json import (
    BITS,
    METADATA,
    header_metadata,
    header_table,
    tensor_fields,
)
from lora_tui.adapters.tensor_names import (
    LoraModule,
    layout_of,
    paired,
    shown_metadata,
    stated_alpha,
)
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

WEIGHTS: Final = "adapter_model.safetensors"
"""The file of weights that PEFT saves."""
_MAX_TENSORS: Final = 200_000
PREFIX_BYTES: Final = 8
MAX_HEADER_BYTES: Final = 32 << 20
"""Bytes; the format allows 100 MB, an adapter of 100,000 tensors needs 15 MB."""

_MAX_OCCURRENCES: Final = {b"{": 120_000, b"[": 250_000, b",": 1_500_000}
"""How often a character may occur, because each creates an object; enough for any adapter."""
_MAX_VALUES: Final = 2**64


@dataclass(frozen=True)
class LoraHeader:
    """The structure of an adapter, from its header alone."""

    header_bytes: int
    data_bytes: int
    tensors: int
    parameters: int
    dtypes: Mapping[str, int]
    """dtype → number of parameters of that type."""
    modules: tuple[LoraModule, ...]
    other_tensors: tuple[str, ...]
    """Names of tensors outside LoRA pairs: saved modules, biases, magnitudes."""
    metadata: Mapping[str, str]
    """What the file says about itself, without its longest texts; safe for a terminal."""
    problems: tuple[str, ...]
    """Sentences about invalid LoRA pairs."""
    remarks: tuple[str, ...] = ()
    """Sentences about what is unusual, but loads."""
    layout: str = ""
    """Whose names the tensors have: PEFT, MLX, kohya, diffusers, ComfyUI; empty where unknown."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Module → its rank, for types other than LoRA whose tensors tell it."""
    stated_alpha: float | None = None
    """The alpha of all modules, where the metadata has one."""

    @property
    def size(self) -> int:
        """Size of the whole file in bytes."""
        return PREFIX_BYTES + self.header_bytes + self.data_bytes


def bytes_needed(prefix: bytes, file_size: int | None = None) -> int:
    """How many bytes of the file `read_header` needs, from the first eight bytes.

    Raises IntegrityError.
    """
    return PREFIX_BYTES + header_length(prefix, file_size)


def read_file_header(path: Path) -> LoraHeader:
    """The facts of the adapter in a file on this disk. Raises IntegrityError, OSError."""
    with path.open("rb") as file:
        prefix, size = read_file_prefix(file)
    return read_header(prefix, file_size=size)


def read_file_prefix(file: BinaryIO) -> tuple[bytes, int]:
    """The bytes of an open file that `read_header` needs, and the size of the file.

    Raises IntegrityError, OSError.
    """
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(PREFIX_BYTES)
    return prefix + file.read(bytes_needed(prefix, size) - PREFIX_BYTES), size


def read_header(prefix: bytes, *, file_size: int | None = None) -> LoraHeader:
    """Read the header from a prefix of the file, at least `bytes_needed` long.

    A known `file_size` must match the header. Raises IntegrityError.
    """
    needed = bytes_needed(prefix, file_size)
    if len(prefix) < needed:
        raise IntegrityError("The safetensors file ends inside its header")
    return lora_header(parse_header(prefix[PREFIX_BYTES:needed], file_size=file_size))


def lora_header(header: Header) -> LoraHeader:
    """The structure of an adapter with this header. Raises IntegrityError."""
    tensors = header.tensors
    if len(tensors) > _MAX_TENSORS:
        raise IntegrityError(
            "The safetensors header lists more tensors than any adapter has",
            details=formats.counted(len(tensors), "tensor"),
        )
    pairs = paired({name: tensor.shape for name, tensor in tensors.items()})
    dtypes: Counter[str] = Counter()
    for tensor in tensors.values():
        dtypes[tensor.dtype] += tensor.parameters
    return LoraHeader(
        header_bytes=header.length,
        data_bytes=header.data_bytes,
        tensors=len(tensors),
        parameters=sum(tensor.parameters for tensor in tensors.values()),
        dtypes=dict(dtypes.most_common()),
        modules=pairs.modules,
        other_tensors=pairs.others,
        metadata=shown_metadata(header.metadata),
        problems=pairs.problems,
        remarks=pairs.remarks,
        rows=pairs.rows,
        layout=layout_of(tensors, header.metadata),
        stated_alpha=stated_alpha(header.metadata),
    )


@dataclass(frozen=True)
class Tensor:
    """One entry of the header."""

    dtype: str
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
    metadata: Mapping[str, str]
    """`__metadata__`; untrusted text."""


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
    table = header_table(text)
    metadata = header_metadata(table.pop(METADATA, None))
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


def _tensor(name: str, entry: object) -> Tensor:
    fields = tensor_fields(entry)
    if fields is None:
        raise _tensor_error("A tensor in the safetensors header is malformed", name)
    dtype, shape, (start, end) = fields
    bits = BITS.get(dtype)
    if bits is None:
        shown = terminal_safe(dtype, limit=20)
        raise _tensor_error(
            f"A tensor has the type {shown}, which safetensors 0.8 does not have", name
        )
    size = bits
    for length in shape:
        size *= length
        if size >= _MAX_VALUES * bits:
            break
    if end < start or size != (end - start) * 8:
        raise _tensor_error(
            "The size of a tensor in the safetensors header does not match its shape", name
        )
    return Tensor(dtype, tuple(shape), start, end)


def _tensor_error(message: str, name: str) -> IntegrityError:
    return IntegrityError(message, details=terminal_safe(name, limit=120) or None)
