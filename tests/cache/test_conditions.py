"""Conditions: what they match, and that a wrong one is explained and never an accident."""

from __future__ import annotations

import operator
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui import clock
from lora_tui.cache.condition_tokens import LONGEST, pointing_lines
from lora_tui.cache.conditions import DEEPEST, MOST_VALUES, parse
from lora_tui.cache.model_columns import FROM_MODELS, MODEL_COLUMNS, Kind
from lora_tui.cache.model_values import COPIED
from lora_tui.cache.schema import migrate
from lora_tui.errors import ConditionError, ExitCode, UsageError
from lora_tui.text import cell_width

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon_in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    clock.use_utc(True)
    yield
    clock.use_utc(False)


@pytest.fixture(scope="module")
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        yield connection


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    """Replace the models by these; each row has values of the registry's columns."""
    for table in ("models", "model_values", "own_marks", "datasets", "library"):
        db.execute(f"DELETE FROM {table}")
    tables = {
        "l": ("models", {"row": "{}", "name": "", "created_at": 0, "updated_at": ""}),
        "v": ("model_values", {}),
        "k": ("own_marks", {}),
    }
    for number, row in enumerate(rows, 1):
        model_id = f"m{number}"
        keys = {"l": {"n": number, "id": model_id}, "v": {"n": number}, "k": {"model_id": model_id}}
        for alias, (table, defaults) in tables.items():
            values = {**defaults, **keys[alias], **row.get(alias, {})}
            marks = ", ".join("?" for _ in values)
            db.execute(
                f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", [*values.values()]
            )
        if row.get("dataset"):
            db.execute("UPDATE models SET dataset_id = ? WHERE n = ?", [f"d{number}", number])
            db.execute(
                "INSERT INTO datasets (id, row, name) VALUES (?, '{}', ?)",
                [f"d{number}", row["dataset"]],
            )
    copies = ("final_loss", *COPIED)
    db.execute(
        f"UPDATE model_values SET ({', '.join(copies)}) ="
        f" (SELECT {', '.join(copies)} FROM models WHERE models.n = model_values.n)"
    )


def matching(db: sqlite3.Connection, text: str) -> list[int]:
    condition = parse(text)
    sql = f"SELECT l.n FROM {FROM_MODELS} WHERE {condition.sql} ORDER BY l.n"
    return [n for (n,) in db.execute(sql, condition.values)]


