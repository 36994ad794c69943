"""llama-server has its adapters from its start: notes what it has, or says how to start it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lora_tui.adapters.served import served_adapter
from lora_tui.adapters.snippets import ServedAdapter, shell_word, snippet
from lora_tui.config.servers import Server
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import open_deployments
from lora_tui.domain import Model
from lora_tui.domain.servers import ServerState
from lora_tui.errors import UsageError
from lora_tui.serving.delivery import Delivery, Version, is_intact
from lora_tui.serving.tools import Outcome, Tools, loaded_row
from lora_tui.text import terminal_safe


def given_at_start(
    model: Model, version: Version, server: Server, state: ServerState,
    existing: Sequence[Path], deliver: Callable[[Sequence[Path]], Delivery], tools: Tools,
) -> Outcome:  # fmt: skip
    """Note the adapter where llama-server was started with it; else say how to start it."""
    file = f"{version.name}.gguf"
    listed = next((one for one in state.adapters if PurePosixPath(one.path).name == file), None)
    if listed is not None:
        there = PurePosixPath(listed.path).parent
        place = server.directory_of(str(there)) if there.is_absolute() else None
        directory = place if place is not None and is_intact(model, place) else None
        row = loaded_row(
            tools, server, model, version, listed.name, Delivery(listed.path, directory)
        )
        with open_deployments(tools.paths) as deployments:
            deployments.note_loaded(row)
        refresh_served(tools.db, tools.paths, tools.owner)
        return Outcome(row, was_there=True)
    usable = [path for path in existing if server.server_path(Path(os.path.realpath(path)))]
    delivery = deliver(usable)
    served = served_adapter(model, delivery.directory)
    served = replace(served, name=version.name, directory=PurePosixPath(delivery.server_path))
    return Outcome(None, commands=start_commands(served, state))


def start_commands(served: ServedAdapter, state: ServerState) -> str:
    """Shell commands: convert the adapter, and start llama-server with all that it has and this.

    Raises UsageError for an adapter that is there with a comma in its path.
    """
    *converted, started = snippet(served, "llama.cpp").splitlines()
    for adapter in state.adapters:
        if "," in adapter.path:
            raise UsageError(
                "A comma separates files in --lora",
                details=terminal_safe(adapter.path, limit=300),
                remedy="move that file to a path without one",
            )
    more = "".join(f" --lora {shell_word(adapter.path)}" for adapter in state.adapters)
    about = f"# the adapters that {state.server} has now, and this one"
    return "".join(f"{line}\n" for line in (*converted, about, started + more))
