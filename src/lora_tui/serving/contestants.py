"""Finds what a server calls the models that somebody wants to ask there."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from lora_tui import formats
from lora_tui.cache.models import names_of
from lora_tui.cache.served import all_loaded
from lora_tui.domain.answers import MOST_MODELS, Contestant
from lora_tui.domain.servers import BASE, Loaded, ServerKind, ServerState
from lora_tui.errors import NotFoundError, UnreachableError, UsageError
from lora_tui.text import terminal_safe

_MOST_ADAPTERS: Final = MOST_MODELS - 1
BASE_MODEL: Final = Contestant(BASE, "base model", None)
"""The base model of any server."""


class Choice(NamedTuple):
    """A server that a screen can ask, as the cache knows it."""

    server: str
    base: str
    """Its base model; empty where that is not known."""
    contestants: tuple[Contestant, ...]
    missing: tuple[str, ...]
    """Names of models that are wanted and not loaded there."""
    note: str
    """How it is, in words."""
    answers: bool | None
    """Whether it did when it was last asked; None where it never was."""


def choices_on(
    db: sqlite3.Connection, model_ids: Sequence[str], states: Mapping[str, ServerState]
) -> list[Choice]:
    """The servers that can be asked for these models, those that have most of them first.

    Without any model: for what each has loaded, the newest first.
    """
    loaded = all_loaded(db)
    names = names_of(db, model_ids)
    found = [
        _choice(
            server,
            {model_id: names[model_id] for model_id in model_ids if model_id in names},
            [row for row in loaded if row.server == server],
            states.get(server),
        )
        for server in sorted({*states, *(row.server for row in loaded)})
    ]
    found.sort(key=lambda one: (one.answers is False, -len(one.contestants), one.server))
    return found


def _choice(
    server: str, wanted: Mapping[str, str], loaded: Sequence[Loaded], state: ServerState | None
) -> Choice:
    listed = {one.name for one in state.adapters} if state and state.answers else None
    if not wanted:
        newest = sorted(loaded, key=lambda row: row.loaded_at, reverse=True)
        rows = [row for row in newest if listed is None or row.name in listed]
        wanted = dict(list({row.model_id: row.model_name for row in rows}.items())[:_MOST_ADAPTERS])
    contestants, missing = [BASE_MODEL], []
    for model_id, name in list(wanted.items())[:_MOST_ADAPTERS]:
        adapter = adapter_of(model_id, loaded, listed)
        if adapter is None:
            missing.append(name)
        else:
            contestants.append(Contestant(model_id, name, adapter))
    how = "" if state is None or state.answers else ", does not answer"
    has = f"{len(contestants) - 1} of {formats.counted(len(wanted), 'model')}"
    return Choice(
        server,
        terminal_safe(state.base, limit=80) if state else "",
        tuple(contestants),
        tuple(missing),
        f"{has}{how}",
        None if state is None else state.answers,
    )


def contestants_of(
    models: Mapping[str, str],
    names: Sequence[str],
    loaded: Sequence[Loaded],
    state: ServerState,
) -> list[Contestant]:
    """The base model, then these models (id → name) and adapters (names on the server), in order.

    `loaded`: what the record says of this server; `state`: what it said just now. Raises
    UnreachableError where it does not answer, NotFoundError with the remedy for a model that is not
    loaded there, UsageError for too many.
    """
    if not state.answers:
        raise UnreachableError(
            f"{state.server} does not answer",
            details=state.error or state.url,
            remedy="`lora-tui servers` tells how each server is",
        )
    found = [BASE_MODEL]
    listed = {adapter.name for adapter in state.adapters}
    for model_id, name in models.items():
        adapter = adapter_of(model_id, loaded, listed)
        if adapter is None:
            raise _not_loaded(name, model_id, state)
        found.append(Contestant(model_id, name, adapter))
    for name in names:
        if name not in listed:
            raise NotFoundError(
                f"{state.server} has no adapter {terminal_safe(name, limit=80)!r}",
                details=_listed(state),
                remedy="name a model of `lora-tui list`, or an adapter that the server has",
            )
        owner = next((row for row in loaded if row.name == name), None)
        found.append(
            Contestant(owner.model_id, owner.model_name, name)
            if owner
            else Contestant(f"name:{name}", terminal_safe(name, limit=80), name)
        )
    distinct = list({one.id: one for one in found}.values())
    if len(distinct) > MOST_MODELS:
        raise UsageError(
            f"{len(distinct) - 1} adapters are too many side by side",
            remedy=f"up to {MOST_MODELS - 1} and the base model can be asked at once",
        )
    return distinct


def adapter_of(model_id: str, loaded: Sequence[Loaded], listed: set[str] | None) -> str | None:
    """What the server calls a model: of several versions the newest; None where it has none.

    `listed`: the adapters that the server names; None where it was not asked.
    """
    rows = [
        row for row in loaded if row.model_id == model_id and (listed is None or row.name in listed)
    ]
    return max(rows, key=lambda row: row.loaded_at).name if rows else None


def _not_loaded(name: str, model_id: str, state: ServerState) -> NotFoundError:
    shown = terminal_safe(name, limit=80)
    remedy = f"`lora-tui load {model_id[:8]} --to {state.server}` loads it"
    if state.kind == ServerKind.LLAMA_CPP:
        remedy = (
            "name it as the server does; a llama-server gets its adapters at its start:"
            f" `lora-tui load {model_id[:8]} --to {state.server}` prints how"
        )
    return NotFoundError(
        f"{shown} is not loaded on {state.server}", details=_listed(state), remedy=remedy
    )


def _listed(state: ServerState) -> str:
    names = [terminal_safe(adapter.name, limit=60) for adapter in state.adapters[:10]]
    return f"it has {', '.join(names)}" if names else "it has no adapters"
