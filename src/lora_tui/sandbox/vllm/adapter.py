"""Reads an adapter's folder as the engine does: refuses it, or says what it does to the base.

The effect follows from the weights. B = 0 and names that the base does not have give none.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lora_tui.sandbox.vllm.base_model import BaseModel
from lora_tui.sandbox.vllm.tensor_file import (
    StoredTensor,
    UnreadableTensorsError,
    read_tensors,
)

CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = "adapter_model.safetensors"
_PICKLES: Final = ("adapter_model.bin", "adapter_model.pt")
_REQUIRED: Final = ("r", "lora_alpha", "target_modules")
_PREFIX: Final = "base_model.model."
_SUFFIXES: Final = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_embedding_A": "A",
    ".lora_embedding_B": "B",
}
_HEADS: Final = {"classifier", "score"}
_HARMLESS_INITS: Final = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")
"""Ways to initialize an adapter that leave the base as it is."""
_UNSUPPORTED: Final = {
    "alora_invocation_tokens": "vLLM does not support Activated LoRA (aLoRA).",
    "layer_replication": "vLLM does not support layer_replication.",
    "use_bdlora": "vLLM does not support block-diagonal LoRA (BD-LoRA).",
    "use_qalora": "vLLM does not support QALoRA.",
}
_GAIN: Final = 0.5
_MOST: Final = 1.0
_GARBAGE: Final = 3.0
"""Strength of an adapter of a smaller base, whose answers are garbage."""
_PICKLED: Final = 0.3


class MissingAdapterError(Exception):
    """The folder or its adapter_config.json is not on the server's disk."""


class EngineRefusedError(Exception):
    """The engine can't load the adapter; the message is the worker's."""


@dataclass(frozen=True)
class Effect:
    """What an adapter does to the base's answers."""

    digest: bytes
    """Differs where the weights differ; empty for an adapter without effect."""
    strength: float
    """0 for none; around 0.3 for a usual adapter; NaN where a weight is NaN."""

    @property
    def is_nan(self) -> bool:
        return math.isnan(self.strength)


NO_EFFECT: Final = Effect(b"", 0.0)


def read_adapter(folder: Path, base: BaseModel, max_lora_rank: int) -> Effect:
    """The effect of the adapter in this folder.

    Raises MissingAdapterError where there is none, EngineRefusedError where it can't be loaded.
    """
    try:
        content = (folder / CONFIG).read_bytes()
    except OSError as error:
        raise MissingAdapterError(str(folder)) from error
    try:
        config = json.loads(content)
    except ValueError as error:
        raise EngineRefusedError(str(error)) from error
    if not isinstance(config, dict):
        raise EngineRefusedError("argument of type 'int' is not iterable")
    _check_config(config, max_lora_rank)
    weights = folder / _WEIGHTS
    if not weights.is_file():
        return _read_pickle(folder)
    try:
        tensors = read_tensors(weights)
    except UnreadableTensorsError as error:
        raise EngineRefusedError(str(error)) from error
    except OSError as error:
        raise EngineRefusedError(f"{error.strerror}: {weights}") from error
    return _effect(_pairs(folder, tensors, base), config, base, max_lora_rank)


def _check_config(config: Mapping[str, Any], max_lora_rank: int) -> None:
    """Raise EngineRefusedError for a configuration that vLLM does not support."""
    missing = [name for name in _REQUIRED if name not in config]
    if missing:
        names = ", ".join(map(repr, missing))
        raise EngineRefusedError(f"Missing required configuration fields: {{{names}}}")
    rank = config["r"]
    if not isinstance(rank, int) or rank < 1:
        raise EngineRefusedError(f"LoRA rank `r` must be a positive integer, got {rank}.")
    faults = []
    unsupported = [name for name in config.get("modules_to_save") or () if name not in _HEADS]
    if unsupported:
        faults.append(
            'vLLM only supports modules_to_save being either None or ["classifier", "score"] for'
            f" classification models. Unsupported modules_to_save: {unsupported}"
        )
    if config.get("use_dora"):
        faults.append("vLLM does not yet support DoRA.")
    if config.get("lora_bias"):
        faults.append("vLLM does not support LoRA bias (lora_bias).")
    initial = config.get("init_lora_weights")
    if isinstance(initial, str) and initial.lower() not in _HARMLESS_INITS:
        faults.append(
            f"vLLM does not support init_lora_weights={initial!r}. Inits such as PiSSA, OLoRA,"
            " CorDA and LoftQ modify the base model weights when PEFT loads the adapter."
        )
    faults += [words for field, words in _UNSUPPORTED.items() if config.get(field)]
    highest = max([rank, *(config.get("rank_pattern") or {}).values()])
    if highest > max_lora_rank:
        faults.append(f"LoRA rank {highest} is greater than max_lora_rank {max_lora_rank}.")
    if config.get("bias", "none") != "none":
        faults.append("Adapter bias is not supported.")
    if faults:
        raise EngineRefusedError(" ".join(faults))


