"""Compares weights and configuration: what PEFT would refuse, and what is worth a remark.

PEFT's loading is not strict: a name that it does not expect is ignored, a matrix that is missing
stays as it was initialised. Both are remarks. A problem is only what raises an error in PEFT 0.21:
its configuration, or a shape (utils/save_and_load.py, set_peft_model_state_dict).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui import formats
from lora_tui.adapters.config import AdapterConfig
from lora_tui.adapters.header import LoraHeader
from lora_tui.adapters.modules import AdaptedModule, adapted_modules
from lora_tui.adapters.patterns import Work
from lora_tui.adapters.targets import (
    ALL_LINEAR,
    is_left_out,
    is_targeted,
    name_endings,
)
from lora_tui.adapters.tensor_names import PREFIX
from lora_tui.text import terminal_safe

_TRAINED_TOKENS: Final = "trainable_tokens_delta"
_MAGNITUDE: Final = "lora_magnitude_vector"
_INITIALISATIONS: Final = re.compile(
    r"true|false|(?i:gaussian|olora|mica)|orthogonal|eva|loftq|lora_ga|corda|pissa(_niter_\d+)?"
)
"""What PEFT 0.21 takes as `init_lora_weights` (tuners/lora/layer.py, update_layer)."""
_HEADS: Final = ("classifier", "score", "qa_outputs")
"""What PEFT adds to `modules_to_save` by task; a model has one of them."""


@dataclass(frozen=True)
class Findings:
    """Sentences about an adapter."""

    problems: tuple[str, ...]
    """Each is a reason why PEFT does not load it."""
    remarks: tuple[str, ...]
    """What is unusual, or makes a difference, but loads."""


def find_disagreements(
    header: LoraHeader,
    config: AdapterConfig | None,
    modules: Sequence[AdaptedModule] | None = None,
) -> Findings:
    """What is to be said about the weights, alone or with their configuration.

    `modules` are those of `adapted_modules`, if they are there already.
    """
    if modules is None:
        modules = adapted_modules(header, config)
    if config is None or config.format == "MLX":
        remarks = [
            *([] if header.modules else [_no_matrices(header)]),
            *header.remarks,
            *formats.first_few([text for text in map(_wrong_rank, modules) if text]),
        ]
        return Findings(header.problems, tuple(remarks))
    if config.faults:
        return Findings(config.faults, ())
    if not config.is_lora:
        return Findings((), (other_type(config),))
    work = Work()
    targeted = {
        module.name: module.of_parameter or is_targeted(config, module.name, work)
        for module in modules
    }
    # where PEFT chooses the targets, it chooses those that were trained
    chosen_by_peft = config.target_modules is None and not _is_expression(config.target_pattern)
    wrong = [
        _wrong_rank(module)
        for module in modules
        if targeted[module.name] or (chosen_by_peft and targeted[module.name] is None)
    ]
    problems = [
        *(() if "BD-LoRA" in config.variants else header.problems),  # its blocks have other shapes
        *formats.first_few([sentence for sentence in wrong if sentence]),
        *_missing_tokens(header, config),
    ]
    unclear = [
        _wrong_rank(module)
        for module in modules
        if targeted[module.name] is None and not chosen_by_peft
    ]
    remarks = [
        *([] if header.modules else [_no_matrices(header)]),
        *header.remarks,
        *_ignored_names(header),
        *formats.first_few([sentence for sentence in unclear if sentence]),
        *formats.first_few(_ignored_modules(modules, targeted)),
        *formats.first_few(_absent_targets(modules, config, work)),
        *_unclear_patterns(modules, targeted, config),
        *_settings(header, config),
        *_sorted_patterns(modules, config),
    ]
    return Findings(tuple(problems), tuple(dict.fromkeys(remarks)))


def config_mismatches(header: LoraHeader, config: AdapterConfig) -> tuple[str, ...]:
    """Sentences: why PEFT would not load these weights with this configuration."""
    return find_disagreements(header, config).problems


def other_type(config: AdapterConfig) -> str:
    """One sentence about an adapter that is not LoRA."""
    kind = config.kind
    if kind is None:
        return f"This is a {config.peft_type} adapter, not LoRA."
    return f"This is {kind.title}, not LoRA: it trains {kind.summary}."


def _is_expression(targets: str) -> bool:
    return targets.lower() not in ("", ALL_LINEAR)


def _no_matrices(header: LoraHeader) -> str:
    return (
        "the file has no LoRA matrices"
        if header.tensors
        else "the file has no tensors, so it changes nothing"
    )


def _wrong_rank(module: AdaptedModule) -> str | None:
    """How the matrices differ from the rank in the configuration, if they do."""
    wanted = module.settings.rank if module.settings else None
    if wanted is None or wanted == module.rank:
        return None
    if module.rank is None:
        return f"the rows of {module.name} are no multiple of the rank {wanted}"
    return f"{module.name} has rank {module.rank}, the configuration has {wanted}"


def _sorted_patterns(modules: Iterable[AdaptedModule], config: AdapterConfig) -> list[str]:
    """Where a wrong rank is that of another key: PEFT saves its configuration with sorted keys."""
    wrong = [module for module in modules if module.rank and _wrong_rank(module)]
    ranks = {config.rank, *config.rank_pattern.values()}
    if len(config.rank_pattern) < 2 or not wrong or not {m.rank for m in wrong} <= ranks:
        return []
    return [
        "PEFT sorts the keys of rank_pattern when it saves, and the first that matches counts:"
        " put them back into the order of the training"
    ]


def _missing_tokens(header: LoraHeader, config: AdapterConfig) -> list[str]:
    if not config.trainable_tokens or any(_TRAINED_TOKENS in name for name in header.other_tensors):
        return []
    return ["the configuration has trained tokens, the file has none of them"]


def _ignored_names(header: LoraHeader) -> list[str]:
    """Names of modules that PEFT does not find, whatever the base model is."""
    if header.modules and header.layout not in ("PEFT", ""):
        return [
            f"the tensors have the names of {header.layout}, not those of PEFT: PEFT ignores them"
        ]
    if header.modules and not header.layout:
        return [f"the names of the tensors do not begin with {PREFIX[:-1]}: PEFT ignores them"]
    twice = [module.name for module in header.modules if module.name.startswith(PREFIX[:-1])]
    return formats.first_few(
        [f"PEFT ignores {name}: its name has the prefix twice" for name in twice]
    )


def _ignored_modules(
    modules: Iterable[AdaptedModule], targeted: dict[str, bool | None]
) -> list[str]:
    return [
        f"PEFT ignores the weights of {module.name}: the configuration does not target it"
        for module in modules
        if targeted[module.name] is False
    ]


def _absent_targets(
    modules: Sequence[AdaptedModule], config: AdapterConfig, work: Work
) -> list[str]:
    """Targets without weights: the base model lacks them, or they stay untrained."""
    names = {ending for module in modules for ending in name_endings(module.name)}
    return [
        f"there are no weights for the target module {target}: the base model may not have it"
        for target in config.target_modules or ()
        if target not in names and is_left_out(config, target, work) is False
    ]


def _unclear_patterns(
    modules: Sequence[AdaptedModule], targeted: dict[str, bool | None], config: AdapterConfig
) -> list[str]:
    found = []
    if any(m.settings and m.settings.rank is None for m in modules) and config.rank_pattern:
        found.append("rank_pattern has an expression that was not evaluated: ranks not compared")
    if any(m.settings and m.settings.alpha is None for m in modules) and config.alpha_pattern:
        found.append("alpha_pattern has an expression that was not evaluated: scaling unknown")
    if _is_expression(config.target_pattern) and None in targeted.values():
        shown = terminal_safe(config.target_pattern, limit=80)
        found.append(f"target_modules was not evaluated, so targets were not compared: {shown}")
    return found


def _settings(header: LoraHeader, config: AdapterConfig) -> list[str]:
    found = []
    alphas = [
        value for value in (config.alpha, *config.alpha_pattern.values()) if value is not None
    ]
    negative = [value for value in alphas if value < 0]
    if negative:
        found.append(f"an alpha of {formats.number(negative[0])} inverts what was trained")
    if 0 in alphas:
        found.append("an alpha of 0 disables the adapter")
    if config.alpha is None:
        found.append("the alpha is no finite number, so the scaling is unknown")
    method = config.init_lora_weights
    if method.startswith("corda"):
        found.append("CorDA's initialisation loads only on a base that preprocess_corda prepared")
    elif not _INITIALISATIONS.fullmatch(method):
        found.append(f"PEFT 0.21 has no initialisation {method} (init_lora_weights) and fails")
    magnitudes = any(_MAGNITUDE in name for name in header.other_tensors)
    if config.dora and header.modules and not magnitudes:
        found.append("the configuration says DoRA, but the file has no magnitudes")
    if magnitudes and not config.dora:
        found.append("the file has magnitudes of DoRA, but the configuration does not: ignored")
    missing = [name for name in config.modules_to_save if not _has_saved(header, name)]
    if len(missing) < len(config.modules_to_save):
        missing = [name for name in missing if name not in _HEADS]
    if missing:
        found.append(
            f"no weights of {', '.join(missing[:5])} (modules_to_save): PEFT fails if the base"
            " model has such a module"
        )
    return found


def _has_saved(header: LoraHeader, saved: str) -> bool:
    """Whether there is a tensor of this module, or of a module inside it."""
    inside = f".{saved}."
    return any(inside in f".{name.removeprefix(PREFIX)}" for name in header.other_tensors)
