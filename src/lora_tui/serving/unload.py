"""Unloads models from a server, and forgets what a server has no longer."""

from __future__ import annotations

from contextlib import suppress

from lora_tui.config.servers import Server
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import open_deployments
from lora_tui.domain import Model
from lora_tui.domain.servers import Loaded
from lora_tui.errors import NotFoundError
from lora_tui.serving.client import Client
from lora_tui.serving.delivery import Delivery, Version
from lora_tui.serving.tools import Tools, loaded_row, refresh, state_of


def unload(model: Model | None, server: Server, client: Client, tools: Tools) -> list[Loaded]:
    """Unload a model, or with None all models of this account, from a server; what was unloaded.

    Raises NotFoundError where the server has none of them, UsageError on a llama-server that still
    has one, UnreachableError where the server does not answer: then the notes stay.
    """
    with open_deployments(tools.paths) as deployments:
        rows = [
            row
            for row in deployments.loaded(tools.owner, server=server.name)
            if row.url == server.url and (model is None or row.model_id == model.id)
        ]
    state = state_of(client, server, tools)
    listed = {adapter.name for adapter in state.adapters}
    if not rows and model is not None:
        rows = [
            loaded_row(tools, server, model, Version("", name), name, Delivery("", None))
            for name in sorted(listed)
            if f"-{model.id[:8].lower()}-" in f"{name}-"
        ]
    if not rows:
        raise NotFoundError(
            f"{server.name} has none of your models loaded"
            if model is None
            else f"{server.name} has not loaded this model",
            remedy="`lora-tui servers list` shows what each server has",
        )
    for row in rows:
        if row.name in listed:
            with suppress(NotFoundError):
                client.unload(row.name)
        forget(row, tools)
    refresh(client, tools)
    return rows


def forget(row: Loaded, tools: Tools) -> None:
    """Remove the note that a server has it, without asking: the server is gone, say."""
    with open_deployments(tools.paths) as deployments:
        deployments.forget_loaded(row.owner, row.server, row.name)
    refresh_served(tools.db, tools.paths, tools.owner)


def still_loaded(model_id: str, tools: Tools) -> list[Loaded]:
    """Where a model is loaded by this account."""
    with open_deployments(tools.paths) as deployments:
        return [row for row in deployments.loaded(tools.owner) if row.model_id == model_id]
