"""Finds the LoRA modules among the names of tensors, and tells which program wrote them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.text import terminal_safe

PREFIX: Final = "base_model.model."
"""How every name of a module begins that PEFT saves."""

INNER: Final = ".base_layer"
"""PEFT nests one wrapper for each parameter of a module; the inner ones have this in their name."""

_MAX_METADATA: Final = 20
_MAX_NAME: Final = 1_000
# names of PEFT, with or without the name of the adapter, and of kohya's trainers
_PEFT_TENSOR: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<side>A|B|down|up|embedding_A|embedding_B)(\.[^.]+)??(\.weight)?"
)
_MLX_TENSOR: Final = re.compile(r"(?P<module>.+)\.lora_(?P<side>[ab])")
# the attention processors, the linear layers and the modules of older diffusers
_DIFFUSERS_TENSOR: Final = re.compile(
    r"(?P<module>.+?)[._]lora(_linear_layer)?\.(?P<side>down|up)\.weight"
)
# HiRA, DeLoRA, LoHa and OFT: the tensor of a module whose first dimension is `r` in PEFT
_RANKED_TENSOR: Final = re.compile(
    r"(?P<module>.+)\.(hira_A|hira_embedding_A|delora_A|hada_w1_b|oft_R)(\.weight)?"
)
_INPUT_SIDES: Final = ("A", "down", "embedding_A", "a")
_KOHYA: Final = re.compile(r"(lora|lycoris)_(unet|te\d?|transformer|prior_\w+)_")
_NUMBERED: Final = re.compile(r"_\d+_")
_DIFFUSERS: Final = re.compile(r"(unet|transformer|text_encoder(_\d)?|prior)\.|.*\.processor\.")
_COMFYUI: Final = "diffusion_model."
_PROMPTS: Final = ("prompt_embeddings", "prompt_encoder", "base_model.")


@dataclass(frozen=True)
class LoraModule:
    """One module of the base model that the adapter changes."""

    name: str
    """As in the file, without the prefix of PEFT; safe for a terminal."""
    rank: int
    """The rows that the first matrix has; for stacked experts that is rank × experts."""
    parameters: int


@dataclass(frozen=True)
class Matrix:
    """What the name of a tensor says about it."""

    module: str
    """As in the file; untrusted."""
    is_down: bool
    """Whether it is the first one, `lora_A`, which takes the inputs."""
    of_mlx: bool
    """Whether it is transposed: inputs × rank, and rank × outputs."""


@dataclass(frozen=True)
class Pairs:
    """The LoRA modules of a file, and what else it has."""

    modules: tuple[LoraModule, ...]
    """In natural order: layer 9 before layer 10."""
    others: tuple[str, ...]
    """Names of the other tensors, safe for a terminal."""
    problems: tuple[str, ...]
    """Sentences about pairs that no program can load."""
    remarks: tuple[str, ...]
    """Sentences about what is unusual, but loads."""
    rows: Mapping[str, int]
    """Module → its rank, for other types whose tensors tell it."""


def paired(shapes: Mapping[str, tuple[int, ...]]) -> Pairs:
    """Find the pairs of matrices among the tensors, by name → shape."""
    sides: dict[str, dict[bool, tuple[int, ...]]] = {}
    others: list[str] = []
    rows: dict[str, int] = {}
    of_mlx: set[str] = set()
    for name, shape in shapes.items():
        matrix = matrix_of(name, shape)
        if matrix is None:
            others.append(terminal_safe(name, limit=200))
            ranked = _RANKED_TENSOR.fullmatch(name) if len(name) <= _MAX_NAME and shape else None
            if ranked is not None:
                rows[shown_name(ranked["module"])] = shape[0]
            continue
        sides.setdefault(matrix.module, {})[matrix.is_down] = shape
        if matrix.of_mlx:
            of_mlx.add(matrix.module)
    modules: list[LoraModule] = []
    problems: list[str] = []
    remarks: list[str] = []
    for raw, pair in sides.items():
        name = shown_name(raw)
        down, up = pair.get(True), pair.get(False)
        rank, other = _ranks(down, up, of_mlx=raw in of_mlx)
        if down is None or up is None:
            remarks.append(
                f"{name} has only one of its two matrices: the other is taken as it is initialised"
            )
        elif not _fit(rank, other, len(up)):
            problems.append(f"the matrices of {name} do not match: {list(down)} and {list(up)}")
        elif rank == 0:
            problems.append(f"{name} has rank 0")
        parameters = sum(math.prod(shape) for shape in pair.values())
        modules.append(LoraModule(name, rank, parameters))
    modules.sort(key=lambda module: _natural_order(module.name))
    return Pairs(
        tuple(modules),
        tuple(sorted(others)),
        tuple(formats.first_few(problems)),
        tuple(formats.first_few(remarks)),
        rows,
    )


def matrix_of(name: str, shape: tuple[int, ...]) -> Matrix | None:
    """Which matrix of a module a tensor is, by its name; None where it is none."""
    match = _match(name)
    if match is None or len(shape) < 2:
        return None
    side = match["side"]
    return Matrix(match["module"], side in _INPUT_SIDES, of_mlx=side in ("a", "b"))


def shown_name(raw: str) -> str:
    """The name of a module or a tensor without the prefix of PEFT; safe for a terminal."""
    return terminal_safe(raw.removeprefix(PREFIX), limit=200)


def target_of(name: str) -> str:
    """The last part of a module's name, as in `target_modules`: `q_proj`.

    Names of kohya's trainers have no dots; there it is what follows the last number.
    """
    last = name.replace(INNER, "").rpartition(".")[2]
    return _NUMBERED.split(last)[-1] if _KOHYA.match(last) else last


def layout_of(names: Iterable[str], metadata: Mapping[str, str]) -> str:
    """Which program reads such names: PEFT, MLX, kohya's, diffusers, ComfyUI; or empty."""
    some = list(names)
    if any(name.startswith(_PROMPTS) for name in some):
        return "PEFT"
    if any(_MLX_TENSOR.fullmatch(name) for name in some):
        return "MLX"
    if any(_KOHYA.match(name) for name in some) or any(key.startswith("ss_") for key in metadata):
        return "kohya"
    if any(name.startswith(_COMFYUI) for name in some):
        return "ComfyUI"
    if any(_DIFFUSERS.match(name) or _DIFFUSERS_TENSOR.fullmatch(name) for name in some):
        return "diffusers"
    return ""


