"""The record of what was loaded where: it protects directories, and each account has its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache
from lora_tui.cache.served import get_served
from lora_tui.config.paths import Paths
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import is_recorded, open_deployments, record_path
from lora_tui.domain.servers import BASE, Loaded, Proof, Verdict, Vote
from lora_tui.errors import DiskError

MINE, OTHERS = "default-1", "default-2"
AT = "2026-11-30T06:00:00.000000Z"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "config.toml", tmp_path / "cache", tmp_path / "state")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as db:
        yield db


def loaded(directory: Path, *, owner: str = MINE, server: str = "gpu", model: str = "m1") -> Loaded:
    return Loaded(
        owner, server, "http://127.0.0.1:1", f"{model}-1.0-abc", model, "Support mails", "abc",
        "/srv/adapters/m1", str(directory.resolve()), AT,
    )  # fmt: skip


def proof(*, model: str = "m1", verdict: Verdict = Verdict.EFFECT) -> Proof:
    reasons = () if verdict is Verdict.EFFECT else ("B is zero in every module",)
    return Proof(
        MINE, model, "gpu", "http://127.0.0.1:1", f"{model}-1.0-abc", "abc", verdict, 0.25, 0.01,
        5, 120, reasons, "", AT,
    )  # fmt: skip


def test_nothing_is_written_where_nothing_was_ever_loaded(
    paths: Paths, cache: sqlite3.Connection
) -> None:
    refresh_served(cache, paths, MINE)

    assert not is_recorded(paths)
    assert get_served(cache, "m1") == ((), ())


def test_a_directory_is_held_by_whoever_has_loaded_it_or_what_is_in_it(
    paths: Paths, tmp_path: Path
) -> None:
    version = tmp_path / "model" / "v1"
    version.mkdir(parents=True)
    (tmp_path / "link").symlink_to(version)
    with open_deployments(paths) as record:
        record.note_loaded(loaded(version, owner=OTHERS))

        assert [one.server for one in record.holders_of(version)] == ["gpu"]
        assert record.holders_of(tmp_path / "model")
        assert record.holders_of(tmp_path / "link")
        assert record.holders_of(version / "inside") == []
        assert record.loaded(MINE) == []
        record.forget_loaded(OTHERS, "gpu", "m1-1.0-abc")
        assert record.holders_of(version) == []


def test_the_cache_shows_the_servers_and_proofs_of_each_model_and_reports_the_change(
    paths: Paths, cache: sqlite3.Connection, tmp_path: Path
) -> None:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as other, open_deployments(paths) as file:
        feed = ChangeFeed(other)
        file.note_loaded(loaded(tmp_path, server="gpu"))
        file.note_loaded(loaded(tmp_path, server="cpu"))
        file.note_proof(proof(verdict=Verdict.NO_EFFECT))
        file.note_proof(proof(model="m2"))
        refresh_served(cache, paths, MINE)

        assert Topic.SERVERS in feed.poll()
        refresh_served(cache, paths, MINE)
        assert feed.poll() == frozenset()
    served = get_served(cache, "m1")
    assert [one.server for one in served.loaded] == ["cpu", "gpu"]
    assert served.proofs == (proof(verdict=Verdict.NO_EFFECT),)
    assert get_served(cache, "m2").proofs == (proof(model="m2"),)
    row = cache.execute("SELECT servers FROM served WHERE model_id = 'm1'").fetchone()
    assert row[0] == " cpu gpu "
    refresh_served(cache, paths, OTHERS)
    assert get_served(cache, "m1") == ((), ())


def test_the_newest_proof_counts_and_every_choice_is_kept(paths: Paths) -> None:
    vote = Vote(MINE, "gpu", "http://127.0.0.1:1", AT, "Hello?", BASE, (BASE, "m1"))
    with open_deployments(paths) as record:
        record.note_proof(proof(verdict=Verdict.NO_EFFECT))
        record.note_proof(proof())
        record.note_vote(vote)
        record.note_vote(vote._replace(winner="m1"))
    with open_deployments(paths) as record:
        assert record.proofs(MINE) == [proof()]
        assert [one.winner for one in record.votes(MINE)] == [BASE, "m1"]
        assert record.votes(OTHERS) == []


def test_the_record_is_private_and_one_of_a_newer_version_is_left_alone(paths: Paths) -> None:
    with open_deployments(paths):
        pass
    path = record_path(paths)
    assert path.stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(DiskError, match="newer version"), open_deployments(paths):
        pass


def test_a_damaged_record_is_one_sentence_that_says_what_to_do(paths: Paths) -> None:
    record_path(paths).parent.mkdir(parents=True)
    record_path(paths).write_bytes(b"no database" * 1000)

    with pytest.raises(DiskError) as raised, open_deployments(paths):
        pass
    assert "record of deployments" in str(raised.value)
    assert raised.value.remedy
