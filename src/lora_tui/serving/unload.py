"""Unloads models from a server, and forgets what a server has no longer."""

from __future__ import annotations

from contextlib import suppress

from lora_tui.config.servers import Server
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import open_deployments
from lora_tui.domain import Model
from lora_tui.domain.servers import Loaded
from lora_tui.errors import BackendError, NotFoundError, UnreachableError
from lora_tui.serving.client import Client
from lora_tui.serving.delivery import Delivery, Version
from lora_tui.serving.tools import Tools, changing, loaded_row, refresh, state_of
from lora_tui.text import terminal_safe


def unload(model: Model | None, server: Server, client: Client, tools: Tools) -> list[Loaded]:
    """Unload a model, or with None all models of this account, from a server; what was unloaded.

    Raises NotFoundError where the server has none of them, UsageError on a llama-server that still
    has one, UnreachableError where the server does not answer: then the notes stay. What was
    unloaded before an error is noted.
    """
    with changing(server, tools), open_deployments(tools.paths) as deployments:
        noted = [
            row
            for row in deployments.loaded(tools.owner, server=server.name)
            if model is None or row.model_id == model.id
        ]
        rows = [row for row in noted if row.url == server.url]
        try:
            state = state_of(client, server, tools)
        except UnreachableError as error:
            if noted:
                error.remedy = f"{error.remedy}; if it is gone for good, {_forgets(model, server)}"
            raise
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
                details=f"it was loaded when {server.name} had another address: "
                + terminal_safe(noted[0].url, limit=200) if noted else None,
                remedy=_forgets(model, server) if noted else
                "`lora-tui servers list` shows what each server has",
            )  # fmt: skip
        asked: list[Loaded] = []
        try:
            for row in rows:
                if row.name in listed:
                    with suppress(NotFoundError):
                        client.unload(row.name)
                asked.append(row)
        finally:
            there = {adapter.name for adapter in refresh(client, tools).adapters}
            for row in asked:
                if row.name not in there:
                    deployments.forget_everywhere(row.url, row.name)
            refresh_served(tools.db, tools.paths, tools.owner)
    kept = [row.name for row in asked if row.name in there]
    if kept:
        raise BackendError(
            f"{server.name} says that it has unloaded it, but still lists it",
            details=", ".join(kept),
            remedy="its files stay protected; ask again, or start the server again",
        )
    return rows


def _forgets(model: Model | None, server: Server) -> str:
    what = "--all" if model is None else model.id[:8]
    return f"`lora-tui unload {what} --from {server.name} --forget` removes the note"


def forget(row: Loaded, tools: Tools) -> None:
    """Remove the note that a server has it, without asking: the server is gone, say."""
    with open_deployments(tools.paths) as deployments:
        deployments.forget_loaded(row.owner, row.server, row.name)
    refresh_served(tools.db, tools.paths, tools.owner)


def still_loaded(model_id: str, tools: Tools) -> list[Loaded]:
    """Where a model is loaded by this account."""
    with open_deployments(tools.paths) as deployments:
        return [row for row in deployments.loaded(tools.owner) if row.model_id == model_id]
