"""A damaged or hostile safetensors file is refused before it gets its name."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.errors import IntegrityError
from lora_tui.transfers.verify import check_json, check_safetensors


def tensor(start: int, end: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end], **changes}


def file_of(path: Path, header: object, body: int, *, length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    announced = len(text) if length is None else length
    path.write_bytes(announced.to_bytes(8, "little") + text + bytes(body))
    return path


def test_a_sound_file_passes(tmp_path: Path) -> None:
    header = {"__metadata__": {"format": "pt"}, "b": tensor(8, 16), "a": tensor(0, 8)}
    check_safetensors(file_of(tmp_path / "x", header, 16))


@pytest.mark.parametrize(
    ("header", "body", "length"),
    [
        ({"a": tensor(0, 8)}, 7, None),
        ({"a": tensor(0, 8)}, 9, None),
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, 12, None),
        ({"a": tensor(0, 8), "b": tensor(12, 16)}, 16, None),
        ({"a": tensor(0, 8, shape=[3])}, 8, None),
        ({"a": tensor(0, 8, shape=[-2])}, 8, None),
        ({"a": tensor(0, 8, data_offsets=[8, 0])}, 8, None),
        ({"a": tensor(0, 8, data_offsets="no")}, 8, None),
        ({"a": None}, 8, None),
        ([1, 2], 8, None),
        ({"a": tensor(0, 8)}, 8, 2**63),
        ({"a": tensor(0, 8)}, 8, 3),
    ],
)
def test_a_file_whose_header_lies_is_refused(
    tmp_path: Path, header: object, body: int, length: int | None
) -> None:
    with pytest.raises(IntegrityError):
        check_safetensors(file_of(tmp_path / "x", header, body, length=length))


@pytest.mark.parametrize("content", [b"", b"short", bytes(8), b"[" * 100_000])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        check_safetensors(path)
    with pytest.raises(IntegrityError):
        check_json(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_in_another_way(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(len(content).to_bytes(8, "little") + content)
    with suppress(IntegrityError):
        check_safetensors(path)
