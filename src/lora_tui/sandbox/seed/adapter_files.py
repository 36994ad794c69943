"""The files of an adapter, made from a recipe when somebody asks for them.

A recipe is a small JSON object kept beside the object's row. Its size is known without making the
file, and the same recipe makes the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

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
    untrained: bool = False,
) -> dict[str, Any]:
    """The recipe of one file of an adapter; a higher `version` makes other bytes of equal size.

    `untrained`: its B matrices are zero, so that it changes nothing.
    """
    return {
        "file": file,
        "base_model": base_model,
        "rank": rank,
        "alpha": alpha,
        "dropout": dropout,
        "layers": layers,
        "seed": seed,
        "version": version,
        **({"untrained": True} if untrained else {}),
    }


def recipe_size(recipe: Recipe) -> int:
    """Bytes of the file that the recipe makes."""
    if recipe["file"] == WEIGHTS:
        return file_size(_tensors(recipe), _METADATA)
    return len(_small_file(recipe))


def recipe_pieces(recipe: Recipe) -> Iterator[bytes]:
    """The file that the recipe makes, in pieces."""
    if recipe["file"] == WEIGHTS:
        yield from file_pieces(
            _tensors(recipe),
            _METADATA,
            recipe["seed"] + recipe["version"],
            zero=".lora_B." if recipe.get("untrained") else None,
        )
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


_HALF: Final = 2
_POOL_VALUES: Final = 16_384
_SPREAD: Final = 0.02


@dataclass(frozen=True)
class Tensor:
    """One half-precision (F16) tensor of the file."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * _HALF


def file_size(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> int:
    """Bytes of the whole file, without making it."""
    return len(_head(tensors, metadata)) + sum(tensor.size for tensor in tensors)


def file_pieces(
    tensors: Sequence[Tensor], metadata: Mapping[str, str], seed: int, *, zero: str | None = None
) -> Iterator[bytes]:
    """The file in pieces of at most 64 KiB; the same arguments make the same bytes.

    The tensors with `zero` in their name are zero.

    The numbers come from one pool of normally distributed values that is entered at a place given
    by `seed`, because making millions of them would take seconds.
    """
    yield _head(tensors, metadata)
    pool = _pool()
    place = random.Random(seed).randrange(_POOL_VALUES) * _HALF
    for tensor in tensors:
        left = tensor.size
        while left:
            piece = pool[place : place + min(left, 65_536)]
            yield bytes(len(piece)) if zero is not None and zero in tensor.name else piece
            left -= len(piece)
            place = (place + len(piece)) % len(pool)


def lora_tensors(
    shapes: Mapping[str, tuple[int, int]], layers: Sequence[int], rank: int
) -> list[Tensor]:
    """The lora_A and lora_B tensors of an adapter, named as PEFT names them.

    `shapes` maps a module (such as `self_attn.q_proj`) to its (inputs, outputs).
    """
    tensors = []
    for layer in layers:
        for module, (inputs, outputs) in shapes.items():
            stem = f"base_model.model.model.layers.{layer}.{module}"
            tensors.append(Tensor(f"{stem}.lora_A.weight", (rank, inputs)))
            tensors.append(Tensor(f"{stem}.lora_B.weight", (outputs, rank)))
    return tensors


def _head(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": "F16",
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.size],
        }
        offset += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


@lru_cache(maxsize=1)
def _pool() -> bytes:
    values = random.Random(0)
    return struct.pack(
        f"<{_POOL_VALUES}e", *(values.gauss(0.0, _SPREAD) for _ in range(_POOL_VALUES))
    )
