"""Writes safetensors files with given values, in every floating-point type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lora_tui.adapters.config import AdapterConfig, read_config
from lora_tui.adapters.float_types import values_of_bytes

Matrix = npt.NDArray[np.float64]
DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def encoded(values: Matrix, dtype: str) -> bytes:
    """The bytes of an array, rounded to the type; BF16 is cut off."""
    if dtype == "BF16":
        return (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
    if dtype.startswith("F8"):
        table = np.array(values_of_bytes(dtype))
        order = np.argsort(np.where(np.isfinite(table), table, np.inf), kind="stable")
        usable = order[np.isfinite(table[order])]
        nearest = np.abs(values.reshape(-1, 1) - table[usable]).argmin(axis=1)
        return usable[nearest].astype("u1").tobytes()
    return values.astype(f"<f{int(dtype[1:]) // 8}").tobytes()


def decoded(content: bytes, dtype: str) -> Matrix:
    """The values that these bytes have."""
    if dtype == "BF16":
        bits = np.frombuffer(content, "<u2").astype("<u4") << 16
        return bits.view("<f4").astype(np.float64)
    if dtype.startswith("F8"):
        return np.array(values_of_bytes(dtype))[np.frombuffer(content, "u1")]
    return np.frombuffer(content, f"<f{int(dtype[1:]) // 8}").astype(np.float64)


def rounded(values: Matrix, dtype: str) -> Matrix:
    """The values as the type holds them."""
    return decoded(encoded(values, dtype), dtype).reshape(values.shape)


def write_tensors(path: Path, tensors: Mapping[str, Matrix], dtype: str = "F32") -> Path:
    """A safetensors file of these tensors."""
    table, data = {}, b""
    for name, values in tensors.items():
        content = encoded(np.asarray(values, np.float64), dtype)
        table[name] = {
            "dtype": dtype,
            "shape": list(np.shape(values)),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    text = json.dumps(table).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def pair(module: str, down: Matrix, up: Matrix) -> dict[str, Matrix]:
    """The tensors of a module, by the names that PEFT gives them."""
    start = f"base_model.model.{module}"
    return {f"{start}.lora_A.weight": down, f"{start}.lora_B.weight": up}


def config(rank: int, alpha: float, **more: object) -> AdapterConfig:
    """The configuration of a LoRA adapter."""
    table = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, **more}
    return read_config(json.dumps(table).encode())
