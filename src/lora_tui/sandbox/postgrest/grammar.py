"""PostgREST's query string, parsed: select and embeds, filters and their trees, order, limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from lora_tui.sandbox.postgrest.errors import RestError, aggregates_not_allowed, unparsable

_QUANTIFIABLE: Final = frozenset(
    ("eq", "gt", "gte", "lt", "lte", "like", "ilike", "match", "imatch")
)
OPERATORS: Final = _QUANTIFIABLE | {"neq", "is", "in", "isdistinct", "cs", "cd"}
_OPERATOR: Final = re.compile(r"([a-z]+)(?:\((any|all)\))?")
_NOT_FILTERS: Final = frozenset(("select", "columns", "on_conflict"))
_NAME: Final = re.compile(r"[^\W\d][\w ]*|\*", re.ASCII)
_ARROW: Final = re.compile(r"->>?")


@dataclass(frozen=True)
class Path:
    """A column, or a path into a JSON column: `quality_metrics->overall_score`, `…->>…` as text."""

    column: str
    keys: tuple[str, ...] = ()
    as_text: bool = False


@dataclass(frozen=True)
class Filter:
    """`path=operator.value`; `in`, and an operator with a `quantifier`, have a tuple of values.

    `quantifier` is `any` or `all`, as in `like(any).{…}`.
    """

    path: Path
    operator: str
    value: str | tuple[str, ...]
    negated: bool = False
    quantifier: str | None = None


@dataclass(frozen=True)
class Logic:
    """`and=(…)` or `or=(…)`."""

    operator: str
    conditions: tuple[Condition, ...]
    negated: bool = False


Condition: TypeAlias = Filter | Logic


@dataclass(frozen=True)
class Order:
    """One term of `order`; `relation` where it sorts by an embedded row's column."""

    path: Path
    descending: bool
    nulls_first: bool
    relation: str | None = None


@dataclass(frozen=True)
class Field:
    """One selected column (`*` for all), shown under `name`."""

    path: Path
    name: str
    cast: str | None = None


@dataclass(frozen=True)
class Embed:
    """One embedded relation: `alias:target!hint(…)`, or spread over its row: `...target(…)`."""

    name: str
    target: str
    hint: str | None
    inner: bool
    query: Query
    spread: bool = False


@dataclass(frozen=True)
class Query:
    """A parsed query of one table."""

    fields: tuple[Field | Embed, ...] = (Field(Path("*"), "*"),)
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    on_conflict: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = field(default=None)


def parse_query(query_string: str) -> Query:
    """Parse the part of the URL after `?`. Raises RestError."""
    pairs = parse_qsl(query_string, keep_blank_values=True)
    query = Query()
    for key, value in pairs:
        if key == "select":
            query = replace(query, fields=_Reader(value, "select parameter").fields())
        elif key == "on_conflict":
            query = replace(query, on_conflict=tuple(_names(value)))
        elif key == "columns":
            query = replace(query, columns=tuple(_names(value)))
    for key, value in pairs:
        if key not in _NOT_FILTERS:
            query = _with_parameter(query, key.split("."), key, value)
    return query


def _with_parameter(query: Query, parts: Sequence[str], key: str, value: str) -> Query:
    """The query with a parameter added; `dataset.name=eq.x` goes to the embed `dataset`."""
    head, *rest = parts
    embeds = [item for item in query.fields if isinstance(item, Embed)]
    if rest and head not in {"not", "and", "or"}:
        for embed in embeds:
            if head in (embed.name, embed.target):
                inner = replace(embed, query=_with_parameter(embed.query, rest, key, value))
                fields = tuple(inner if item is embed else item for item in query.fields)
                return replace(query, fields=fields)
        raise RestError(
            400,
            "PGRST108",
            f"'{head}' is not an embedded resource in this request",
            hint=f"Verify that '{head}' is included in the 'select' query parameter.",
        )
    match parts:
        case ["order"]:
            return replace(query, order=_Reader(value, "order").order())
        case ["limit"]:
            return replace(query, limit=_count(key, value))
        case ["offset"]:
            return replace(query, offset=_count(key, value))
        case ["and" | "or" as operator]:
            condition: Condition = _Reader(value, "logic tree").logic(operator, negated=False)
        case ["not", "and" | "or" as operator]:
            condition = _Reader(value, "logic tree").logic(operator, negated=True)
        case _:
            condition = _top_filter(key if len(parts) > 1 else head, value)
    return replace(query, conditions=(*query.conditions, condition))