def stated_alpha(metadata: Mapping[str, str]) -> float | None:
    """The alpha of all modules that a trainer of image models wrote into the metadata, if any.

    kohya's trainers: `ss_network_alpha`, unless convolutions have another one. diffusers: a JSON
    text with the settings of PEFT for each component (`transformer.lora_alpha`).
    """
    if "conv_alpha" in metadata.get("ss_network_args", ""):
        return None
    stated = {metadata["ss_network_alpha"]} if "ss_network_alpha" in metadata else set()
    try:
        table = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        for key, value in table.items():
            if key.endswith("lora_alpha"):
                stated.add(str(float(value)))
            elif key.endswith("alpha_pattern") and value:
                return None
        [alpha] = stated
        return float(alpha) if math.isfinite(float(alpha)) else None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def shown_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """The shorter texts of the metadata, at most twenty, safe for a terminal."""
    by_length = sorted(metadata.items(), key=lambda entry: len(entry[1]))[:_MAX_METADATA]
    kept = {key for key, _ in by_length}
    return {
        terminal_safe(key, limit=60): terminal_safe(text, limit=200)
        for key, text in metadata.items()
        if key in kept
    }


def _match(name: str) -> re.Match[str] | None:
    if len(name) > _MAX_NAME:
        return None
    return (
        _PEFT_TENSOR.fullmatch(name)
        or _MLX_TENSOR.fullmatch(name)
        or _DIFFUSERS_TENSOR.fullmatch(name)
    )


def _ranks(
    down: tuple[int, ...] | None, up: tuple[int, ...] | None, *, of_mlx: bool
) -> tuple[int, int]:
    """The rank by the first matrix, and by the second; of a missing one, that of the other."""
    # PEFT: [r, in] and [out, r]; MLX: [in, r] and [r, out], for experts [n, r, in] and [n, out, r]
    first = None if down is None else down[1 if of_mlx else 0]
    second = None if up is None else up[-1 if of_mlx and len(up) > 2 else 0 if of_mlx else 1]
    known = first if first is not None else second
    return known or 0, (second if second is not None else known) or 0


def _fit(rank: int, other: int, dimensions: int) -> bool:
    """Whether the second matrix takes what the first gives; a grouped convolution takes a part."""
    if dimensions > 2 and other:
        return rank % other == 0
    return rank == other


def _natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key that puts layer 9 before layer 10."""
    return [
        (int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part)
        for part in name.split(".")
    ]
