"""Adapters that PEFT, mlx-lm and trainers of image models saved, as files of a test.

`saved_by_peft.jsonl` has a line for each: the headers and configurations of its files, and what
PEFT itself says of the adapter. Weights are zeros here; no test of these files reads them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

SAVED: Final = Path(__file__).with_name("saved_by_peft.jsonl")

Q: Final = "base_model.model.model.layers.{}.self_attn.{}.lora_{}.weight"


@cache
def saved_adapters() -> dict[str, dict[str, Any]]:
    """name → `files` (path → header or configuration) and `peft` (what PEFT says, or None)."""
    lines = SAVED.read_text().splitlines()
    return {entry["name"]: entry for entry in map(json.loads, lines)}


def write_saved(name: str, directory: Path) -> Path:
    """Write the files of a saved adapter, with zeros as weights; returns its directory."""
    for path, content in saved_adapters()[name]["files"].items():
        file = directory / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".json":
            file.write_text(json.dumps(content))
        else:
            write_weights(file, content)
    return directory / name


def header_bytes(table: object) -> bytes:
    """A safetensors header with its length: of a table, or of bytes that may be no JSON."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text


def write_weights(file: Path, table: dict[str, Any]) -> None:
    """A file with this header and zeros as data, which take no room on the disk."""
    beginning = header_bytes(table)
    ends = [entry["data_offsets"][1] for key, entry in table.items() if key != "__metadata__"]
    file.write_bytes(beginning)
    with file.open("r+b") as opened:
        opened.truncate(len(beginning) + max(ends, default=0))


def tensor_table(shapes: dict[str, list[int]], dtype: str = "F16") -> dict[str, Any]:
    """The table of a header with tensors of these shapes, of two bytes a value."""
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        size = 2
        for dimension in shape:
            size *= dimension
        table[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [position, position + size],
        }
        position += size
    return table


def pair_shapes(ranks: dict[tuple[int, str], int]) -> dict[str, list[int]]:
    """(layer, target) → rank, as the shapes of both matrices."""
    shapes = {}
    for (layer, target), rank in ranks.items():
        shapes[Q.format(layer, target, "A")] = [rank, 64]
        shapes[Q.format(layer, target, "B")] = [32, rank]
    return shapes
