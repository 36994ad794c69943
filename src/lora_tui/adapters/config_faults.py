"""Finds what makes PEFT raise an error for an `adapter_config.json`, whatever the weights are.

Each check stands for an error that PEFT 0.21 raises: when it builds the configuration
(config.py, tuners/lora/config.py), when it looks up a pattern (utils/other.py), or when it creates
the first layer (tuners/lora/layer.py, tuners/tuners_utils.py). Whatever PEFT only warns about is no
fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lora_tui.adapters.patterns import is_invalid
from lora_tui.adapters.peft_types import GONE, LORA, PEFT_KINDS, TASK_TYPES
from lora_tui.text import terminal_safe

_MAX_FAULTS: Final = 8
_SUB_CONFIGURATIONS: Final = (
    "velora_config", "kasa_config", "eva_config", "corda_config", "lora_ga_config", "arrow_config",
    "use_bdlora", "monteclora_config",
)  # fmt: skip


def config_faults(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences: why PEFT refuses this configuration."""
    found = _type_faults(table)
    if not found and table["peft_type"] == LORA:
        found = [
            *_setting_faults(table),
            *_list_faults(table),
            *_pattern_faults(table),
            *_target_faults(table),
        ]
    return tuple(found[:_MAX_FAULTS])


def _type_faults(table: Mapping[str, Any]) -> list[str]:
    found = []
    kind = table.get("peft_type")
    shown = terminal_safe(kind, limit=40)
    if "peft_type" not in table:
        found.append("the configuration has no peft_type: PEFT does not load it")
    elif not isinstance(kind, str) or kind not in PEFT_KINDS:
        instead = GONE.get(shown)
        found.append(
            f"PEFT 0.21 has no adapter type {shown or 'without a name'}"
            + (f": {instead} took its place" if instead else "")
        )
    task = table.get("task_type")
    if task is not None and task not in TASK_TYPES:
        found.append(f"PEFT has no task_type {terminal_safe(task, limit=40)}")
    return found


def _setting_faults(table: Mapping[str, Any]) -> list[str]:
    found = []
    rank, alpha = table.get("r", 8), table.get("lora_alpha", 8)
    if not isinstance(rank, int) or isinstance(rank, bool):
        found.append(f"the rank (r) is {_shown(rank)}, not a whole number")
    elif rank <= 0:
        found.append(f"the rank (r) is {rank}: PEFT accepts only ranks above 0")
    if not isinstance(alpha, int | float):
        found.append(f"the alpha (lora_alpha) is {_shown(alpha)}, not a number")
    dropout = table.get("lora_dropout", 0.0)
    if not isinstance(dropout, int | float):
        found.append(f"the dropout (lora_dropout) is {_shown(dropout)}, not a number")
    elif dropout > 1:
        found.append(f"the dropout (lora_dropout) is {_shown(dropout)}, more than 1")
    method, dora = table.get("init_lora_weights", True), table.get("use_dora")
    if not isinstance(method, bool | str | None):
        found.append(f"init_lora_weights is {_shown(method)}, neither a name nor true or false")
    if table.get("lora_bias"):
        if not isinstance(method, bool):
            found.append(f"lora_bias does not work with init_lora_weights {_shown(method)} in PEFT")
        if dora:
            found.append("lora_bias does not work with DoRA in PEFT")
    if dora and table.get("megatron_config"):
        found.append("DoRA does not work with megatron_config in PEFT")
    if method == "loftq" and not table.get("loftq_config"):
        found.append("init_lora_weights is loftq, but there is no loftq_config")
    for name in _SUB_CONFIGURATIONS:
        if not isinstance(table.get(name), dict | None):
            found.append(f"{name} is {_shown(table[name])}, not an object")
    bias = table.get("bias", "none")
    if not isinstance(bias, str) or not (bias in ("none", "all") or bias.endswith("_only")):
        found.append(f"PEFT has no bias setting {_shown(bias)}")
    return found


def _list_faults(table: Mapping[str, Any]) -> list[str]:
    """Settings that are no list, or a list of other things than PEFT goes through."""
    found = []
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        value = table.get(name)
        as_text = isinstance(value, str) and name != "modules_to_save"
        if not as_text and not isinstance(value, list | dict | None):
            found.append(f"{name} is {_shown(value)}, not a list of names")
        elif isinstance(value, list) and not all(isinstance(item, str) for item in value):
            found.append(f"{name} has something that is no name")
    layers = table.get("layers_to_transform")
    if not isinstance(layers, int | list | None):
        found.append(f"layers_to_transform is {_shown(layers)}, not numbers of layers")
    tokens = table.get("trainable_token_indices")
    if not isinstance(tokens, list | dict | None):
        found.append(f"trainable_token_indices is {_shown(tokens)}, not a list of tokens")
    copies = table.get("layer_replication") or []
    if not isinstance(copies, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in copies
    ):
        found.append("layer_replication is no list of pairs")
    return found


def _target_faults(table: Mapping[str, Any]) -> list[str]:
    found = []
    targets, parameters = table.get("target_modules"), table.get("target_parameters")
    for name in ("target_modules", "exclude_modules"):
        value = table.get(name)
        if isinstance(value, str) and is_invalid(value):
            found.append(f"{name} is not a valid regular expression: {_shown(value)}")
    if isinstance(parameters, str):
        found.append("target_parameters is a text, not a list of names")
    if isinstance(targets, str):
        found += [
            f"{name} does not work with a pattern in target_modules"
            for name in ("layers_to_transform", "layers_pattern")
            if table.get(name) is not None
        ]
    if table.get("layers_pattern") and table.get("layers_to_transform") is None:
        found.append("layers_pattern does not work without layers_to_transform")
    if targets == [] and not parameters:
        found.append("target_modules is empty: PEFT finds no module to adapt")
    return found


def _pattern_faults(table: Mapping[str, Any]) -> list[str]:
    found = []
    for name, kind in (("rank_pattern", int), ("alpha_pattern", int | float)):
        pattern = table.get(name, {})
        if not isinstance(pattern, dict):
            found.append(f"{name} is {_shown(pattern)}, not an object")
            continue
        for key, value in pattern.items():
            if is_invalid(key):
                found.append(f"a key of {name} is not a valid regular expression: {_shown(key)}")
            elif not isinstance(value, kind):
                found.append(f"{name} gives {_shown(value)} for {_shown(key)}, not a number")
    return found


def _shown(value: object) -> str:
    return "null" if value is None else terminal_safe(value, limit=60) or "empty"
