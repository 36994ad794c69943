"""Finds what a server calls the models that somebody wants to ask there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from lora_tui import formats
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.models import names_of
from lora_tui.cache.served import all_loaded
from lora_tui.domain.answers import MOST_MODELS, Contestant
from lora_tui.domain.servers import BASE, Loaded, ServerKind, ServerState
from lora_tui.errors import NotFoundError, UnreachableError, UsageError
from lora_tui.serving.server_names import find_loaded
from lora_tui.text import terminal_safe

_MOST_ADAPTERS: Final = MOST_MODELS - 1
BASE_MODEL: Final = Contestant(BASE, "base model", None)
"""The base model of any server."""


Paths = Callable[[str], Sequence[str]]
"""Model id → the paths at which a server may have been given the model's files at its start."""


class Choice(NamedTuple):
    """A server that a screen can ask, as the cache knows it."""

    server: str
    base: str
    """Its base model; empty where that is not known."""
    contestants: tuple[Contestant, ...]
    missing: Mapping[str, str]
    """Models that are wanted and not loaded there: id → name."""
    note: str
    """How it is, in words."""
    answers: bool | None
    """Whether it did when it was last asked; None where it never was."""


def choices_on(
    db: sqlite3.Connection, model_ids: Sequence[str], states: Mapping[str, ServerState]
) -> list[Choice]:
    """The servers that can be asked for these models, those that have most of them first.

    Without any model: for what each has loaded, the newest first, then what others have loaded.
    """
    loaded = all_loaded(db)
    names = names_of(db, model_ids)
    found = [
        _choice(
            server,
            {model_id: names[model_id] for model_id in model_ids if model_id in names},
            [row for row in loaded if row.server == server],
            states.get(server),
            lambda model_id: paths_here(db, model_id),
        )
        for server in sorted({*states, *(row.server for row in loaded)})
    ]
    found.sort(key=lambda one: (one.answers is False, -len(one.contestants), one.server))
    return found


def paths_here(db: sqlite3.Connection, model_id: str) -> list[str]:
    """The directory of the downloaded model, as a server on this machine sees it."""
    directory = downloaded_to(db, model_id)
    return [] if directory is None else [str(directory.resolve())]


def _choice(
    server: str,
    wanted: Mapping[str, str],
    loaded: Sequence[Loaded],
    state: ServerState | None,
    paths: Paths,
) -> Choice:
    names = dict(list(wanted.items())[:_MOST_ADAPTERS])
    found = {
        model_id: adapter
        for model_id in names
        if (adapter := adapter_of(model_id, loaded, state, paths)) is not None
    }
    contestants = [Contestant(model_id, names[model_id], found[model_id]) for model_id in found]
    if not wanted:
        contestants = _all_of(loaded, state)[:_MOST_ADAPTERS]
    how = "" if state is None or state.answers else ", does not answer"
    has = f"{len(contestants)} of {formats.counted(len(names) or len(contestants), 'model')}"
    return Choice(
        server,
        terminal_safe(state.base, limit=80) if state else "",
        (BASE_MODEL, *contestants),
        {model_id: name for model_id, name in names.items() if model_id not in found},
        f"{has}{how}",
        None if state is None else state.answers,
    )


def _all_of(loaded: Sequence[Loaded], state: ServerState | None) -> list[Contestant]:
    """All that a server has: models of the record, the newest first, then what others loaded."""
    listed = _listed_names(state)
    newest = sorted(loaded, key=lambda row: row.loaded_at, reverse=True)
    rows = [row for row in newest if listed is None or row.name in listed]
    models: dict[str, Contestant] = {}
    for row in rows:
        models.setdefault(row.model_id, Contestant(row.model_id, row.model_name, row.name))
    ours = {row.name for row in rows}
    return [*models.values(), *(_by_name(name) for name in listed or () if name not in ours)]


def contestants_of(
    models: Mapping[str, str],
    names: Sequence[str],
    loaded: Sequence[Loaded],
    state: ServerState,
    paths: Paths = lambda _model_id: (),
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
    listed = _listed_names(state) or {}
    for model_id, name in models.items():
        adapter = adapter_of(model_id, loaded, state, paths)
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
        here = (row for row in loaded if (row.name, row.url) == (name, state.url))
        owner = next(here, None)
        found.append(
            Contestant(owner.model_id, owner.model_name, name) if owner else _by_name(name)
        )
    distinct = list({one.id: one for one in found}.values())
    if len(distinct) > MOST_MODELS:
        raise UsageError(
            f"{len(distinct) - 1} adapters are too many side by side",
            remedy=f"up to {MOST_MODELS - 1} and the base model can be asked at once",
        )
    return distinct


def adapter_of(
    model_id: str, loaded: Sequence[Loaded], state: ServerState | None, paths: Paths
) -> str | None:
    """What the server calls a model: of several versions the newest; None where it has none.

    `state`: None where the server was never asked. Then the record counts, as where it is silent.
    """
    rows = [row for row in loaded if row.model_id == model_id]
    if state is None or not state.answers:
        return max(rows, key=lambda row: row.loaded_at).name if rows else None
    wanted = Loaded("", state.server, state.url, "", model_id, "", "", "", "", "")
    try:
        return find_loaded(rows, state, wanted, paths(model_id)).name
    except NotFoundError:
        return None


def _by_name(name: str) -> Contestant:
    """An adapter that lora-tui did not load."""
    return Contestant(f"name:{name}", terminal_safe(name, limit=80), name)


def _listed_names(state: ServerState | None) -> dict[str, None] | None:
    """The adapters that a server names, in its order; None where it did not answer."""
    return {one.name: None for one in state.adapters} if state and state.answers else None


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
