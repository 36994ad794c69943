"""Sessions: signing in, keeping one alive, ending it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from lora_tui import clock
from lora_tui.account.sessions import Session
from lora_tui.errors import AuthenticationError, ConfigError
from lora_tui.gateway import Gateway
from lora_tui.gateway.auth import (
    SessionAuth,
    fetch_user,
    refresh,
    session_from_tokens,
    sign_in,
    sign_out,
)
from lora_tui.secret import Secret
from tests.backends.backend import Backend
from tests.backends.seed import Seed


@pytest.fixture
def session(backend: Backend) -> Session:
    """A new session of Alice's."""
    alice = backend.alice
    return sign_in(backend.url, backend.anon_key, alice.email, Secret(alice.password))


def test_the_right_password_opens_a_session_of_that_account(
    backend: Backend, session: Session
) -> None:
    assert session.user_id == backend.alice.user_id
    assert session.email == backend.alice.email
    assert session.refresh_token
    left = session.expires_at - clock.now()
    assert timedelta(minutes=30) < left <= timedelta(hours=1)


@pytest.mark.parametrize("email", ["alice", "nobody"])
def test_a_wrong_password_and_an_unknown_account_are_refused_alike(
    backend: Backend, email: str
) -> None:
    address = backend.alice.email if email == "alice" else "nobody@lora-tui.example"
    with pytest.raises(AuthenticationError) as refused:
        sign_in(backend.url, backend.anon_key, address, Secret("not the password"))
    assert str(refused.value) == "Wrong e-mail address or password"


def test_a_wrong_project_key_is_told_apart_from_a_wrong_password(backend: Backend) -> None:
    alice = backend.alice
    with pytest.raises(ConfigError):
        sign_in(backend.url, "sb_publishable_wrong", alice.email, Secret(alice.password))


def test_the_account_behind_a_token_can_be_asked_for(backend: Backend, session: Session) -> None:
    found = fetch_user(backend.url, backend.anon_key, session.access_token)
    assert found == (backend.alice.user_id, backend.alice.email)


def test_a_forged_token_names_nobody(backend: Backend, session: Session) -> None:
    header, claims, _ = session.access_token.reveal().split(".")
    forged = Secret(f"{header}.{claims}.{'A' * 43}")
    with pytest.raises(AuthenticationError):
        fetch_user(backend.url, backend.anon_key, forged)


def test_each_refresh_gives_a_new_refresh_token_that_works(
    backend: Backend, session: Session
) -> None:
    second = refresh(backend.url, backend.anon_key, session)
    third = refresh(backend.url, backend.anon_key, second)
    tokens = {one.refresh_token for one in (session, second, third)}
    assert len(tokens) == 3
    assert third.user_id == backend.alice.user_id
    user_id, _ = fetch_user(backend.url, backend.anon_key, third.access_token)
    assert user_id == backend.alice.user_id


def test_a_refresh_repeated_after_a_lost_answer_keeps_the_session(
    backend: Backend, session: Session
) -> None:
    refresh(backend.url, backend.anon_key, session)
    again = refresh(backend.url, backend.anon_key, session)
    assert refresh(backend.url, backend.anon_key, again).user_id == backend.alice.user_id


def test_an_old_refresh_token_opens_nothing(
    backend: Backend, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = refresh(backend.url, backend.anon_key, session)
    refresh(backend.url, backend.anon_key, second)
    # The hosted service and the sandbox, which has this process's clock, forgive for ten seconds.
    later = clock.now() + timedelta(seconds=11)
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(AuthenticationError):
        refresh(backend.url, backend.anon_key, session)


def test_a_made_up_refresh_token_opens_nothing(backend: Backend, session: Session) -> None:
    made_up = session._replace(refresh_token=Secret("no-such-token"))
    with pytest.raises(AuthenticationError):
        refresh(backend.url, backend.anon_key, made_up)


def test_a_session_that_is_nearly_over_is_renewed_before_it_is_used(
    backend: Backend, session: Session
) -> None:
    renewed: list[Session] = []
    nearly_over = session._replace(expires_at=clock.now() + timedelta(seconds=5))
    auth = SessionAuth(backend.url, backend.anon_key, nearly_over, on_refresh=renewed.append)
    with Gateway.of(backend.url, auth) as gateway:
        gateway.rest.count("datasets", session.user_id)
        gateway.rest.count("datasets", session.user_id)
    assert len(renewed) == 1
    assert renewed[0].refresh_token != session.refresh_token
    assert auth.session == renewed[0]


def test_a_session_whose_token_is_refused_is_renewed_and_the_request_goes_through(
    backend: Backend, session: Session, seed: Seed
) -> None:
    model = seed.artifact(backend.alice)
    header, claims, _ = session.access_token.reveal().split(".")
    refused = session._replace(access_token=Secret(f"{header}.{claims}.{'A' * 43}"))
    renewed: list[Session] = []
    auth = SessionAuth(backend.url, backend.anon_key, refused, on_refresh=renewed.append)
    with Gateway.of(backend.url, auth) as gateway:
        assert gateway.rest.artifact_by_job(model["job_id"]) == model
    assert len(renewed) == 1


def test_tokens_made_elsewhere_become_a_session(backend: Backend, session: Session) -> None:
    taken = session_from_tokens(
        backend.url, backend.anon_key, session.access_token, session.refresh_token
    )
    assert (taken.user_id, taken.email) == (backend.alice.user_id, backend.alice.email)
    assert abs(taken.expires_at - session.expires_at) < timedelta(minutes=1)


def test_a_session_that_was_ended_cannot_be_renewed(backend: Backend, session: Session) -> None:
    sign_out(backend.url, backend.anon_key, session)
    with pytest.raises(AuthenticationError):
        refresh(backend.url, backend.anon_key, session)


def test_ending_a_session_twice_is_no_error(backend: Backend, session: Session) -> None:
    sign_out(backend.url, backend.anon_key, session)
    sign_out(backend.url, backend.anon_key, session)


def test_ending_one_session_leaves_the_others(backend: Backend, session: Session) -> None:
    alice = backend.alice
    other = sign_in(backend.url, backend.anon_key, alice.email, Secret(alice.password))
    sign_out(backend.url, backend.anon_key, session)
    assert refresh(backend.url, backend.anon_key, other).user_id == alice.user_id
