"""PostgREST's errors: a status and `{code, message, details, hint}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RestError(Exception):
    """An error that the client gets as an answer."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Any = None,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {
            "code": self.code,
            "details": self.details,
            "hint": self.hint,
            "message": self.message,
        }


def unparsable(part: str, text: str) -> RestError:
    """The query does not follow the grammar."""
    return RestError(400, "PGRST100", f'"failed to parse {part} ({text})"')


def aggregates_not_allowed() -> RestError:
    """Aggregates are switched off, as by default."""
    return RestError(400, "PGRST123", "Use of aggregate functions is not allowed")


def unknown_table(name: str) -> RestError:
    """There is no such table."""
    return RestError(
        404, "PGRST205", f"Could not find the table 'public.{name}' in the schema cache"
    )


def unknown_column(table: str, column: str) -> RestError:
    """A query names a column that does not exist."""
    return RestError(400, "42703", f"column {table}.{column} does not exist")


def malformed(type_name: str, text: object) -> RestError:
    """A value that its column's type can't hold."""
    return RestError(400, "22P02", f'invalid input syntax for type {type_name}: "{text}"')


def not_single(count: int) -> RestError:
    """The client asked for one row, and there are none or several."""
    return RestError(
        406,
        "PGRST116",
        "Cannot coerce the result to a single JSON object",
        details=f"The result contains {count} rows",
    )


def forbidden(table: str) -> RestError:
    """No policy allows this write."""
    return RestError(
        403, "42501", f'new row violates row-level security policy for table "{table}"'
    )


def duplicate(constraint: str, columns: Sequence[str], values: Sequence[object]) -> RestError:
    """A unique constraint is violated."""
    keys, held = ", ".join(columns), ", ".join(map(str, values))
    return RestError(
        409,
        "23505",
        f'duplicate key value violates unique constraint "{constraint}"',
        details=f"Key ({keys})=({held}) already exists.",
    )
