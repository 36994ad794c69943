"""What the engine does when a screen loads a model into a server, or unloads it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from lora_tui.config.table import Profile
from lora_tui.errors import CancelledError, LoraTuiError, ending_error
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.serving.tools import Tools


class LoadRequests:
    """Loading and unloading, one at a time: a server is asked one thing at a time."""

    def __init__(
        self,
        profile: Callable[[], Profile],
        user_id: Callable[[], str],
        cache: Callable[[], AbstractContextManager[Connection]],
        online: Callable[[], OnlineWriters],
    ) -> None:
        self._profile, self._user_id, self._cache, self._online = profile, user_id, cache, online
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self.calls: tuple[Callable[..., Any], ...] = (
            self.list_servers,
            self.load_model,
            self.unload_model,
        )

    def stop(self) -> None:
        """End what is under way before its next question to a server."""
        self._stopped.set()

    def list_servers(self) -> list[list[str]]:
        """Name, kind and state in words of each server of the profile; nothing is asked of them."""
        from lora_tui.cache.served import server_states
        from lora_tui.config.servers import servers_in

        lines = []
        with self._cache() as db:
            states = server_states(db)
        for server in servers_in(self._profile()).values():
            state = states.get(server.name)
            if state is None or state.url != server.url:
                lines.append([server.name, str(server.kind or ""), "not asked yet"])
                continue
            said = f"answers, with {state.base}" if state.answers else "does not answer"
            kind = str(server.kind or state.kind)
            lines.append([server.name, kind, terminal_safe(said, limit=200)])
        return lines

    def load_model(self, *, model_id: str, server: str, confirmed: bool) -> dict[str, Any]:
        """Deliver, load and prove it.

        `confirmed`: the user has seen the command that runs on the server's machine. Returns
        `confirm` with the command where it must be seen first; else `clear` (whether it has a clear
        effect), `lines` (sentences) and `commands` (for llama-server).
        """
        from lora_tui.engine.loading import is_clear, load_model, outcome_lines
        from lora_tui.serving.tools import LoadOptions

        shown: list[str] = []

        def confirm(command: str, _script: Secret) -> bool:
            shown.append(command)
            return confirmed

        with self._turn, self._cache() as db:
            try:
                outcome = load_model(
                    self._profile(), server, model_id, LoadOptions(), self._tools(db, confirm)
                )
            except CancelledError:
                if shown and not confirmed:
                    return {"confirm": shown[0]}
                raise
        return {
            "clear": is_clear(outcome),
            "lines": outcome_lines(outcome),
            "commands": outcome.commands,
        }

    def unload_model(self, *, model_id: str, server: str) -> list[str]:
        """Unload it; the names that it had on the server."""
        from lora_tui.engine.loading import unload_model

        with self._turn, self._cache() as db:
            tools = self._tools(db, lambda _command, _script: False)
            rows = unload_model(self._profile(), server, model_id, tools)
        return [row.name for row in rows]

    def _tools(self, db: Connection, confirm: Callable[[str, Secret], bool]) -> Tools:
        from lora_tui.engine.loading import SignedInProject, tools_of

        return tools_of(
            self._profile(),
            self._user_id(),
            db,
            SignedInProject(self._online, db),
            say=lambda _line: None,
            confirm=confirm,
            check_stop=self._check_stop,
        )

    def _check_stop(self) -> None:
        if self._stopped.is_set():
            error: LoraTuiError = ending_error()
            raise CancelledError(str(error))
