"""Writes folders of adapters for servers: good ones, ones without effect, ones that are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.adapters.weight_files import Matrix, write_tensors

PREFIX = "base_model.model."
SPREAD = 0.05
"""Standard deviation of the values of B; those of A have 1 / sqrt(inputs)."""


def matrices(
    seed: int = 0,
    *,
    hidden_size: int = 64,
    value_size: int | None = None,
    layers: int = 2,
    rank: int = 8,
    spread: float = SPREAD,
    prefix: str = PREFIX,
) -> dict[str, Matrix]:
    """Tensors for q_proj and v_proj of each layer, as PEFT names them.

    `value_size`: outputs of v_proj, by default `hidden_size`. `spread` 0 makes B zero.
    """
    random = np.random.default_rng(seed)
    tensors = {}
    for layer in range(layers):
        for module, outputs in (("q_proj", hidden_size), ("v_proj", value_size or hidden_size)):
            stem = f"{prefix}model.layers.{layer}.self_attn.{module}"
            a = random.normal(0.0, hidden_size**-0.5, (rank, hidden_size))
            tensors[f"{stem}.lora_A.weight"] = a
            tensors[f"{stem}.lora_B.weight"] = random.normal(0.0, spread, (outputs, rank))
    return tensors


def write_adapter(
    folder: Path,
    tensors: Mapping[str, Matrix] | None = None,
    *,
    base: str = "tiny-random-llama",
    dtype: str = "F32",
    **config: Any,
) -> Path:
    """A folder with a configuration and these tensors, by default `matrices()`; returns it.

    `config` changes fields of the configuration, of which the defaults are rank 8 and alpha 16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(
        folder / "adapter_model.safetensors", matrices() if tensors is None else tensors, dtype
    )
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": ["q_proj", "v_proj"],
        "modules_to_save": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    return folder


def renamed(tensors: Mapping[str, Matrix], old: str, new: str) -> dict[str, Matrix]:
    """The same tensors with a part of their names replaced."""
    return {name.replace(old, new): values for name, values in tensors.items()}