def _top_filter(key: str, text: str) -> Filter:
    path = _Reader(key, "filter").whole_path()
    rest, negated = (text[4:], True) if text.startswith("not.") else (text, False)
    word, dot, value = rest.partition(".")
    known = _operator(word)
    if not dot or known is None:
        raise unparsable("filter", text)
    operator, quantifier = known
    if operator == "in":
        return Filter(path, operator, _Reader(value, "filter").listed(), negated)
    if quantifier is not None:
        return Filter(path, operator, _Reader(value, "filter").array(), negated, quantifier)
    return Filter(path, operator, value, negated)


def _operator(word: str) -> tuple[str, str | None] | None:
    """An operator and its quantifier; None where there is no such operator."""
    match = _OPERATOR.fullmatch(word)
    if match is None or match[1] not in OPERATORS:
        return None
    if match[2] is not None and match[1] not in _QUANTIFIABLE:
        return None
    return match[1], match[2]


def _names(text: str) -> list[str]:
    return [name.strip().strip('"') for name in text.split(",") if name.strip()]


def _count(key: str, value: str) -> int:
    try:
        return min(max(0, int(value)), 2**62)
    except ValueError:
        raise unparsable(f"{key} parameter", value) from None


class _Reader:
    """Recursive descent over one parameter's value."""

    def __init__(self, text: str, part: str) -> None:
        self._text = text
        self._part = part
        self._at = 0

    def fields(self) -> tuple[Field | Embed, ...]:
        found = self._field_list()
        self._end()
        return found

    def whole_path(self) -> Path:
        path = self._path()
        self._end()
        return path

    def order(self) -> tuple[Order, ...]:
        terms = []
        while self._at < len(self._text):
            terms.append(self._order_term())
            if not self._skip(","):
                break
        self._end()
        return tuple(terms)

    def logic(self, operator: str, *, negated: bool) -> Logic:
        conditions = self._conditions()
        self._end()
        return Logic(operator, conditions, negated)

    def listed(self) -> tuple[str, ...]:
        values = self._list()
        self._end()
        return values

    def array(self) -> tuple[str, ...]:
        """An array of PostgreSQL's: `{a,"b, c"}`."""
        values = self._array()
        self._end()
        return values

    def _field_list(self) -> tuple[Field | Embed, ...]:
        found: list[Field | Embed] = []
        while self._at < len(self._text) and self._text[self._at] != ")":
            found.append(self._field())
            if not self._skip(","):
                break
        return tuple(found) or Query().fields

    def _field(self) -> Field | Embed:
        alias = None
        spread = self._skip("...")
        name = self._name()
        if self._peek(":") and not self._peek("::"):
            self._skip(":")
            alias, name = name, self._name()
        hint, inner = None, False
        while self._skip("!"):
            word = self._name()
            if word in {"inner", "left"}:
                inner = word == "inner"
            else:
                hint = word
        if name == "count" and self._peek("()"):
            raise aggregates_not_allowed()
        if self._skip("("):
            query = Query(fields=self._field_list())
            self._expect(")")
            return Embed(alias or name, name, hint, inner, query, spread)
        if spread:
            raise self._error()
        path = self._path_after(name)
        if self._peek("."):  # `amount.sum()`
            raise aggregates_not_allowed()
        cast = self._name() if self._skip("::") else None
        return Field(path, alias or (path.keys[-1] if path.keys else name), cast)

    def _order_term(self) -> Order:
        relation = None
        name = self._name()
        if self._skip("("):
            relation, path = name, self._path()
            self._expect(")")
        else:
            path = self._path_after(name)
        words = []
        while self._skip("."):
            words.append(self._name())
        descending = "desc" in words
        nulls_first = (
            "nullsfirst" in words if {"nullsfirst", "nullslast"} & set(words) else descending
        )
        if set(words) - {"asc", "desc", "nullsfirst", "nullslast"}:
            raise self._error()
        return Order(path, descending, nulls_first, relation)

    def _conditions(self) -> tuple[Condition, ...]:
        self._expect("(")
        conditions = [self._condition()]
        while self._skip(","):
            conditions.append(self._condition())
        self._expect(")")
        return tuple(conditions)

    def _condition(self) -> Condition:
        negated = self._skip("not.")
        for operator in ("and", "or"):
            if self._peek(f"{operator}("):
                self._skip(operator)
                return Logic(operator, self._conditions(), negated)
        path = self._path()
        self._expect(".")
        negated = self._skip("not.") or negated
        word = _OPERATOR.match(self._text, self._at)
        known = None if word is None else _operator(word[0])
        if word is None or known is None:
            raise self._error()
        operator, quantifier = known
        self._at = word.end()
        self._expect(".")
        if operator == "in":
            return Filter(path, operator, self._list(), negated)
        if quantifier is not None:
            return Filter(path, operator, self._array(), negated, quantifier)
        if self._peek("{"):
            return Filter(path, operator, self._braces(), negated)
        return Filter(path, operator, self._value(",)"), negated)

    def _list(self) -> tuple[str, ...]:
        self._expect("(")
        values = []
        if not self._peek(")"):
            values.append(self._value(",)"))
            while self._skip(","):
                values.append(self._value(",)"))
        self._expect(")")
        return tuple(values)

    def _array(self) -> tuple[str, ...]:
        self._expect("{")
        values = []
        if not self._peek("}"):
            values.append(self._value(",}"))
            while self._skip(","):
                values.append(self._value(",}"))
        self._expect("}")
        return tuple(values)

    def _braces(self) -> str:
        """The text from `{` to its closing `}`, with the commas and brackets between them."""
        start, depth = self._at, 0
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                self._value("")
                continue
            depth += {"{": 1, "}": -1}.get(character, 0)
            self._at += 1
            if depth == 0:
                return self._text[start : self._at]
        raise self._error()

    def _value(self, stops: str) -> str:
        if self._skip('"'):
            characters = []
            while not self._skip('"'):
                if self._at >= len(self._text):
                    raise self._error()
                self._skip("\\")
                characters.append(self._text[self._at : self._at + 1])
                self._at += 1
            return "".join(characters)
        start = self._at
        while self._at < len(self._text) and self._text[self._at] not in stops:
            self._at += 1
        return self._text[start : self._at]

    def _path(self) -> Path:
        return self._path_after(self._name())

    def _path_after(self, column: str) -> Path:
        keys: list[str] = []
        as_text = False
        while match := _ARROW.match(self._text, self._at):
            if as_text:
                raise self._error()
            self._at = match.end()
            as_text = match[0] == "->>"
            keys.append(self._name(digits=True))
        return Path(column, tuple(keys), as_text)

    def _name(self, *, digits: bool = False) -> str:
        if self._peek('"'):
            return self._value("")
        expression = re.compile(r"-?\d+|[^\W\d]\w*", re.ASCII) if digits else _NAME
        match = expression.match(self._text, self._at)
        if match is None:
            raise self._error()
        self._at = match.end()
        return match[0].strip()

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _skip(self, token: str) -> bool:
        if not self._peek(token):
            return False
        self._at += len(token)
        while token in {",", "("} and self._peek(" "):
            self._at += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._skip(token):
            raise self._error()

    def _end(self) -> None:
        if self._at != len(self._text):
            raise self._error()

    def _error(self) -> RestError:
        return unparsable(self._part, self._text)
