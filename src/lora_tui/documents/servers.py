"""Servers in words and as JSON, for commands and screens."""

from __future__ import annotations

from typing import Any, Final

from lora_tui import clock, formats
from lora_tui.cache.served import KnownServer
from lora_tui.clock import parse_timestamp
from lora_tui.domain.servers import ServerState
from lora_tui.text import terminal_safe

_FRESH_SECONDS: Final = 60
"""Of an answer that is told without its age."""


def server_data(known: KnownServer) -> dict[str, Any]:
    """A server as JSON: its place in the configuration, what it said, and what it has loaded."""
    server, state = known.server, known.state
    return {
        "name": server.name,
        "url": server.url,
        "kind": known.kind or None,
        "answers": state.answers if state else None,
        "error": (state.error or None) if state else None,
        "asked_at": state.asked_at if state else None,
        "base_model": (state.base or None) if state else None,
        "version": (state.version or None) if state else None,
        "local": str(server.local) if server.local else None,
        "remote": server.remote,
        "via": server.via,
        "loaded": [
            {
                "name": adapter.name,
                "path": adapter.path or None,
                "by_lora_tui": loaded is not None,
                "model_id": loaded.model_id if loaded else None,
                "model_name": loaded.model_name if loaded else None,
                "loaded_at": loaded.loaded_at if loaded else None,
            }
            for adapter, loaded in known.adapters
        ],
    }


def answers_text(state: ServerState | None) -> str:
    """Whether a server answers, or why not; with its age where it is not of this moment."""
    if state is None:
        return "not asked yet"
    asked = parse_timestamp(state.asked_at)
    age = formats.age(asked, clock.now()) if asked else ""
    said = "yes" if state.answers else f"no: {terminal_safe(state.error, limit=300)}"
    is_old = asked is not None and (clock.now() - asked).total_seconds() > _FRESH_SECONDS
    return f"{said} ({age})" if is_old else said


def loaded_text(known: KnownServer) -> str:
    """What a server has loaded, as a user names it."""
    if known.state is None and not known.adapters:
        return formats.NO_VALUE
    texts = []
    for adapter, loaded in known.adapters:
        if loaded is not None:
            texts.append(terminal_safe(loaded.model_name, limit=80))
        else:
            texts.append(f"{terminal_safe(adapter.name, limit=80)} (not by lora-tui)")
    return ", ".join(texts) or "nothing"
