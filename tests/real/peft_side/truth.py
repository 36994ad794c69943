"""What PEFT says about an adapter: parameters, ranks, scaling, spectrum of its change."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from safetensors.torch import load_file

_PREFIX: Final = "base_model.model."
_ADAPTER: Final = "default"


def parameter_counts(model: PeftModel, directory: Path) -> dict[str, Any]:
    """`trainable` parameters of the model, and `saved` parameters and `tensors` of its file."""
    saved = load_file(directory / "adapter_model.safetensors")
    return {
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "saved": sum(tensor.numel() for tensor in saved.values()),
        "tensors": len(saved),
    }


def described(directory: Path) -> dict[str, Any]:
    """What the saved configuration says in words."""
    config = json.loads((directory / "adapter_config.json").read_text())
    return {
        name: config.get(name) for name in ("peft_type", "task_type", "base_model_name_or_path")
    }


def lora_modules(model: PeftModel) -> dict[str, dict[str, Any]]:
    """Rank, scaling and spectrum of each module that LoRA changes, by its name in the file."""
    return {
        name.removeprefix(_PREFIX): {
            "rank": module.r[_ADAPTER],
            "scaling": _finite(module.scaling[_ADAPTER]),
            **_spectrum(module),
        }
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer) and _ADAPTER in module.r
    }


def summary(modules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`scaling` → number of modules that have it, and the `ranks`, as in a table."""
    scaling = Counter(f"{module['scaling']:.9g}" for module in modules.values())
    return {
        "modules": len(modules),
        "scaling": dict(scaling),
        "ranks": sorted({module["rank"] for module in modules.values()}),
    }


@torch.no_grad()
def _spectrum(module: LoraLayer) -> dict[str, Any]:
    """Singular values of what the module adds to the weight, by PEFT's own arithmetic.

    One descending list for each matrix, as long as the rank: a parameter of experts has a matrix
    for each expert, everything else one (of a convolution: outputs x everything else).
    """
    try:
        delta = module.get_delta_weight(_ADAPTER).double()
    except (NotImplementedError, RuntimeError, TypeError, AttributeError) as error:
        return {"singular_values": None, "reason": type(error).__name__}
    if not bool(torch.isfinite(delta).all()):
        return {"singular_values": None, "reason": "not finite"}
    experts = isinstance(module, ParamWrapper) and delta.dim() == 3
    matrices = delta if experts else delta.reshape(1, delta.shape[0], -1)
    return {
        "singular_values": [
            [float(value) for value in torch.linalg.svdvals(matrix)[: module.r[_ADAPTER]]]
            for matrix in matrices
        ]
    }


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0
