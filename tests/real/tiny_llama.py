"""Writes a tiny random base model in the format of transformers, equal in each run.

By numpy alone, so it needs no environment with torch. The adapters of
tests/serving/adapter_folders.py fit it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from tests.adapters.weight_files import Matrix, write_tensors

_WIDTH: Final = 64
_LAYERS: Final = 2
_HEADS: Final = 2
"""vLLM has no attention on a CPU for heads of fewer than 32."""
_INNER: Final = 128
_SPREAD: Final = 0.125
"""Standard deviation of the layers' weights; larger ones make chaos of the smallest difference."""
_CONTEXT: Final = 512
_SPECIAL: Final = ("<unk>", "<s>", "</s>")
_TOKENS: Final = (*_SPECIAL, "\n", *(chr(code) for code in range(32, 127)))
_CHAT: Final = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


def write_base(folder: Path, *, chat_template: bool = True) -> Path:
    """A llama model of 2 layers and width 64, with a token for each ASCII character."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": _WIDTH,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "head_dim": _WIDTH // _HEADS,
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
    write_tensors(folder / "model.safetensors", _weights())
    return folder


def _weights() -> dict[str, Matrix]:
    random = np.random.default_rng(7)

    def values(rows: int, columns: int, spread: float = _SPREAD) -> Matrix:
        return random.normal(0.0, spread, (rows, columns))

    tensors = {
        "model.embed_tokens.weight": values(len(_TOKENS), _WIDTH, 0.3),
        "model.norm.weight": np.ones(_WIDTH),
        "lm_head.weight": values(len(_TOKENS), _WIDTH, 0.3),
    }
    for layer in range(_LAYERS):
        prefix = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{norm}.weight"] = np.ones(_WIDTH)
        for module in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{prefix}.self_attn.{module}.weight"] = values(_WIDTH, _WIDTH)
        for module in ("gate_proj", "up_proj"):
            tensors[f"{prefix}.mlp.{module}.weight"] = values(_INNER, _WIDTH)
        tensors[f"{prefix}.mlp.down_proj.weight"] = values(_WIDTH, _INNER)
    return tensors


def _write_tokenizer(folder: Path, chat_template: bool) -> None:
    """One token for each character, which never join; any other character is unknown."""
    special = [
        {"id": id, "content": token, "special": True, "single_word": False}
        | {"lstrip": False, "rstrip": False, "normalized": False}
        for id, token in enumerate(_SPECIAL)
    ]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "BPE",
            "vocab": {token: id for id, token in enumerate(_TOKENS)},
            "merges": [],
            "unk_token": "<unk>",
            "fuse_unk": False,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": _CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    if chat_template:
        settings["chat_template"] = _CHAT
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
