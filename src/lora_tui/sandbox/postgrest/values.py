"""Converts values between JSON and SQLite by the rules of PostgreSQL's types."""

from __future__ import annotations

import json
import math
import uuid
from dataclasses import dataclass
from typing import Any

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.sandbox.postgrest.errors import RestError, malformed
from lora_tui.sandbox.postgrest.tables import Column


@dataclass(frozen=True)
class Dialect:
    """How values are written in answers."""

    numerics_as_strings: bool = False
    plain_timestamps: bool = False


def to_sql(column: Column, value: Any) -> Any:
    """A JSON value, or the text of a filter, as SQLite stores it.

    Raises RestError where the column's type can't hold it.
    """
    if value is None:
        return None
    match column.type:
        case "uuid":
            return _uuid(value)
        case "timestamptz":
            return _timestamp(value)
        case "numeric":
            return _numeric(column, value)
        case "integer":
            return _integer(value)
        case "boolean":
            return _boolean(value)
        case "jsonb":
            return json.dumps(value)
        case "text":
            return _text(column, value)


def to_json(column: Column, value: Any, dialect: Dialect) -> Any:
    """A stored value as an answer shows it."""
    if value is None:
        return None
    match column.type:
        case "jsonb":
            return json.loads(value)
        case "boolean":
            return bool(value)
        case "timestamptz":
            return _shown_timestamp(value, dialect)
        case "numeric" if dialect.numerics_as_strings and not isinstance(value, str):
            return f"{value:.{column.decimals}f}" if column.decimals else str(value)
        case _:
            return value


def to_text(column: Column, value: Any) -> str:
    """A stored value as PostgreSQL writes it in messages and casts."""
    shown = to_json(column, value, Dialect())
    return shown if isinstance(shown, str) else json.dumps(shown)


def _uuid(value: Any) -> str:
    if not isinstance(value, str):
        raise malformed("uuid", value)
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise malformed("uuid", value) from None


def _timestamp(value: Any) -> str:
    moment = parse_timestamp(value)
    if moment is None:
        text = f'invalid input syntax for type timestamp with time zone: "{value}"'
        raise RestError(400, "22007", text)
    return timestamp_text(moment)


def _numeric(column: Column, value: Any) -> float | int | str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise malformed("numeric", value)
    try:
        number = float(value)
    except ValueError:
        raise malformed("numeric", value) from None
    if math.isnan(number):
        return "NaN"
    if column.decimals is None and math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if column.decimals == 6 and round(abs(number), 6) >= 10_000:
        limit = (
            "cannot hold an infinite value"
            if math.isinf(number)
            else "must round to an absolute value less than 10^4"
        )
        raise RestError(
            400,
            "22003",
            "numeric field overflow",
            details=f"A field with precision 10, scale 6 {limit}.",
        )
    if column.decimals is not None:
        return round(number, column.decimals)
    # SQLite holds whole numbers of 64 bits, and rounds larger ones like floats
    return int(number) if number.is_integer() and abs(number) < 2**63 else number


def _integer(value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = int(value) if isinstance(value, str) else value
        if number != int(number):
            raise ValueError
        number = int(number)
    except (TypeError, ValueError, OverflowError):
        raise malformed("integer", value) from None
    if not -(2**63) <= number < 2**63:
        raise RestError(400, "22003", f'value "{number}" is out of range for type bigint')
    return number


def _boolean(value: Any) -> int:
    match value:
        case bool():
            return int(value)
        case str() if value.lower() in {"t", "true", "yes", "on", "1"}:
            return 1
        case str() if value.lower() in {"f", "false", "no", "off", "0"}:
            return 0
        case _:
            raise malformed("boolean", value)


def _text(column: Column, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text:
        raise RestError(400, "22P05", "unsupported Unicode escape sequence")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise malformed("json", "unpaired surrogate") from None
    if column.longest is not None and len(text) > column.longest:
        raise RestError(
            400, "22001", f"value too long for type character varying({column.longest})"
        )
    return text


def _shown_timestamp(stored: str, dialect: Dialect) -> str:
    """As PostgreSQL writes it: no trailing zeros in the fraction, no empty fraction."""
    whole, _, rest = stored.partition(".")
    fraction = rest.partition("+")[0].rstrip("0")
    text = f"{whole}.{fraction}" if fraction else whole
    return f"{text.replace('T', ' ')}+00" if dialect.plain_timestamps else f"{text}+00:00"
