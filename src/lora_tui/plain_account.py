"""Whose cache `list` shows, where plain settings say so; without pathlib, platformdirs and tomllib.

config.py and account.py are right in every case, and take longer to load than Python itself. What
is out of the ordinary here (a `NAME_FILE`, a relative directory) is left to them, and so is every
refusal. Settings that `list` does not use are not judged.
"""

from __future__ import annotations

import sys

from lora_tui.account.files import (
    cache_name,
    claims_of,
    fits_header,
    is_session_of,
    is_user_id,
    project_key,
    read_session_file,
    session_name,
)
from lora_tui.plain_toml import read_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

_XDG = (
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_STATE_HOME", ".local/state"),
)
_SETTINGS = (
    ("SUPABASE_URL", "url"),
    ("SUPABASE_ANON_KEY", "anon_key"),
    ("LORA_TUI_ACCESS_TOKEN", "access_token"),
    ("LORA_TUI_EMAIL", "email"),
)
KNOWN = frozenset(
    (
        *("url", "anon_key", "service_key", "gpu_url", "gpu_key", "email", "password"),
        *("access_token", "downloads", "allow_private_urls", "limit_rate", "parallel_downloads"),
        "background_harvest",
    )
)
"""config.KEYS, which takes too long to import; a profile with another key is refused there."""


def find_cache(arguments: Namespace, environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The cache of the account in force, its user and its project; None where it takes more.

    Raises OSError and ValueError where it takes more, too.
    """
    if any(f"{variable}_FILE" in environment for variable, _ in _SETTINGS):
        return None
    directories = _directories(environment)
    if directories is None:
        return None
    config_file, cache_dir, state_dir = directories
    settings = _settings(arguments, environment, config_file)
    if settings is None:
        return None
    name, url, token, email = settings
    key = project_key(name, url)
    user_id = _user_of(token, email, f"{state_dir}/{session_name(key)}")
    return f"{cache_dir}/{cache_name(key, user_id)}", user_id, url


def _directories(environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Configuration file, cache and state. On Linux what platformdirs says, which loads slowly."""
    home = environment.get("LORA_TUI_HOME")
    if home:
        if not home.startswith("/"):
            return None
        return f"{home}/config.toml", f"{home}/cache", f"{home}/state"
    if sys.platform != "linux" or "ANDROID_ROOT" in environment:
        return None
    found = []
    for variable, default in _XDG:
        base = environment.get(variable) or f"{environment.get('HOME') or None}/{default}"
        if not base.startswith("/"):
            return None
        found.append(f"{base}/lora-tui")
    config_dir, cache_dir, state_dir = found
    return f"{config_dir}/config.toml", cache_dir, state_dir


def _settings(
    arguments: Namespace, environment: Mapping[str, str], config_file: str
) -> tuple[str, str, str, str] | None:
    """The profile's name, its project, an access token and an e-mail address (may be empty)."""
    profiles: dict[str, dict[str, str | int | bool]] = {}
    try:
        with open(arguments.config or config_file, encoding="utf-8") as file:  # noqa: PTH123
            tables = read_plain(file.read())
    except FileNotFoundError:
        if arguments.config:
            return None
        tables = {}
    if tables is None or "profiles" in tables:
        return None
    for title, table in tables.items():
        first, _, rest = title.partition(".")
        if first == "profiles":
            profiles[rest] = table
    if any("." in name or not KNOWN.issuperset(table) for name, table in profiles.items()):
        return None
    name = arguments.profile or environment.get("LORA_TUI_PROFILE") or "default"
    chosen = profiles.get(name, {})
    if name not in profiles and (name != "default" or not environment.get("SUPABASE_URL")):
        return None
    values = []
    for variable, setting in _SETTINGS:
        value = environment.get(variable) or chosen.get(setting, "")
        if not isinstance(value, str):
            return None
        values.append(value.strip())
    url, anon_key, token, email = values
    if not url or not fits_header(anon_key) or (token and not fits_header(token)):
        return None
    return name, url.rstrip("/"), token, email


def _user_of(token: str, email: str, session_file: str) -> str:
    """Whose session it is. Raises OSError, and ValueError for nobody's or a damaged one."""
    if token:
        claims = claims_of(token)
        user_id, expiry = claims.get("sub"), claims.get("exp")
        sound = type(expiry) is int and 0 < expiry < 1 << 36 and is_session_of(user_id, token, "")
    else:
        data = read_session_file(session_file)
        user_id, sound = data.get("user_id"), is_user_id(data.get("user_id"))
        if data.get("kept_in") != "keyring":
            tokens = data.get("access_token"), data.get("refresh_token")
            # what more there may be to the time, account.py sees
            sound = is_session_of(user_id, *tokens) and _is_moment(data.get("expires_at"))
        if email:  # without an address in the session it takes more, too
            sound = sound and str(data.get("email")).casefold() == email.casefold()
    if not sound or not isinstance(user_id, str):
        raise ValueError("nobody is signed in")
    return user_id


def _is_moment(value: object) -> bool:
    from datetime import datetime

    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
