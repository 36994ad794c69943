"""A damaged or hostile safetensors file is refused before it gets its name."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.errors import IntegrityError
from lora_tui.transfers import json_check
from lora_tui.transfers.verify import check_json, check_safetensors


def tensor(start: int, end: int, **changes: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(end - start) // 4], "data_offsets": [start, end], **changes}


def file_of(path: Path, header: object, body: int, *, length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    announced = len(text) if length is None else length
    path.write_bytes(announced.to_bytes(8, "little") + text + bytes(body))
    return path


@contextmanager
def limited_memory(most: int) -> Iterator[None]:
    """Fails where more than so many bytes are in use at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_a_valid_file_passes(tmp_path: Path) -> None:
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
def test_a_file_with_a_wrong_header_is_refused(
    tmp_path: Path, header: object, body: int, length: int | None
) -> None:
    with pytest.raises(IntegrityError):
        check_safetensors(file_of(tmp_path / "x", header, body, length=length))


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":[' + b"[]," * 2_000_000 + b"[]]}",
        b'{"a":[' + b"1," * 2_000_000 + b"1]}",
        b'{"a":[' + b"{}," * 2_000_000 + b"{}]}",
    ],
    ids=["lists", "numbers", "tables"],
)
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with limited_memory(4 * len(header)), pytest.raises(IntegrityError, match="more entries than"):
        check_safetensors(path)


def test_a_header_longer_than_that_of_any_adapter_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.write((50 << 20).to_bytes(8, "little"))
        file.truncate(60 << 20)
    with limited_memory(1 << 20), pytest.raises(IntegrityError, match="longer than"):
        check_safetensors(path)


def is_json(content: bytes, piece: int) -> bool:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_check, "PIECE_BYTES", piece)
        try:
            json_check.check_document(io.BytesIO(content))
        except IntegrityError:
            return False
    return True


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=80)
@given(
    document=documents,
    indent=st.none() | st.just(1),
    ascii_only=st.booleans(),
    cut=st.none() | st.tuples(st.integers(0, 200), st.integers(0, 3)),
    put=st.sampled_from([b"", *(bytes([sign]) for sign in b'[]{},:"\\0-e. 1tn\x01\xff')]),
    piece=st.sampled_from([1, 2, 5, 64, 1 << 18]),
)
def test_a_file_is_json_where_the_library_reads_it_however_it_is_cut_and_damaged(
    document: object,
    indent: int | None,
    ascii_only: bool,
    cut: tuple[int, int] | None,
    put: bytes,
    piece: int,
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    content = text.encode("utf-8", "replace")
    if cut is not None:
        at = cut[0] % (len(content) + 1)
        content = content[:at] + put + content[at + cut[1] :]
    try:
        json.loads(content.decode())
        sound = True
    except ValueError:
        sound = False
    assert is_json(content, piece) is sound


@pytest.mark.parametrize(
    ("content", "sound"),
    [
        (b"\xef\xbb\xbf{}", True),
        (b"", False),
        (b"{} {}", False),
        (b"[" * 900 + b"]" * 900, True),
        (b"[" * 5000 + b"]" * 5000, False),
        (b'{"a":' * 900 + b"1" + b"}" * 900, True),
        (b"1" * 1_000_000, False),
        (b'"' + b"x" * 1_000_000 + b'"', True),
        (b'"' + b"x" * 1_000_000, False),
        (b'["' + b"x\\n\\u00e9" * 5000 + b'"]', True),
        (b'["' + b"\\n" * 5000 + b"\\x" + b'"]', False),
        (b"[[" + b"1," * 5000 + b"[2], 3 ], 4 ]", True),
        (b"[[" + b"[1]," * 5000 + b"2 ], 3,]", False),
        (b"{" + b'"a\\\\":{"b":[1,{}]},' * 5000 + b'"a":1}', True),
        (b"{" + b'"a":{"b":[1,{}]},' * 5000 + b'"a":{"b":[1,{]}}}', False),
    ],
    ids=range(15),
)
def test_the_edge_cases_of_json(content: bytes, sound: bool) -> None:
    assert is_json(content, 1 << 12) is sound


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"1," * 400_000 + b"1]",
        b"[" + b"[]," * 100_000 + b"1]",
        b"{" + b"".join(b'"%d":{"b":1},' % number for number in range(50_000)) + b'"a":1}',
        b'["' + b"x" * 3_000_000 + b'"]',
        b"[" * 3_000_000,
    ],
    ids=["numbers", "lists", "tables", "text", "brackets"],
)
def test_a_json_file_is_checked_in_little_memory_whatever_is_in_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with limited_memory(2_500_000), suppress(IntegrityError):
        check_json(path)


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
def test_any_bytes_are_read_or_refused(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed"
    path.write_bytes(len(content).to_bytes(8, "little") + content)
    with suppress(IntegrityError):
        check_safetensors(path)
