"""Writes the header of a safetensors file of any size, for tests and benchmarks."""

from __future__ import annotations

import json

HEADER_BYTES = 136
"""Length of what `one_tensor_header` returns."""


def one_tensor_header(size: int) -> bytes:
    """The start of a valid file of `size` bytes with a single tensor."""
    data = size - HEADER_BYTES
    table = {"w": {"dtype": "U8", "shape": [data], "data_offsets": [0, data]}}
    text = json.dumps(table).encode().ljust(HEADER_BYTES - 8)
    return len(text).to_bytes(8, "little") + text
