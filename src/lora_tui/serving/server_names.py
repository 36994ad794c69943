"""What a server calls a model: one that lora-tui has loaded, or that it was given at its start."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from lora_tui.cache.downloaded import downloaded_to
from lora_tui.config.servers import Server
from lora_tui.domain.servers import Loaded, ServerState
from lora_tui.errors import NotFoundError
from lora_tui.text import terminal_safe


def server_paths(db: sqlite3.Connection, model_id: str, server: Server) -> list[str]:
    """The path of the downloaded model on a server, where it sees the files of this machine."""
    directory = downloaded_to(db, model_id)
    place = server.server_path(directory.resolve()) if directory is not None else None
    return [place] if place else []


def find_loaded(
    known: Sequence[Loaded], state: ServerState, wanted: Loaded, directories: Sequence[str]
) -> Loaded:
    """What the server calls a model.

    The newest of the record that the server still lists; else an adapter that was given to the
    server at its start, and lies in one of `directories`, which are paths on the server. `wanted`
    has everything but the name. Raises NotFoundError.
    """
    listed = {adapter.name: adapter for adapter in state.adapters}
    rows = [row for row in known if (row.model_id, row.url) == (wanted.model_id, wanted.url)]
    for row in sorted(rows, key=lambda row: row.loaded_at, reverse=True):
        if row.name in listed:
            return row
    for adapter in state.adapters:
        places = [place.rstrip("/") for place in directories if place]
        if any(adapter.path == place or adapter.path.startswith(f"{place}/") for place in places):
            return wanted._replace(name=adapter.name, server_path=adapter.path)
    raise NotFoundError(
        f"{wanted.server} has not loaded this model",
        details=terminal_safe(wanted.model_name, limit=120),
        remedy="load it there with `lora-tui load`; on a llama-server name it as the server does",
    )
