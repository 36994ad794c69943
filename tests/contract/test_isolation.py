"""Who may read and change which rows with our migration, without our own filters."""

from __future__ import annotations

import httpx
import pytest

from lora_tui.errors import DeniedError, NotFoundError
from lora_tui.gateway import Gateway
from tests.backends.backend import Backend
from tests.backends.seed import Row, Seed
from tests.contract.conftest import Person, sees

TABLES = (
    "datasets",
    "training_jobs",
    "model_artifacts",
    "metrics_points",
    "notifications",
    "cost_records",
)


@pytest.fixture
def rows(backend: Backend, seed: Seed) -> dict[str, Row]:
    """A row of Alice's in each table."""
    return seed.one_in_each_table(backend.alice)


@pytest.mark.parametrize("table", TABLES)
def test_only_its_owner_sees_a_row(
    backend: Backend, alice: Person, bob: Person, rows: dict[str, Row], table: str
) -> None:
    row = rows[table]
    assert alice.sees(table, row)
    assert not bob.sees(table, row)
    with httpx.Client(
        base_url=backend.url, headers={"apikey": backend.anon_key}, trust_env=False
    ) as nobody:
        assert not sees(nobody, table, row)


@pytest.mark.parametrize("table", TABLES)
def test_nobody_sees_a_row_of_another_user_in_a_list_or_a_count(
    backend: Backend, bob: Person, rows: dict[str, Row], table: str
) -> None:
    answer = bob.bare.get(
        f"/rest/v1/{table}", params={"select": "id"}, headers={"Prefer": "count=exact"}
    )
    assert rows[table]["id"] not in {row["id"] for row in answer.json()}
    assert answer.headers["content-range"].rpartition("/")[2] == str(len(answer.json()))


def test_embedding_shows_no_row_that_a_query_would_hide(
    backend: Backend, bob: Person, seed: Seed, rows: dict[str, Row]
) -> None:
    # A row of Bob's that points at a dataset of Alice's.
    job = seed.job(backend.bob, rows["datasets"])
    answer = bob.bare.get(
        "/rest/v1/training_jobs",
        params={"id": f"eq.{job['id']}", "select": "id,dataset:datasets!dataset_id(name)"},
    )
    assert answer.json() == [{"id": job["id"], "dataset": None}]


@pytest.mark.parametrize("table", TABLES)
def test_nobody_deletes_a_row_of_another_user(
    backend: Backend, bob: Person, seed: Seed, rows: dict[str, Row], table: str
) -> None:
    row = rows[table]
    bob.bare.delete(f"/rest/v1/{table}", params={"id": f"eq.{row['id']}"})
    assert len(seed.rows(table, id=f"eq.{row['id']}")) == 1


@pytest.mark.parametrize("table", TABLES)
def test_nobody_changes_a_row_of_another_user(
    backend: Backend, bob: Person, seed: Seed, rows: dict[str, Row], table: str
) -> None:
    row = rows[table]
    changes: dict[str, Row] = {
        "datasets": {"name": "taken"},
        "training_jobs": {"current_stage": "taken"},
        "model_artifacts": {"name": "taken"},
        "metrics_points": {"epoch": 99},
        "notifications": {"read": True},
        "cost_records": {"billing_period": "taken"},
    }
    bob.bare.patch(f"/rest/v1/{table}", params={"id": f"eq.{row['id']}"}, json=changes[table])
    assert seed.rows(table, id=f"eq.{row['id']}") == [row]


@pytest.mark.parametrize("table", ["metrics_points", "notifications", "cost_records"])
def test_nobody_writes_a_row_for_another_user(
    backend: Backend, bob: Person, seed: Seed, rows: dict[str, Row], table: str
) -> None:
    owner = "job_id" if table == "metrics_points" else "user_id"
    theirs = {owner: f"eq.{rows[table][owner]}", "select": "id"}
    before = seed.rows(table, **theirs)
    row = {key: value for key, value in rows[table].items() if key != "id"}
    assert bob.bare.post(f"/rest/v1/{table}", json=row).status_code == 403
    assert len(seed.rows(table, **theirs)) == len(before)


def test_nobody_reads_the_metric_points_of_anothers_job(
    backend: Backend, alice: Person, bob: Person, rows: dict[str, Row]
) -> None:
    job_id = rows["training_jobs"]["id"]
    assert list(bob.gateway.rest.metric_points(job_id)) == []
    assert len(list(alice.gateway.rest.metric_points(job_id))) == 1


