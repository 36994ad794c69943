"""Reads untrusted JSON without failing, value by value, and writes JSON that every parser accepts.

Loaded by the quick `list`, so it imports nothing that takes time.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from lora_tui.text import terminal_safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, Final

Row = Mapping[str, "Any"]
"""One row of a table, as the backend sent it."""

DEEPEST: Final = 100
"""The deepest nesting that is read; deeper values become null."""
_LARGEST: Final = 2**63
"""Integers from here on are refused: neither SQLite nor the backend can store them."""
_DIGITS: Final = 400
"""Integers with more digits are read as infinite floats."""
_TOKEN: Final = re.compile(r'[\[\]{}"]|\\.', re.DOTALL)
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
_KEEPING_NAN = json.JSONDecoder()


def json_text(data: Any, *, indent: int | None = None, ascii_only: bool = True) -> str:
    """The JSON of `data` in ASCII, which no terminal interprets; NaN and infinities become null.

    Without `ascii_only` letters of all scripts stay as they are, for a file that people read.
    """
    try:
        return json.dumps(data, indent=indent, allow_nan=False, ensure_ascii=ascii_only)
    except ValueError:
        return json.dumps(_finite(data), indent=indent, allow_nan=False, ensure_ascii=ascii_only)


def parse_json(text: str | bytes, *, keep_nan: bool = False, join_repeated: bool = False) -> Any:
    """The data of remote JSON. Raises ValueError, RecursionError.

    NaN and infinities are null, or floats with `keep_nan`. Of a key that an object has twice the
    last value counts; with `join_repeated` objects and lists are joined: somebody who merged two
    versions by hand kept both. Lone surrogates, which files, databases
    and terminals refuse, become the replacement character.
    """
    if not isinstance(text, str):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    decoder = _JOINING if join_repeated else _KEEPING_NAN if keep_nan else _DECODER
    data = decoder.decode(text)
    return (
        replace_surrogates(data) if "\\ud" in text or "\\uD" in text or not _is_utf8(text) else data
    )


def read_object(path: Path, most: int) -> dict[str, Any]:
    """The JSON object in a file of at most `most` bytes; empty where there is no such file.

    No link is followed. Never raises: a file that is damaged, or too deep, is empty too.
    """
    from lora_tui.files import read_regular_file  # late: `list` reads no such file

    try:
        content = read_regular_file(path, most + 1)
        data = parse_json(content) if len(content) <= most else None
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def replace_surrogates(data: Any) -> Any:
    """The same data with the replacement character for lone surrogates."""
    if isinstance(data, str):
        return (
            data
            if _is_utf8(data)
            else data.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(data, dict):
        return {replace_surrogates(key): replace_surrogates(value) for key, value in data.items()}
    return [replace_surrogates(value) for value in data] if isinstance(data, list) else data


def _join_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. The values are new, so they may be changed."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        found[key] = _joined(found[key], value) if key in found else value
    return found


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, list) and isinstance(second, list):
        if first != second:
            first.extend(second)
        return first
    if isinstance(first, dict) and isinstance(second, dict):
        for key, value in second.items():
            first[key] = _joined(first[key], value) if key in first else value
        return first
    return second


_JOINING = json.JSONDecoder(parse_constant=lambda _: None, object_pairs_hook=_join_repeated)


def _finite(data: Any) -> Any:
    """The same data with null for NaN and infinities."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {_key(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data


def number(value: object) -> float | None:
    """A finite number from a JSON number or a numeric string; None from anything else."""
    if type(value) is float:  # nearly all of them
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def numbers(values: list[object]) -> Sequence[float | None]:
    """`number` of each; fast where all are of one kind, as those of a column are."""
    kinds = set(map(type, values))
    if kinds == {float} and all(map(math.isfinite, values)):  # type: ignore[arg-type]
        return values  # type: ignore[return-value]
    if kinds == {int}:
        try:
            return list(map(float, values))  # type: ignore[arg-type]
        except OverflowError:
            pass
    return list(map(number, values))


def measured_numbers(values: list[object]) -> Sequence[float | None]:
    """`measured` of each; fast where all are floats."""
    if set(map(type, values)) == {float}:
        return values  # type: ignore[return-value]
    return list(map(measured, values))


def measured(value: object) -> float | None:
    """Like `number`, but NaN and infinities are kept: a run may have logged them.

    PostgreSQL writes them as the texts "NaN", "Infinity" and "-Infinity". Numbers that are too
    large for a float are infinite.
    """
    if type(value) is float:  # nearly all of them
        return value
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else -math.inf


def integer(value: object) -> int | None:
    """Like `number`, rounded to the nearest integer; None where 64 bits can't hold it."""
    if type(value) is int:  # nearly all of them; a bool is of another type
        return value if -_LARGEST <= value < _LARGEST else None
    result = number(value)
    if result is None:
        return None
    rounded = round(result)
    return rounded if -_LARGEST <= rounded < _LARGEST else None


