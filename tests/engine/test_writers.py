"""What a screen asks for reaches the network only where it must."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lora_tui.account.sessions import cache_owner
from lora_tui.cache.cache_file import leader_lock
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import Owner, SyncState, get_sync_state, put_sync_state
from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.engine.protocol import Hello
from lora_tui.engine.requests import open_requests
from lora_tui.engine.writers import Writers
from lora_tui.errors import (
    AuthenticationError,
    CacheError,
    ConfigError,
    NotSignedInError,
    UnreachableError,
    UsageError,
)
from lora_tui.transfers.control import Control
from tests.engine.profile_engine import writers_of
from tests.pseudo_terminal import PATIENCE
from tests.tui.library import NOW, USER, FakeWriters

URL = "http://127.0.0.1:9"


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    paths = Paths(tmp_path / "config.toml", tmp_path / "cache", tmp_path / "state", tmp_path)
    profile = Profile("test", paths, URL, "anon")
    open_cache(profile.cache_path(USER), cache_owner(profile, USER)).close()
    return profile


class Online(FakeWriters):
    """In place of `OnlineWriters`."""

    email = "bob@example.org"
    cache_owner = Owner(USER, URL)
    closed = False

    def close(self) -> None:
        self.closed = True

    def read_adapter(self, model_id: Any) -> Any:
        raise ZeroDivisionError("eyJhbGciOi.eyJzdWIiOi.sig")


@contextmanager
def opened(profile: Profile, connect: Callable[[], Any] | None) -> Iterator[Writers]:
    with closing(writers_of(profile, USER, connect=connect)) as writers:
        yield writers


def unreachable() -> Any:
    raise AuthenticationError("Nobody is signed in")


def test_the_first_call_that_needs_the_network_connects_and_later_ones_do_not(
    profile: Profile,
) -> None:
    made: list[Online] = []

    def connect() -> Any:
        made.append(Online())
        return made[-1]

    with opened(profile, connect) as writers:
        writers.check_downloads()
        assert not made
        writers.sync()
        writers.load_curve("job")
    assert len(made) == 1
    assert made[0].asked == [("sync",), ("load_curve", "job")]


def test_after_a_login_that_failed_the_next_call_tries_again(profile: Profile) -> None:
    outcomes: list[Any] = [AuthenticationError("The keyring is locked"), Online()]

    def connect() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with opened(profile, connect) as writers:
        with pytest.raises(AuthenticationError, match="The keyring is locked"):
            writers.sync()
        writers.sync()
    assert not outcomes


def test_closed_writers_neither_connect_nor_make_a_cache(profile: Profile) -> None:
    with opened(profile, unreachable) as writers:
        pass
    path = profile.cache_path(USER)
    path.unlink()
    for call in (writers.sync, writers.check_downloads, lambda: writers.cancel_download("model")):
        with pytest.raises(UnreachableError):
            call()
    assert not path.exists()


def test_a_cache_that_was_removed_is_not_made_again(profile: Profile) -> None:
    profile.cache_path(USER).unlink()
    with opened(profile, None) as writers, pytest.raises(CacheError):
        writers.check_downloads()
    assert not profile.cache_path(USER).exists()


@pytest.mark.parametrize("connect", [None, unreachable])
def test_what_needs_no_network_works_offline_and_without_a_session(
    profile: Profile, connect: Any
) -> None:
    with opened(profile, connect) as writers:
        path = writers.save_text("comparison.md", "text")
        assert path.read_text() == "text"
        assert writers.save_text("comparison.md", "other") != path
        writers.check_downloads()
        writers.cancel_download("model")
        writers.mark_announced(["notice"])
        for what in Control:
            if what is not Control.RESUME:
                writers.control_downloads(what, [1])


def test_a_mark_is_told_to_the_application_before_the_backend_has_answered(
    profile: Profile,
) -> None:
    told, marked = threading.Event(), threading.Event()

    class Slow(Online):
        def mark_notification_read(self, notification_id: str) -> None:
            super().mark_notification_read(notification_id)
            assert told.wait(PATIENCE)
            marked.set()

    with opened(profile, Slow) as writers:
        writers.on_write = told.set
        writers.mark_notification_read("notice")
        assert marked.is_set()


def test_offline_what_needs_the_network_says_so(profile: Profile) -> None:
    with opened(profile, None) as writers:
        with pytest.raises(UnreachableError, match="--offline"):
            writers.sync()
        with pytest.raises(UnreachableError, match="--offline"):
            writers.control_downloads(Control.RESUME, [1])
        writers.resume_downloads()


def test_of_two_applications_one_syncs_on_schedule_and_both_on_request(profile: Profile) -> None:
    first, second = Online(), Online()
    with opened(profile, lambda: first) as leads, opened(profile, lambda: second) as other:
        leads.sync(scheduled=True)
        other.sync(scheduled=True)
        assert (first.asked, second.asked) == ([("sync",)], [])
        other.sync()
        assert second.asked == [("sync",)]
        leads.close()
        other.sync(scheduled=True)
    assert second.asked == [("sync",), ("sync",)]
    with leader_lock(profile.cache_path(USER)) as leads_now:
        assert leads_now


def test_another_account_that_signed_in_meanwhile_gets_nothing_of_this_one(
    profile: Profile,
) -> None:
    other = Online()
    other.cache_owner = Owner("somebody else", URL)
    with opened(profile, lambda: other) as writers:
        for call in (writers.sync, lambda: writers.download("model"), writers.resume_downloads):
            with pytest.raises(UsageError, match="Another account has signed in") as refusal:
                call()
            assert refusal.value.details == "bob@example.org"
    assert other.closed
    assert other.asked == []


def test_a_sync_that_can_not_begin_is_in_the_status_line(profile: Profile) -> None:
    """Else it would go on saying that all is well."""

    def connect() -> Any:
        raise NotSignedInError("Nobody is signed in to profile test")

    path = profile.cache_path(USER)
    with closing(open_cache(path)) as db:
        with transaction(db):
            put_sync_state(db, SyncState(NOW, NOW, running=False, error=None), process="")
        with opened(profile, connect) as writers, pytest.raises(NotSignedInError):
            writers.sync(scheduled=True)
        state = get_sync_state(db)
    assert not state.online
    assert state.error == "Nobody is signed in to profile test"
    assert state.last_success == NOW


def test_a_profile_that_was_changed_to_another_project_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that starts later than the application, or again, reads the file anew."""
    hello = Hello("default", None, offline=False, owner=Owner(USER, URL))
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:10")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "anon")
    with pytest.raises(ConfigError, match="names another project now"):
        open_requests(hello, lambda *_: None)
    monkeypatch.setenv("SUPABASE_URL", URL)
    open_requests(hello, lambda *_: None).close()
