"""Tells which modules PEFT adapts for a configuration, by their names alone.

After tuners/tuners_utils.py, check_target_module_exists, of PEFT 0.21. What depends on the base
model is not known: `all-linear`, the targets that PEFT chooses for a model, and tied embeddings.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from lora_tui.adapters.config import AdapterConfig
from lora_tui.adapters.patterns import Work, first_match, matches_part, matches_whole

ALL_LINEAR: Final = "all-linear"


def is_targeted(config: AdapterConfig, name: str, work: Work | None = None) -> bool | None:
    """Whether PEFT adapts the module of this name; None where that can't be told.

    The name is that of the base model, without `base_model.model.`.
    """
    work = work or Work()
    left_out = is_left_out(config, name, work)
    if left_out is not False:
        return None if left_out is None else False
    if config.target_pattern:
        if config.target_pattern.lower() == ALL_LINEAR:
            return None
        return matches_whole(config.target_pattern, name, work)
    if config.target_modules is None:
        return False if config.target_parameters else None
    if name in config.target_names:
        return True
    if not names_module(config.target_names, name):
        return None if config.ensure_weight_tying else False
    return _is_chosen_layer(config, name, work)


def names_module(names: Container[str], module: str) -> bool:
    """Whether one of the names is that of the module, or its end after a dot."""
    return any(ending in names for ending in name_endings(module))


def name_endings(module: str) -> list[str]:
    """The names that a configuration may use for `a.b.c`: `a.b.c`, `b.c` and `c`."""
    parts = module.split(".")
    return [".".join(parts[start:]) for start in range(len(parts))]


def is_left_out(config: AdapterConfig, name: str, work: Work) -> bool | None:
    """Whether it is excluded or saved whole; None where a pattern was not evaluated."""
    if config.exclude_pattern:
        excluded = matches_whole(config.exclude_pattern, name, work)
        if excluded is not False:
            return excluded
    if names_module(config.exclude_modules, name):
        return True
    answers = [matches_part(saved, name, work) for saved in config.modules_to_save]
    return True if True in answers else None if None in answers else False


def _is_chosen_layer(config: AdapterConfig, name: str, work: Work) -> bool | None:
    """Whether the number in the name is among `layers_to_transform`, where there are any."""
    if config.layers_to_transform is None:
        return True
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdecimal() and place > 0]
    numbers = [place for place in numbers if place < len(parts) - 1]
    if not config.layers_pattern:
        # the first number with two names before it: `model.layers.3.`
        found = next((place for place in numbers if place > 1), None)
    else:
        found = next(
            (
                place
                for pattern in config.layers_pattern
                for place in numbers
                if first_match([pattern], ".".join(parts[:place]), work).key
            ),
            None,
        )
    return found is not None and int(parts[found]) in config.layers_to_transform
