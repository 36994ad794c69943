"""What a safetensors header tells about an adapter, and whether its configuration agrees with it.

Pure: bytes in, frozen facts out. The bytes are anybody's: every count and length is bounded, and no
pattern of theirs is run.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lora_tui.adapters.safetensors_header import (
    PREFIX_BYTES,
    Tensor,
    header_length,
    json_table,
    parse_header,
)
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

LARGEST_CONFIG: Final = 4 << 20

_MOST_TENSORS: Final = 200_000
_LARGEST_FIGURE: Final = 1 << 62
_MOST_METADATA: Final = 20
_MOST_NAMED: Final = 3
# PEFT's names, with or without the adapter's own, and those of kohya's trainers
_LORA_TENSOR: Final = re.compile(
    r"(?P<module>.+)\.lora_(?P<side>A|B|down|up|embedding_A|embedding_B)(\.[^.]+)??(\.weight)?"
)
_INPUT_SIDES: Final = ("A", "down", "embedding_A")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,300}")


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
class AdapterFacts:
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


@dataclass(frozen=True)
class AdapterConfig:
    """The part of `adapter_config.json` that the file can be held against."""

    peft_type: str
    base_model: str
    rank: int | None
    alpha: float | None
    target_modules: tuple[str, ...] | None
    """None where the configuration gives a pattern, or leaves the choice to PEFT."""
    modules_to_save: tuple[str, ...]
    rank_pattern: Mapping[str, int]
    rslora: bool
    dora: bool

    @property
    def scaling(self) -> float | None:
        """What the product of the two matrices is multiplied with, for modules of rank `rank`."""
        if self.rank is None or self.alpha is None:
            return None
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


def bytes_needed(beginning: bytes, file_size: int | None = None) -> int:
    """How many bytes from the start of the file `read_header` needs, by the first eight of them.

    Raises IntegrityError.
    """
    return PREFIX_BYTES + header_length(beginning, file_size)


def read_header(beginning: bytes, *, file_size: int | None = None) -> AdapterFacts:
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
    return AdapterFacts(
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


def read_config(content: bytes) -> AdapterConfig:
    """Read an `adapter_config.json`. Raises IntegrityError where it is no table of settings."""
    if len(content) > LARGEST_CONFIG:
        raise IntegrityError("adapter_config.json is larger than any configuration")
    table = json_table(content, "adapter_config.json")
    targets = table.get("target_modules")
    pattern = table.get("rank_pattern")
    return AdapterConfig(
        peft_type=terminal_safe(table.get("peft_type"), limit=40),
        base_model=terminal_safe(table.get("base_model_name_or_path"), limit=300),
        rank=_whole(table.get("r")),
        alpha=_number(table.get("lora_alpha")),
        target_modules=_names(targets) if isinstance(targets, list) and targets else None,
        modules_to_save=_names(table.get("modules_to_save")),
        rank_pattern={
            terminal_safe(name, limit=300): rank
            for name, value in (pattern if isinstance(pattern, dict) else {}).items()
            if (rank := _whole(value)) is not None
        },
        rslora=table.get("use_rslora") is True,
        dora=table.get("use_dora") is True,
    )


def disagreements(facts: AdapterFacts, config: AdapterConfig) -> tuple[str, ...]:
    """Sentences: where the file is not the adapter that its configuration describes."""
    found: list[str] = []
    if config.peft_type and config.peft_type != "LORA":
        found.append(f"the configuration describes a {config.peft_type} adapter, not LORA")
    if config.rank is None:
        found.append("the configuration names no rank (r)")
    if config.alpha is None:
        found.append("the configuration names no alpha (lora_alpha)")
    elif config.alpha <= 0:
        found.append(f"an alpha of {config.alpha:g} turns the adapter off or around")
    # A key that is more than a plain name is a regular expression of somebody else's: it is not
    # run, and no rank is held against it.
    unread = [key for key in config.rank_pattern if not _PLAIN_NAME.fullmatch(key.lstrip("^"))]
    if config.rank is not None and not unread:
        wrong = [
            (module, wanted)
            for module in facts.modules
            if module.rank != (wanted := _wanted_rank(module.name, config, config.rank))
        ]
        found += _some(
            [f"{m.name} has rank {m.rank}, the configuration says {want}" for m, want in wrong]
        )
    if config.target_modules is not None:
        known = {*config.target_modules, *config.modules_to_save}
        strangers = [m.name for m in facts.modules if known.isdisjoint(_endings(m.name))]
        found += _some([f"{name} is not among the target_modules" for name in strangers])
        there = {ending for module in facts.modules for ending in _endings(module.name)}
        missing = [name for name in config.target_modules if name not in there]
        found += _some([f"the file has nothing for the target module {name}" for name in missing])
    if config.dora and not any("lora_magnitude_vector" in name for name in facts.other_tensors):
        found.append("the configuration says DoRA, the file has no magnitudes")
    return tuple(found)


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
        tuple(_some(problems)),
    )


def _wanted_rank(name: str, config: AdapterConfig, usual: int) -> int:
    """The first key of rank_pattern that names the module, as PEFT chooses."""
    keys = {*_endings(name), f"^{name}"} & config.rank_pattern.keys()
    if not keys:
        return usual
    if len(keys) == 1:
        return config.rank_pattern[keys.pop()]
    return next(rank for key, rank in config.rank_pattern.items() if key in keys)


def _endings(name: str) -> list[str]:
    """`a.b.c`, `b.c` and `c`: what a configuration may call the module."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _some(sentences: list[str]) -> list[str]:
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


def _names(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(terminal_safe(item, limit=300) for item in items if isinstance(item, str))


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _LARGEST_FIGURE else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _natural(name: str) -> list[tuple[int, str]]:
    """Layer 9 before layer 10."""
    return [
        (int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part)
        for part in name.split(".")
    ]
