"""What screens ask about servers that load adapters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import Any

from lora_tui.cache.metadata import Owner
from lora_tui.config.load import load_profile
from lora_tui.config.paths import Paths
from lora_tui.config.servers import servers_in
from lora_tui.config.table import Profile
from lora_tui.deployments.copy import refresh_served
from lora_tui.deployments.record import owner_key
from lora_tui.errors import NotConfiguredError, UnreachableError


class ServersWriter:
    """The requests about servers: the methods of `calls`."""

    def __init__(
        self,
        paths: Paths,
        profile: Profile | None,
        owner: Owner | None,
        cache: Callable[[], AbstractContextManager[Connection]],
        *,
        is_offline: bool,
    ) -> None:
        """`cache` opens the cache; it raises LoraTuiError."""
        self._paths, self._profile, self._owner = paths, profile, owner
        self._cache, self._is_offline = cache, is_offline

    @property
    def calls(self) -> tuple[Callable[..., Any], ...]:
        """The requests."""
        return (self.refresh_servers,)

    def refresh_copy(self) -> None:
        """Bring the copy of what is loaded where up to its record. Raises LoraTuiError."""
        if self._profile is not None and self._paths.deployments_file.exists():
            with self._cache() as db:
                refresh_served(db, self._paths, self._record_owner())

    def refresh_servers(self) -> list[str]:
        """Ask all servers of the profile; see `Writers.refresh_servers`."""
        from lora_tui.serving.survey import ask_all, forget_others, note_states  # late: few ask

        profile = self._profile_now()
        servers = list(servers_in(profile).values())
        if self._is_offline:
            raise UnreachableError(
                "This needs the network, and --offline was given", remedy="start without --offline"
            )
        states = ask_all(profile, servers)
        with self._cache() as db:
            forgotten = note_states(db, self._paths, self._record_owner(), states)
            forget_others(db, servers)
        return [f"{one.server} has {one.model_name} no longer" for one in forgotten]

    def _profile_now(self) -> Profile:
        """The profile with the servers that the file has now: one may have been added since."""
        profile = self._profile
        if profile is None:
            raise NotConfiguredError("No project is configured yet")
        if profile.identity:
            return profile
        found = load_profile(name=profile.name, config_file=self._paths.config_file) if (
            self._paths.config_file.exists()
        ) else profile  # fmt: skip
        return found if found.key == profile.key else profile

    def _record_owner(self) -> str:
        if self._profile is None or self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        return owner_key(self._profile, self._owner.user_id)
