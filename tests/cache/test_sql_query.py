"""SQL of a user reads the views, changes nothing, and ends: in time, in memory, in one line."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lora_tui.cache import costs, jobs, models, records
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.model_columns import MODEL_COLUMNS
from lora_tui.cache.schema import TABLES
from lora_tui.cache.sql_query import FUNCTIONS, open_views, run_query
from lora_tui.cache.sql_views import VIEW_NAMES, sql_views
from lora_tui.errors import LoraTuiError, UsageError
from lora_tui.reports.costs import By
from tests.tui.library import model_row

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache.sqlite3"
    with closing(open_cache(path)) as db, transaction(db):
        records.put_datasets(db, [{"id": "d1", "name": "Support mails"}])
        models.put_models(db, [model_row(0), model_row(1)])
        jobs.put_jobs(db, [job(number) for number in range(3)])
        costs.put_cost_records(db, [cost("a", "job-0", "gpu"), cost("b", "job-1", "storage")])
        records.put_notifications(
            db, [{"id": "n1", "title": "Done", "metadata": {"job_id": "job-0"}}]
        )
        db.execute("INSERT INTO metrics (job_id, timestamp, id, step) VALUES ('job-0', '', '', 7)")
    return path


def job(number: int) -> dict[str, Any]:
    return {
        "id": f"job-{number}",
        "dataset_id": "d1",
        "status": "completed",
        "final_cost": 2.5,
        "queued_at": "2026-11-02T10:00:00+00:00",
        "started_at": "2026-11-02T11:00:00.5+01:00",
        "total_steps": 300,
    }


def cost(record: str, job_id: str, kind: str) -> dict[str, Any]:
    moment = "2026-11-03T00:00:00+00:00"
    return {"id": record, "job_id": job_id, "cost_type": kind, "amount": 1, "recorded_at": moment}


def rows(cache: Path, sql: str, seconds: float = 30) -> list[tuple[Any, ...]]:
    return list(run_query(cache, sql, seconds=seconds).rows)


def refused(cache: Path, sql: str, seconds: float = 30) -> str:
    with pytest.raises(UsageError) as caught:
        rows(cache, sql, seconds)
    assert caught.value.remedy
    return str(caught.value)


def digest(cache: Path) -> str:
    return hashlib.sha256(cache.read_bytes()).hexdigest()


def test_every_view_has_its_columns_and_models_those_of_the_registry(cache: Path) -> None:
    with closing(open_views(cache)) as db:
        views = sql_views(db)
    assert [view.name for view in views] == list(VIEW_NAMES)
    for view in views:
        result = run_query(cache, f"SELECT * FROM {view.name}", seconds=30)
        assert result.columns == tuple(column.name for column in view.columns)
        assert next(result.rows)
    in_sql = {"on": "loaded_on"}  # a word of SQL
    assert [c.name for c in views[0].columns] == [in_sql.get(c.name, c.name) for c in MODEL_COLUMNS]


def test_dates_are_iso_texts_in_utc(cache: Path) -> None:
    sql = "SELECT created_at, started_at, completed_at, total_steps FROM jobs LIMIT 1"
    assert rows(cache, sql) == [("2026-11-02T10:00:00Z", "2026-11-02T10:00:00Z", None, 300)]
    (created,) = rows(cache, "SELECT created_at FROM models LIMIT 1")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created[0])


def test_the_sum_of_costs_is_the_total_of_the_command(cache: Path) -> None:
    with closing(open_cache(cache)) as db:
        total = costs.read_costs(db, By.STATUS).total.dollars
    assert rows(cache, "SELECT sum(amount) FROM costs") == [(total,)] == [(7.0,)]


def test_views_join_group_and_nest_as_anywhere(cache: Path) -> None:
    sql = (
        "WITH big AS (SELECT job_id, count(*) AS n FROM costs GROUP BY 1)"
        " SELECT j.id, b.n, rank() OVER (ORDER BY j.id) FROM jobs j LEFT JOIN big b"
        " ON b.job_id = j.id WHERE EXISTS (SELECT 1 FROM costs) ORDER BY j.id"
    )
    assert rows(cache, sql) == [("job-0", 1, 1), ("job-1", 2, 2), ("job-2", 1, 3)]
    assert rows(cache, "WITH x AS (SELECT 1) SELECT count(*) FROM x, models, metrics") == [(2,)]
    assert rows(cache, " -- why\n/* so */ VALUES (x'00'), (null);") == [(b"\x00",), (None,)]


FORBIDDEN = (
    *(f"SELECT * FROM {name}" for name in sorted(TABLES - set(VIEW_NAMES))),
    *(f"SELECT * FROM main.{name}" for name in ("models", "jobs", "metrics", "notifications")),
    "SELECT count(*) FROM transfers",
    "WITH models AS (SELECT row FROM main.models) SELECT * FROM models",
    "WITH a AS (WITH jobs AS (SELECT row FROM main.jobs) SELECT * FROM jobs) SELECT * FROM a",
    "SELECT (SELECT value FROM facts LIMIT 1) FROM models",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM sqlite_temp_master",
    "SELECT * FROM temp.sqlite_schema",
    "SELECT * FROM pragma_table_info('models')",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM dbstat",
    "SELECT * FROM models_words WHERE models_words MATCH 'x'",
    "SELECT * FROM models_words_data",
    "SELECT * FROM models WHERE models MATCH 'x'",
    "SELECT * FROM json_each('[1]')",
    "ATTACH ':memory:' AS x",
    "DETACH main",
    "PRAGMA user_version",
    "PRAGMA query_only = 0",
    "CREATE TABLE x (a)",
    "CREATE TEMP TABLE x (a)",
    "CREATE TEMP VIEW x AS SELECT 1",
    "CREATE TEMP TRIGGER x INSTEAD OF DELETE ON models BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
    "DROP VIEW models",
    "ALTER TABLE main.models RENAME TO x",
    "INSERT INTO main.facts VALUES ('a', 'b')",
    "WITH a AS (SELECT 1) INSERT INTO main.facts SELECT 'a', 'b'",
    "UPDATE main.models SET name = 'x'",
    "WITH a AS (SELECT 1) UPDATE main.models SET name = 'x'",
    "DELETE FROM main.models",
    "WITH a AS (SELECT 1) DELETE FROM main.models",
    "REPLACE INTO main.facts VALUES ('a', 'b')",
    "EXPLAIN DELETE FROM main.models",
    "VACUUM",
    "VACUUM INTO '/tmp/lora-tui-test-vacuum'",
    "REINDEX",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "SAVEPOINT x",
    "SELECT 1; DROP TABLE main.models",
    "SELECT load_extension('x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/lora-tui-test-written', 'x')",
    "SELECT edit('x')",
    "SELECT fts5(1)",
    "SELECT fts3_tokenizer('x')",
    "SELECT sqlite_version(), sqlite_compileoption_get(0)",
    "SELECT randomblob(1000000000)",
    "SELECT zeroblob(1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT ?",
    "SELECT :name",
    "",
    ";",
    "-- nothing",
    "/* nothing",
)


def test_what_is_forbidden_is_refused_in_one_line_and_changes_nothing(cache: Path) -> None:
    before = digest(cache)
    for sql in FORBIDDEN:
        said = refused(cache, sql)
        assert "\n" not in said, sql
    assert digest(cache) == before
    assert not Path("/tmp/lora-tui-test-vacuum").exists()
    assert not Path("/tmp/lora-tui-test-written").exists()


def test_a_hidden_view_can_not_be_named(cache: Path) -> None:
    plan = rows(cache, "EXPLAIN SELECT * FROM models")
    assert plan
    assert refused(cache, "SELECT * FROM models_0123456789abcdef0123456789abcdef")


@pytest.mark.parametrize(
    ("sql", "said", "remedy"),
    [
        ("SELECT nme FROM models", "no column 'nme'", "did you mean name?"),
        ("SELECT m.rnk FROM models m", "no column 'm.rnk'", "did you mean rank or effective_rank?"),
        ("SELECT 1 FROM modles", "no view 'modles'", "did you mean models?"),
        ("SELECT rond(1)", "no function 'rond'", "did you mean round"),
        ("SELECT name form models", 'near "models"', "--schema"),
        ("SELECT count(*) FROM transfers", "'transfers' is a table of the cache", "SELECT"),
        ("SELECT zeroblob(1)", "'zeroblob' can't be used", "SELECT"),
        ("DELETE FROM models", "begins with 'DELETE'", "SELECT"),
        ("SELECT 1; SELECT 2", "one statement", "leave out"),
    ],
)  # fmt: skip
def test_an_error_names_the_word_and_what_comes_near(
    cache: Path, sql: str, said: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        rows(cache, sql)
    assert said in str(caught.value)
    assert remedy in str(caught.value.remedy)


def test_a_query_that_never_ends_is_ended(cache: Path) -> None:
    assert "longer than" in refused(cache, f"{ENDLESS} SELECT count(*) FROM n", seconds=0.2)
    assert "longer than" in refused(
        cache, "SELECT count(*) FROM " + ", ".join(f"jobs j{n}" for n in range(15)), seconds=0.2
    )


def test_the_rows_of_an_endless_query_come_as_they_are_read(cache: Path) -> None:
    result = run_query(cache, f"{ENDLESS} SELECT x FROM n", seconds=30)
    first = [next(result.rows) for _ in range(2_000)]
    assert first[-1] == (2_000,)
    result.rows.close()  # type: ignore[attr-defined]


TOO_LARGE = {
    f"{ENDLESS}, m AS (SELECT x FROM n LIMIT 20000)"
    f" SELECT group_concat('{'a' * 1_000}') FROM m": "longer than 10,000,000 bytes",
    "SELECT " + "hex(" * 30 + "'abcdefgh'" + ")" * 30: "longer than 10,000,000 bytes",
    f"SELECT replace(hex('{'a' * 1_000}'), '6', '{'b' * 20_000}')": "longer than 10,000,000 bytes",
    "SELECT " + "1+" * 40_000 + "1": "too large",
    "SELECT 1 " + "UNION ALL SELECT 1 " * 500: "too many terms",
    "SELECT 1 WHERE 'a' LIKE '" + "%a" * 400 + "'": "too complex",
    "SELECT '" + "a" * 100_001 + "'": "100,000 characters",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000: "SQLite refuses",
    "SELECT " + ", ".join("1" for _ in range(1_000)): "too many columns",
    "SELECT 1 FROM " + ", ".join(f"jobs j{n}" for n in range(40)): "64 tables",
}


def test_what_is_too_large_is_an_error_of_the_query(cache: Path) -> None:
    for sql, said in TOO_LARGE.items():
        assert said in refused(cache, sql), sql[:60]


def test_memory_is_bounded(cache: Path) -> None:
    long = "hex(hex(hex(hex(hex(hex(hex(hex(hex(hex(hex('aaaaaaaaaaaaaaa')))))))))))"
    sql = f"{ENDLESS}, t AS (SELECT {long} || x AS y FROM n) SELECT y FROM t ORDER BY y"
    assert "more than 512 MiB" in refused(cache, sql, seconds=300)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sql=st.one_of(
        st.text(max_size=60),
        st.builds(
            "{} {}".format,
            st.sampled_from(["SELECT", "WITH a AS (", "VALUES", "EXPLAIN", "SELECT * FROM models"]),
            st.text(max_size=40),
        ),
        st.lists(
            st.sampled_from(
                [
                    *(
                        "SELECT",
                        "*",
                        "FROM",
                        "models",
                        "jobs",
                        "WHERE",
                        "main.",
                        "(",
                        ")",
                        ",",
                        "1",
                    ),
                    *("UNION", "ORDER BY", "name", "row", "'", '"', ";", "DELETE", "INSERT INTO"),
                    *("INTO", "WITH", "RECURSIVE", "a", "AS", "count(", "LIMIT", "--", "/*", "x'"),
                    *("\x00", "\ud800", "facts", "UPDATE", "SET", "=", "PRAGMA", "ATTACH", "||"),
                ]
            ),
            max_size=14,
        ).map(" ".join),
    )
)
def test_no_text_gives_a_traceback_or_changes_the_cache(cache: Path, sql: str) -> None:
    before = digest(cache)
    try:
        result = run_query(cache, sql, seconds=2)
        assert all(len(row) == len(result.columns) for row in result.rows)
    except LoraTuiError as error:
        said = str(error)
        code = error.exit_code
    else:
        said, code = "", 2
    assert code == 2, sql
    assert "\n" not in said
    assert digest(cache) == before


def test_listed_functions_exist_in_some_sqlite_or_are_said_to_be_missing(cache: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        there = {name for (name,) in db.execute("SELECT name FROM pragma_function_list")}
    assert len(FUNCTIONS & there) > 60
    assert not FUNCTIONS & {"load_extension", "readfile", "zeroblob", "randomblob", "printf"}
