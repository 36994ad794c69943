"""Writes the comparisons of a condition in SQL; every value is a parameter."""

from __future__ import annotations

from lora_tui.cache.condition_values import Value
from lora_tui.cache.model_columns import Kind, ModelColumn


def value_sql(column: ModelColumn) -> str:
    """The column's SQL, with NULL where it is unknown; tags are never unknown, but may be none."""
    match column.kind:
        case Kind.MOMENT:
            return f"nullif({column.sql}, 0)"
        case Kind.TEXT:
            return f"nullif({column.sql}, '')"
        case Kind.TAGS:
            return f"ifnull({column.sql}, '')"
        case _:
            return column.sql if column.sql.replace(".", "").isidentifier() else f"({column.sql})"


def comparison_sql(
    column: ModelColumn, operator: str, value: Value
) -> tuple[str, tuple[object, ...]]:
    """The comparison of a column with a value, and its parameters."""
    sql, first = value_sql(column), value.first
    if operator in ("~", "!~") or column.kind is Kind.TAGS:
        # a whole tag has a space before and after it; tags ignore case everywhere
        test, pattern = _holds(str(first) if "~" in operator else f" {first} ")
        return f"({sql} {'NOT ' if operator.startswith('!') else ''}{test})", (pattern,)
    if value.end is None:
        return f"({sql} {operator} ?)", (first,)
    if operator in ("=", "!="):
        test = f"({sql} >= ? AND {sql} < ?)"
        return test if operator == "=" else f"(NOT {test})", (first, value.end)
    # of a day: before it, until its end, after its end, from its beginning
    bound = {"<": ("<", first), "<=": ("<", value.end), ">": (">=", value.end), ">=": (">=", first)}
    sign, edge = bound[operator]
    return f"({sql} {sign} ?)", (edge,)


def _holds(text: str) -> tuple[str, str]:
    """The operator, and the pattern, for the texts that have this one in them, ignoring case."""
    if text.isascii():
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return "LIKE ? ESCAPE '\\'", f"%{escaped}%"
    # LIKE knows the case of ASCII letters only
    return "GLOB ?", f"*{''.join(map(_either_case, text))}*"


def _either_case(character: str) -> str:
    if character in "*?[":
        return f"[{character}]"
    both = dict.fromkeys((character, character.lower(), character.upper()))
    forms = [form for form in both if len(form) == 1]
    return f"[{''.join(forms)}]" if len(forms) > 1 else character