def test_the_service_role_sees_and_writes_what_it_saw_and_wrote_before(
    backend: Backend, service: Gateway, seed: Seed, rows: dict[str, Row]
) -> None:
    for table in TABLES:
        assert len(seed.rows(table, id=f"eq.{rows[table]['id']}")) == 1
    found = service.rest.artifact_by_job(rows["training_jobs"]["id"])
    assert found is not None
    assert found["id"] == rows["model_artifacts"]["id"]


def test_a_user_marks_an_own_notification_as_read_and_as_unread_again(
    backend: Backend, alice: Person, seed: Seed, rows: dict[str, Row]
) -> None:
    notification = rows["notifications"]["id"]
    for read in (True, False):
        assert alice.gateway.rest.mark_notification_read(notification, read, user_id=alice.id)
        [row] = seed.rows("notifications", id=f"eq.{notification}")
        assert row == rows["notifications"] | {"read": read}


def test_a_user_marks_no_notification_of_anothers(
    backend: Backend, alice: Person, bob: Person, seed: Seed, rows: dict[str, Row]
) -> None:
    notification = rows["notifications"]["id"]
    for user_id in (None, bob.id, alice.id):
        assert not bob.gateway.rest.mark_notification_read(notification, user_id=user_id)
    [row] = seed.rows("notifications", id=f"eq.{notification}")
    assert row["read"] is False


@pytest.mark.parametrize(
    "change",
    [
        {"title": "another"},
        {"message": "another"},
        {"read": True, "priority": "low"},
        {"action_url": "/elsewhere"},
        {"metadata": {"artifact_id": "another"}},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_user_changes_nothing_else_of_an_own_notification(
    backend: Backend, alice: Person, seed: Seed, rows: dict[str, Row], change: Row
) -> None:
    row = rows["notifications"]
    answer = alice.bare.patch(
        "/rest/v1/notifications", params={"id": f"eq.{row['id']}"}, json=change
    )
    assert answer.status_code == 403
    assert seed.rows("notifications", id=f"eq.{row['id']}") == [row]


def test_the_service_role_may_change_all_of_a_notification(
    backend: Backend, seed: Seed, rows: dict[str, Row]
) -> None:
    row = rows["notifications"]
    changed = seed.changed("notifications", row["id"], title="corrected", read=True)
    assert changed == row | {"title": "corrected", "read": True}


def test_a_user_cannot_give_a_notification_away(
    backend: Backend, alice: Person, seed: Seed, rows: dict[str, Row]
) -> None:
    row = rows["notifications"]
    answer = alice.bare.patch(
        "/rest/v1/notifications",
        params={"id": f"eq.{row['id']}"},
        json={"user_id": backend.bob.user_id},
    )
    assert answer.status_code == 403
    assert seed.rows("notifications", id=f"eq.{row['id']}") == [row]


def test_a_user_stores_signs_lists_and_removes_nothing_in_anothers_folder(
    backend: Backend, alice: Person, bob: Person, service: Gateway, seed: Seed
) -> None:
    path = seed.stored(f"{alice.id}/isolation/adapter_model.bin", b"weights")
    storage = bob.gateway.storage
    with pytest.raises(NotFoundError):
        storage.sign(path)
    with pytest.raises(NotFoundError):
        storage.info(path)
    assert list(storage.list(f"{alice.id}/isolation")) == []
    with pytest.raises(DeniedError):
        storage.upload(f"{alice.id}/isolation/more.bin", iter([b"x"]), size=1)
    with pytest.raises(DeniedError):
        storage.upload(path, iter([b"x"]), size=1, upsert=True)
    assert storage.delete([path]) == []
    assert service.storage.info(path).size == len(b"weights")


def test_a_folder_that_only_starts_with_a_users_id_is_not_theirs(
    backend: Backend, alice: Person, seed: Seed
) -> None:
    for folder in (f"{alice.id}-x", f"other/{alice.id}"):
        path = seed.stored(f"{folder}/file.bin", b"weights")
        with pytest.raises(NotFoundError):
            alice.gateway.storage.sign(path)


def test_a_user_reads_the_own_folder_and_does_not_write_to_it(
    backend: Backend, alice: Person, service: Gateway, seed: Seed
) -> None:
    path = seed.stored(f"{alice.id}/own/adapter_model.bin", b"weights")
    assert alice.gateway.storage.sign(path)
    with pytest.raises(DeniedError):
        alice.gateway.storage.upload(f"{alice.id}/own/more.bin", iter([b"x"]), size=1)
    alice.gateway.storage.delete([path])
    assert service.storage.info(path).size == len(b"weights")
