"""Servers in the cache: what each said when it was last asked, and what is loaded where.

The table `servers` has the answers, `served` a copy of the record (`deployments/`), one row for
each model that is loaded somewhere or was proved somewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lora_tui.cache.changes import Topic, publish
from lora_tui.config.servers import Server
from lora_tui.domain.servers import Loaded, Proof, ServedName, ServerState
from lora_tui.json_values import json_text, parse_json


class Served(NamedTuple):
    """Where one model is loaded, and what was proved of it."""

    loaded: tuple[Loaded, ...] = ()
    proofs: tuple[Proof, ...] = ()


def get_served(db: sqlite3.Connection, model_id: str) -> Served:
    """Where a model is loaded and what was proved of it; empty where nothing is known."""
    sql = "SELECT document FROM served WHERE model_id = ?"
    found = db.execute(sql, [model_id]).fetchone()
    if found is None:
        return Served()
    document = parse_json(found[0])
    return Served(
        tuple(Loaded(*row) for row in document["loaded"]),
        tuple(Proof(**{**row, "reasons": tuple(row["reasons"])}) for row in document["proofs"]),
    )


def is_served(db: sqlite3.Connection, loaded: Sequence[Loaded], proofs: Sequence[Proof]) -> bool:
    """Whether the copy is the same as this record."""
    return _copied(db) == _wanted(loaded, proofs)


def put_served(db: sqlite3.Connection, loaded: Sequence[Loaded], proofs: Sequence[Proof]) -> bool:
    """Make the copy the same as the record; whether it was another one.

    Call inside a transaction: it publishes the topic itself.
    """
    wanted = _wanted(loaded, proofs)
    if _copied(db) == wanted:
        return False
    db.execute("DELETE FROM served")
    db.executemany(
        "INSERT INTO served (model_id, servers, document) VALUES (?, ?, ?)",
        [(model_id, *row) for model_id, row in wanted.items()],
    )
    publish(db, [Topic.SERVERS])
    return True


def all_loaded(db: sqlite3.Connection) -> list[Loaded]:
    """What is loaded anywhere, by server and name."""
    rows = db.execute("SELECT document FROM served WHERE servers <> ''")
    found = [Loaded(*one) for row in rows for one in parse_json(row[0])["loaded"]]
    return sorted(found, key=lambda one: (one.server, one.name))


class Named(NamedTuple):
    """One adapter that a server has, and what lora-tui knows of it."""

    adapter: ServedName
    loaded: Loaded | None = None
    """None where lora-tui did not load it."""


class KnownServer(NamedTuple):
    """One server of the profile, as the cache knows it."""

    server: Server
    state: ServerState | None = None
    """What it said when it was last asked; None where it never was, or had another address."""
    adapters: tuple[Named, ...] = ()
    """What it has loaded; where it did not answer, what lora-tui has loaded into it."""

    @property
    def kind(self) -> str:
        """Its `ServerKind`, of the profile or as it was found; empty where it is not known."""
        return str(self.server.kind or (self.state.kind if self.state else ""))


def known_servers(db: sqlite3.Connection, servers: Iterable[Server]) -> list[KnownServer]:
    """These servers, with what the cache knows of them."""
    states, loaded = server_states(db), all_loaded(db)
    return [known_server(one, states.get(one.name), loaded) for one in servers]


def known_server(
    server: Server, state: ServerState | None, loaded: Iterable[Loaded]
) -> KnownServer:
    """One server, with the adapters that it named and the models that they are."""
    if state is not None and state.url != server.url:
        state = None
    # by its address: a server with two names in the profile has the same under both
    own = {one.name: one for one in loaded if one.url == server.url}
    if state is not None and state.answers:
        named = tuple(Named(adapter, own.get(adapter.name)) for adapter in state.adapters)
    else:
        named = tuple(Named(ServedName(one.name, one.server_path), one) for one in own.values())
    return KnownServer(server, state, named)


def server_states(db: sqlite3.Connection) -> dict[str, ServerState]:
    """Name of a server → what it said when it was last asked."""
    states = {}
    for name, document in db.execute("SELECT name, document FROM servers ORDER BY name"):
        values = parse_json(document)
        adapters = tuple(ServedName(*one) for one in values.pop("adapters"))
        states[str(name)] = ServerState(**values, adapters=adapters)
    return states


def put_server_state(db: sqlite3.Connection, state: ServerState) -> None:
    """Keep what a server said. Call inside a transaction: it publishes the topic itself."""
    document = json_text({**state._asdict(), "adapters": [list(a) for a in state.adapters]})
    db.execute("INSERT OR REPLACE INTO servers VALUES (?, ?)", [state.server, document])
    publish(db, [Topic.SERVERS])


def forget_servers(db: sqlite3.Connection, names: Iterable[str]) -> None:
    """Remove servers that the profile names no longer. Call inside a transaction."""
    db.executemany("DELETE FROM servers WHERE name = ?", [(name,) for name in names])
    publish(db, [Topic.SERVERS])


def _copied(db: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    sql = "SELECT model_id, servers, document FROM served"
    return {row[0]: (row[1], row[2]) for row in db.execute(sql)}


def _wanted(loaded: Sequence[Loaded], proofs: Sequence[Proof]) -> dict[str, tuple[str, str]]:
    return {
        model_id: _row(
            [one for one in loaded if one.model_id == model_id],
            [one for one in proofs if one.model_id == model_id],
        )
        for model_id in sorted({one.model_id for one in loaded} | {one.model_id for one in proofs})
    }


def _row(loaded: Sequence[Loaded], proofs: Sequence[Proof]) -> tuple[str, str]:
    names = sorted({one.server for one in loaded})
    servers = f" {' '.join(names)} " if names else ""
    document = {
        "loaded": [list(one) for one in loaded],
        "proofs": [{**one._asdict(), "reasons": list(one.reasons)} for one in proofs],
    }
    return servers, json_text(document)