RUNS = (
    {
        "l": {"name": "Support Étude", "stars": 5, "final_loss": 0.5, "cost": 1.5,
              "size": 200 * 1024**2, "duration_hours": 1.5, "status": "stored",
              "created_at": clock.microseconds(NOW - timedelta(hours=1))},
        "v": {"rank": 16, "alpha": 32.0, "learning_rate": 2e-4, "last_validation": 0.9},
        "k": {"favorite": 1, "tags": " prod v2 ", "note": "don't touch"},
        "dataset": "Support mails",
    },
    {
        "l": {"name": "100% support_bot", "stars": 2, "final_loss": 1.5, "cost": 0.0,
              "size": 1024, "duration_hours": 30.0, "status": "archived",
              "created_at": clock.microseconds(NOW - timedelta(days=3))},
        "v": {"rank": 32, "alpha": 32.0, "learning_rate": 1e-5, "last_validation": 1.1},
        "k": {"tags": " preprod "},
        "dataset": "Other",
    },
    {"l": {"name": "nothing known"}},
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rank >= 16", [1, 2]),
        ("rank = 16 or rank = 32 and stars > 4", [1]),
        ("(rank = 16 or rank = 32) and not stars > 4", [2]),
        ("RANK > 16 AND NOT favorite", [2]),
        ("not rank = 16", [2]),
        ("rank != 16", [2]),
        ("rank ≥ 17", [2]),
        ("rank is unknown", [3]),
        ("rank is not known", [3]),
        ("rank is not null and note is unknown", [2]),
        ("rank in (8, 16)", [1]),
        ("rank not in (8, 16)", [2]),
        ("alpha = rank", [2]),
        ("last_validation_loss > loss", [1]),
        ("validation_gap < 0", [2]),
        ("learning_rate = 2e-4", [1]),
        ("learning_rate < .0001", [2]),
        ("name ~ SUPPORT", [1, 2]),
        ("name ~ étude or name ~ 0%", [1, 2]),
        ("name ~ ÉTU and name !~ 'support_'", [1]),
        ("name = 'support étude'", []),
        ("name = 'Support Étude'", [1]),
        ("dataset in ('Support mails', Third)", [1]),
        ("note = \"don't touch\" and note = 'don''t touch'", [1]),
        ("tags = prod", [1]),
        ("tags ~ pro", [1, 2]),
        ("tags in (#PROD, other) and tags = V2", [1]),
        ("tags != prod", [2, 3]),
        ("tags is known", [1, 2]),
        ("favorite", [1]),
        ("favorite = no and not downloaded", [2, 3]),
        ("size < 200MB", [2]),
        ("size >= 0.1953125 GiB", [1]),
        ("size <= 1k", [2]),
        ("cost < $1.50", [2]),
        ("cost >= 1.5", [1]),
        ("hours < 2", [1]),
        ("duration_hours <= 90 min", [1]),
        ("duration_hours > 1d", [2]),
        ("stars >= 4", [1]),
        ("stars = ★★", [2]),
        ("created_at = today", [1]),
        ("created_at < today", [2]),
        ("created_at > 2026-11-20", [1]),
        ("created_at >= 2026-11-20", [1, 2]),
        ("created_at <= 2026-11-20", [2]),
        ("created_at = 2026-11", [1, 2]),
        ("created > 2d", [1]),
        ("created_at > 2026-11-23 10:59", [1]),
        ("created_at is unknown", [3]),
        ("status in (stored, archived) and status = stored", [1]),
    ],
)
def test_a_condition_matches_what_it_says(
    db: sqlite3.Connection, text: str, expected: list[int]
) -> None:
    put(db, *RUNS)
    assert matching(db, text) == expected
    shortest = parse(text).text
    assert matching(db, shortest) == expected
    assert parse(shortest).text == shortest


def test_a_day_of_a_condition_is_one_of_the_users_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    condition = "created_at = 2026-11-23"
    in_utc = parse(condition).values
    clock.use_utc(False)
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-5")
        time.tzset()
        there = parse(condition).values
    time.tzset()
    assert [int(str(a)) - int(str(b)) for a, b in zip(in_utc, there, strict=True)] == [
        5 * 3600 * 1_000_000
    ] * 2


