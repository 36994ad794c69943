"""An adapter directory as PEFT and a Trainer leave it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TARGETS = ("q_proj", "v_proj")


def weights(rank: int = 4, width: int = 8, fill: bytes = b"\x01") -> bytes:
    """A small but whole safetensors file of LoRA matrices."""
    header: dict[str, Any] = {}
    at = 0
    for target in TARGETS:
        for side, shape in (("A", [rank, width]), ("B", [width, rank])):
            name = f"base_model.model.model.layers.0.self_attn.{target}.lora_{side}.weight"
            end = at + rank * width * 2
            header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, end]}
            at = end
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + fill * at


def trainer_state(losses: list[float], validation: dict[int, float]) -> dict[str, Any]:
    """Logged every ten steps, as the Trainer does it: evaluations are entries of their own."""
    history: list[dict[str, Any]] = []
    for number, loss in enumerate(losses, 1):
        step = number * 10
        entry = {"epoch": step / 20, "step": step}
        history.append(entry | {"loss": loss, "learning_rate": 2e-4, "grad_norm": 0.5})
        if step in validation:
            history.append(entry | {"eval_loss": validation[step], "eval_runtime": 1.0})
    last = len(losses) * 10
    history.append({"epoch": last / 20, "step": last, "train_runtime": 3600.0, "train_loss": 1.0})
    return {
        "epoch": last / 20,
        "global_step": last,
        "max_steps": last,
        "num_train_epochs": 3,
        "train_batch_size": 8,
        "log_history": history,
    }


def write_adapter(directory: Path, *, rank: int = 4, width: int = 8, state: object = None) -> Path:
    """The directory, with the state where one is given, and with what a checkpoint has besides."""
    directory.mkdir(parents=True)
    (directory / "adapter_model.safetensors").write_bytes(weights(rank, width))
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
        "r": rank,
        "lora_alpha": 2 * rank,
        "target_modules": list(TARGETS),
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
    (directory / "tokenizer_config.json").write_text("{}")
    (directory / "optimizer.pt").write_bytes(b"not for serving")
    if state is not None:
        (directory / "trainer_state.json").write_text(json.dumps(state))
    return directory