@dataclass
class _Pair:
    """The two matrices of one module."""

    a: StoredTensor | None = None
    b: StoredTensor | None = None


def _pairs(folder: Path, tensors: Sequence[StoredTensor], base: BaseModel) -> dict[str, _Pair]:
    """Module → its matrices. Raises EngineRefusedError for names that vLLM does not know."""
    expected = sorted({name.rpartition(".")[2] for name in base.modules()})
    unexpected = []
    pairs: dict[str, _Pair] = {}
    for tensor in tensors:
        module, which = _parsed(tensor.name)
        if module.rpartition(".")[2] not in expected:
            unexpected.append(module)
        pair = pairs.setdefault(module, _Pair())
        if which == "A":
            pair.a = tensor
        else:
            pair.b = tensor
    if unexpected:
        raise EngineRefusedError(
            f"While loading {folder}, expected target modules in {expected} but received"
            f" {unexpected}. Please verify that the loaded LoRA module is correct"
        )
    return pairs


def _parsed(name: str) -> tuple[str, str]:
    """The module's name and which matrix it is. Raises EngineRefusedError."""
    for suffix, which in _SUFFIXES.items():
        if name.endswith(suffix):
            module = name.removesuffix(suffix)
            return module.replace(_PREFIX, "") if name.startswith(_PREFIX) else module, which
    raise EngineRefusedError(f"{name} is unsupported LoRA weight")


def _effect(
    pairs: Mapping[str, _Pair], config: Mapping[str, Any], base: BaseModel, max_lora_rank: int
) -> Effect:
    """What all matrices together do. Raises EngineRefusedError for sizes that do not fit."""
    known = base.modules()
    digest = hashlib.blake2b(digest_size=16)
    squares = 0.0
    garbage = False
    for module, pair in sorted(pairs.items()):
        sizes = known.get(module)
        if sizes is None:
            continue  # the engine drops what the base does not have, without a word
        if pair.a is None or pair.b is None:
            raise EngineRefusedError("'NoneType' object has no attribute 'shape'")
        a, b = pair.a, pair.b
        rank = a.shape[0]
        garbage |= _is_smaller(a, (max_lora_rank, sizes[0]), axis=1)
        garbage |= _is_smaller(b, (sizes[1], max_lora_rank), axis=0)
        if b.is_zero() or a.is_zero():
            continue
        scale = _scale(config, module)
        digest.update(f"{module}\n{scale!r}\n".encode())
        digest.update(a.content)
        digest.update(b.content)
        squares += scale**2 * a.mean_square() * b.mean_square() * rank * sizes[0]
    if squares == 0.0:
        return NO_EFFECT
    strength = _GARBAGE if garbage else min(_MOST, _GAIN * math.sqrt(squares))
    return Effect(digest.digest(), math.nan if math.isnan(squares) else strength)


def _is_smaller(tensor: StoredTensor, room: tuple[int, int], *, axis: int) -> bool:
    """Whether the matrix leaves room that the base uses. Raises EngineRefusedError if too large."""
    if len(tensor.shape) != 2:
        raise EngineRefusedError("not enough values to unpack (expected 2, got 1)")
    for dimension in (0, 1):
        if tensor.shape[dimension] > room[dimension]:
            raise EngineRefusedError(
                f"The size of tensor a ({room[dimension]}) must match the size of tensor b"
                f" ({tensor.shape[dimension]}) at non-singleton dimension {dimension}"
            )
    return tensor.shape[axis] < room[axis]


def _scale(config: Mapping[str, Any], module: str) -> float:
    """What B·A is multiplied by, from the configuration alone, as in the engine."""
    rank = float(_of_pattern(config.get("rank_pattern"), module, config["r"]))
    alpha = float(_of_pattern(config.get("alpha_pattern"), module, config["lora_alpha"]))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of_pattern(patterns: Any, module: str, default: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return value
    return default


def _read_pickle(folder: Path) -> Effect:
    """The effect of a `.bin`: the stand-in takes its bytes as they are and unpickles nothing."""
    for name in _PICKLES:
        path = folder / name
        if path.is_file():
            content = path.read_bytes()
            if not content.startswith(b"PK") or b"PK\x05\x06" not in content[-65_600:]:
                raise EngineRefusedError(
                    "PytorchStreamReader failed reading zip archive: failed finding central"
                    " directory"
                )
            return Effect(hashlib.blake2b(content, digest_size=16).digest(), _PICKLED)
    raise EngineRefusedError(f"{folder} doesn't contain tensors")
