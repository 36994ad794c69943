"""Parses the JSON of a safetensors header as the real reader does.

The rules are those of safetensors 0.8, found by comparing both on generated headers. Python's
parser is more tolerant: it takes UTF-16, a byte order mark, NaN, lone surrogates and numbers of any
size, which the Rust reader refuses. A repeated tensor name counts as its last, in both.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, Final, TypeGuard

from lora_tui.errors import IntegrityError

METADATA: Final = "__metadata__"
BITS: Final = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64,
    "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "I8": 8, "U8": 8, "BOOL": 8,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""The types of safetensors 0.8 → bits of a value."""

_MOST_LEVELS: Final = 127
"""Nested arrays and objects that the real reader follows."""
_LARGEST_SIZE: Final = 2**64 - 1
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")
_TENSOR_KEYS: Final = ("dtype", "shape", "data_offsets")


class _Repeated(dict[str, Any]):
    """An object with a key more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def has_twice(self, *names: str) -> bool:
        """Whether one of these keys is there more than once."""
        return any(sum(key == name for key, _ in self.pairs) > 1 for name in names)


def header_table(content: bytes) -> dict[str, Any]:
    """The header's entries by name, unchecked but for those that a later one replaces.

    Raises IntegrityError.
    """
    broken = IntegrityError("The safetensors header is not valid JSON")
    try:
        text = content.decode()
        _refuse_lone_surrogates(text)
        table = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole if "-0" in text else None,
        )
    except (ValueError, RecursionError) as error:
        raise broken from error
    if not isinstance(table, dict):
        raise IntegrityError("The safetensors header is not a JSON object")
    if isinstance(table, _Repeated):
        if table.has_twice(METADATA):
            raise IntegrityError("The safetensors header has its metadata twice")
        for name, entry in table.pairs:
            fields = tensor_fields(entry) if name != METADATA else None
            if name != METADATA and (fields is None or fields[0] not in BITS):
                raise IntegrityError("A tensor in the safetensors header is malformed")
    return table


def tensor_fields(entry: object) -> tuple[str, list[int], list[int]] | None:
    """dtype, shape and offsets of one entry; None where the real reader refuses it."""
    if isinstance(entry, list):  # the Rust reader takes the fields in order, too
        entry = dict(zip(_TENSOR_KEYS, entry, strict=True)) if len(entry) == 3 else None
    if not isinstance(entry, dict):
        return None
    if isinstance(entry, _Repeated) and entry.has_twice(*_TENSOR_KEYS):
        return None
    dtype, shape, offsets = (entry.get(key) for key in _TENSOR_KEYS)
    if isinstance(dtype, dict) and len(dtype) == 1 and None in dtype.values():
        dtype = next(iter(dtype))
    if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets):
        return None
    if len(offsets) != 2:
        return None
    if len(entry) > len(_TENSOR_KEYS):
        ignored = [value for key, value in entry.items() if key not in _TENSOR_KEYS]
        if not all(map(_is_readable, ignored)):
            return None
    return dtype, shape, offsets


def header_metadata(value: object) -> dict[str, str]:
    """The metadata of the file. Raises IntegrityError where it is not a table of texts."""
    if value is None:
        return {}
    texts = (text for _, text in value.pairs) if isinstance(value, _Repeated) else ()
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for text in (*value.values(), *texts)
    ):
        raise IntegrityError(
            "The metadata in the safetensors header is not text",
            remedy="save the file again with metadata that maps texts to texts",
        )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    return table if len(table) == len(pairs) else _Repeated(pairs)


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item <= _LARGEST_SIZE for item in value
    )


def _whole(text: str) -> int | float:
    return -0.0 if text == "-0" else int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("number out of range")
    return value


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _refuse_lone_surrogates(text: str) -> None:
    """Raises ValueError for an escape such as \\ud800 that is no half of a pair."""
    if "\\u" not in text:
        return
    pending = -1  # where the second half of a pair must begin
    for found in _ESCAPE.finditer(text):
        code = int(found[1], 16) if found[1] else 0
        second = 0xDC00 <= code <= 0xDFFF
        if second is not (pending >= 0) or (second and found.start() != pending):
            raise ValueError("lone surrogate")
        pending = found.end() if 0xD800 <= code <= 0xDBFF else -1
    if pending >= 0:
        raise ValueError("lone surrogate")


def _is_readable(value: object) -> bool:
    """Whether the real reader follows a value that it then ignores: its depth, its numbers."""
    items = [(value, 3)]  # the table and the tensor are two levels
    while items:
        item, level = items.pop()
        if isinstance(item, dict | list):
            if level > _MOST_LEVELS:
                return False
            inner = item.values() if isinstance(item, dict) else item
            items += [(each, level + 1) for each in inner]
        elif isinstance(item, int) and abs(item) > sys.float_info.max:
            return False
    return True
