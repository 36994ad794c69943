"""Models: listed, sorted, searched, looked at, and paged through by the sync."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import pytest

from lora_tui.domain import Model
from lora_tui.errors import NotFoundError
from lora_tui.gateway import Gateway
from lora_tui.gateway.rest import SORTS, Cursor
from tests.backends.backend import Backend
from tests.backends.seed import Row, Seed
from tests.contract.conftest import Person


@pytest.fixture
def word() -> str:
    """A word that is in no other test's names."""
    return f"w{uuid.uuid4().hex[:12]}"


def listed(person: Person, word: str, **options: object) -> list[str]:
    rows, _ = person.gateway.rest.models(person.id, search=word, limit=50, **options)  # type: ignore[arg-type]
    return [row["id"] for row in rows]


def test_a_listed_model_carries_its_dataset_and_its_job(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    job = seed.job(backend.alice, preset_id="aggressive")
    model = seed.artifact(backend.alice, job, name=word)
    rows, total = alice.gateway.rest.models(alice.id, search=word)
    assert total == 1
    [row] = rows
    assert row["id"] == model["id"]
    assert row["dataset"] == {"name": "Support answers"}
    assert row["job"]["preset_id"] == "aggressive"
    assert row["job"].keys() == {"preset_id", "created_at"}


def test_each_page_of_the_list_knows_how_many_models_there_are_in_all(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    for number in range(5):
        seed.artifact(backend.alice, name=f"{word} {number}")
    pages = [
        alice.gateway.rest.models(alice.id, search=word, sort="name", page=page, limit=2)
        for page in (1, 2, 3, 4)
    ]
    assert [total for _, total in pages] == [5, 5, 5, 5]
    names = [[row["name"].rpartition(" ")[2] for row in rows] for rows, _ in pages]
    assert names == [["4", "3"], ["2", "1"], ["0"], []]


def test_sorted_by_quality_scores_count_as_numbers_and_unrated_models_come_last(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    scores: Sequence[object] = (2, 10, 4.5, None)
    rated = {
        score: seed.artifact(backend.alice, name=word, quality_metrics={"overall_score": score})
        for score in scores
    }
    unrated = seed.artifact(backend.alice, name=word, quality_metrics={})
    best_first = [rated[10], rated[4.5], rated[2], rated[None], unrated]
    assert listed(alice, word, sort="quality") == [row["id"] for row in best_first]


def test_every_sort_order_runs_both_ways(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    def model(place: int) -> Row:
        return seed.artifact(
            backend.alice,
            name=f"{word} {place}",
            created_at=f"2026-11-0{place}T08:00:00+00:00",
            quality_metrics={"overall_score": place, "final_training_loss": place * 5},
            training_summary={"total_cost": place * 6, "training_duration_hours": place * 7},
        )

    ascending = [model(place)["id"] for place in (1, 2, 3)]
    for sort in SORTS:
        assert listed(alice, word, sort=sort, descending=False) == ascending, sort
        assert listed(alice, word, sort=sort, descending=True) == ascending[::-1], sort


def test_equal_models_keep_one_order_so_that_pages_do_not_overlap(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    ids = {seed.artifact(backend.alice, name=word)["id"] for _ in range(6)}
    seen: list[str] = []
    for page in (1, 2, 3):
        rows, _ = alice.gateway.rest.models(
            alice.id, search=word, sort="quality", page=page, limit=2
        )
        seen += [row["id"] for row in rows]
    assert len(seen) == 6
    assert set(seen) == ids


@pytest.mark.parametrize("written", ["50% off", "snake_case", "a,b", "(draft)", 'say "hi"', "x.y"])
def test_the_search_takes_every_character_as_itself(
    backend: Backend, alice: Person, seed: Seed, word: str, written: str
) -> None:
    wanted = seed.artifact(backend.alice, name=f"{word} {written} end")
    seed.artifact(backend.alice, name=f"{word} 50 of nakedcase ab draft say hi xzy end")
    assert listed(alice, f"{word} {written}") == [wanted["id"]]


def test_the_search_does_not_care_for_case(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    wanted = seed.artifact(backend.alice, name=f"{word} Äpfel")
    assert listed(alice, word.upper()) == [wanted["id"]]


def test_a_model_is_shown_with_all_that_its_page_needs(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    job = seed.job(backend.alice, started_at="2026-11-20T08:30:00+00:00")
    model = seed.artifact(backend.alice, job)
    row = alice.gateway.rest.model(alice.id, model["id"])
    assert row["artifacts"] == model["artifacts"]
    assert row["dataset"] == {
        "id": job["dataset_id"],
        "name": "Support answers",
        "format": "brightrun_lora_v4",
        "total_training_pairs": 1200,
    }
    assert row["job"].keys() == {"id", "preset_id", "created_at", "started_at", "completed_at"}
    parsed = Model.from_row(row)
    assert parsed.job is not None
    assert parsed.job.started_at is not None
    assert parsed.job.started_at.isoformat() == "2026-11-20T08:30:00+00:00"
    assert parsed.created_at is not None


def test_another_users_model_a_missing_one_and_nonsense_are_all_not_found(
    backend: Backend, alice: Person, bob: Person, seed: Seed
) -> None:
    model = seed.artifact(backend.alice)
    asked = (
        (bob.id, model["id"]),
        (alice.id, model["id"]),
        (bob.id, str(uuid.uuid4())),
        (bob.id, "1 or 1=1"),
    )
    for user_id, model_id in asked:
        with pytest.raises(NotFoundError) as missing:
            bob.gateway.rest.model(user_id, model_id)
        assert str(missing.value) == "Model not found or access denied"
    assert alice.gateway.rest.model(alice.id, model["id"])["id"] == model["id"]


def test_a_deleted_model_is_gone_from_the_list_and_the_page_but_not_from_the_sync(
    backend: Backend, alice: Person, seed: Seed, word: str
) -> None:
    kept = seed.artifact(backend.alice, name=word)
    deleted = seed.artifact(backend.alice, name=word, deleted_at="2026-11-22T00:00:00+00:00")
    rest = alice.gateway.rest
    assert listed(alice, word) == [kept["id"]]
    with pytest.raises(NotFoundError):
        rest.model(alice.id, deleted["id"])
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
    while page := alice.gateway.rest.page(table, alice.id, after=after, limit=3, key=key):
        assert len(page) <= 3
        visited += [row["id"] for row in page]
        after = Cursor(page[-1][key], page[-1]["id"])
    assert len(visited) == len(set(visited))
    assert ours <= set(visited)
    everything = seed.rows(table, user_id=f"eq.{alice.id}", select="id", order=f"{key},id")
    assert visited == [row["id"] for row in everything]


def test_a_page_from_a_moment_holds_what_changed_since_and_nothing_else(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    before = seed.dataset(backend.alice, updated_at="2027-01-01T00:00:00+00:00")
    since = seed.dataset(backend.alice, updated_at="2027-01-01T00:00:01+00:00")
    rows = alice.gateway.rest.page(
        "datasets", alice.id, after=Cursor.at("2027-01-01T00:00:01+00:00")
    )
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
    rows = alice.gateway.rest.page("training_jobs", alice.id, after=cursor)
    assert [row["artifact_id"] for row in rows if row["id"] == job["id"]] == [model["id"]]
