"""What a safetensors header tells about an adapter, and whether its configuration agrees with it.

Pure: bytes in, frozen facts out. The bytes are anybody's: every count and length is bounded, and no
pattern of theirs is run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui.adapters.safetensors_header import (
    PREFIX_BYTES,
    Tensor,
    header_length,
    parse_header,
)
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

_MOST_TENSORS: Final = 200_000
_MOST_METADATA: Final = 20
_MOST_NAMED: Final = 3
# PEFT's names, with or without the adapter's own, and those of kohya's trainers
_LORA_TENSOR: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<side>A|B|down|up|embedding_A|embedding_B)(\.[^.]+)??(\.weight)?"
)
_INPUT_SIDES: Final = ("A", "down", "embedding_A")


@dataclass(frozen=True)
class LoraModule:
    """One module of the base model that the adapter changes by a product of two small matrices."""

    name: str
    """As the file has it, without what PEFT puts before it; safe for a terminal."""
    rank: int
    parameters: int

    @property
    def target(self) -> str:
        """The last part of the name, as `target_modules` has it: `q_proj`."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class LoraHeader:
    """What is known of an adapter without reading one of its numbers."""

    header_bytes: int
    data_bytes: int
    tensors: int
    parameters: int
    dtypes: Mapping[str, int]
    """dtype → parameters of it."""
    modules: tuple[LoraModule, ...]
    other_tensors: tuple[str, ...]
    """Names of tensors that belong to no pair: saved modules, biases, magnitudes."""
    metadata: Mapping[str, str]
    problems: tuple[str, ...]
    """Sentences: what in the pairs can't be right."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return PREFIX_BYTES + self.header_bytes + self.data_bytes

    @property
    def ranks(self) -> Mapping[int, int]:
        """rank → how many modules have it."""
        return dict(sorted(Counter(module.rank for module in self.modules).items()))

    @property
    def ranks_by_target(self) -> Mapping[str, tuple[int, ...]]:
        """Target module → the ranks that modules of this name have."""
        found: dict[str, set[int]] = {}
        for module in self.modules:
            found.setdefault(module.target, set()).add(module.rank)
        return {target: tuple(sorted(ranks)) for target, ranks in sorted(found.items())}


def bytes_needed(beginning: bytes, file_size: int | None = None) -> int:
    """How many bytes from the start of the file `read_header` needs, by the first eight of them.

    Raises IntegrityError.
    """
    return PREFIX_BYTES + header_length(beginning, file_size)


def read_file_header(path: Path) -> LoraHeader:
    """The facts of the adapter in a file on this disk. Raises IntegrityError, OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        beginning = file.read(PREFIX_BYTES)
        beginning += file.read(bytes_needed(beginning, size) - PREFIX_BYTES)
    return read_header(beginning, file_size=size)


def read_header(beginning: bytes, *, file_size: int | None = None) -> LoraHeader:
    """The facts of an adapter whose file begins with these bytes, the whole header among them.

    `file_size`, where it is known, must be what the header promises. Raises IntegrityError.
    """
    needed = bytes_needed(beginning, file_size)
    if len(beginning) < needed:
        raise IntegrityError("The safetensors file is cut short within its header")
    header = parse_header(beginning[PREFIX_BYTES:needed], file_size=file_size)
    tensors = header.tensors
    if len(tensors) > _MOST_TENSORS:
        raise IntegrityError(
            "The safetensors header names more tensors than an adapter can have",
            details=f"{len(tensors):,} tensors",
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
                f"the matrices of {name} don't fit: {list(down.shape)} and {list(up.shape)}"
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
        problems.append("the file holds no LoRA matrices")
    return (
        tuple(sorted(modules, key=lambda module: _natural(module.name))),
        tuple(sorted(others)),
        tuple(first_few(problems)),
    )


def first_few(sentences: list[str]) -> list[str]:
    """The first few of many alike, and how many more there are."""
    more = len(sentences) - _MOST_NAMED
    return sentences if more <= 0 else [*sentences[:_MOST_NAMED], f"… and {more:,} more like this"]


def _metadata(value: object) -> Mapping[str, str]:
    table = value if isinstance(value, dict) else {}
    return {
        terminal_safe(key, limit=60): terminal_safe(text, limit=200)
        for key, text in list(table.items())[:_MOST_METADATA]
        if isinstance(text, str)
    }


def _natural(name: str) -> list[tuple[int, str]]:
    """Layer 9 before layer 10."""
    return [
        (int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part)
        for part in name.split(".")
    ]
