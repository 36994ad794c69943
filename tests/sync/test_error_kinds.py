"""A failed sync stores the kind of its error, and the next successful one clears it."""

from __future__ import annotations

import sqlite3

import pytest

from lora_tui.cache import metadata
from lora_tui.cache.metadata import SyncErrorKind
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
    ("error", "error_kind"),
    [
        (SessionEndedError("The session has ended"), SyncErrorKind.LOGIN),
        (AuthenticationError("The server does not accept the login"), SyncErrorKind.OTHER),
        (QueryTimeoutError("The query took too long"), SyncErrorKind.OTHER),
        (
            InterceptedError("A proxy or gateway answered instead of the service"),
            SyncErrorKind.UNREACHABLE,
        ),
        (DeniedError("Not allowed"), SyncErrorKind.DENIED),
        (UnreachableError("No answer"), SyncErrorKind.UNREACHABLE),
        (BackendError("Nonsense came back"), SyncErrorKind.OTHER),
    ],
)
def test_a_failed_sync_stores_the_kind_of_its_error_until_one_succeeds(
    rest: Rest,
    db: sqlite3.Connection,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    error: LoraTuiError,
    error_kind: SyncErrorKind,
) -> None:
    def fails(_query: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(rest, "send", fails)
        with pytest.raises(type(error)):
            sync_cache(rest, db, backend.alice.user_id)
    state = metadata.get_sync_state(db)
    assert (state.error, state.error_kind) == (str(error), error_kind)
    sync_cache(rest, db, backend.alice.user_id)
    assert metadata.get_sync_state(db).error_kind is None
