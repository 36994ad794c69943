"""Syncs that are killed or run at the same time: nothing is lost or half-written."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui.account.sessions import load_session
from lora_tui.cache import metadata, models
from lora_tui.cache.cache_file import sync_lock
from lora_tui.cache.connection import open_cache
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.errors import CacheError
from lora_tui.gateway.paging import Page
from lora_tui.gateway.rest import Rest
from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.middleware import RequestLog
from lora_tui.sync import sync_cache
from tests.backends.backend import Backend
from tests.backends.seed import Row, Seed
from tests.conftest import Run, set_environment
from tests.sync.equality import assert_equal


@pytest.fixture
def home_profile(empty_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run) -> Profile:
    """The sandbox as the configured project; signed in."""
    set_environment(empty_sandbox, monkeypatch)
    assert run("login").code == 0
    return load_profile()


def cache_of(profile: Profile) -> Path:
    session = load_session(profile)
    assert session is not None
    return profile.cache_path(session.user_id)


def many_models(backend: Backend, seed: Seed, count: int) -> None:
    dataset = seed.dataset(backend.alice)
    for number in range(count):
        seed.artifact(backend.alice, seed.job(backend.alice, dataset), name=f"Model {number}")


@pytest.mark.slow
def test_a_sync_killed_at_any_request_continues_there(
    empty_sandbox: Sandbox,
    backend: Backend,
    seed: Seed,
    home_profile: Profile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many_models(backend, seed, 24)
    empty_sandbox.faults(path="/rest/v1", max_rows=5)
    path = cache_of(home_profile)
    starting = threading.Lock()
    log_request = RequestLog.open
    left = 0

    def kill_at_the_last(log: RequestLog, scope: Any) -> dict[str, Any]:
        nonlocal left
        left -= 1
        if left == 0:
            with starting:
                process.send_signal(signal.SIGKILL)
        return log_request(log, scope)

    monkeypatch.setattr(RequestLog, "open", kill_at_the_last)
    for requests in (1, 4, 9, 13, 18):
        left = requests
        with starting:
            process = subprocess.Popen(
                [sys.executable, "-m", "lora_tui", "sync", "--full"],
                env=os.environ,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        assert process.wait(timeout=60) == -signal.SIGKILL, "it ended before it was killed"
        with closing(open_cache(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            assert not metadata.get_sync_state(db).running
            for (model_id,) in db.execute("SELECT id FROM models").fetchall():
                model = models.get_model(db, model_id)
                assert model is not None
                assert model.dataset is not None
                assert model.job is not None
    empty_sandbox.clear_faults()
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui", "sync"], env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with closing(open_cache(path)) as db:
        assert_equal(db, seed.rows, backend.alice.user_id)


@pytest.mark.slow
def test_a_second_sync_waits_for_the_first_and_reports_it(
    backend: Backend, seed: Seed, home_profile: Profile, run: Run
) -> None:
    seed.artifact(backend.alice)
    path = cache_of(home_profile)
    open_cache(path).close()
    with sync_lock(path) as ours:
        assert ours
        process = subprocess.Popen(
            [sys.executable, "-m", "lora_tui", "sync"],
            env=os.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = process.stderr.readline()
    assert "waiting" in said
    assert f"{path} is held by process {os.getpid()}" in said
    assert f"end it with `kill {os.getpid()}`" in said
    assert process.wait(timeout=60) == 0
    process.stderr.close()
    with closing(open_cache(path)) as db:
        assert_equal(db, seed.rows, backend.alice.user_id)


def test_a_background_sync_is_skipped_while_another_one_runs(
    backend: Backend, rest: Rest, db: sqlite3.Connection, cache: Path
) -> None:
    with sync_lock(cache):
        report = sync_cache(rest, db, backend.alice.user_id)
        assert report.skipped
        assert metadata.get_sync_state(db).last_attempt is None
        with pytest.raises(CacheError, match="still syncing"):
            sync_cache(rest, db, backend.alice.user_id, patience=0.01)
    assert not sync_cache(rest, db, backend.alice.user_id).skipped


@pytest.mark.slow
def test_two_syncing_threads_and_a_reader_work_together(
    backend: Backend, seed: Seed, rest: Rest, cache: Path
) -> None:
    many_models(backend, seed, 12)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(4):
                with closing(open_cache(cache)) as db:
                    sync_cache(rest, db, backend.alice.user_id, patience=60)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    seen = 0
    while any(thread.is_alive() for thread in threads):
        with closing(open_cache(cache)) as db:
            (count,) = db.execute("SELECT count(*) FROM models").fetchone()
            assert count >= seen
            seen = count
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(open_cache(cache)) as db:
        assert_equal(db, seed.rows, backend.alice.user_id)


@pytest.mark.slow
def test_many_processes_that_start_together_create_one_cache(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from lora_tui.cache.connection import open_cache;"
        "sys.stdin.read(); open_cache(Path(sys.argv[1])).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "cache.sqlite3")],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    for process in processes:
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 0
        process.stderr.close()


def test_closing_one_connection_keeps_the_locks_of_the_others(tmp_path: Path) -> None:
    """Closing any handle of a file would drop this process's locks on it, and let others in."""
    path = tmp_path / "cache.sqlite3"
    outsider = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0);"
        "db.execute('PRAGMA locking_mode = EXCLUSIVE'); db.execute('BEGIN EXCLUSIVE')"
    )
    with closing(open_cache(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO facts VALUES ('a', 'b')")
        from lora_tui.sqlite_file import make_private_database

        make_private_database(path)
        done = subprocess.run(
            [sys.executable, "-c", outsider, str(path)], capture_output=True, text=True
        )
        assert "locked" in done.stderr
        db.execute("ROLLBACK")


def test_many_equal_timestamps_are_not_fetched_again_by_each_sync(
    empty_sandbox: Sandbox,
    backend: Backend,
    seed: Seed,
    rest: Rest,
    db: sqlite3.Connection,
) -> None:
    moment = "2026-11-20T10:00:00+00:00"
    seed.datasets(backend.alice, 1500, updated_at=moment)
    first = sync_cache(rest, db, backend.alice.user_id)
    assert first.written["datasets"] == 1500
    empty_sandbox.forget_requests()
    again = sync_cache(rest, db, backend.alice.user_id)
    assert again.written["datasets"] == 0
    asked = [r for r in empty_sandbox.requests() if r["path"] == "/rest/v1/datasets"]
    whole = [r for r in asked if "select=%2A" in r["query"] or "select=*" in r["query"]]
    assert whole == []
    assert len(asked) <= 5


def test_rows_that_are_written_during_a_comparison_stay(
    backend: Backend,
    seed: Seed,
    rest: Rest,
    db: sqlite3.Connection,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row inserted remotely behind the walk's back, and into the cache by another writer."""
    seed.artifact(backend.alice)
    sync_cache(rest, db, backend.alice.user_id)
    seed.notification(backend.alice)
    inserted: list[Row] = []

    def insert() -> None:
        model = seed.artifact(
            backend.alice,
            id="00000000-0000-4000-8000-000000000001",
            artifacts={"a.json": f"{backend.alice.user_id}/x/a.json"},
        )
        with closing(open_cache(cache)) as other:
            other.execute("BEGIN IMMEDIATE")
            models.put_models(other, [model])
            other.execute("COMMIT")
        inserted.append(model)

    _before_the_last_page_of_ids(rest, "model_artifacts", insert, monkeypatch)
    sync_cache(rest, db, backend.alice.user_id, full=True)
    assert inserted
    assert models.get_row(db, inserted[0]["id"]) is not None
    sync_cache(rest, db, backend.alice.user_id)
    assert_equal(db, seed.rows, backend.alice.user_id)


def _before_the_last_page_of_ids(
    rest: Rest, table: str, act: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rest.page
    done = False

    def page(name: str, user_id: str, **options: Any) -> Page:
        nonlocal done
        page = whole(name, user_id, **options)
        if name == table and options.get("key") == "id" and page.rows and not done:
            done = True
            act()
        return page

    monkeypatch.setattr(rest, "page", page)


def test_a_sync_for_another_user_is_refused(backend: Backend, rest: Rest, tmp_path: Path) -> None:
    owner = metadata.Owner(backend.alice.user_id, backend.url)
    with (
        closing(open_cache(tmp_path / "cache.sqlite3", owner)) as db,
        pytest.raises(CacheError, match="another account"),
    ):
        sync_cache(rest, db, backend.bob.user_id)


def test_a_sync_fetches_the_curves_of_the_newest_models_only(
    backend: Backend,
    seed: Seed,
    rest: Rest,
    db: sqlite3.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lora_tui.fetching.curves.NEWEST_CURVES", 3)
    many_models(backend, seed, 7)
    assert sync_cache(rest, db, backend.alice.user_id).curves == 3
    assert sync_cache(rest, db, backend.alice.user_id).curves == 0
    many_models(backend, seed, 1)
    assert sync_cache(rest, db, backend.alice.user_id).curves == 1


def test_no_change_is_lost_when_the_clock_of_the_server_is_set_back(
    empty_sandbox: Sandbox, backend: Backend, seed: Seed, rest: Rest, db: sqlite3.Connection
) -> None:
    dataset = seed.dataset(backend.alice)
    sync_cache(rest, db, backend.alice.user_id)
    empty_sandbox.faults(clock_offset=3_000)
    seed.dataset(backend.alice)
    sync_cache(rest, db, backend.alice.user_id)
    empty_sandbox.faults(clock_offset=0)
    seed.changed("datasets", dataset["id"], name="Changed since")
    sync_cache(rest, db, backend.alice.user_id)
    assert_equal(db, seed.rows, backend.alice.user_id)