@pytest.mark.parametrize(
    ("text", "pointed", "said"),
    [
        ("rnk >= 16 and stars > 4", "rnk", "There is no column 'rnk'. did you mean rank or"),
        ("stars > 4 and rank > high", "high", "rank is a whole number, and 'high' is none"),
        ("rank > name", "name", "can't be compared with name, a text"),
        ("cost > size", "size", "can't be compared"),
        ("rank ~ 16", "~", "looks into texts"),
        ("name < B", "<", "name has no order"),
        ("favorite > 1", ">", "use = or !="),
        ("rank", "rank", "compare it, or write `rank is known`"),
        ("16 <= rank", "16", "write the value last"),
        ("rank > 3 > 5", ">", "two comparisons"),
        ("rank > 3 stars > 5", "stars", "`and` or `or` is missing"),
        ("dataset = Support mails", "mails", "needs quotes"),
        ("stars > 4 && favorite", "&&", "write `and`"),
        ("stars > 4 and", "", "ends too early"),
        ("stars >", "", "stars, from 0 to 5"),
        ("stars > 6", "6", "stars, from 0 to 5"),
        ("(stars > 4", "(", "never closed"),
        ("stars > 4)", ")", "never opened"),
        ("name = 'Support", "'", "quote is never closed"),
        ("note = ''", "''", "write `note is unknown`"),
        ("rank = null", "null", "write `rank is unknown`"),
        ("name = “Support”", "“Support”", "straight quotes"),
        ("rank in 16", "16", "list in parentheses"),
        ("rank in (16 32)", "32", "commas"),
        ("created_at = 7d", "7d", "use < or >"),
        ("created_at > soon", "soon", "a date, like 2026-11-01"),
        ("created_at > 2026-13-01", "2026-13-01", "a date, like"),
        ("size < 5 parsecs", "parsecs", "missing"),
        ("!favorite", "!", "write `not`"),
        ("name like x", "like", "There is no operator 'like'"),
        ("name = a\x1b[31m", "\x1b", "no control characters"),
        ("name = \ud800", "\ud800", "no control characters"),
        ("", "", "is empty"),
    ],
)  # fmt: skip
def test_an_error_points_at_the_word_and_says_what_to_write(
    text: str, pointed: str, said: str
) -> None:
    with pytest.raises(ConditionError) as caught:
        parse(text)
    error = caught.value
    start, end = error.span
    assert text[start:end] == pointed
    assert said in f"{error}. {error.remedy}"
    assert error.exit_code is ExitCode.USAGE
    for where, width in (("", 76), ("name ~ '客户支持邮件客户支持邮件客户支持' or ", 38)):
        with pytest.raises(ConditionError) as caught:
            parse(where + text)
        line, carets = pointing_lines(caught.value, width)
        assert max(map(cell_width, (line, carets))) <= width
        assert set(carets.strip()) == {"^"}
        above = len(carets) - len(carets.lstrip())
        place = next(at for at in range(len(line) + 1) if cell_width(line[:at]) == above)
        if pointed.isprintable() and (text or not where):
            assert line[place : place + len(carets.strip())] == pointed


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "(" * 10_000 + "rank > 1" + ")" * 10_000,
        "(" * (DEEPEST + 1) + "rank > 1" + ")" * (DEEPEST + 1),
        "not " * 900 + "favorite",
        "rank in (" + ",".join("1" * (MOST_VALUES + 1)) + ")",
        "rank>" + "1" * (LONGEST - 5),
        "created_at > 999999y",
        "created_at = 9999-12",
        "cost > 1e999",
    ],
)  # fmt: skip
def test_a_monstrous_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert len(f"{caught.value}{caught.value.remedy}") < 300


def test_the_longest_conditions_that_are_accepted_can_be_asked(db: sqlite3.Connection) -> None:
    put(db, *RUNS)
    many = " or ".join(["rank=1"] * (MOST_VALUES - 1))
    deep = "(" * DEEPEST + f"{many} or rank = 16" + ")" * DEEPEST
    assert matching(db, deep) == [1]
    days = ", ".join(["2026-11"] * (MOST_VALUES - 1))
    assert matching(db, f"not not created_at in ({days})") == [1, 2]
    assert matching(db, f"name ~ '{'é%' * 1_900}'") == []


NUMBERS = ("rank", "alpha", "final_loss", "last_validation_loss")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
TEXTS = st.text(st.sampled_from("aAéÉ%_*?[]^-'\" n\\"), min_size=1, max_size=4)
VALUES = st.sampled_from((0.0, 1.0, 2.0, -1.5))
ROWS = st.fixed_dictionaries(
    {name: st.none() | VALUES for name in NUMBERS}
    | {"favorite": st.booleans(), "name": st.just("") | TEXTS}
)
Test = Callable[[dict[str, Any]], bool | None]
"""Of a row: whether it matches; None where that is unknown."""


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def compared(name: str, sign: str, other: str | float) -> tuple[str, Test]:
    def test(row: dict[str, Any]) -> bool | None:
        left, right = row[name], row[other] if isinstance(other, str) else other
        return None if left is None or right is None else SIGNS[sign](left, right)

    return f"{name} {sign} {other}", test


