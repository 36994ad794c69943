"""Reads the LoRA modules and their ranks from the header of a safetensors file.

Pure functions on untrusted bytes: every count and length is bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lora_tui import formats
from lora_tui.adapters.safetensors_header import (
    PREFIX_BYTES,
    Tensor,
    header_length,
    parse_header,
)
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
