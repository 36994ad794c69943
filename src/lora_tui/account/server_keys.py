"""The keys of servers that load adapters: from the environment, the keyring, or the file.

The first of these that has one counts: LORA_TUI_SERVER_KEY_NAME, the file that
LORA_TUI_SERVER_KEY_NAME_FILE names, the keyring, `key` of the server's table.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from lora_tui.account import keyring_store
from lora_tui.config.kinds import check_in_header
from lora_tui.config.servers import Server
from lora_tui.config.table import Profile
from lora_tui.config.text_file import read_text_file, unreadable
from lora_tui.errors import AuthenticationError, ConfigError
from lora_tui.secret import Secret

_VARIABLE: Final = "LORA_TUI_SERVER_KEY_"


def variable_of(server: str) -> str:
    """The environment variable of a server's key: gpu-1.lab → LORA_TUI_SERVER_KEY_GPU_1_LAB."""
    return _VARIABLE + server.upper().replace("-", "_").replace(".", "_")


def server_key(
    profile: Profile, server: Server, environment: Mapping[str, str] = os.environ
) -> Secret | None:
    """The key of a server; None where it has none.

    Raises ConfigError for a key that can't be sent, and for one that would go through the public
    internet in clear text; AuthenticationError where the keyring can't be used.
    """
    key, source = _found(profile, server, environment)
    if not key:
        return None
    check_key(server, key, source)
    return Secret(key)


def check_key(server: Server, key: str, source: str) -> None:
    """Raise ConfigError for a key that can't be sent to this server. `source` names it."""
    check_in_header(key, source)
    if server.is_in_clear:
        raise ConfigError(
            f"The key of {server.name} would be sent in clear text",
            details=server.url,
            remedy="use https:// or a tunnel; plain http is for this machine and private networks",
        )


def store_key(profile: Profile, server: str, key: str) -> bool:
    """Store a key in the keyring; False where there is none. Raises AuthenticationError."""
    try:
        return keyring_store.write(
            _entry(profile, server), key, patience=keyring_store.ATTENDED_SECONDS
        )
    except keyring_store.KeyringError as error:
        raise _keyring_failed(error, server) from None


def remove_key(profile: Profile, server: str) -> None:
    """Remove a key from the keyring; no error where there is none."""
    keyring_store.remove(_entry(profile, server))


def _found(
    profile: Profile, server: Server, environment: Mapping[str, str]
) -> tuple[str, str]:  # fmt: skip
    variable = variable_of(server.name)
    if text := environment.get(variable, "").strip():
        return text, variable
    if path := environment.get(f"{variable}_FILE"):
        try:
            text = read_text_file(path, f"{variable}_FILE").strip()
        except FileNotFoundError as error:
            raise unreadable(error, f"{variable}_FILE", path) from None
        return text, f"{variable}_FILE ({path})"
    if server.has_keyring_entry:
        try:
            text = keyring_store.read(
                _entry(profile, server.name), patience=keyring_store.ATTENDED_SECONDS
            ) or ""  # fmt: skip
        except keyring_store.KeyringError as error:
            raise _keyring_failed(error, server.name) from None
        if not text:
            raise AuthenticationError(
                f"The key of {server.name} is not in the keyring",
                remedy=f"give it again: `lora-tui servers add {server.name} {server.url} --key -"
                f" --force`, or set {variable}",
            )
        return text, "the keyring"
    table: Mapping[str, Any] = profile.servers.get(server.name, {})
    text = table.get("key", "")
    return text.strip() if isinstance(text, str) else "", f"key of server {server.name}"


def _entry(profile: Profile, server: str) -> str:
    return f"server {server} of {profile.key}"


def _keyring_failed(error: keyring_store.KeyringError, server: str) -> AuthenticationError:
    return AuthenticationError(
        f"The keyring {error}, and the key of {server} is in it",
        remedy=f"unlock it, or set {variable_of(server)}",
    )
