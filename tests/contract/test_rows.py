"""Rows that the sync reads: in pages, by ids, counted."""

from __future__ import annotations

import pytest

from lora_tui.gateway import Gateway
from lora_tui.gateway.rest import Cursor
from tests.backends.backend import Backend
from tests.backends.seed import Seed
from tests.contract.conftest import Person


def test_a_deleted_model_is_not_counted_and_still_found_by_the_sync(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    kept = seed.artifact(backend.alice)
    deleted = seed.artifact(backend.alice, deleted_at="2026-11-22T00:00:00+00:00")
    rest = alice.gateway.rest
    living = set(rest.ids("model_artifacts", alice.id))
    assert kept["id"] in living
    assert deleted["id"] not in living
    assert rest.count("model_artifacts", alice.id) == len(living)
    found = rest.rows_by_id("model_artifacts", alice.id, [kept["id"], deleted["id"]])
    assert {row["id"] for row in found} == {kept["id"], deleted["id"]}


def test_nobody_gets_rows_of_another_by_their_ids(
    backend: Backend, alice: Person, bob: Person, seed: Seed
) -> None:
    model = seed.artifact(backend.alice)
    for user_id in (alice.id, bob.id):
        assert bob.gateway.rest.rows_by_id("model_artifacts", user_id, [model["id"]]) == []


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("datasets", "updated_at"),
        ("training_jobs", "updated_at"),
        ("model_artifacts", "updated_at"),
        ("notifications", "created_at"),
    ],
)
def test_keyset_pages_visit_every_row_exactly_once(
    backend: Backend, alice: Person, seed: Seed, table: str, key: str
) -> None:
    # Seven rows in one microsecond, and neighbours that differ in the last digit only.
    moments = ["2026-10-05T06:07:08.123456+00:00"] * 7
    moments += ["2026-10-05T06:07:08.123457+00:00", "2026-10-05T06:07:08.12345+00:00"]
    moments += ["2026-10-05T06:07:08+00:00", "2026-10-05T06:07:09.5+00:00"]
    make = {
        "datasets": seed.dataset,
        "training_jobs": seed.job,
        "model_artifacts": seed.artifact,
        "notifications": seed.notification,
    }[table]
    ours = {make(backend.alice, **{key: moment})["id"] for moment in moments}
    visited: list[str] = []
    after: Cursor | None = None
    while page := alice.gateway.rest.page(table, alice.id, after=after, limit=3, key=key).rows:
        assert len(page) <= 3
        visited += [row["id"] for row in page]
        after = Cursor(page[-1][key], page[-1]["id"])
    assert len(visited) == len(set(visited))
    assert ours <= set(visited)
    everything = seed.rows(table, user_id=f"eq.{alice.id}", select="id", order=f"{key},id")
    assert visited == [row["id"] for row in everything]


def test_the_newest_rows_come_first_in_one_answer_with_the_number_of_all(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    moments = ["2027-02-05T06:07:08.123456+00:00"] * 3 + ["2027-02-05T06:07:08.123457+00:00"]
    for moment in moments:
        seed.artifact(backend.alice, updated_at=moment)
    seed.artifact(backend.alice, updated_at="2020-01-01T00:00:00+00:00", deleted_at=moments[0])
    page = alice.gateway.rest.page(
        "model_artifacts",
        alice.id,
        after=None,
        limit=3,
        columns="id,updated_at,deleted_at",
        counted=True,
        newest_first=True,
    )
    everything = seed.rows(
        "model_artifacts", user_id=f"eq.{alice.id}", select="id", order="updated_at,id"
    )
    assert [row["id"] for row in page.rows] == [row["id"] for row in everything[-1:-4:-1]]
    assert page.total == len(everything)
    assert page.server_time is not None


def test_a_page_from_a_moment_holds_what_changed_since_and_nothing_else(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    before = seed.dataset(backend.alice, updated_at="2027-01-01T00:00:00+00:00")
    since = seed.dataset(backend.alice, updated_at="2027-01-01T00:00:01+00:00")
    rows = alice.gateway.rest.page(
        "datasets", alice.id, after=Cursor.at("2027-01-01T00:00:01+00:00")
    ).rows
    ids = {row["id"] for row in rows}
    assert since["id"] in ids
    assert before["id"] not in ids


def test_a_changed_row_comes_again_after_the_mark(
    backend: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    job = seed.job(backend.alice)
    model = seed.artifact(backend.alice, job)
    cursor = Cursor(job["updated_at"], job["id"])
    assert service.rest.link_job(job["id"], model["id"])
    rows = alice.gateway.rest.page("training_jobs", alice.id, after=cursor).rows
    assert [row["artifact_id"] for row in rows if row["id"] == job["id"]] == [model["id"]]
