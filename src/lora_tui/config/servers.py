"""The servers of a profile: tables [profiles.NAME.servers.SERVER] of the configuration file.

url        the server's address; it may be private, for the user typed it
kind       vllm or llama.cpp
local      a directory of this machine that the server sees too …
remote     … and its path there; without both, the paths of this machine are the server's. With
           via and without local: where a script fetches the files
via        a command that opens a shell on the server's machine, such as `ssh gpu-1`
keyring    true where the server's key is in the keyring
key        the server's key (the file becomes private); better LORA_TUI_SERVER_KEY_NAME, its _FILE
           form, or the keyring
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from lora_tui.config.addresses import is_public_host
from lora_tui.config.kinds import checked_url, expanded
from lora_tui.config.setting import PROFILES
from lora_tui.config.table import SERVERS, Profile
from lora_tui.domain.servers import ServerKind, server_name
from lora_tui.errors import ConfigError, NotFoundError

KEYS: Final = ("url", "kind", "local", "remote", "via", "keyring", "key")
_NO_TEXT: Final = ("keyring",)


class Server(NamedTuple):
    """One server of a profile. Its key is not in it: see `account/server_keys.py`."""

    name: str
    url: str
    kind: ServerKind | None = None
    """None where it was never asked."""
    local: Path | None = None
    """A directory here that is `remote` on the server's machine."""
    remote: str | None = None
    via: str | None = None
    has_keyring_entry: bool = False
    """Whether its key is in the keyring."""

    @property
    def is_in_clear(self) -> bool:
        """Whether a key would go through the public internet in clear text."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and is_public_host(parts.hostname or "")

    def server_path(self, directory: Path) -> str | None:
        """The path at which the server sees a directory of this machine; None where it does not.

        `directory` is absolute and without links.
        """
        if self.local is None or self.remote is None:
            return None if self.via else str(directory)
        root = self.local.resolve()
        if root != directory and root not in directory.parents:
            return None
        below = directory.relative_to(root).as_posix()
        return f"{self.remote.rstrip('/')}/{below}" if below != "." else self.remote

    def directory_of(self, path: str) -> Path | None:
        """The directory of this machine that the server sees at this path, without links.

        None where there is none. `path` is absolute.
        """
        if self.local is None or self.remote is None:
            return None if self.via else Path(os.path.realpath(path))
        root, place = PurePosixPath(self.remote), PurePosixPath(path)
        if ".." in place.parts or (root != place and root not in place.parents):
            return None
        return Path(os.path.realpath(self.local / place.relative_to(root)))


def remote_path(value: str, what: str) -> str:
    """A directory of a server's machine. Raises ConfigError where it is not absolute."""
    if not value.startswith("/"):
        raise ConfigError(f"{what} must be an absolute path", remedy="write it like /srv/adapters")
    return value


def servers_of(tables: Mapping[str, Any], place: str) -> dict[str, Server]:
    """The servers in `Profile.servers`, by name. `place` names the profile for messages.

    Raises ConfigError.
    """
    return {name: _server(name, table, place) for name, table in sorted(tables.items())}


def servers_in(profile: Profile) -> dict[str, Server]:
    """The servers of a profile, by name. Raises ConfigError."""
    return servers_of(profile.servers, f"{PROFILES}.{profile.name}")


def names_with_key(table: Mapping[str, Any]) -> list[str]:
    """The servers of a profile's table in the file whose keys are in the file."""
    servers = table.get(SERVERS)
    found = servers.items() if isinstance(servers, Mapping) else ()
    return sorted(name for name, one in found if isinstance(one, Mapping) and one.get("key"))


def find_server(profile: Profile, name: str) -> Server:
    """The server of this name. Raises NotFoundError where the profile has none, ConfigError."""
    servers = servers_in(profile)
    found = servers.get(name)
    if found is None:
        known = ", ".join(servers)
        raise NotFoundError(
            f"There is no server named {name[:80]!r}",
            details=f"servers of profile {profile.name}: {known}" if known else None,
            remedy="`lora-tui servers` lists them" if known else
            "add one: `lora-tui servers add NAME URL`",
        )  # fmt: skip
    return found


def server_url(value: str, what: str) -> str:
    """A server's address without a slash, or the `/v1` of OpenAI's clients, at its end.

    Raises ConfigError.
    """
    return checked_url(value, what, plain_http=True).removesuffix("/v1").rstrip("/")


def _server(name: str, table: object, place: str) -> Server:
    what = f"server {name} of {place}"
    if not isinstance(table, Mapping):
        raise ConfigError(f"{what} is not a table", remedy=f"write [{place}.{SERVERS}.{name}]")
    unknown = sorted(set(table) - set(KEYS))
    if unknown:
        raise ConfigError(
            f"{what} has a key that is not known: {unknown[0]}",
            remedy=f"known keys: {', '.join(KEYS)}",
        )
    for key, value in table.items():
        if key in _NO_TEXT:
            if not isinstance(value, bool):
                raise ConfigError(f"{key} of {what} is true or false, without quotes")
        elif not isinstance(value, str):
            raise ConfigError(f"{key} of {what} must be a text in quotes")
    kind = str(table.get("kind", ""))
    if kind and kind not in {str(known) for known in ServerKind}:
        raise ConfigError(f"kind of {what} is unknown", remedy=f"known: {', '.join(ServerKind)}")
    fetched_there = bool(table.get("via")) and not table.get("local")
    if not fetched_there and bool(table.get("local")) != bool(table.get("remote")):
        raise ConfigError(
            f"{what} has only one of local and remote",
            remedy="local names a directory of this machine, remote the same one on the server's",
        )
    return Server(
        name=server_name(name),
        url=server_url(str(table.get("url", "")), f"url of {what}"),
        kind=ServerKind(kind) if kind else None,
        local=expanded(str(table["local"]), f"local of {what}") if table.get("local") else None,
        remote=remote_path(str(table["remote"]), f"remote of {what}")
        if table.get("remote")
        else None,
        via=str(table["via"]) if table.get("via") else None,
        has_keyring_entry=table.get("keyring") is True,
    )
