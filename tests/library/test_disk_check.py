"""What the list and the screens say of finished downloads stays true when the disk changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

import pytest

from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.metadata import DOWNLOADS_UNKNOWN, put_value
from lora_tui.cache.models import ModelQuery, select_models
from lora_tui.cache.transfer_queue import Transfer, TransferState, requeue, transfers_of
from lora_tui.config.table import Profile
from lora_tui.engine.online import OnlineWriters
from lora_tui.library.disk_check import check_presence
from lora_tui.sandbox import Sandbox
from tests.conftest import Run

ADAPTER = "adapter_model.safetensors"


@pytest.fixture
def online(profile: Profile) -> Iterator[OnlineWriters]:
    with closing(OnlineWriters(profile)) as writers:
        writers.sync()
        yield writers


@pytest.fixture
def db(online: OnlineWriters) -> Iterator[Connection]:
    with closing(open_cache(online.cache_path)) as db:
        yield db


@pytest.fixture
def model(online: OnlineWriters, db: Connection) -> str:
    """A model that was downloaded whole."""
    for summary in select_models(db, ModelQuery(), offset=0, limit=100):
        if (summary.size or 0) > 1_000_000:
            online.download(summary.id)
            return summary.id
    raise AssertionError("the sandbox has no model with weights")


@pytest.fixture
def weights(db: Connection, model: str) -> Path:
    return row(db, model).target


def row(db: Connection, model: str) -> Transfer:
    return next(row for row in transfers_of(db, model) if row.file == ADAPTER)


def is_marked(db: Connection, model: str) -> bool:
    found = select_models(db, ModelQuery(downloaded=True), offset=0, limit=100)
    return model in {summary.id for summary in found}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def to_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


@pytest.mark.parametrize(
    ("harm", "state"),
    [
        (Path.unlink, TransferState.MISSING),
        (lambda path: path.parent.rename(path.parent.with_name("moved")), TransferState.MISSING),
        (lambda path: path.write_bytes(b"short"), TransferState.CHANGED),
        (flip, TransferState.CHANGED),
        (to_link, TransferState.CHANGED),
    ],
)
def test_a_file_that_changed_since_it_was_verified_is_not_shown_as_verified(
    db: Connection,
    model: str,
    weights: Path,
    harm: Callable[[Path], object],
    state: TransferState,
) -> None:
    check_presence(db)
    assert is_marked(db, model)
    harm(weights)
    check_presence(db)
    assert row(db, model).state is state
    assert not is_marked(db, model)
    assert downloaded_to(db, model) is None


def test_a_file_that_verify_finds_damaged_is_no_longer_shown_as_verified(
    db: Connection, model: str, weights: Path, run: Run
) -> None:
    check_presence(db)
    times = weights.stat()
    flip(weights)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run("verify").code == 6
    check_presence(db)
    assert row(db, model).state is TransferState.CHANGED
    assert not is_marked(db, model)


def test_the_list_of_what_is_downloaded_looks_at_the_disk(
    model: str, weights: Path, run: Run
) -> None:
    assert len(run("list", "--downloaded", "--json").data["models"]) == 1
    weights.unlink()
    assert run("list", "--downloaded", "--json").data["models"] == []


def test_models_are_downloaded_again_when_their_disk_is_mounted_again(
    db: Connection, model: str, weights: Path
) -> None:
    away = weights.parent.with_name("away")
    weights.parent.rename(away)
    check_presence(db)
    assert not is_marked(db, model)
    away.rename(weights.parent)
    check_presence(db)
    assert is_marked(db, model)
    assert row(db, model).state is TransferState.DONE


def test_a_touched_file_with_the_same_bytes_stays_verified(
    db: Connection, model: str, weights: Path
) -> None:
    os.utime(weights, ns=(0, 0))
    check_presence(db)
    assert row(db, model).state is TransferState.DONE
    assert is_marked(db, model)


def test_a_changed_file_that_is_moved_away_and_back_is_still_a_changed_one(
    db: Connection, model: str, weights: Path
) -> None:
    flip(weights)
    check_presence(db)
    weights.rename(weights.with_suffix(".moved"))
    check_presence(db)
    assert row(db, model).state is TransferState.MISSING
    weights.with_suffix(".moved").rename(weights)
    check_presence(db)
    assert row(db, model).state is TransferState.CHANGED


def test_an_unchanged_disk_publishes_no_change(
    db: Connection, model: str, weights: Path, online: OnlineWriters
) -> None:
    check_presence(db)
    with closing(open_cache(online.cache_path)) as other:
        feed = ChangeFeed(other)
        check_presence(db)
        assert feed.poll() == frozenset()
        weights.unlink()
        check_presence(db)
        assert feed.poll() == {Topic.TRANSFERS, Topic.MODELS}


def test_a_missing_file_is_fetched_again_by_a_retry(
    db: Connection, model: str, weights: Path, online: OnlineWriters, configured: Sandbox
) -> None:
    content = weights.read_bytes()
    weights.unlink()
    check_presence(db)
    configured.forget_requests()
    online.download(model)
    assert weights.read_bytes() == content
    assert is_marked(db, model)
    gets = [r["path"] for r in configured.requests() if r["method"] == "GET"]
    assert [path.rsplit("/", 1)[1] for path in gets if "/object/sign/" in path] == [ADAPTER]


def test_a_retry_that_was_asked_for_meanwhile_is_not_undone(
    db: Connection, model: str, weights: Path
) -> None:
    weights.unlink()
    check_presence(db)
    with transaction(db):
        requeue(db, [row(db, model).id])
    check_presence(db)
    assert row(db, model).state is TransferState.QUEUED


def test_a_new_cache_finds_every_file_and_finds_out_which_was_changed(
    db: Connection, model: str, weights: Path, online: OnlineWriters
) -> None:
    flip(weights)
    with transaction(db):
        db.execute("DELETE FROM transfers")
        db.execute("DELETE FROM library")
        put_value(db, DOWNLOADS_UNKNOWN, "1")
    online.sync()
    assert {row.state for row in transfers_of(db, model)} == {TransferState.DONE}
    check_presence(db)
    assert row(db, model).state is TransferState.CHANGED
    assert not is_marked(db, model)
