"""After a sync the cache equals the backend."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from lora_tui.cache import deleted_models, metadata, metrics, models
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.integrity import find_damage
from lora_tui.config.table import Profile
from lora_tui.engine.online import OnlineWriters
from lora_tui.errors import UnreachableError
from lora_tui.fetching.curves import pull_curve
from lora_tui.sandbox import Sandbox
from lora_tui.sync import sync_cache


@pytest.fixture
def online(profile: Profile) -> Iterator[OnlineWriters]:
    with closing(OnlineWriters(profile)) as writers:
        yield writers


@pytest.fixture
def db(online: OnlineWriters) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(online.cache_path)) as connection:
        yield connection


class Owner:
    """Changes the backend behind the cache's back, with the service key."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._rest = httpx.Client(
            base_url=f"{sandbox.url}/rest/v1/", headers={"apikey": sandbox.service_key}
        )
        self.user_id = sandbox.user_id

    def rows(self, table: str, **filters: str) -> list[dict[str, Any]]:
        query = {"user_id": f"eq.{self.user_id}", "order": "id", **filters}
        rows: list[dict[str, Any]] = self._rest.get(table, params=query).raise_for_status().json()
        return rows

    def count_points(self, job_id: str) -> int:
        query = {"job_id": f"eq.{job_id}", "select": "id", "limit": "1"}
        answer = self._rest.get("metrics_points", params=query, headers={"Prefer": "count=exact"})
        return int(answer.headers["Content-Range"].partition("/")[2])

    def patch(self, table: str, row_id: str, **values: Any) -> None:
        query = {"id": f"eq.{row_id}"}
        self._rest.patch(table, params=query, json=values).raise_for_status()

    def delete(self, table: str, row_id: str) -> None:
        self._rest.delete(table, params={"id": f"eq.{row_id}"}).raise_for_status()


@pytest.fixture
def owner(configured: Sandbox) -> Owner:
    return Owner(configured)


def cached(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[0] for row in db.execute(f"SELECT id FROM {table}")}


def run_sync(online: OnlineWriters, db: sqlite3.Connection, *, full: bool = False) -> Any:
    return sync_cache(online.rest, db, online.user_id, full=full)


