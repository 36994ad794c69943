"""A sync that fails says what kind of trouble it met, and a later one that works forgets it."""

from __future__ import annotations

import sqlite3

import pytest

from lora_tui.cache import facts
from lora_tui.cache.facts import Trouble
from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    DeniedError,
    InterceptedError,
    LoraTuiError,
    QueryTimeoutError,
    SessionEndedError,
    UnreachableError,
)
from lora_tui.gateway.rest import Rest
from lora_tui.sync import sync_cache
from tests.backends.backend import Backend


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (SessionEndedError("The session has ended"), Trouble.LOGIN),
        (AuthenticationError("The server does not accept the login"), Trouble.OTHER),
        (QueryTimeoutError("The query took too long"), Trouble.OTHER),
        (
            InterceptedError("A proxy or gateway answered instead of the service"),
            Trouble.UNREACHABLE,
        ),
        (DeniedError("Not allowed"), Trouble.DENIED),
        (UnreachableError("No answer"), Trouble.UNREACHABLE),
        (BackendError("Nonsense came back"), Trouble.OTHER),
    ],
)
def test_a_failed_sync_notes_the_kind_of_trouble_until_one_works(
    rest: Rest,
    db: sqlite3.Connection,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    error: LoraTuiError,
    trouble: Trouble,
) -> None:
    def fails(_query: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(rest, "_send", fails)
        with pytest.raises(type(error)):
            sync_cache(rest, db, backend.alice.user_id)
    state = facts.get_sync_state(db)
    assert (state.error, state.trouble) == (str(error), trouble)
    sync_cache(rest, db, backend.alice.user_id)
    assert facts.get_sync_state(db).trouble is None
