"""Reads the tensors of a safetensors file, without the program's own reader, which it must test."""

from __future__ import annotations

import json
import math
import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CODES: Final = {"F64": "d", "F32": "f", "F16": "e"}
_ENOUGH: Final = 2048
"""Values of a tensor that say how large its values are; of a smaller type there are more."""
_SIZES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class UnreadableTensorsError(ValueError):
    """Not a whole safetensors file; the message is that of the real reader."""


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    content: bytes

    def is_zero(self) -> bool:
        """Whether each value is zero."""
        return not any(self.content)

    def mean_square(self) -> float:
        """The mean of the squared values; NaN where one value is NaN or infinite.

        Of a large tensor it is the mean of its first values: reading all would take seconds.
        """
        for content in (self.content[: 8 * _ENOUGH], self.content):
            values = self._values(content)
            total = sum(map(operator.mul, values, values))
            if total:
                return total / len(values) if math.isfinite(total) else math.nan
        return 0.0

    def _values(self, content: bytes) -> Sequence[float]:
        if self.dtype == "BF16":  # the upper half of a float32
            widened = bytearray(2 * len(content))
            widened[2::4], widened[3::4] = content[::2], content[1::2]
            return struct.unpack(f"<{len(content) // 2}f", bytes(widened))
        code = _CODES[self.dtype]
        return struct.unpack(f"<{len(content) // _SIZES[self.dtype]}{code}", content)


def read_tensors(path: Path) -> list[StoredTensor]:
    """The tensors of the file, by name. Raises OSError, or UnreadableTensorsError."""
    whole = path.read_bytes()
    if len(whole) < 8:
        raise UnreadableTensorsError("Error while deserializing header: header too small")
    end = 8 + int.from_bytes(whole[:8], "little")
    if end > len(whole):
        raise UnreadableTensorsError("Error while deserializing header: invalid header length")
    try:
        table = json.loads(whole[8:end])
        entries = [(name, entry) for name, entry in table.items() if name != "__metadata__"]
        data = whole[end:]
        tensors = [_tensor(name, entry, data) for name, entry in entries]
        covered = max((entry["data_offsets"][1] for _, entry in entries), default=0)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableTensorsError(
            f"Error while deserializing header: invalid JSON in header: {error}"
        ) from error
    if covered != len(data):
        raise UnreadableTensorsError(
            "Error while deserializing header: incomplete metadata, file not fully covered"
        )
    return sorted(tensors, key=lambda tensor: tensor.name)


def _tensor(name: str, entry: dict[str, object], data: bytes) -> StoredTensor:
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], str(entry["dtype"])
    assert isinstance(shape, list)
    assert isinstance(offsets, list)
    if dtype not in _SIZES:
        raise ValueError(f"unknown dtype {dtype}")
    start, end = offsets
    return StoredTensor(name, dtype, tuple(map(int, shape)), data[start:end])
