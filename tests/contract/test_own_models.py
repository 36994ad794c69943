"""A user keeps the own models in order by our migration, and changes nothing else of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import Connection

import httpx
import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.cache.deleted_models import select_deleted
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import get_model
from lora_tui.clock import parse_timestamp
from lora_tui.errors import CacheError, NotFoundError, NotMigratedError
from lora_tui.keeping import change
from lora_tui.sync import sync_cache
from tests.backends.backend import Backend, sandbox_backend
from tests.backends.lite import lite_backend
from tests.backends.seed import Row, Seed
from tests.contract.conftest import Person, signed_in


@pytest.fixture
def model(backend: Backend, seed: Seed) -> Row:
    return seed.artifact(backend.alice)


@pytest.fixture
def cache(backend: Backend, alice: Person, tmp_path: Path) -> Iterator[Connection]:
    db = open_cache(tmp_path / "cache.sqlite", Owner(alice.id, backend.url))
    yield db
    db.close()


def patch(http: httpx.Client, row: Row, **values: object) -> httpx.Response:
    return http.patch(
        "/rest/v1/model_artifacts",
        params={"id": f"eq.{row['id']}"},
        json=values,
        headers={"Prefer": "return=representation"},
    )


def test_its_owner_renames_describes_archives_deletes_and_restores_it(
    alice: Person, cache: Connection, seed: Seed, model: Row
) -> None:
    def changed(changes: dict[str, object]) -> Row:
        row = change.change_model(alice.gateway.rest, cache, alice.id, model["id"], changes)
        (there,) = seed.rows("model_artifacts", id=f"eq.{model['id']}")
        assert row == there
        assert parse_timestamp(row["updated_at"]) != parse_timestamp(model["updated_at"])
        return row

    changed(change.renaming("support v2"))
    changed(change.describing("for\ncustomers"))
    changed(change.deploying())
    row = changed(change.archiving())
    shown = get_model(cache, model["id"])
    assert shown is not None
    assert (shown.name, shown.description, shown.status) == (
        "support v2",
        "for\ncustomers",
        "archived",
    )
    assert changed(change.unarchiving(row))["status"] == "deployed"
    assert changed(change.undeploying())["deployed_at"] is None
    changed(change.deleting())
    assert get_model(cache, model["id"]) is None
    assert [there.name for there in select_deleted(cache)] == ["support v2"]
    changed(change.undeleting())
    assert get_model(cache, model["id"]) is not None
    assert select_deleted(cache) == []
    assert changed(change.describing(""))["description"] is None


def test_a_sync_elsewhere_sees_each_change(
    alice: Person, cache: Connection, tmp_path: Path, backend: Backend, model: Row
) -> None:
    rest, elsewhere = alice.gateway.rest, open_cache(
        tmp_path / "other.sqlite", Owner(alice.id, backend.url)
    )  # fmt: skip
    sync_cache(rest, elsewhere, alice.id)
    sync_cache(rest, cache, alice.id)
    for changes in (change.renaming("new"), change.deleting(), change.undeleting()):
        change.change_model(rest, cache, alice.id, model["id"], changes)
        sync_cache(rest, elsewhere, alice.id)
        shown, here = (get_model(db, model["id"]) for db in (elsewhere, cache))
        assert shown == here
        assert select_deleted(elsewhere) == select_deleted(cache)
    elsewhere.close()


def test_a_deletion_has_the_time_of_the_server(alice: Person, model: Row) -> None:
    (row,) = patch(alice.bare, model, deleted_at="1970-01-01T00:00:00Z").json()
    moment = parse_timestamp(row["deleted_at"])
    assert moment is not None
    assert abs(datetime.now(UTC) - moment) < timedelta(hours=1)


@pytest.mark.parametrize(
    "values",
    [
        {"version": "9"},
        {"artifacts": {"a": "b"}},
        {"configuration": {}},
        {"parent_model_id": "00000000-0000-4000-8000-0000000000ff"},
        {"created_at": "1970-01-01T00:00:00Z"},
        {"id": "00000000-0000-4000-8000-0000000000ff"},
    ],
    ids=lambda values: next(iter(values)),
)
def test_no_other_column_is_changed(
    alice: Person, seed: Seed, model: Row, values: dict[str, object]
) -> None:
    answer = patch(alice.bare, model, name="also", **values)
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")
    assert seed.rows("model_artifacts", id=f"eq.{model['id']}") == [model]


def test_a_row_is_not_given_away(alice: Person, bob: Person, seed: Seed, model: Row) -> None:
    assert patch(alice.bare, model, user_id=bob.id).status_code == 403
    assert seed.rows("model_artifacts", id=f"eq.{model['id']}") == [model]


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": " "},
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"name": "\x1b[31m"},
        {"status": "gone"},
        {"status": None},
        {"description": "x" * 10_001},
    ],
    ids=lambda values: repr(values)[:30],
)
def test_values_that_are_not_allowed(
    alice: Person, seed: Seed, model: Row, values: dict[str, object]
) -> None:
    # 400 by PostgREST; @supabase/lite answers 500 to what a trigger raises
    assert patch(alice.bare, model, **values).status_code in (400, 500)
    assert seed.rows("model_artifacts", id=f"eq.{model['id']}") == [model]


def test_neither_another_user_nor_anybody_without_a_session(
    backend: Backend, bob: Person, cache: Connection, seed: Seed, model: Row
) -> None:
    assert patch(bob.bare, model, name="taken").json() == []
    with httpx.Client(
        base_url=backend.url, headers={"apikey": backend.anon_key}, trust_env=False
    ) as nobody:
        answer = patch(nobody, model, name="taken")
        # @supabase/lite has no table privileges, and finds no row
        assert answer.status_code == 401 or answer.json() == []
    with pytest.raises(NotFoundError) as refusal:
        change.change_model(bob.gateway.rest, cache, bob.id, model["id"], change.renaming("taken"))
    assert not isinstance(refusal.value, NotMigratedError)
    assert seed.rows("model_artifacts", id=f"eq.{model['id']}") == [model]


def test_a_model_that_was_changed_meanwhile_is_left_as_it_is(
    alice: Person, cache: Connection, seed: Seed, model: Row
) -> None:
    rest, seen = alice.gateway.rest, model["updated_at"]
    newer = seed.changed("model_artifacts", model["id"], description="from the web")
    with pytest.raises(CacheError, match="changed elsewhere"):
        change.change_model(rest, cache, alice.id, model["id"], change.renaming("mine"), seen=seen)
    assert seed.rows("model_artifacts", id=f"eq.{model['id']}") == [newer]
    row = change.change_model(
        rest, cache, alice.id, model["id"], change.renaming("mine"), seen=newer["updated_at"]
    )
    # an answer that was lost: the same change again is done already
    again = change.change_model(
        rest, cache, alice.id, model["id"], change.renaming("mine"), seen=newer["updated_at"]
    )
    assert again == row


@pytest.mark.parametrize("start", [sandbox_backend, lite_backend], ids=["sandbox", "lite"])
def test_as_deployed_nothing_is_changed_and_the_remedy_is_said(
    start: object, tmp_path: Path
) -> None:
    with start(migrated=False) as backend, Seed.of(backend) as seed:  # type: ignore[operator]
        row = seed.artifact(backend.alice)
        with signed_in(backend, backend.alice) as alice:
            answer = patch(alice.bare, row, name="renamed")
            assert (answer.status_code, answer.json()) == (200, [])
            db = open_cache(tmp_path / "cache.sqlite", Owner(alice.id, backend.url))
            with pytest.raises(NotMigratedError) as refusal:
                change.change_model(
                    alice.gateway.rest, db, alice.id, row["id"], change.renaming("renamed")
                )
            db.close()
        assert "lora-tui schema" in str(refusal.value.remedy)
        assert seed.rows("model_artifacts", id=f"eq.{row['id']}") == [row]
