"""The cache equals the backend after a sync, whatever happened there and to the last sync.

Each test syncs into a cache of its own, on an account that has no rows when it starts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui import clock
from lora_tui.cache import metrics, models
from lora_tui.cache.connection import open_cache
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.errors import UnreachableError
from lora_tui.fetching.curves import pull_curve
from lora_tui.gateway.paging import Page
from lora_tui.gateway.rest import Rest
from lora_tui.sync import SyncReport, sync_cache
from tests.backends.backend import Backend
from tests.backends.seed import Seed
from tests.contract.conftest import Person
from tests.sync.equality import assert_equal


@pytest.fixture(autouse=True)
def no_rows(backend: Backend, seed: Seed) -> None:
    """Remove what other tests left, which each test would sync again."""
    seed.remove_all(backend.alice, backend.bob)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        yield connection


@pytest.fixture
def sync(alice: Person, db: sqlite3.Connection) -> Callable[..., SyncReport]:
    def run(**options: Any) -> SyncReport:
        return sync_cache(alice.gateway.rest, db, alice.id, **options)

    return run


@pytest.fixture
def equal(alice: Person, db: sqlite3.Connection, seed: Seed) -> Callable[[], None]:
    return lambda: assert_equal(db, seed.rows, alice.id)


def newest(seed: Seed, owner: Person, table: str) -> datetime:
    [row] = seed.rows(
        table, user_id=f"eq.{owner.id}", select="updated_at", order="updated_at.desc", limit="1"
    )
    moment = parse_timestamp(row["updated_at"])
    assert moment is not None
    return moment


def test_a_first_sync_brings_every_table(
    backend: Backend, seed: Seed, sync: Callable[..., SyncReport], equal: Callable[[], None]
) -> None:
    seed.one_in_each_table(backend.alice)
    seed.one_in_each_table(backend.bob)
    sync()
    equal()


def test_a_sync_without_news_writes_nothing(
    backend: Backend, seed: Seed, sync: Callable[..., SyncReport]
) -> None:
    seed.one_in_each_table(backend.alice)
    sync()
    report = sync()
    assert set(report.written.values()) == {0}
    assert set(report.removed.values()) == {0}


@pytest.mark.parametrize("late", [timedelta(seconds=1), timedelta(minutes=4)])
def test_a_row_committed_after_later_ones_is_seen(
    backend: Backend,
    alice: Person,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
    late: timedelta,
) -> None:
    seed.artifact(backend.alice)
    sync()
    model = seed.artifact(
        backend.alice, updated_at=timestamp_text(newest(seed, alice, "model_artifacts") - late)
    )
    sync()
    assert models.get_row(db, model["id"]) is not None
    equal()


def test_a_change_committed_after_later_changes_is_seen(
    backend: Backend,
    alice: Person,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a server that does not tell its time, or what it says in whole seconds would hide the point
    monkeypatch.setattr("lora_tui.gateway.rest.server_time_of", lambda _response: None)
    alice.gateway.rest.server_time = None
    slow, quick = seed.artifact(backend.alice), seed.artifact(backend.alice)
    sync()
    seed.changed("model_artifacts", slow["id"], name="Slow")
    seed.changed("model_artifacts", quick["id"], name="Quick")
    with monkeypatch.context() as patch:  # the slow transaction is not committed yet
        whole = alice.gateway.rest.page

        def page(*arguments: Any, **options: Any) -> Page:
            page = whole(*arguments, **options)
            return page._replace(rows=[row for row in page.rows if row["id"] != slow["id"]])

        patch.setattr(alice.gateway.rest, "page", page)
        sync()
    names = {row["id"]: row["name"] for row in db.execute("SELECT id, name FROM models")}
    assert (names[quick["id"]], names[slow["id"]]) == ("Quick", slow["name"])
    sync()
    equal()


def test_a_row_written_with_a_time_of_long_ago_is_seen(
    backend: Backend,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
) -> None:
    seed.artifact(backend.alice)
    sync()
    model = seed.artifact(backend.alice, updated_at="2020-01-01T00:00:00+00:00")
    sync()
    assert models.get_row(db, model["id"]) is not None
    equal()


@pytest.mark.parametrize("wrong", [timedelta(days=-400), timedelta(days=400)])
def test_a_clock_that_is_wrong_here_loses_no_row(
    backend: Backend,
    alice: Person,
    seed: Seed,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    wrong: timedelta,
) -> None:
    job = seed.job(backend.alice)
    right = clock.now

    def sync_by_the_wrong_clock() -> None:
        alice.gateway.rest.count("datasets", alice.id)  # the session is fresh before
        with monkeypatch.context() as patch:
            for module in ("lora_tui.sync", "lora_tui.cache.metadata"):
                patch.setattr(f"{module}.clock", _Clock(lambda: right() + wrong))
            sync()

    sync_by_the_wrong_clock()
    equal()
    model = seed.artifact(backend.alice, job)
    seed.changed("training_jobs", job["id"], artifact_id=model["id"])
    sync_by_the_wrong_clock()
    equal()
    seed.changed("model_artifacts", model["id"], name="Renamed")
    sync()
    equal()


class _Clock:
    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now


def test_a_row_from_the_future_does_not_hide_what_changes_now(
    backend: Backend,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
) -> None:
    model = seed.artifact(backend.alice)
    future = seed.artifact(backend.alice, updated_at="2055-01-01T00:00:00+00:00")
    sync()
    seed.changed("model_artifacts", model["id"], name="Changed today")
    sync()
    found = models.get_model(db, model["id"])
    assert found is not None
    assert found.name == "Changed today"
    equal()
    seed.changed("model_artifacts", future["id"], updated_at="2026-11-24T00:00:00+00:00")


def test_a_renamed_dataset_and_a_linked_job_show_with_their_model(
    backend: Backend, seed: Seed, db: sqlite3.Connection, sync: Callable[..., SyncReport]
) -> None:
    job = seed.job(backend.alice)
    model = seed.artifact(backend.alice, job)
    sync()
    seed.changed("datasets", job["dataset_id"], name="Better answers")
    seed.changed("training_jobs", job["id"], artifact_id=model["id"])
    sync()
    row = models.get_row(db, model["id"])
    assert row is not None
    assert row["dataset"]["name"] == "Better answers"
    assert row["job"]["artifact_id"] == model["id"]


def test_a_deleted_dataset_still_names_its_models(
    backend: Backend,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
) -> None:
    job = seed.job(backend.alice)
    model = seed.artifact(backend.alice, job)
    sync()
    seed.changed("datasets", job["dataset_id"], deleted_at="2026-11-24T00:00:00+00:00")
    sync()
    row = models.get_row(db, model["id"])
    assert row is not None
    assert row["dataset"]["name"] == "Support answers"
    equal()


def test_a_model_marked_as_deleted_goes_and_comes_back_when_it_is_restored(
    backend: Backend,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
) -> None:
    model = seed.artifact(backend.alice)
    sync()
    seed.changed("model_artifacts", model["id"], deleted_at="2026-11-24T00:00:00+00:00")
    sync()
    assert models.get_row(db, model["id"]) is None
    equal()
    seed.changed("model_artifacts", model["id"], deleted_at=None)
    sync()
    assert models.get_row(db, model["id"]) is not None
    equal()


@pytest.mark.parametrize("full", [False, True])
def test_rows_deleted_for_good_disappear(
    backend: Backend,
    seed: Seed,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
    full: bool,
) -> None:
    job = seed.job(backend.alice)
    model = seed.artifact(backend.alice, job)
    notice = seed.notification(backend.alice)
    sync()
    for table, row in (
        ("model_artifacts", model),
        ("training_jobs", job),
        ("notifications", notice),
    ):
        seed.removed(table, row["id"])
    report = sync(full=full)
    equal()
    assert report.removed["model_artifacts"] == 1


def test_a_model_that_is_given_to_somebody_else_goes_to_them(
    backend: Backend,
    bob: Person,
    seed: Seed,
    tmp_path: Path,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
) -> None:
    model = seed.artifact(backend.alice)
    sync()
    with closing(open_cache(tmp_path / "bob.sqlite3")) as theirs:
        sync_cache(bob.gateway.rest, theirs, bob.id)
        assert models.get_row(theirs, model["id"]) is None
        seed.changed("model_artifacts", model["id"], user_id=bob.id)
        sync()
        equal()
        sync_cache(bob.gateway.rest, theirs, bob.id)
        assert models.get_row(theirs, model["id"]) is not None
        assert_equal(theirs, seed.rows, bob.id)


def test_a_notification_that_is_read_elsewhere_is_read_here_and_the_other_way_round(
    backend: Backend, seed: Seed, sync: Callable[..., SyncReport], equal: Callable[[], None]
) -> None:
    notice = seed.notification(backend.alice)
    sync()
    for read in (True, False):
        seed.changed("notifications", notice["id"], read=read)
        sync()
        equal()


@pytest.mark.parametrize("limit", [2, 7])  # pages of one row: tests/sync/test_state_machine.py
def test_page_boundaries_inside_equal_timestamps_lose_nothing(
    backend: Backend,
    alice: Person,
    seed: Seed,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    limit: int,
) -> None:
    moment = "2026-10-05T06:07:08.123456+00:00"
    for _ in range(9):
        seed.dataset(backend.alice, updated_at=moment)
    _with_pages_of(limit, alice.gateway.rest, monkeypatch)
    sync()
    equal()
    for _ in range(3):
        seed.dataset(backend.alice, updated_at=moment)
    sync()
    equal()
    sync(full=True)
    equal()


def _with_pages_of(limit: int, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages of datasets."""
    whole = rest.page

    def page(table: str, *arguments: Any, **options: Any) -> Page:
        if table == "datasets":
            options["limit"] = limit
        return whole(table, *arguments, **options)

    monkeypatch.setattr(rest, "page", page)


