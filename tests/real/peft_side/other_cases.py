"""What is no LoRA of PEFT: its other methods, and files of MLX, kohya's scripts and diffusers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from tests.real.peft_side.lora_cases import QV, Case


def _llama(peft_type: str, **settings: Any) -> Case:
    return Case("llama", {"peft_type": peft_type, "task_type": "CAUSAL_LM", **settings})


def _tuner(peft_type: str, **settings: Any) -> Case:
    return _llama(peft_type, target_modules=QV, **settings)


METHODS: Final[Mapping[str, Case]] = {
    "adalora": _tuner("ADALORA", init_r=12, target_r=8, total_step=100),
    "adamss": _tuner("ADAMSS", r=8, num_subspaces=2, subspace_rank=1),
    "adaption_prompt": _llama("ADAPTION_PROMPT", adapter_len=4, adapter_layers=1),
    "beft": _tuner("BEFT"),
    "boft": _tuner("BOFT", boft_block_size=8),
    "c3a": _tuner("C3A", block_size=16),
    "cartridge": _llama("CARTRIDGE", num_virtual_tokens=8),
    "cpt": _llama("CPT", num_virtual_tokens=4),
    "deft": _tuner("DEFT", r=8),
    "delora": _tuner("DELORA", r=8),
    "fourierft": _tuner("FOURIERFT", n_frequency=20),
    "frod": _tuner("FROD"),
    "glora": _tuner("GLORA", r=8),
    "gralora": _tuner("GRALORA", r=8, gralora_k=2),
    "hira": _tuner("HIRA", r=8),
    "hra": _tuner("HRA", r=8),
    "ia3": _llama("IA3", target_modules=["k_proj", "v_proj", "down_proj"],
                  feedforward_modules=["down_proj"]),
    "lily": _tuner("LILY", r=8),
    "ln_tuning": _llama("LN_TUNING"),
    "loha": _tuner("LOHA", r=8, alpha=16),
    "lokr": _tuner("LOKR", r=8, alpha=16),
    "miss": _tuner("MISS", r=8),
    "multitask_prompt": _llama("MULTITASK_PROMPT_TUNING", num_virtual_tokens=4, num_tasks=2),
    "oft": _tuner("OFT", oft_block_size=8),
    "osf": _tuner("OSF"),
    "p_tuning": _llama("P_TUNING", num_virtual_tokens=8, encoder_hidden_size=16),
    "peanut": _tuner("PEANUT", r=8),
    "poly": _tuner("POLY", r=8, n_tasks=2, n_skills=2, n_splits=2),
    "prefix_tuning": _llama("PREFIX_TUNING", num_virtual_tokens=4),
    "prompt_tuning": _llama("PROMPT_TUNING", num_virtual_tokens=8),
    "psoft": _tuner("PSOFT", r=8),
    "pvera": _tuner("PVERA", r=8),
    "randlora": _tuner("RANDLORA", r=8),
    "road": _tuner("ROAD", group_size=16),
    "shadow": _tuner("SHADOW", r=8),
    "shira": _tuner("SHIRA", r=8),
    "supertuning": _tuner("SUPERTUNING"),
    "tinylora": _tuner("TINYLORA"),
    "trainable_tokens_only": _llama("TRAINABLE_TOKENS", token_indices=[3, 4]),
    "unilora": _tuner("UNILORA", r=4),
    "vblora": _tuner("VBLORA", r=4, num_vectors=16, vector_length=16),
    "vera": _tuner("VERA", r=8),
    "waveft": _tuner("WAVEFT", n_frequency=20),
}  # fmt: skip
"""Every method of PEFT but LoRA; XLORA needs trained adapters first and is left out."""


def write_foreign_files(root: Path) -> None:
    """Write what other programs leave: no PEFT adapter, but something a user may point at."""
    draw = torch.Generator().manual_seed(5)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw)

    mlx = root / "mlx"
    mlx.mkdir(parents=True)
    layer = "model.layers.1.self_attn.q_proj"
    save_file(
        {f"{layer}.lora_a": matrix(64, 8), f"{layer}.lora_b": matrix(8, 64)},
        mlx / "adapters.safetensors",
    )
    described = {
        "fine_tune_type": "lora", "model": "tiny/llama", "num_layers": 1,
        "lora_parameters": {"rank": 8, "scale": 20.0, "dropout": 0.0},
    }  # fmt: skip
    (mlx / "adapter_config.json").write_text(json.dumps(described))

    kohya = root / "kohya"
    kohya.mkdir()
    block = "lora_unet_down_blocks_0_attentions_0_proj_in"
    save_file(
        {
            f"{block}.lora_down.weight": matrix(4, 64),
            f"{block}.lora_up.weight": matrix(64, 4),
            f"{block}.alpha": torch.tensor(2.0),
        },
        kohya / "style.safetensors",
        metadata={"ss_network_dim": "4", "ss_network_alpha": "2.0", "ss_base_model_version": "sd"},
    )

    diffusers = root / "diffusers"
    diffusers.mkdir()
    name = "unet.down_blocks.0.attentions.0.to_q"
    save_file(
        {f"{name}.lora_A.weight": matrix(4, 64), f"{name}.lora_B.weight": matrix(64, 4)},
        diffusers / "pytorch_lora_weights.safetensors",
    )