def test_the_first_sync_brings_all_own_rows_that_are_not_deleted(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    run_sync(online, db)
    living = owner.rows("model_artifacts", deleted_at="is.null")
    assert cached(db, "models") == {row["id"] for row in living}
    for table, remote in (("jobs", "training_jobs"), ("notifications", "notifications")):
        assert cached(db, table) == {row["id"] for row in owner.rows(remote)}
    for row in living:
        stored = models.get_row(db, row["id"])
        assert stored is not None
        assert {key: stored[key] for key in row} == row


def test_a_second_sync_writes_no_model(online: OnlineWriters, db: sqlite3.Connection) -> None:
    run_sync(online, db)
    report = run_sync(online, db)
    assert report.written["model_artifacts"] == 0
    assert report.curves == 0


def test_a_renamed_model_and_dataset_show_after_the_next_sync(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    run_sync(online, db)
    model = owner.rows("model_artifacts", deleted_at="is.null")[0]
    owner.patch("model_artifacts", model["id"], name="New name")
    owner.patch("datasets", model["dataset_id"], name="New dataset")
    run_sync(online, db)
    found = models.get_model(db, model["id"])
    assert found is not None
    assert found.dataset is not None
    assert (found.name, found.dataset.name) == ("New name", "New dataset")


def test_a_soft_deleted_model_disappears(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    run_sync(online, db)
    model = owner.rows("model_artifacts", deleted_at="is.null")[0]
    owner.patch("model_artifacts", model["id"], deleted_at="2026-11-24T00:00:00+00:00")
    run_sync(online, db)
    assert model["id"] not in cached(db, "models")


def test_a_deleted_model_is_kept_apart_until_it_is_restored_or_gone_for_good(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    def deleted() -> set[str]:
        there = owner.rows("model_artifacts", deleted_at="not.is.null")
        kept = deleted_models.select_deleted(db)
        assert {model.id for model in kept} == {row["id"] for row in there}
        for model in kept:
            row = next(row for row in there if row["id"] == model.id)
            assert deleted_models.deleted_row(db, model.id) == row
        assert not cached(db, "models") & {model.id for model in kept}
        return {model.id for model in kept}

    one, two = (row["id"] for row in owner.rows("model_artifacts", deleted_at="is.null")[:2])
    owner.patch("model_artifacts", one, deleted_at="2026-11-24T00:00:00+00:00")
    run_sync(online, db)  # the first one, too
    assert one in deleted()
    owner.patch("model_artifacts", two, deleted_at="2026-11-24T00:00:00+00:00")
    run_sync(online, db)
    assert {one, two} <= deleted()
    owner.patch("model_artifacts", one, deleted_at=None)
    owner.patch("model_artifacts", two, name="renamed")
    run_sync(online, db)
    assert one not in deleted()
    assert one in cached(db, "models")
    assert find_damage(db) is None
    with transaction(db):  # as in a cache that an earlier version has written
        db.execute("DELETE FROM deleted_models")
        metadata.put_value(db, "sync.reconciled", "")
    run_sync(online, db)
    assert two in deleted()
    job = next(row["job_id"] for row in owner.rows("model_artifacts", id=f"eq.{two}"))
    owner.patch("training_jobs", job, artifact_id=None)
    owner.delete("model_artifacts", two)
    run_sync(online, db, full=True)
    assert two not in deleted()


def test_a_model_whose_row_was_deleted_disappears_with_a_full_sync(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    run_sync(online, db)
    model = owner.rows("model_artifacts", deleted_at="is.null")[0]
    owner.patch("training_jobs", model["job_id"], artifact_id=None)
    owner.delete("model_artifacts", model["id"])
    run_sync(online, db, full=True)
    assert model["id"] not in cached(db, "models")


def test_an_interrupted_sync_continues_and_loses_nothing(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner, configured: Sandbox
) -> None:
    configured.faults(path="/rest/v1/model_artifacts", fail_next=-1, status=400)
    with pytest.raises(Exception, match=r".+"):
        run_sync(online, db)
    state = metadata.get_sync_state(db)
    assert (state.running, state.last_success) == (False, None)
    assert state.error
    assert cached(db, "jobs") == {row["id"] for row in owner.rows("training_jobs")}
    configured.clear_faults()
    run_sync(online, db)
    assert len(cached(db, "models")) == len(owner.rows("model_artifacts", deleted_at="is.null"))
    assert metadata.get_sync_state(db).online


def test_pages_smaller_than_the_table_still_bring_every_row(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner, configured: Sandbox
) -> None:
    configured.faults(path="/rest/v1/training_jobs", max_rows=3)
    run_sync(online, db)
    assert len(cached(db, "jobs")) > 3
    configured.clear_faults()
    assert cached(db, "jobs") == {row["id"] for row in owner.rows("training_jobs")}


@pytest.mark.slow
def test_the_curve_of_each_run_is_complete(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    jobs = owner.rows("training_jobs")
    assert jobs
    for job in jobs:
        pull_curve(online.rest, db, job["id"])
        assert len(metrics.get_points(db, job["id"])) == owner.count_points(job["id"])


def test_a_notification_read_elsewhere_is_read_here(
    online: OnlineWriters, db: sqlite3.Connection, owner: Owner
) -> None:
    run_sync(online, db)
    unread = owner.rows("notifications", read="is.false")
    assert unread
    owner.patch("notifications", unread[0]["id"], read=True)
    run_sync(online, db)
    (read,) = db.execute(
        "SELECT read FROM notifications WHERE id = ?", [unread[0]["id"]]
    ).fetchone()
    assert read == 1


@pytest.mark.slow
def test_without_a_backend_a_sync_is_unreachable_and_the_cache_can_be_read(
    online: OnlineWriters, db: sqlite3.Connection, configured: Sandbox
) -> None:
    run_sync(online, db)
    configured.stop()
    with pytest.raises(UnreachableError):
        run_sync(online, db)
    state = metadata.get_sync_state(db)
    assert state.last_success is not None
    assert not state.online
    assert len(cached(db, "models")) == 6
