"""Writes valid safetensors files: a header, then half-precision numbers that look trained."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

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
    tensors: Sequence[Tensor], metadata: Mapping[str, str], seed: int
) -> Iterator[bytes]:
    """The file in pieces of at most 64 KiB; the same arguments make the same bytes.

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
            yield piece
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
