"""How the matrices of a module lie in a file, and why some modules can't be evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lora_tui.adapters.config import AdapterConfig
from lora_tui.adapters.float_types import FLOAT_TYPES
from lora_tui.adapters.header import Tensor
from lora_tui.text import terminal_safe

MAX_RANK: Final = 4096
"""Ranks above are not evaluated: a Gram matrix of this rank takes 128 MiB."""
_MAX_ROWS: Final = 1 << 16

_FACTOR: Final = re.compile(
    r"(?P<module>.+)\.(?P<factor>lora_(?!magnitude|A\b|B\b)[A-Za-z]+)(\.[^.]+)*"
)
"""A tensor of a module beside its matrices, such as the `lora_diag` of KaSA."""


_PREFIX: Final = "base_model.model."
_LONGEST_NAME: Final = 1_000
_MATRIX: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<side>A|B|down|up|embedding_A|embedding_B)(\.[^.]+)??(\.weight)?"
)
_INPUT_SIDES: Final = ("A", "down", "embedding_A")


@dataclass(frozen=True)
class LoraPair:
    """The two matrices of one module; None where one is missing."""

    down: Tensor | None
    """`lora_A`: rank × inputs, or as a convolution rank × channels × kernel."""
    up: Tensor | None
    """`lora_B`: outputs × rank, or as a convolution outputs × rank × 1 × 1."""


@dataclass(frozen=True)
class Layout:
    """The matrices of a module that can be evaluated."""

    down: Tensor
    """rank × experts rows."""
    up: Tensor
    """rank × experts columns; with groups, rank / groups columns."""
    rank: int
    experts: int
    groups: int
    """Of a convolution: so many blocks of B lie on the diagonal."""


def lora_pairs(
    tensors: Mapping[str, Tensor],
) -> tuple[Mapping[str, LoraPair], tuple[str, ...]]:
    """The matrices by module, and the names of all other tensors, as in the file (untrusted)."""
    sides: dict[str, dict[bool, Tensor]] = {}
    others: list[str] = []
    for name, tensor in tensors.items():
        match = _MATRIX.fullmatch(name) if len(name) <= _LONGEST_NAME else None
        if match is None or len(tensor.shape) < 2:
            others.append(name)
            continue
        sides.setdefault(match["module"], {})[match["side"] in _INPUT_SIDES] = tensor
    pairs = {module: LoraPair(pair.get(True), pair.get(False)) for module, pair in sides.items()}
    return pairs, tuple(others)


def shown_name(raw: str) -> str:
    """The name of a module or a tensor without the prefix of PEFT; safe for a terminal."""
    return terminal_safe(raw.removeprefix(_PREFIX), limit=200)


def layout_of(
    raw: str, pair: LoraPair, config: AdapterConfig | None, factors: Mapping[str, str]
) -> Layout | str:
    """The layout of a module, or why it can't be evaluated, as words after its name.

    `raw` is its name in the file, `factors` the result of `further_factors`.
    """
    down, up = pair.down, pair.up
    if down is None or up is None:
        return "one of its two matrices is missing"
    if raw in factors:
        return f"B·A is not all of it, there is also {factors[raw]}"
    if down.dtype not in FLOAT_TYPES or up.dtype not in FLOAT_TYPES:
        return f"its type {down.dtype} is not supported"
    if any(length != 1 for length in up.shape[2:]):
        return "its matrix B is a convolution larger than 1 × 1"
    if 0 in (*down.shape, *up.shape):
        return "one of its matrices is empty"
    rows, columns = down.shape[0], up.shape[1]
    groups = 1
    if rows != columns:  # in PEFT only B of a grouped convolution has groups
        groups = rows // columns
        if len(down.shape) < 3 or rows % columns or up.shape[0] % groups:
            return f"its matrices do not match: {list(down.shape)} and {list(up.shape)}"
    experts = _experts(raw, rows, config)
    if experts is None:
        return "it adapts several experts, and only a configuration says how many"
    rank = rows // experts
    if rank > MAX_RANK:
        return f"its rank {rank} is above {MAX_RANK}"
    if rows > _MAX_ROWS or rows * rank > MAX_RANK**2:
        return "its matrices are too large"
    return Layout(down, up, rank, experts, groups)


def further_factors(others: Iterable[str]) -> Mapping[str, str]:
    """Module → the name of a tensor that its product also needs, from all names outside pairs."""
    found = (_FACTOR.fullmatch(name) for name in others if len(name) <= _LONGEST_NAME)
    return {match["module"]: match["factor"] for match in found if match}


def _experts(raw: str, rows: int, config: AdapterConfig | None) -> int | None:
    """How many experts share the matrices of a module; None where that is unknown.

    PEFT adapts a parameter of all experts (`target_parameters`) with rank × experts rows.
    """
    parts = [part for part in raw.split(".") if part != "base_layer"]
    if parts[-1] != "experts":
        return 1
    rank = None if config is None else config.rank
    return rows // rank if rank is not None and rows % rank == 0 else None
