"""Parses the header of a safetensors file: its tensors, its LoRA modules and their ranks.

Pure functions on untrusted bytes: every count and length is bounded. The format: 8 bytes with the
little-endian length of the header, a JSON header that maps each tensor to dtype, shape and
data_offsets, then the bytes of the tensors without gaps up to the end of the file.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lora_tui import formats
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

_MAX_TENSORS: Final = 200_000
_MAX_METADATA: Final = 20
_MAX_LISTED: Final = 3
# names of PEFT, with or without the name of the adapter, and of kohya's trainers
_LORA_TENSOR: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<side>A|B|down|up|embedding_A|embedding_B)(\.[^.]+)??(\.weight)?"
)
_INPUT_SIDES: Final = ("A", "down", "embedding_A")
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
class LoraModule:
    """One module of the base model that the adapter changes."""

    name: str
    """As in the file, without the prefix of PEFT; safe for a terminal."""
    rank: int
    parameters: int

    @property
    def target(self) -> str:
        """The last part of the name, as in `target_modules`: `q_proj`."""
        return self.name.rpartition(".")[2]


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
    problems: tuple[str, ...]
    """Sentences about invalid LoRA pairs."""

    @property
    def size(self) -> int:
        """Size of the whole file in bytes."""
        return PREFIX_BYTES + self.header_bytes + self.data_bytes

    @property
    def ranks(self) -> Mapping[int, int]:
        """rank → number of modules with that rank."""
        return dict(sorted(Counter(module.rank for module in self.modules).items()))

    @property
    def ranks_text(self) -> str:
        """`16`, or `8 (12 modules), 16 (84 modules)`; empty without modules."""
        ranks = self.ranks
        return ", ".join(
            f"{rank} ({formats.counted(count, 'module')})" if len(ranks) > 1 else str(rank)
            for rank, count in ranks.items()
        )

    @property
    def ranks_by_target(self) -> Mapping[str, tuple[int, ...]]:
        """Target module → the ranks of its modules."""
        found: dict[str, set[int]] = {}
        for module in self.modules:
            found.setdefault(module.target, set()).add(module.rank)
        return {target: tuple(sorted(ranks)) for target, ranks in sorted(found.items())}


def bytes_needed(prefix: bytes, file_size: int | None = None) -> int:
    """How many bytes of the file `read_header` needs, from the first eight bytes.

    Raises IntegrityError.
    """
    return PREFIX_BYTES + header_length(prefix, file_size)


def read_file_header(path: Path) -> LoraHeader:
    """The facts of the adapter in a file on this disk. Raises IntegrityError, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(PREFIX_BYTES)
        prefix += file.read(bytes_needed(prefix, size) - PREFIX_BYTES)
    return read_header(prefix, file_size=size)


def read_header(prefix: bytes, *, file_size: int | None = None) -> LoraHeader:
    """Read the header from a prefix of the file, at least `bytes_needed` long.

    A known `file_size` must match the header. Raises IntegrityError.
    """
    needed = bytes_needed(prefix, file_size)
    if len(prefix) < needed:
        raise IntegrityError("The safetensors file ends inside its header")
    header = parse_header(prefix[PREFIX_BYTES:needed], file_size=file_size)
    tensors = header.tensors
    if len(tensors) > _MAX_TENSORS:
        raise IntegrityError(
            "The safetensors header lists more tensors than any adapter has",
            details=formats.counted(len(tensors), "tensor"),
        )
    modules, others, problems = _pairs(tensors)
    dtypes: Counter[str] = Counter()
    for tensor in tensors.values():
        dtypes[tensor.dtype] += tensor.parameters
    return LoraHeader(
        header_bytes=header.length,
        data_bytes=header.data_bytes,
        tensors=len(tensors),
        parameters=sum(tensor.parameters for tensor in tensors.values()),
        dtypes=dict(dtypes.most_common()),
        modules=modules,
        other_tensors=others,
        metadata=_metadata(header.metadata),
        problems=problems,
    )


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


def _pairs(
    tensors: Mapping[str, Tensor],
) -> tuple[tuple[LoraModule, ...], tuple[str, ...], tuple[str, ...]]:
    sides: dict[str, dict[bool, Tensor]] = {}
    others: list[str] = []
    for name, tensor in tensors.items():
        match = _LORA_TENSOR.fullmatch(name) if len(name) <= 1000 else None
        if match is None or len(tensor.shape) < 2:
            others.append(terminal_safe(name, limit=200))
            continue
        sides.setdefault(match["module"], {})[match["side"] in _INPUT_SIDES] = tensor
    modules: list[LoraModule] = []
    problems: list[str] = []
    for raw, pair in sides.items():
        name = terminal_safe(raw.removeprefix("base_model.model."), limit=200)
        down, up = pair.get(True), pair.get(False)
        rank = down.shape[0] if down else up.shape[1] if up else 0
        if down is None or up is None:
            problems.append(f"{name} has only one of its two matrices")
        elif down.shape[0] != up.shape[1]:
            problems.append(
                f"the matrices of {name} do not match: {list(down.shape)} and {list(up.shape)}"
            )
        elif rank == 0:
            problems.append(f"{name} has rank 0")
        modules.append(
            LoraModule(
                name=name,
                rank=rank,
                parameters=sum(tensor.parameters for tensor in pair.values()),
            )
        )
    if not modules:
        problems.append("the file has no LoRA matrices")
    return (
        tuple(sorted(modules, key=lambda module: _natural_order(module.name))),
        tuple(sorted(others)),
        tuple(first_few(problems)),
    )


def first_few(sentences: list[str]) -> list[str]:
    """The first few of similar sentences, and how many more there are."""
    more = len(sentences) - _MAX_LISTED
    return (
        sentences
        if more <= 0
        else [*sentences[:_MAX_LISTED], f"… and {formats.count(more)} more like this"]
    )


def _metadata(value: object) -> Mapping[str, str]:
    table = value if isinstance(value, dict) else {}
    return {
        terminal_safe(key, limit=60): terminal_safe(text, limit=200)
        for key, text in list(table.items())[:_MAX_METADATA]
        if isinstance(text, str)
    }


def _natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key that puts layer 9 before layer 10."""
    return [
        (int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part)
        for part in name.split(".")
    ]


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