def total_size(sizes: Iterable[int | None]) -> int | None:
    """The sum; None where one of them is unknown, there are none, or 64 bits can't hold it."""
    known = list(sizes)
    if not known or None in known:
        return None
    return whole_sum if (whole_sum := sum(size or 0 for size in known)) < _LARGEST else None


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or the text of one; the empty mapping from anything else."""
    if isinstance(value, dict):  # checked first: the abstract class is ten times as slow
        return value
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def text_or_none(value: object, *, limit: int = 200, lines: bool = False) -> str | None:
    """Text as it may be shown; None from nothing, from JSON objects and from lists."""
    if not isinstance(value, str) and (value is None or isinstance(value, (Mapping, list))):
        return None  # most values are text: the abstract class is ten times as slow
    return terminal_safe(value, limit=limit, lines=lines) or None


def first_of(data: Mapping[str, Any], *names: str) -> Any:
    """The first value of `names` that is not null, as `pop_first` finds it."""
    for name in names:
        value = data.get(name)
        if value is not None:
            return value
    return None


def pop_first(data: dict[str, Any], *names: str) -> Any:
    """The first value of `names` that is not null; all of them are removed from `data`."""
    values = [data.pop(name, None) for name in names]
    return next((value for value in values if value is not None), None)


def remaining_values(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The values that are left after `pop_first`, as text, sorted by their keys."""
    return tuple(
        (terminal_safe(key, limit=60), terminal_safe(_plain(value), limit=200))
        for key, value in sorted(data.items(), key=lambda item: str(item[0]))
    )


def identifier(value: object) -> str:
    """An id that can be shown and stored; different ids stay different. Empty for other values.

    UUIDs are not changed.
    """
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool) or value is None or isinstance(value, (Mapping, list)):
        return ""
    else:
        text = terminal_safe(value, limit=64)
    if len(text) <= 64 and text.isascii() and text.isprintable() and " " not in text:
        return text
    from hashlib import sha256  # late: UUIDs don't need it

    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{terminal_safe(text, limit=40)}~{digest[:12]}"


def identifiers(values: list[object]) -> list[str]:
    """`identifier` of each; fast where none has to be changed."""
    if set(map(type, values)) == {str}:
        texts: list[str] = values  # type: ignore[assignment]
        together = "".join(texts)
        is_plain = together.isascii() and together.isprintable() and " " not in together
        if is_plain and max(map(len, texts)) <= 64:
            return texts
    return list(map(identifier, values))


def parse_json_leniently(content: bytes) -> Any:
    """The value of a JSON text; single values that can't be read become null. Raises ValueError.

    Unreadable values are those nested too deeply and numbers too long for Python.
    """
    from pydantic_core import from_json  # late: `list` reads no answer

    try:
        # half the time of `parse_json`; refuses NaN, infinities, lone surrogates, invalid UTF-8
        # and deep nesting, which are read below
        return from_json(content, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        pass
    try:
        return parse_json(content)
    except (ValueError, RecursionError):
        text = content.decode("utf-8-sig", "replace")
        try:
            return replace_surrogates(json.loads(_shallow(text), parse_int=_integer))
        except RecursionError:  # unbalanced brackets
            raise ValueError("the text is nested too deeply") from None


def row_json(row: Row) -> str:
    """The row as JSON that every parser accepts: without NaN, and not nested too deeply."""
    from pydantic_core import to_json  # late: `list` writes no row

    try:  # half the time of the standard library, for a hundred thousand rows
        text = to_json(row, ensure_ascii=True, inf_nan_mode="null").decode()
    except (ValueError, TypeError, RecursionError):  # a row that refers to itself is a ValueError
        return json.dumps(_plain_value(row))
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(row):
        return json.dumps(_plain_value(row))
    return text


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _key(key: Any) -> Any:
    return str(key) if isinstance(key, float) else key


def _shallow(text: str) -> str:
    """A JSON text in which values deeper than `DEEPEST` are null."""
    kept: list[str] = []
    depth, copied, in_string = 0, 0, False
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == '"':
            in_string = not in_string
        elif in_string:
            continue
        elif sign in ("[", "{"):
            depth += 1
            if depth == DEEPEST + 1:
                kept.append(text[copied : token.start()])
        elif sign in ("]", "}"):
            if depth == DEEPEST + 1:
                kept.append("null")
                copied = token.end()
            depth -= 1
    if depth > DEEPEST:  # brackets are not closed: the whole text is invalid
        return text[:copied]
    return "".join((*kept, text[copied:]))


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else float(digits)


def _is_deep(value: object, depth: int = 0) -> bool:
    inner: Any = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return False
    return depth >= DEEPEST or any(
        _is_deep(item, depth + 1) for item in inner if isinstance(item, (dict, list))
    )


def _plain_value(value: object, depth: int = 0) -> Any:
    if isinstance(value, (Mapping, list)) and depth >= DEEPEST:
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain_value(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain_value(inner, depth + 1) for inner in value]
    if isinstance(value, int) and abs(value) >= 10**_DIGITS:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return json.dumps(_plain_value(value), ensure_ascii=False)
