"""Reads `adapter_config.json` and compares it with the header of the weights.

Pure functions on untrusted bytes; regular expressions of the configuration are never run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.adapters.header import LoraHeader, first_few, json_table
from lora_tui.errors import IntegrityError
from lora_tui.text import terminal_safe

MAX_CONFIG_BYTES: Final = 4 << 20

_MAX_NUMBER: Final = 1 << 62
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,300}")


@dataclass(frozen=True)
class AdapterConfig:
    """The settings of `adapter_config.json` that the header can be compared with."""

    peft_type: str
    base_model: str
    rank: int | None
    alpha: float | None
    target_modules: tuple[str, ...] | None
    """None where the configuration has a pattern or leaves the choice to PEFT."""
    modules_to_save: tuple[str, ...]
    rank_pattern: Mapping[str, int]
    rslora: bool
    dora: bool

    @property
    def scaling(self) -> float | None:
        """The factor of the product of both matrices, for modules of rank `rank`."""
        if self.rank is None or self.alpha is None:
            return None
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


def read_config(content: bytes) -> AdapterConfig:
    """Read an `adapter_config.json`. Raises IntegrityError where it is not a JSON object."""
    if len(content) > MAX_CONFIG_BYTES:
        raise IntegrityError("adapter_config.json is too large")
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


def config_mismatches(header: LoraHeader, config: AdapterConfig) -> tuple[str, ...]:
    """Sentences: how the weights differ from what the configuration describes."""
    found: list[str] = []
    if config.peft_type and config.peft_type != "LORA":
        found.append(f"the configuration describes a {config.peft_type} adapter, not LORA")
    if config.rank is None:
        found.append("the configuration has no rank (r)")
    if config.alpha is None:
        found.append("the configuration has no alpha (lora_alpha)")
    elif config.alpha <= 0:
        found.append(f"an alpha of {formats.number(config.alpha)} disables or inverts the adapter")
    # a key that is not a plain name is an untrusted regular expression: ranks are not compared
    patterns = [key for key in config.rank_pattern if not _PLAIN_NAME.fullmatch(key.lstrip("^"))]
    if config.rank is not None and not patterns:
        wrong = [
            (module, wanted)
            for module in header.modules
            if module.rank != (wanted := _expected_rank(module.name, config, config.rank))
        ]
        found += first_few(
            [f"{m.name} has rank {m.rank}, the configuration has {want}" for m, want in wrong]
        )
    if config.target_modules is not None:
        known = {*config.target_modules, *config.modules_to_save}
        unexpected = [m.name for m in header.modules if known.isdisjoint(_endings(m.name))]
        found += first_few([f"{name} is not among the target_modules" for name in unexpected])
        there = {ending for module in header.modules for ending in _endings(module.name)}
        missing = [name for name in config.target_modules if name not in there]
        found += first_few(
            [f"the file has no weights for the target module {name}" for name in missing]
        )
    if config.dora and not any("lora_magnitude_vector" in name for name in header.other_tensors):
        found.append("the configuration says DoRA, but the file has no magnitudes")
    return tuple(found)


def _expected_rank(name: str, config: AdapterConfig, usual: int) -> int:
    """The rank by the first matching key of rank_pattern, as PEFT chooses it."""
    keys = {*_endings(name), f"^{name}"} & config.rank_pattern.keys()
    if not keys:
        return usual
    if len(keys) == 1:
        return config.rank_pattern[keys.pop()]
    return next(rank for key, rank in config.rank_pattern.items() if key in keys)


def _endings(name: str) -> list[str]:
    """The names that a configuration may use for `a.b.c`: `a.b.c`, `b.c` and `c`."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _names(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(terminal_safe(item, limit=300) for item in items if isinstance(item, str))


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _MAX_NUMBER else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None
