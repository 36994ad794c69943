"""Asks all servers of a profile at once, and corrects the record by what they say.

A server that was started again has nothing loaded any more: what the record says of it is
forgotten, and told.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

from lora_tui import clock
from lora_tui.account.server_keys import server_key
from lora_tui.cache.connection import transaction
from lora_tui.cache.served import forget_servers, put_server_state, server_states
from lora_tui.config.paths import Paths
from lora_tui.config.servers import Server
from lora_tui.config.table import Profile
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import is_recorded, open_deployments
from lora_tui.domain.servers import Loaded, ServerState
from lora_tui.errors import LoraTuiError
from lora_tui.serving.connect import connect
from lora_tui.serving.refusals import sentence

_AT_ONCE: Final = 8
"""Servers that are asked at the same time."""
_BEING_LOADED: Final = timedelta(minutes=4)
"""What was noted later than this before a server was asked may have been on its way there: it is
noted first, and a load may take some minutes (`requests.WORKING`)."""


def ask_all(profile: Profile, servers: Sequence[Server]) -> list[ServerState]:
    """What each server says, in their order; why it says nothing is in its state."""
    if not servers:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(servers)), "server") as pool:
        return list(pool.map(lambda server: ask(profile, server), servers))


def ask(profile: Profile, server: Server) -> ServerState:
    """What one server says; why it says nothing is in its state."""
    asked_at = clock.timestamp_text(clock.now())
    try:
        with connect(server, server_key(profile, server)) as client:
            return client.state()
    except LoraTuiError as error:
        kind = str(server.kind or "")
        return ServerState(
            server.name, server.url, kind, asked_at, answers=False, error=sentence(error)
        )


def note_states(
    db: sqlite3.Connection, paths: Paths, owner: str, states: Iterable[ServerState]
) -> list[Loaded]:
    """Keep what servers said in the cache; what the record had to forget of them.

    `owner` is `record.owner_key`. Raises DiskError, CacheError.
    """
    asked = list(states)
    with transaction(db):
        before = server_states(db)
        for state in asked:
            if not state.answers:  # what it had, and what it is, stays known
                known = before.get(state.server)
                if known is not None and known.url == state.url:
                    state = state._replace(
                        kind=state.kind or known.kind, base=known.base, version=known.version
                    )
            put_server_state(db, state)
    forgotten = _forget(paths, owner, asked)
    refresh_served(db, paths, owner)
    return forgotten


def forget_others(db: sqlite3.Connection, servers: Iterable[Server]) -> None:
    """Remove servers from the cache that the profile no longer has."""
    gone = server_states(db).keys() - {server.name for server in servers}
    if gone:
        with transaction(db):
            forget_servers(db, gone)


def may_be_under_way(one: Loaded, state: ServerState) -> bool:
    """Whether what is noted may be on its way to the server, which did not list it."""
    noted, asked = clock.parse_timestamp(one.loaded_at), clock.parse_timestamp(state.asked_at)
    return noted is not None and asked is not None and noted > asked - _BEING_LOADED


def _forget(paths: Paths, owner: str, states: Iterable[ServerState]) -> list[Loaded]:
    """Forget what servers that answer do not have."""
    if not is_recorded(paths):
        return []
    forgotten = []
    with open_deployments(paths) as deployments:
        for state in states:
            names = {one.name for one in state.adapters}
            for one in deployments.loaded(owner, server=state.server):
                is_there = not state.answers or one.url != state.url or one.name in names
                if not is_there and not may_be_under_way(one, state):
                    deployments.forget_loaded(owner, one.server, one.name, loaded_at=one.loaded_at)
                    forgotten.append(one)
    return forgotten