@pytest.mark.parametrize("full", [False, True])
def test_a_sync_interrupted_after_any_request_loses_nothing_and_ends_equal(
    backend: Backend,
    alice: Person,
    seed: Seed,
    db: sqlite3.Connection,
    sync: Callable[..., SyncReport],
    equal: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    full: bool,
) -> None:
    rows = seed.one_in_each_table(backend.alice)
    seed.metric_points(rows["training_jobs"], 20)
    seed.datasets(backend.alice, 9)
    _with_pages_of(4, alice.gateway.rest, monkeypatch)
    kept = rows["model_artifacts"]
    if full:
        sync()
    send = alice.gateway.rest.send
    left = 0

    def send_or_break(query: Any) -> httpx.Response:
        nonlocal left
        left -= 1
        if left < 0:
            raise UnreachableError("The connection broke")
        return send(query)

    monkeypatch.setattr(alice.gateway.rest, "send", send_or_break)
    # which request it was does not depend on the backend, and lite takes long for each
    step = 1 if backend.name == "sandbox" else 4
    for attempt in range(100):
        left = 1 + attempt * step
        try:
            sync(full=full)
        except UnreachableError:
            if full:
                assert models.get_row(db, kept["id"]) is not None
        else:
            break
        # what changes between two attempts is not lost either
        if attempt % 3 == 0:
            seed.changed("model_artifacts", kept["id"], name=f"Name {attempt}")
    else:
        pytest.fail("it never came to its end")
    equal()


def test_points_written_late_join_the_curve(
    backend: Backend, alice: Person, seed: Seed, db: sqlite3.Connection
) -> None:
    job = seed.job(backend.alice)
    seed.metric_points(job, 1234)
    pull_curve(alice.gateway.rest, db, job["id"])
    seed.point(job, timestamp="2026-11-20T09:01:00+00:00", step=5000, training_loss=9.5)
    pull_curve(alice.gateway.rest, db, job["id"])
    points = metrics.get_points(db, job["id"])
    assert len(points) == 1235
    assert [point.timestamp for point in points] == sorted(point.timestamp for point in points)
    assert 9.5 in [point.training_loss for point in points]
    curve = metrics.get_curve(db, job["id"])
    assert len(curve) == metrics.CHART_POINTS
    assert 9.5 in [point.training_loss for point in curve]


def test_reading_a_finished_curve_again_writes_nothing(
    backend: Backend, alice: Person, seed: Seed, db: sqlite3.Connection
) -> None:
    job = seed.job(backend.alice)
    seed.metric_points(job, 50)
    pull_curve(alice.gateway.rest, db, job["id"])
    before = db.total_changes
    pull_curve(alice.gateway.rest, db, job["id"])
    assert db.total_changes == before