def text_test(sign: str, typed: str) -> tuple[str, Test]:
    def test(row: dict[str, Any]) -> bool | None:
        name = row["name"]
        if not name:
            return None
        holds = typed == name if "=" in sign else typed.lower() in name.lower()
        return holds is not sign.startswith("!")

    return f"name {sign} {quoted(typed)}", test


def both(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def opposite(value: bool | None) -> bool | None:
    return None if value is None else not value


def joined(parts: tuple[tuple[str, Test], str, tuple[str, Test]]) -> tuple[str, Test]:
    (left, one), word, (right, two) = parts
    if word == "and":
        return f"({left}) and ({right})", lambda row: both(one(row), two(row))
    return f"({left}) or ({right})", lambda row: opposite(
        both(opposite(one(row)), opposite(two(row)))
    )


COMPARISONS = st.one_of(
    st.builds(
        compared,
        st.sampled_from(NUMBERS),
        st.sampled_from([*SIGNS]),
        st.sampled_from(NUMBERS) | VALUES,
    ),
    st.builds(text_test, st.sampled_from(("=", "!=", "~", "!~")), TEXTS),
    st.just(("favorite", lambda row: row["favorite"])),
    st.sampled_from(NUMBERS).map(
        lambda name: (f"{name} is known", lambda row: row[name] is not None)
    ),
)
CONDITIONS: st.SearchStrategy[tuple[str, Test]] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(("and", "or")), inner).map(joined),
        inner.map(lambda part: (f"not ({part[0]})", lambda row: opposite(part[1](row)))),
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(condition=CONDITIONS, rows=st.lists(ROWS, max_size=4))
def test_a_condition_agrees_with_its_evaluation_in_python(
    db: sqlite3.Connection, condition: tuple[str, Test], rows: list[dict[str, Any]]
) -> None:
    put(
        db,
        *(
            {
                "l": {"name": row["name"], "final_loss": row["final_loss"]},
                "v": {"rank": row["rank"], "alpha": row["alpha"],
                      "last_validation": row["last_validation_loss"]},
                "k": {"favorite": int(row["favorite"])},
            }
            for row in rows
        ),
    )  # fmt: skip
    text, test = condition
    expected = [number for number, row in enumerate(rows, 1) if test(row)]
    assert matching(db, text) == expected
    shortest = parse(text).text
    assert matching(db, shortest) == expected
    assert parse(shortest) == parse(parse(shortest).text)


WORDS = st.sampled_from(
    [
        *(column.name for column in MODEL_COLUMNS),
        *("and", "or", "not", "in", "is", "known", "null"),
        *("(", ")", ",", "=", "!=", "<", ">=", "~"),
        *("16", "2e-4", "'a b'", '"', "'", "200MB", "7d", "$1.5", "2026-11-01", "yes", "é", "\0"),
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=12).map(" ".join)))
def test_no_text_whatever_ends_in_another_error(db: sqlite3.Connection, text: str) -> None:
    try:
        condition = parse(text)
    except UsageError:
        return
    assert parse(condition.text).text == condition.text
    db.execute(f"SELECT l.n FROM {FROM_MODELS} WHERE {condition.sql}", condition.values)


@pytest.mark.parametrize("column", MODEL_COLUMNS, ids=lambda column: column.name)
def test_every_column_can_be_asked(db: sqlite3.Connection, column: Any) -> None:
    put(db, *RUNS)
    value = {
        Kind.TEXT: "stored", Kind.TAGS: "prod", Kind.MOMENT: "2026-11-01", Kind.YES_NO: "yes",
    }.get(column.kind, "1")  # fmt: skip
    condition = parse(f"{column.name} = {value}")
    assert condition.columns == (column,)
    matching(db, condition.text)
    assert len(matching(db, f"{column.name} is known or {column.name} is unknown")) == len(RUNS)
