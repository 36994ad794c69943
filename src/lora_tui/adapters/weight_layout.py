"""How the matrices of a module lie in a file, and why some modules can't be evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lora_tui.adapters.config import AdapterConfig
from lora_tui.adapters.float_types import FLOAT_TYPES
from lora_tui.adapters.header import Tensor
from lora_tui.adapters.modules import AdaptedModule
from lora_tui.adapters.tensor_names import INNER, matrix_of

MAX_RANK: Final = 4096
"""Ranks above are not evaluated: a Gram matrix of this rank takes 128 MiB."""
_MAX_ROWS: Final = 1 << 16
_LONGEST_NAME: Final = 1_000
_FACTOR: Final = re.compile(
    r"(?P<module>.+)\.(?P<factor>lora_(?!magnitude|A\b|B\b)[A-Za-z]+)(\.[^.]+)*"
)
"""A tensor of a module beside its matrices, such as the `lora_diag` of KaSA."""
_OTHER_PRODUCTS: Final = ("QALoRA", "BD-LoRA", "KaSA")
"""Variants whose update is not scaling · B · A of the stored matrices (PEFT 0.21,
tuners/lora/variants.py): pooled inputs, blocks on the diagonal, a third factor."""


@dataclass(frozen=True)
class LoraPair:
    """The two matrices of one module; None where one is missing."""

    down: Tensor | None
    """`lora_A`: rank × inputs, or as a convolution rank × channels × kernel."""
    up: Tensor | None
    """`lora_B`: outputs × rank, or as a convolution outputs × rank × 1 × 1."""
    of_mlx: bool = False
    """Whether both are transposed; of stacked experts they are experts × rank × inputs and experts
    × outputs × rank."""


@dataclass(frozen=True)
class Layout:
    """The matrices of a module that can be evaluated."""

    down: Tensor
    """Rows of directions, rank × experts of them; with `transposed` columns."""
    up: Tensor
    """Columns of directions, rank × experts of them; with `transposed` rows."""
    rank: int
    experts: int
    groups: int = 1
    """Of a convolution: so many blocks of B lie on the diagonal, each of rank / groups columns."""
    transposed: bool = False
    stacked: bool = False
    """Whether the matrices B of the experts follow one another; else they share each row."""


def lora_pairs(
    tensors: Mapping[str, Tensor],
) -> tuple[Mapping[str, LoraPair], tuple[str, ...]]:
    """The matrices by module, and the names of all other tensors, as in the file (untrusted)."""
    sides: dict[str, dict[bool, Tensor]] = {}
    of_mlx: set[str] = set()
    others: list[str] = []
    for name, tensor in tensors.items():
        matrix = matrix_of(name, tensor.shape)
        if matrix is None:
            others.append(name)
            continue
        sides.setdefault(matrix.module, {})[matrix.is_down] = tensor
        if matrix.of_mlx:
            of_mlx.add(matrix.module)
    pairs = {
        module: LoraPair(pair.get(True), pair.get(False), module in of_mlx)
        for module, pair in sides.items()
    }
    return pairs, tuple(others)


def matrix_layout(
    pair: LoraPair, module: AdaptedModule, config: AdapterConfig | None, factor: str | None
) -> Layout | str:
    """The layout of a module, or why it can't be evaluated, as words after its name.

    `factor` is a tensor that its product also needs, from `further_factors`.
    """
    down, up = pair.down, pair.up
    if down is None or up is None:
        return "one of its two matrices is missing"
    variant = next((v for v in (config.variants if config else ()) if v in _OTHER_PRODUCTS), None)
    if factor or variant:
        return f"B·A is not all of it, there is also {factor or variant}"
    if down.dtype not in FLOAT_TYPES or up.dtype not in FLOAT_TYPES:
        return f"its type {down.dtype} is not supported"
    if 0 in (*down.shape, *up.shape):
        return "one of its matrices is empty"
    layout = _of_mlx(down, up) if pair.of_mlx else _of_peft(down, up, module, config)
    if isinstance(layout, str):
        return layout
    rows = layout.rank * layout.experts
    if layout.rank > MAX_RANK:
        return f"its rank {layout.rank} is above {MAX_RANK}"
    if rows > _MAX_ROWS or rows * layout.rank > MAX_RANK**2:
        return "its matrices are too large"
    return layout


def further_factors(others: Iterable[str]) -> Mapping[str, str]:
    """Module → the name of a tensor that its product also needs, from all names outside pairs."""
    found = (_FACTOR.fullmatch(name) for name in others if len(name) <= _LONGEST_NAME)
    return {match["module"]: match["factor"] for match in found if match}


def _of_peft(
    down: Tensor, up: Tensor, module: AdaptedModule, config: AdapterConfig | None
) -> Layout | str:
    if any(length != 1 for length in up.shape[2:]):
        return "its matrix B is a convolution larger than 1 × 1"
    rows, columns = down.shape[0], up.shape[1]
    groups = 1
    if rows != columns:  # only B of a grouped convolution has groups
        groups = rows // columns
        if len(down.shape) < 3 or rows % columns or up.shape[0] % groups:
            return f"its matrices do not match: {list(down.shape)} and {list(up.shape)}"
    if config is None and module.name.replace(INNER, "").endswith(".experts"):
        return "it adapts several experts, and only a configuration says how many"
    if module.rank is None:
        return "it adapts several experts, and the configuration does not say how many"
    if module.rank * module.experts != rows:
        return f"it has rank {rows}, the configuration has {module.rank}"
    return Layout(down, up, module.rank, module.experts, groups)


def _of_mlx(down: Tensor, up: Tensor) -> Layout | str:
    mismatch = f"its matrices do not match: {list(down.shape)} and {list(up.shape)}"
    if len(down.shape) == len(up.shape) == 2:
        rank = down.shape[1]
        return Layout(down, up, rank, 1, transposed=True) if up.shape[0] == rank else mismatch
    if len(down.shape) == len(up.shape) == 3:
        experts, rank, _ = down.shape
        fits = (up.shape[0], up.shape[2]) == (experts, rank)
        return Layout(down, up, rank, experts, stacked=True) if fits else mismatch
    return mismatch
