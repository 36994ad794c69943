"""Writes a tiny random base in the format of transformers, and PEFT adapters of it.

By numpy alone, so it needs no environment with torch. Everything is equal in each run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 64
MAX_RANK: Final = 16
"""What the server of the tests is started with (`--max-lora-rank`)."""

_LAYERS: Final = 2
_HEADS: Final = 4
_INNER: Final = 128
_CONTEXT: Final = 512
_SPECIAL: Final = ("<unk>", "<s>", "</s>")
_CHARACTERS: Final = ("\n", *(chr(code) for code in range(32, 127)))
_TOKENS: Final = (*_SPECIAL, *_CHARACTERS)
_CHAT: Final = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
_MODULES: Final = ("self_attn.q_proj", "self_attn.v_proj")
_PREFIX: Final = "base_model.model.model.layers."

Tensors = Mapping[str, NDArray[np.float32]]


def write_base(
    folder: Path, *, width: int = WIDTH, layers: int = _LAYERS, chat_template: str | None = _CHAT
) -> Path:
    """A llama model with a token for each ASCII character."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": _INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "head_dim": width // _HEADS,
        "max_position_embeddings": _CONTEXT,
        "vocab_size": len(_TOKENS),
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    _write_tokenizer(folder, chat_template)
    random = np.random.default_rng(7)
    tensors = {
        "model.embed_tokens.weight": _random(random, len(_TOKENS), width),
        "model.norm.weight": np.ones(width, np.float32),
        "lm_head.weight": _random(random, len(_TOKENS), width),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{norm}.weight"] = np.ones(width, np.float32)
        for module in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{prefix}.self_attn.{module}.weight"] = _random(random, width, width)
        for module in ("gate_proj", "up_proj"):
            tensors[f"{prefix}.mlp.{module}.weight"] = _random(random, _INNER, width)
        tensors[f"{prefix}.mlp.down_proj.weight"] = _random(random, width, _INNER)
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def write_adapter(
    folder: Path,
    *,
    b: float = 0.3,
    rank: int = 4,
    width: int = WIDTH,
    layers: int = _LAYERS,
    prefix: str = _PREFIX,
    seed: int = 1,
    configuration: Mapping[str, object] | None = None,
    extra: Tensors | None = None,
) -> Path:
    """An adapter of q and v; `b` is the standard deviation of B's elements, 0 for no effect.

    `configuration` changes adapter_config.json, `extra` adds tensors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tests/tiny-llama",
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [module.rpartition(".")[2] for module in _MODULES],
        "inference_mode": True,
        **(configuration or {}),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2))
    random = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}
    for layer in range(layers):
        for module in _MODULES:
            name = f"{prefix}{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = _random(random, rank, width)
            tensors[f"{name}.lora_B.weight"] = _random(random, width, rank, deviation=b)
    write_safetensors(folder / "adapter_model.safetensors", {**tensors, **(extra or {})})
    return folder


def magnitudes(layers: int = _LAYERS) -> Tensors:
    """The tensors by which DoRA differs."""
    return {
        f"{_PREFIX}{layer}.{module}.lora_magnitude_vector": np.ones(WIDTH, np.float32)
        for layer in range(layers)
        for module in _MODULES
    }


def write_safetensors(path: Path, tensors: Tensors) -> None:
    """The tensors as 32-bit floats."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        end = at + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.tobytes())


def _write_tokenizer(folder: Path, chat_template: str | None) -> None:
    """One token for each character, without any rule of how they join."""
    special = [
        {"id": id, "content": token, "special": True, "single_word": False}
        | {"lstrip": False, "rstrip": False, "normalized": False}
        for id, token in enumerate(_SPECIAL)
    ]
    model = {
        "type": "BPE",
        "vocab": {token: id for id, token in enumerate(_TOKENS)},
        "merges": [],
        "unk_token": "<unk>",
        "fuse_unk": False,
    }
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": model,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": _CONTEXT,
        "clean_up_tokenization_spaces": False,
        **({} if chat_template is None else {"chat_template": chat_template}),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _random(
    random: np.random.Generator, rows: int, columns: int, *, deviation: float = 0.3
) -> NDArray[np.float32]:
    return (random.standard_normal((rows, columns)) * deviation).astype(np.float32)
