"""Conditions on the columns of models: `rank >= 16 and best_validation_loss < 1.2`.

`parse` reads one; the grammar is in docs/conditions.md. Values become parameters of the SQL.
An unknown value matches nothing but `is unknown`, as NULL in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from lora_tui.cache.condition_sql import comparison_sql, value_sql
from lora_tui.cache.condition_tokens import Token, error_at, read_tokens, short
from lora_tui.cache.condition_values import DESCRIBED, EXPECTED, Value, read_value
from lora_tui.cache.model_columns import Kind, ModelColumn, column_of, tables_of
from lora_tui.errors import ConditionError, UsageError

DEEPEST: Final = 50
"""Parentheses and `not` within each other."""
MOST_VALUES: Final = 300
"""Comparisons and values of lists in one condition; SQLite nests at most 1,000 expressions."""

_OPERATORS: Final = {
    **{sign: sign for sign in ("=", "!=", "<", "<=", ">", ">=", "~", "!~")},
    **{"==": "=", "<>": "!=", "≤": "<=", "≥": ">=", "≠": "!="},
}
_PLAIN: Final = re.compile(r"[^\s'\"=<>~(),!≤≥≠“”„«‘’]+")
_NUMBERS: Final = (Kind.NUMBER, Kind.WHOLE)
_WITHOUT_ORDER: Final = (Kind.TEXT, Kind.TAGS, Kind.YES_NO)


class Condition(NamedTuple):
    """A condition in SQL, over `FROM_MODELS`."""

    sql: str
    values: tuple[object, ...]
    """Of its parameters."""
    columns: tuple[ModelColumn, ...]
    """Those that it names, each once."""
    text: str
    """The condition in its shortest form, which means the same."""

    def select(self) -> str:
        """A SELECT of the numbers of the models, from no more tables than it needs."""
        return f"SELECT v.n FROM {tables_of(self.sql)} WHERE {self.sql}"


def parse(text: str) -> Condition:
    """Read a condition. Raises ConditionError (a UsageError), which points at the wrong word."""
    return _Parser(text).condition()


class _Part(NamedTuple):
    """A part of a condition."""

    sql: str
    values: tuple[object, ...]
    text: str
    binding: int = 3
    """How closely its text holds together: 0 `or`, 1 `and`, 2 `not`, 3 a comparison."""

    def inside(self, binding: int) -> str:
        """The text within a part that holds together so closely."""
        return self.text if self.binding >= binding else f"({self.text})"


class _Typed(NamedTuple):
    """A value as it was typed: what it means, and its text."""

    value: Value
    text: str


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0
        self._values = 0
        self._columns: dict[str, ModelColumn] = {}
        self._tokens = read_tokens(text)

    def condition(self) -> Condition:
        part = self._either()
        token = self._token
        if token.text == ")":
            raise self._error("This parenthesis was never opened", token, "leave it out")
        if token.kind != "end":
            raise self._not_joined(token)
        return Condition(
            part.sql,
            part.values,
            tuple(self._columns.values()),
            part.text,
        )

    @property
    def _token(self) -> Token:
        return self._tokens[self._place]

    def _next(self) -> Token:
        token = self._token
        self._place += token.kind != "end"
        return token

    def _take(self, *texts: str) -> bool:
        """Go on behind the next token if it is one of these."""
        token = self._token
        if (token.text if token.kind == "sign" else token.keyword) in texts:
            self._place += 1
            return True
        return False

    def _either(self) -> _Part:
        return self._joined("or", 0, self._both)

    def _both(self) -> _Part:
        return self._joined("and", 1, self._maybe_not)

    def _joined(self, word: str, binding: int, read: Callable[[], _Part]) -> _Part:
        parts = [read()]
        while self._take(word):
            parts.append(read())
        if len(parts) == 1:
            return parts[0]
        return _Part(
            f"({f' {word.upper()} '.join(part.sql for part in parts)})",
            tuple(value for part in parts for value in part.values),
            f" {word} ".join(part.inside(binding + 1) for part in parts),
            binding,
        )

    def _maybe_not(self) -> _Part:
        token = self._token
        if token.keyword == "not" or token.text == "(":
            self._depth += 1
            if self._depth > DEEPEST:
                raise self._error(
                    f"More than {DEEPEST} parentheses are open here", token, "write fewer"
                )
            part = self._nested()
            self._depth -= 1
            return part
        return self._comparison()

    def _nested(self) -> _Part:
        if self._take("not"):
            part = self._maybe_not()
            return _Part(f"NOT {part.sql}", part.values, f"not {part.inside(2)}", 2)
        opening = self._next()
        part = self._either()
        if not self._take(")"):
            if self._token.kind == "end":
                raise self._error("This parenthesis is never closed", opening, "write ) after it")
            raise self._not_joined(self._token)
        return part

    def _comparison(self) -> _Part:
        column = self._column()
        named = self._tokens[self._place - 1]
        if self._take("is"):
            return self._known(column)
        if self._token.keyword == "not":
            self._next()
            if not self._take("in"):
                raise self._error(
                    "`not` stands before a column", self._tokens[self._place - 1],
                    f"write `not {column.name} = …`, or `{column.name} not in (…)`",
                )  # fmt: skip
            return self._listed(column, negated=True)
        if self._take("in"):
            return self._listed(column, negated=False)
        if self._token.text in _OPERATORS and self._token.kind == "sign":
            return self._compared(column)
        if column.kind is Kind.YES_NO:
            return _Part(f"({column.sql} <> 0)", (), column.name)
        if self._token.kind in ("word", "quoted") and self._token.keyword in ("", "not"):
            raise self._error(
                f"There is no operator {short(self._token.text)}",
                self._token,
                "choose from = != < <= > >= ~ !~ in, is known, is unknown",
            )
        if self._token.kind == "sign" and self._token.text not in (")", "("):
            raise self._error("An operator is missing", self._token, "write =, <, in or another")
        raise self._error(
            f"{column.name} alone says nothing: it is {DESCRIBED[column.kind]}",
            named,
            f"compare it, or write `{column.name} is known`",
        )

    def _column(self) -> ModelColumn:
        token = self._next()
        if token.kind == "end":
            raise self._error(
                "The condition ends too early", token, "write a column, like rank, and compare it"
            )
        if token.kind != "word" or token.keyword:
            what = "another parenthesis" if token.text in ("(", ")") else short(token.text)
            raise self._error(
                f"A comparison begins with a column, not with {what}",
                token,
                "write it like `rank >= 16`",
            )
        self._count(token)
        try:
            column = column_of(token.text)
        except UsageError as error:
            if read_value(Kind.SIZE, token.text.strip("$")) or read_value(Kind.MOMENT, token.text):
                message = f"A comparison begins with a column, not with {short(token.text)}"
                raise self._error(message, token, "write the value last: `rank >= 16`") from None
            message = f"There is no column {short(token.text)}"
            raise self._error(message, token, error.remedy or "") from None
        return self._columns.setdefault(column.name, column)

    def _known(self, column: ModelColumn) -> _Part:
        negated = self._take("not")
        token = self._next()
        word = token.text.lower() if token.kind == "word" else ""
        if word not in ("known", "unknown", "null"):
            raise self._error(
                "After `is` stands known, unknown or null", token, "for a value write `=`"
            )
        unknown = (word != "known") is not negated
        sql = value_sql(column)
        test = f"{sql} = ''" if column.kind is Kind.TAGS else f"{sql} IS NULL"
        return _Part(
            f"({test})" if unknown else f"(NOT {test})",
            (),
            f"{column.name} is {'unknown' if unknown else 'known'}",
        )

    def _compared(self, column: ModelColumn) -> _Part:
        sign = self._next()
        operator = _OPERATORS[sign.text]
        if (operator in ("~", "!~")) and column.kind not in (Kind.TEXT, Kind.TAGS):
            raise self._error(
                f"{operator} looks into texts, and {column.name} is {DESCRIBED[column.kind]}",
                sign,
                "use = != < <= > or >=",
            )
        if operator[0] in "<>" and column.kind in _WITHOUT_ORDER:
            raise self._error(
                f"{column.name} has no order: it is {DESCRIBED[column.kind]}",
                sign,
                "use = or !="
                if column.kind is Kind.YES_NO
                else "use = or !=, or ~ for a part of it",
            )
        start = self._place
        other = None if operator in ("~", "!~") else self._other_column(column)
        if other is None:
            typed = self._value(column, operator)
            sql, values = comparison_sql(column, operator, typed.value)
            part = _Part(sql, values, f"{column.name} {operator} {typed.text}")
        else:
            sql = f"({value_sql(column)} {operator} {value_sql(other)})"
            part = _Part(sql, (), f"{column.name} {operator} {other.name}")
        if self._token.kind == "sign" and self._token.text in _OPERATORS:
            last = self._text[self._tokens[start].start : self._tokens[self._place - 1].end]
            raise self._error(
                "These are two comparisons in one",
                self._token,
                f"write `and {column.name} {self._token.text} …` after {short(last)}",
            )
        return part

    def _listed(self, column: ModelColumn, *, negated: bool) -> _Part:
        if not self._take("("):
            raise self._error(
                "After `in` stands a list in parentheses",
                self._token,
                f"write it like `{column.name} in (a, b)`",
            )
        found: list[_Typed] = []
        while True:
            self._count(self._token)
            found.append(self._value(column, "="))
            if self._take(")"):
                break
            if not self._take(","):
                raise self._error(
                    "The values of a list have commas between them, and ) after the last",
                    self._token,
                    "write it like (a, b)",
                )
        conditions = [comparison_sql(column, "=", typed.value) for typed in found]
        either = " OR ".join(sql for sql, _ in conditions)
        return _Part(
            f"(NOT ({either}))" if negated else f"({either})",
            tuple(value for _, values in conditions for value in values),
            f"{column.name} {'not ' if negated else ''}in"
            f" ({', '.join(typed.text for typed in found)})",
        )

    def _other_column(self, column: ModelColumn) -> ModelColumn | None:
        """The column that is the right side of a comparison; None where that is a value."""
        token = self._token
        other = _named_column(token.text) if token.kind == "word" else None
        if other is None:
            return None
        if _family(other.kind) == _family(column.kind) and other.kind is not Kind.TAGS:
            self._next()
            return self._columns.setdefault(other.name, other)
        if column.kind in (Kind.TEXT, Kind.TAGS):
            return None
        raise self._error(
            f"{column.name}, {DESCRIBED[column.kind]}, can't be compared with"
            f" {other.name}, {DESCRIBED[other.kind]}",
            token,
            f"write {EXPECTED[column.kind]}",
        )

    def _value(self, column: ModelColumn, operator: str) -> _Typed:
        token = self._next()
        if token.kind == "end":
            raise self._error(
                "The condition ends too early", token, f"write {EXPECTED[column.kind]}"
            )
        if token.kind == "sign" or token.keyword or token.text[0] in "“”„«‘’":
            remedy = f"write {EXPECTED[column.kind]}"
            if token.kind == "word" and not token.keyword:
                remedy = "write straight quotes, ' or \""
            elif token.keyword and column.kind in (Kind.TEXT, Kind.TAGS):
                remedy = f"write '{token.text}' if that is the text"
            raise self._error(f"{short(token.text)} is no value", token, remedy)
        text = token.text
        if token.kind == "quoted":
            text = text[1:-1].replace(text[0] * 2, text[0])
        else:
            after = self._token
            both = f"{text} {after.text}"
            if (
                column.kind in (Kind.SIZE, Kind.HOURS, Kind.MOMENT)
                and after.kind == "word"
                and read_value(column.kind, both) is not None
            ):
                self._next()
                text = both
        value = read_value(column.kind, text)
        if value is None:
            raise self._no_value(column, token, text)
        if column.kind is Kind.MOMENT and value.end is None and operator in ("=", "!="):
            raise self._error(
                f"{short(text)} is a moment, which no date equals", token, "use < or >"
            )
        return _Typed(value, _value_text(text, column.kind, quoted=token.kind == "quoted"))

    def _no_value(self, column: ModelColumn, token: Token, text: str) -> ConditionError:
        remedy = f"write {EXPECTED[column.kind]}"
        if text.lower() in ("null", "unknown", "none") or not text:
            remedy = f"write `{column.name} is unknown`"
        return self._error(
            f"{column.name} is {DESCRIBED[column.kind]}, and {short(text)} is none"
            if text
            else "An empty text matches nothing",
            token,
            remedy,
        )

    def _count(self, token: Token) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._error(
                f"The condition has more than {MOST_VALUES} values", token, "write fewer"
            )

    def _not_joined(self, token: Token) -> ConditionError:
        written = {"&&": "and", "&": "and", "||": "or", "|": "or"}.get(token.text)
        if written:
            return self._error(f"There is no {token.text}", token, f"write `{written}`")
        before = self._tokens[self._place - 1]
        remedy = "write `and` or `or` between two comparisons"
        if before.kind == token.kind == "word" and not token.keyword and not before.keyword:
            remedy += "; a text of several words needs quotes"
        return self._error("`and` or `or` is missing here", token, remedy)

    def _error(self, message: str, token: Token, remedy: str) -> ConditionError:
        return error_at(self._text, message, token, remedy)


def _named_column(word: str) -> ModelColumn | None:
    try:
        return column_of(word)
    except UsageError:
        return None


def _family(kind: Kind) -> Kind:
    """Kinds that can be compared with each other are one family."""
    return Kind.NUMBER if kind in _NUMBERS else kind


def _value_text(text: str, kind: Kind, *, quoted: bool) -> str:
    """The value as it can be read again."""
    if kind not in (Kind.TEXT, Kind.TAGS):
        if kind is Kind.MOMENT and "-" in text:
            text = text.strip().replace(" ", "T", 1)
        text = text.replace(" ", "")
        return text if _PLAIN.fullmatch(text) else _in_quotes(text)
    token = Token("word", text, 0, 0)
    plain = (
        _PLAIN.fullmatch(text) and not token.keyword and (not quoted or _named_column(text) is None)
    )
    return text if plain else _in_quotes(text)


def _in_quotes(text: str) -> str:
    quote = '"' if "'" in text and '"' not in text else "'"
    return f"{quote}{text.replace(quote, quote * 2)}{quote}"
