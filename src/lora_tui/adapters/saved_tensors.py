"""Sorts the tensors that an adapter has beside its matrices: saved modules, biases, magnitudes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from lora_tui import formats
from lora_tui.adapters.config import AdapterConfig
from lora_tui.adapters.header import LoraHeader
from lora_tui.adapters.tensor_names import PREFIX

SAVED_MODULES: Final = "saved modules"
_NAMED: Final = 3

_KINDS: Final = (  # the first group is the module
    (re.compile(r"(.+?)\.lora_magnitude_vector(\..+)?"), "DoRA magnitudes"),
    (re.compile(r"(.+?)(\.token_adapter)?\.trainable_tokens_delta(\..+)?"), "trained tokens"),
    (re.compile(r"(.+?)\.lora_[AB](\..+)?\.bias"), "LoRA biases"),
    (re.compile(r"(.+?)\.lora_E(\..+)?"), "AdaLoRA weights of ranks"),
    (re.compile(r"(.+?)\.lora_(?![AB]\b)\w+(\..+)?"), "tensors of a LoRA variant"),
    (re.compile(r"(.+?)\.(alpha|dora_scale)"), "alphas"),
    (re.compile(r"(.+?)\.base_layer\.weight"), "weights of the base model"),
    (re.compile(r"(.+?)(\.base_layer)?\.bias"), "biases"),
)
_MLX_MAGNITUDE: Final = re.compile(r"(.+)\.m")


def saved_beside(
    header: LoraHeader, config: AdapterConfig | None = None
) -> dict[str, tuple[str, ...]]:
    """What the file has beside the matrices: the kind → the modules, in the order of the file.

    For a type other than LoRA, its own tensors are not listed.
    """
    own: Sequence[str] = ()
    if config is not None and config.kind is not None and not config.is_lora:
        own = config.kind.tensors or ("prompt", "prefix_")
    names = {name.removeprefix(PREFIX) for name in header.other_tensors}
    found: dict[str, dict[str, None]] = {}
    for name in (name.removeprefix(PREFIX) for name in header.other_tensors):
        parts = name.split(".")
        if any(part.startswith(tuple(own)) for part in parts):
            continue
        module, kind = _sorted_in(name, f"{name.rpartition('.')[0]}.weight" in names)
        if header.layout == "MLX" and (magnitude := _MLX_MAGNITUDE.fullmatch(name)):
            module, kind = magnitude[1], "DoRA magnitudes"
        found.setdefault(kind, {}).setdefault(module)
    return {kind: tuple(modules) for kind, modules in sorted(found.items(), key=_place)}


def saved_text(saved: Mapping[str, Sequence[str]]) -> str:
    """`saved modules: lm_head; 14 DoRA magnitudes`; empty where there is nothing."""
    return "; ".join(
        f"{kind}: {', '.join(modules)}"
        if len(modules) <= _NAMED
        else f"{formats.count(len(modules))} {kind}"
        for kind, modules in saved.items()
    )


def _sorted_in(name: str, has_weight: bool) -> tuple[str, str]:
    for pattern, kind in _KINDS:
        found = pattern.fullmatch(name)
        if found is not None and not (kind == "biases" and has_weight):
            return found[1], kind
    return name.rpartition(".")[0] or name, SAVED_MODULES


def _place(entry: tuple[str, object]) -> int:
    return (SAVED_MODULES, *(kind for _, kind in _KINDS)).index(entry[0])
