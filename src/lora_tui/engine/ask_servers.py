"""What screens ask about servers that load adapters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import Any

from lora_tui.cache.metadata import Owner
from lora_tui.config.servers import servers_in
from lora_tui.config.table import Profile
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import is_recorded, owner_key
from lora_tui.errors import NotConfiguredError, offline_error


class ServersWriter:
    """The requests about servers: the methods of `calls`."""

    def __init__(
        self,
        profile: Callable[[], Profile],
        owner: Owner | None,
        cache: Callable[[], AbstractContextManager[Connection]],
        *,
        is_offline: bool,
    ) -> None:
        """`profile` has the servers as they are now. `cache` opens the cache.

        Both raise LoraTuiError.
        """
        self._profile, self._owner = profile, owner
        self._cache, self._is_offline = cache, is_offline

    @property
    def calls(self) -> tuple[Callable[..., Any], ...]:
        """The requests."""
        return (self.refresh_servers,)

    def refresh_copy(self) -> None:
        """Bring the copy of what is loaded where up to its record. Raises LoraTuiError."""
        paths = self._profile().paths
        if is_recorded(paths):
            with self._cache() as db:
                refresh_served(db, paths, self._record_owner())

    def refresh_servers(self) -> list[str]:
        """Ask all servers of the profile; see `Writers.refresh_servers`."""
        from lora_tui.serving.survey import ask_all, forget_others, note_states  # late: few ask

        profile = self._profile()
        servers = list(servers_in(profile).values())
        if self._is_offline:
            raise offline_error()
        states = ask_all(profile, servers)
        with self._cache() as db:
            forgotten = note_states(db, profile.paths, self._record_owner(), states)
            forget_others(db, servers)
        return [f"{one.server} has {one.model_name} no longer" for one in forgotten]

    def _record_owner(self) -> str:
        if self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        return owner_key(self._profile(), self._owner.user_id)
