"""What a name or an id that nobody has may mean: the nearest names and ids in the cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache import jobs, models, near, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.own_marks import put_marks
from lora_tui.domain.own_marks import Marks, ModelMarks
from tests.hostile import acting
from tests.tui.library import HOSTILE_NAMES, identifier, model_row


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        names = ("support-mails-v3", "support-mails-v4", "SQL Assistant", *HOSTILE_NAMES)
        with transaction(connection, Topic.MODELS):
            rows = [model_row(number, name=name) for number, name in enumerate(names)]
            models.put_models(connection, rows)
            jobs.put_jobs(
                connection, [{"id": identifier("job", n), "status": "failed"} for n in range(9)]
            )
        yield connection


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("suport-mails-v3", [0, 1]),
        ("sql assistant", [2]),
        ("SQL Asistant", [2]),
        ("mails-v4", [1]),
        ("Radiology", []),
        ("x", []),
        ("", []),
        ("%", []),
    ],
)
def test_a_mistyped_name_finds_those_that_come_near(
    db: sqlite3.Connection, typed: str, found: list[int]
) -> None:
    told = near.near_models(db, typed)
    assert [line[-9:-1] for line in told] == [identifier("model", n)[:8] for n in found]


def test_a_mistyped_tag_note_or_dataset_of_a_job_finds_what_has_it(db: sqlite3.Connection) -> None:
    marked = identifier("model", 1)
    with transaction(db):
        marks = Marks({marked: ModelMarks("x", tags=("candidate",), note="forgets greetings")})
        put_marks(db, marks, "stamp")
        records.put_datasets(db, [{"id": "d1", "name": "Legal Clause Review"}])
        jobs.put_jobs(db, [{"id": identifier("job", 1), "status": "failed", "dataset_id": "d1"}])
    for typed in ("canddiate", "greetigns", "frogets"):
        assert near.nearest_marked(db, typed) == [marked]
    assert near.nearest_marked(db, "radiology") == []
    assert near.nearest_words_of_jobs(db, "legla clause") == ["Legal Clause Review"]
    assert near.nearest_words_of_jobs(db, "radiology") == []


def test_a_mistyped_start_of_an_id_finds_the_id(db: sqlite3.Connection) -> None:
    model, job = identifier("model", 2), identifier("job", 2)
    wrong = "0" if model[3] != "0" else "1"
    assert near.near_models(db, f"{model[:3]}{wrong}{model[4:8]}") == [
        f"{model[:8]} (SQL Assistant)"
    ]
    assert near.near_models(db, f"{model[0]}{model[2]}{model[1]}{model[3:]}".upper())
    assert near.near_jobs(db, f"{job[:7]}{job[8:]}")[:1] == [job]
    assert near.near_jobs(db, "zzzzzzzz") == near.near_models(db, "zzzzzzzz") == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_come_near_are_few_short_and_harmless(db: sqlite3.Connection, name: str) -> None:
    told = near.near_models(db, f"{name[:70]}x")
    assert told
    assert len(told) <= near.MOST_NEAR
    assert not acting(" ".join(told))
    assert all(len(line) < 80 for line in told)


def test_only_a_part_of_very_many_names_is_read(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near, "MOST_READ", 1)
    assert [line[:16] for line in near.near_models(db, "support-mails-v3x")] == [
        "support-mails-v3",
        "support-mails-v4",
    ]
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    near.near_models(db, "support-mails-v3x")
    db.set_trace_callback(None)
    plans = [
        row[3] for sql in statements for row in db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
    ]
    assert plans
    assert all(plan.startswith("SEARCH") for plan in plans)
