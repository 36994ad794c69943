"""The HTTP side of PostgREST: methods, Prefer, Range, Content-Range, Accept, and its functions.

The functions, called by `POST /rest/v1/rpc/{name}`, are those of our migration: harvest_queue.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.responses import Response

from lora_tui.sandbox.backend import (
    Backend,
    BadTokenError,
    Call,
    Caller,
    EarlyTokenError,
    ExpiredTokenError,
    NoApiKeyError,
    json_response,
    no_api_key,
)
from lora_tui.sandbox.postgrest.errors import RestError, not_single, unknown_table
from lora_tui.sandbox.postgrest.grammar import Query, parse_query
from lora_tui.sandbox.postgrest.harvest_queue import FUNCTIONS
from lora_tui.sandbox.postgrest.query import Reader
from lora_tui.sandbox.postgrest.tables import TABLES, Table
from lora_tui.sandbox.postgrest.values import Dialect
from lora_tui.sandbox.postgrest.writes import Writer

_SINGLE: Final = "application/vnd.pgrst.object+json"
_CSV: Final = "text/csv"
_PLAN: Final = "application/vnd.pgrst.plan"
_STRIPPED: Final = "nulls=stripped"
_NEEDS_QUOTES: Final = re.compile(r'[\s"\\,()]')
_SCHEMA: Final = "public"
_RANGE: Final = re.compile(r"(?:items=)?(\d+)-(\d*)")


def table(backend: Backend, call: Call) -> Response:
    """`GET|HEAD|POST|PATCH|DELETE /rest/v1/{table}`."""
    return _answer(backend, call, _table)


def function(backend: Backend, call: Call) -> Response:
    """`POST /rest/v1/rpc/{name}`."""
    return _answer(backend, call, _function)


def description(backend: Backend, call: Call) -> Response:
    """`GET /rest/v1/`: the tables and columns, as an OpenAPI document, for a secret key alone."""
    return _answer(backend, call, _description)


def call_function(backend: Backend, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
    """Run a function and return its result as JSON. Raises RestError."""
    function = FUNCTIONS.get(name) if backend.migrated else None
    if function is None or function.parameters != arguments.keys():
        taken = f"({', '.join(sorted(arguments))})" if arguments else " without parameters"
        raise RestError(
            404,
            "PGRST202",
            f"Could not find the function public.{name}{taken} in the schema cache",
        )
    if not caller.is_service:
        raise RestError(403, "42501", f"permission denied for function {name}")
    with backend.database.transaction():
        return function.run(backend, arguments)


@dataclass(frozen=True)
class _Request:
    """A parsed call."""

    backend: Backend
    call: Call
    caller: Caller
    reader: Reader
    prefer: Mapping[str, str]

    @property
    def accept(self) -> str:
        return self.call.headers.get("accept", "")

    @property
    def single(self) -> bool:
        return _SINGLE in self.accept


def _answer(backend: Backend, call: Call, handle: Any) -> Response:
    try:
        caller = backend.caller(call)
    except NoApiKeyError:
        return no_api_key(call)
    except ExpiredTokenError:
        return _refusal(RestError(401, "PGRST303", "JWT expired"), anonymous=True)
    except EarlyTokenError:
        return _refusal(RestError(401, "PGRST303", "JWT not yet valid"), anonymous=True)
    except BadTokenError as error:
        return _refusal(RestError(401, "PGRST301", str(error)), anonymous=True)
    dialect = Dialect(
        numerics_as_strings=bool(backend.faults.get("numerics_as_strings")),
        plain_timestamps=bool(backend.faults.get("plain_timestamps")),
    )
    reader = Reader(backend.database, caller, backend.migrated, dialect)
    request = _Request(backend, call, caller, reader, _preferences(call))
    try:
        _require_schema(call)
        if _PLAN in call.headers.get("accept", ""):
            text = f"None of these media types are available: {call.headers['accept']}"
            raise RestError(406, "PGRST107", text)
        response: Response = handle(request)
        return response
    except RestError as error:
        return _refusal(error, anonymous=caller.role == "anon")


def _require_schema(call: Call) -> None:
    kind = "accept-profile" if call.method in {"GET", "HEAD"} else "content-profile"
    schema = call.headers.get(kind, _SCHEMA)
    if schema != _SCHEMA:
        raise RestError(
            406,
            "PGRST106",
            f"Invalid schema: {schema}",
            hint=f"Only the following schemas are exposed: {_SCHEMA}, graphql_public",
        )


def _table(request: _Request) -> Response:
    name = request.call.path_params["table"]
    found = TABLES.get(name)
    if found is None or (found.added and not request.backend.migrated):
        raise unknown_table(name)
    if found.added and not request.caller.is_service:
        raise RestError(403, "42501", f"permission denied for table {name}")
    query = parse_query(request.call.query)
    match request.call.method:
        case "GET" | "HEAD":
            return _read(request, found, query)
        case _:
            with request.backend.database.transaction():
                return _write(request, found, query)


def _function(request: _Request) -> Response:
    if request.call.method != "POST":  # all of them write
        text = "cannot execute INSERT in a read-only transaction"
        raise RestError(405, "25006", text)
    arguments = _body(request) or {}
    if not isinstance(arguments, Mapping):
        raise RestError(400, "PGRST102", "Empty or invalid json")
    name = request.call.path_params["name"]
    return json_response(call_function(request.backend, request.caller, name, arguments))


def _description(request: _Request) -> Response:
    if not request.caller.is_service:
        hint = "Accessing the schema via the Data API is only allowed using a secret API key."
        return json_response({"message": "Access to schema is forbidden", "hint": hint}, 403)
    definitions = {
        name: {"type": "object", "properties": {column: {} for column in table.columns}}
        for name, table in TABLES.items()
    }
    paths: dict[str, Any] = {f"/{name}": {} for name in TABLES}
    return json_response({"swagger": "2.0", "paths": paths, "definitions": definitions})


def _read(request: _Request, table: Table, query: Query) -> Response:
    query = _ranged(request, query)
    most = int(request.backend.faults.get("max_rows"))
    total = request.reader.count(table, query) if "count" in request.prefer else None
    if total is not None and query.offset > total:
        raise RestError(
            416,
            "PGRST103",
            "Requested range not satisfiable",
            details=f"An offset of {query.offset} was requested, but there are only {total} rows.",
            headers={"content-range": _content_range(query.offset, 0, total)},
        )
    rows = request.reader.rows(table, query, most=most)
    headers = {"content-range": _content_range(query.offset, len(rows), total)}
    if request.single:
        return _single_response(request, rows, 200, headers)
    partial = total is not None and len(rows) < total
    return _rows_response(request, rows, 206 if partial else 200, headers)


def _write(request: _Request, table: Table, query: Query) -> Response:
    writer = Writer(request.backend, request.caller, request.reader)
    # a mistake in `select` fails the write: the database runs both as one statement
    request.reader.check(table, query)
    match request.call.method:
        case "POST":
            ids = writer.insert(
                table,
                query,
                _body(request),
                request.prefer.get("resolution"),
                missing_as_default=request.prefer.get("missing") == "default",
            )
        case "PATCH":
            ids = writer.update(table, query, _body(request))
        case _:
            ids = writer.delete(table, query)
    created = request.call.method == "POST"
    if not created:
        _refuse_more_than_allowed(request, len(ids))
    wanted = request.prefer.get("return") == "representation"
    rows = request.reader.by_ids(table, query, ids) if wanted or request.single else []
    if request.call.method == "DELETE":
        writer.delete_rows(table, ids)
    headers = {"content-range": "*/*" if created else _content_range(0, len(ids), None)}
    if "count" in request.prefer:
        headers["content-range"] = f"{headers['content-range'].partition('/')[0]}/{len(ids)}"
    if created and request.prefer.get("return") == "headers-only" and len(ids) == 1:
        headers["location"] = f"/{table.name}?{table.key}=eq.{ids[0]}"
    if request.single and (wanted or len(ids) != 1):
        return _single_response(request, rows, 201 if created else 200, headers)
    if wanted:
        return _rows_response(request, rows, 201 if created else 200, headers)
    return Response(status_code=201 if created else 204, headers=headers)


def _refuse_more_than_allowed(request: _Request, affected: int) -> None:
    """`Prefer: handling=strict, max-affected=1`. Raised inside the transaction, which it undoes."""
    most = request.prefer.get("max-affected", "")
    if request.prefer.get("handling") == "strict" and most.isdigit() and affected > int(most):
        raise RestError(
            400,
            "PGRST124",
            "Query result exceeds max-affected preference constraint",
            details=f"The query affects {affected} rows",
        )


def _single_response(
    request: _Request, rows: list[dict[str, Any]], status: int, headers: Mapping[str, str]
) -> Response:
    if len(rows) != 1:
        raise not_single(len(rows))
    row = _without_nulls(rows[0]) if _STRIPPED in request.accept else rows[0]
    return json_response(row, status, {**headers, "content-type": f"{_SINGLE}; charset=utf-8"})


def _rows_response(
    request: _Request, rows: list[dict[str, Any]], status: int, headers: Mapping[str, str]
) -> Response:
    if _CSV in request.accept:
        return Response(
            _csv(rows), status, headers={**headers, "content-type": f"{_CSV}; charset=utf-8"}
        )
    if _STRIPPED in request.accept:
        rows = [_without_nulls(row) for row in rows]
    return json_response(rows, status, headers)


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _csv(rows: list[dict[str, Any]]) -> str:
    """Rows as PostgreSQL writes them, without a line break at the end."""
    if not rows:
        return ""
    lines = [list(rows[0]), *([_csv_field(value) for value in row.values()] for row in rows)]
    return "\n".join(",".join(line) for line in lines)


def _csv_field(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "t" if value else "f"
        case str():
            text = value
        case _:
            text = json.dumps(value, ensure_ascii=False)
    doubled = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{doubled}"' if not text or _NEEDS_QUOTES.search(text) else text


def _ranged(request: _Request, query: Query) -> Query:
    """The query with its limit and offset narrowed by the Range header."""
    match = _RANGE.fullmatch(request.call.headers.get("range", "").strip())
    if match is None:
        return query
    first, last = int(match[1]), match[2]
    if last and int(last) < first:
        raise RestError(
            416,
            "PGRST103",
            "Requested range not satisfiable",
            details="The lower boundary must be lower than or equal to the upper boundary in the"
            " Range header.",
        )
    limit = query.limit if not last else min(int(last) - first + 1, query.limit or 2**31)
    return replace(query, offset=max(query.offset, first), limit=limit)


def _content_range(first: int, count: int, total: int | None) -> str:
    rows = f"{first}-{first + count - 1}" if count else "*"
    return f"{rows}/{'*' if total is None else total}"


def _preferences(call: Call) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in call.headers.get("prefer", "").split(","))
    return {name: value for name, _, value in pairs if name}


def _body(request: _Request) -> Any:
    try:
        body = request.call.json()
    except ValueError:
        raise RestError(400, "PGRST102", "Empty or invalid json") from None
    if body is None and request.call.method != "POST":
        raise RestError(400, "PGRST102", "Empty or invalid json")
    return body


def _refusal(error: RestError, *, anonymous: bool) -> Response:
    # without a session the answer is 401: a signed-in user might be allowed
    status = 401 if anonymous and error.status == 403 else error.status
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return json_response(error.body(), status, {**error.headers, **headers})
