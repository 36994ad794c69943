"""The files of an adapter, made from a recipe when somebody asks for them.

A recipe is a small JSON object kept beside the object's row. Its size is known without making the
file, and the same recipe makes the same bytes.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from lora_tui.sandbox.safetensors_file import Tensor, file_pieces, file_size, lora_tensors

WEIGHTS: Final = "adapter_model.safetensors"
FILE_TYPES: Final[Mapping[str, str]] = {
    WEIGHTS: "application/octet-stream",
    "adapter_config.json": "application/json",
    "tokenizer.json": "application/json",
    "tokenizer_config.json": "application/json",
    "special_tokens_map.json": "application/json",
    "training_args.bin": "application/octet-stream",
}

# Base model → module → (inputs, outputs) of the projections that the adapters train
_SHAPES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "meta-llama/Llama-3.1-8B-Instruct": {
        "self_attn.q_proj": (4096, 4096),
        "self_attn.v_proj": (4096, 1024),
    },
    "Qwen/Qwen2.5-7B-Instruct": {
        "self_attn.q_proj": (3584, 3584),
        "self_attn.v_proj": (3584, 512),
    },
    "mistralai/Mistral-7B-Instruct-v0.3": {
        "self_attn.q_proj": (4096, 4096),
        "self_attn.v_proj": (4096, 1024),
    },
    "google/gemma-2-9b-it": {
        "self_attn.q_proj": (3584, 4096),
        "self_attn.v_proj": (3584, 2048),
    },
}
BASE_MODELS: Final = tuple(_SHAPES)

_END_TOKENS: Final[Mapping[str, tuple[str, str]]] = {
    "meta-llama/Llama-3.1-8B-Instruct": ("<|begin_of_text|>", "<|eot_id|>"),
    "Qwen/Qwen2.5-7B-Instruct": ("<|im_start|>", "<|im_end|>"),
    "mistralai/Mistral-7B-Instruct-v0.3": ("<s>", "</s>"),
    "google/gemma-2-9b-it": ("<bos>", "<eos>"),
}

Recipe = Mapping[str, Any]


def adapter_recipe(
    file: str,
    *,
    base_model: str,
    rank: int,
    alpha: int,
    dropout: float,
    layers: int,
    seed: int,
    version: int = 1,
) -> dict[str, Any]:
    """The recipe of one file of an adapter; a higher `version` makes other bytes of equal size."""
    return {
        "file": file,
        "base_model": base_model,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "layers": layers,
        "seed": seed,
        "version": version,
    }


def recipe_size(recipe: Recipe) -> int:
    """Bytes of the file that the recipe makes."""
    if recipe["file"] == WEIGHTS:
        return file_size(_tensors(recipe), _METADATA)
    return len(_small_file(recipe))


def recipe_pieces(recipe: Recipe) -> Iterator[bytes]:
    """The file that the recipe makes, in pieces."""
    if recipe["file"] == WEIGHTS:
        yield from file_pieces(_tensors(recipe), _METADATA, recipe["seed"] + recipe["version"])
    else:
        yield _small_file(recipe)


_METADATA: Final = {"format": "pt"}


def _tensors(recipe: Recipe) -> list[Tensor]:
    layers = _layers(recipe)
    return lora_tensors(_SHAPES[recipe["base_model"]], layers, recipe["rank"])


def _layers(recipe: Recipe) -> range:
    return range(8, 8 + int(recipe["layers"]))


def _small_file(recipe: Recipe) -> bytes:
    base_model = str(recipe["base_model"])
    match recipe["file"]:
        case "adapter_config.json":
            return _adapter_config(recipe)
        case "tokenizer.json":
            return _tokenizer(base_model)
        case "tokenizer_config.json":
            return _tokenizer_config(base_model)
        case "special_tokens_map.json":
            return _special_tokens(base_model)
        case _:
            return _training_args()


def _adapter_config(recipe: Recipe) -> bytes:
    modules = sorted(name.rpartition(".")[2] for name in _SHAPES[recipe["base_model"]])
    return _json(
        {
            "alpha_pattern": {},
            "auto_mapping": None,
            "base_model_name_or_path": recipe["base_model"],
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "init_lora_weights": True,
            "layers_pattern": None,
            "layers_to_transform": list(_layers(recipe)),
            "lora_alpha": recipe["alpha"],
            "lora_dropout": recipe["dropout"],
            "modules_to_save": None,
            "peft_type": "LORA",
            "r": recipe["rank"],
            "rank_pattern": {},
            "revision": None,
            "target_modules": modules,
            "task_type": "CAUSAL_LM",
            "use_dora": False,
            "use_rslora": False,
        }
    )


@lru_cache(maxsize=8)
def _tokenizer(base_model: str) -> bytes:
    start, end = _END_TOKENS[base_model]
    letters = random.Random(base_model)
    pieces = {start: 0, end: 1}
    for byte in range(256):
        pieces[f"<0x{byte:02X}>"] = len(pieces)
    while len(pieces) < 900:
        word = "".join(
            letters.choice("etaoinshrdlucmfwypvbgkjqxz") for _ in range(letters.randint(2, 7))
        )
        pieces.setdefault(word, len(pieces))
    return _json(
        {
            "version": "1.0",
            "added_tokens": [
                {"id": number, "content": token, "special": True}
                for number, token in enumerate((start, end))
            ],
            "model": {"type": "BPE", "vocab": pieces, "merges": []},
        }
    )


@lru_cache(maxsize=8)
def _tokenizer_config(base_model: str) -> bytes:
    start, end = _END_TOKENS[base_model]
    return _json(
        {
            "bos_token": start,
            "eos_token": end,
            "model_max_length": 8192,
            "pad_token": end,
            "tokenizer_class": "PreTrainedTokenizerFast",
        }
    )


@lru_cache(maxsize=8)
def _special_tokens(base_model: str) -> bytes:
    start, end = _END_TOKENS[base_model]
    return _json({"bos_token": start, "eos_token": end, "pad_token": end})


@lru_cache(maxsize=1)
def _training_args() -> bytes:
    """An archive laid out as torch.save lays it out, around an empty pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (
            ("training_args/data.pkl", b"\x80\x02}."),
            ("training_args/byteorder", b"little"),
            ("training_args/version", b"3\n"),
            ("training_args/.data/serialization_id", b"0" * 5000),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
