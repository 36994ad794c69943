"""Configuration: which project, which account, which directories.

Order: command-line flag, environment, profile in the file, default. Any secret may also come from
the file that NAME_FILE names (systemd credentials, mounted secrets). Nothing here prints a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from lora_tui.account.files import cache_name, fits_header, project_key
from lora_tui.errors import ConfigError, NotConfiguredError
from lora_tui.files import disk_error_reason
from lora_tui.secret import Secret

DEFAULT_PROFILE: Final = "default"
DEMO_PROFILES: Final = ("demo", "demo-hostile")
"""Of `lora-tui demo` and `lora-tui demo --hostile`, where the file has none of these names."""
_MOST_PARALLEL: Final = 16

_ON: Final = ("1", "true", "yes", "on")
_OFF: Final = ("0", "false", "no", "off")
# environment variable → key in `[profiles.NAME]`
_SETTINGS: Final = {
    "SUPABASE_URL": "url",
    "SUPABASE_ANON_KEY": "anon_key",
    "SUPABASE_SERVICE_ROLE_KEY": "service_key",
    "GPU_CLUSTER_API_URL": "gpu_url",
    "GPU_CLUSTER_API_KEY": "gpu_key",
    "LORA_TUI_EMAIL": "email",
    "LORA_TUI_PASSWORD": "password",
    "LORA_TUI_ACCESS_TOKEN": "access_token",
}
_IN_HEADERS: Final = frozenset({"anon_key", "service_key", "gpu_key", "access_token"})
KEYS: Final = frozenset(
    {
        *_SETTINGS.values(),
        "downloads",
        "allow_private_urls",
        "limit_rate",
        "parallel_downloads",
        "background_harvest",
    }
)


class Paths(NamedTuple):
    """Where things lie. One variable, LORA_TUI_HOME, moves all of them."""

    config_file: Path
    cache_dir: Path
    state_dir: Path
    """Sessions, and what must outlive a cleared cache."""
    downloads_dir: Path


class Profile(NamedTuple):
    """One Supabase project, with what is needed to reach it."""

    name: str
    paths: Paths
    url: str
    anon_key: str
    service_key: Secret | None = None
    """For harvest alone."""
    gpu_url: str | None = None
    gpu_key: Secret | None = None
    email: str | None = None
    password: Secret | None = None
    access_token: Secret | None = None
    downloads_dir: Path = Path()
    allow_private_urls: bool = False
    """Whether harvest may fetch from private addresses; only a test set-up wants that."""
    background_harvest: bool = False
    """Whether the application harvests from its start on."""
    limit_rate: float | None = None
    """Bytes a second of all downloads together; None for no limit."""
    parallel_downloads: int = 3
    """Files that are fetched at once."""
    identity: str = ""
    """What the project is known by instead of its URL; for the demo, whose port changes."""

    @property
    def key(self) -> str:
        """A file name for what belongs to this profile and this project."""
        return project_key(self.name, self.identity or self.url)

    def cache_path(self, user_id: str) -> Path:
        """The cache of one user of this project."""
        return self.paths.cache_dir / cache_name(self.key, user_id)


def find_paths(
    environment: Mapping[str, str] = os.environ, config_file: Path | None = None
) -> Paths:
    """The directories, by platformdirs or all under LORA_TUI_HOME. Nothing is created."""
    home = environment.get("LORA_TUI_HOME")
    if home:
        root = expanded(home, "LORA_TUI_HOME").absolute()
        return Paths(
            config_file=config_file or root / "config.toml",
            cache_dir=root / "cache",
            state_dir=root / "state",
            downloads_dir=root / "downloads",
        )
    from platformdirs import PlatformDirs

    if os.environ.get("HOME") == "":
        del os.environ["HOME"]  # an empty one is none: the system knows where the home is
    dirs = PlatformDirs("lora-tui", appauthor=False)
    try:
        return Paths(
            config_file=config_file or dirs.user_config_path / "config.toml",
            cache_dir=dirs.user_cache_path,
            state_dir=dirs.user_state_path,
            downloads_dir=dirs.user_downloads_path / "lora-tui",
        )
    except RuntimeError:
        raise ConfigError(
            "There is no home directory: HOME is not set, and the user id"
            f" {os.getuid()} has no entry in passwd",
            remedy="set HOME or LORA_TUI_HOME to a directory that you own",
        ) from None


def expanded(path: str, what: str) -> Path:
    """A path with `~` filled in. Raises ConfigError where that stands for no directory."""
    if "\0" in path:
        raise ConfigError(f"{what} contains a null character")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{what} begins with ~, but the home directory is not known",
            details=path,
            remedy="give the whole path, or set HOME",
        ) from None


def load_profile(
    *,
    name: str | None = None,
    config_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Profile:
    """The profile to work with. Raises ConfigError where none is configured or one is wrong."""
    paths = find_paths(environment, config_file)
    profiles = read_profiles(paths.config_file, required=config_file is not None)
    chosen = name or environment.get("LORA_TUI_PROFILE") or DEFAULT_PROFILE
    check_profile_name(chosen)
    if chosen in DEMO_PROFILES and chosen not in profiles:
        from lora_tui.config.demo import profile_from_note

        return profile_from_note(paths, chosen)
    if chosen not in profiles and (chosen != DEFAULT_PROFILE or "SUPABASE_URL" not in environment):
        if name or profiles:
            known = ", ".join(sorted(profiles)) or "none"
            raise ConfigError(
                f"There is no profile named {chosen}",
                details=f"profiles in {paths.config_file}: {known}",
            )
        raise NotConfiguredError(
            "Nothing is configured yet",
            remedy="try `lora-tui demo`, or set SUPABASE_URL and SUPABASE_ANON_KEY,"
            " or run `lora-tui config set url https://…` and `lora-tui config set anon_key …`",
        )
    return _profile(chosen, profiles.get(chosen, {}), paths, environment)


def read_document(path: Path, *, required: bool = False) -> dict[str, Any]:
    """The whole file; nothing where there is none. Raises ConfigError where it can't be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if required:
            raise ConfigError("The configuration file does not exist", details=str(path)) from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(error, "The configuration file", path) from error
    import tomllib  # only who has a file pays for its parser

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # the parser's message names line and column, never the value, which may be a secret
        raise ConfigError(
            f"The configuration file is not valid TOML: {error}", details=str(path)
        ) from None


def read_profiles(path: Path, *, required: bool = False) -> dict[str, dict[str, Any]]:
    """The `[profiles.NAME]` tables of the file; none where there is no file."""
    data = read_document(path, required=required)
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise ConfigError("Each profile is a table: [profiles.NAME]", details=str(path))
    for name, table in profiles.items():
        check_profile_name(name, path)
        unknown = sorted(set(table) - KEYS)
        if unknown:
            raise ConfigError(
                f"Profile {name} has a key that is not known: {unknown[0]}",
                details=str(path),
                remedy=f"known keys: {', '.join(sorted(KEYS))}",
            )
    return profiles


def check_profile_name(name: str, path: Path | None = None) -> None:
    """Raises ConfigError where it can't be one: it becomes part of file names.

    `path` is the file that it stands in; without one it was given by the user.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,40}", name):
        raise ConfigError(
            "A profile's name is made of letters, digits, dots, hyphens and underscores",
            details=None if path is None else f"{name!r} in {path}",
            remedy="choose another --profile" if path is None else "rename it in the file",
        )


def check_setting(key: str, value: str) -> str | bool | int:
    """A value as the file has it. Raises ConfigError where the setting can't take it."""
    value = value.strip()
    if key in ("allow_private_urls", "background_harvest"):
        if value not in ("true", "false"):
            raise ConfigError(f"{key} is true or false")
        return value == "true"
    if not value or any(not character.isprintable() for character in value):
        raise ConfigError(f"{key} takes one line of text")
    if key in _IN_HEADERS:
        check_in_header(value, key)
    if key in ("url", "gpu_url"):
        return checked_url(value, key)
    if key == "limit_rate":
        _limit_rate("the configuration", value)
    if key == "parallel_downloads":
        return _parallel(int(value) if value.isdecimal() else value)
    return value


def check_in_header(value: str, name: str) -> None:
    """Raises ConfigError, which names the setting and never its value."""
    if not fits_header(value):
        raise ConfigError(
            f"{name} can't be a key: it has a line break, a control character"
            " or a letter beyond ASCII in it",
            remedy="copy it again, as one line; a long key may have been wrapped",
        )


def _profile(
    name: str, table: Mapping[str, Any], paths: Paths, environment: Mapping[str, str]
) -> Profile:
    values: dict[str, str] = {}
    for variable, key in _SETTINGS.items():
        value = _from_environment(variable, environment)
        in_file = value is None and key in table
        if in_file:
            value = table[key]
            if not isinstance(value, str):
                raise ConfigError(f"{key} of profile {name} must be a text in quotes")
        if value is not None and value.strip():
            values[key] = value.strip()
            if key in _IN_HEADERS:
                source = f"{key} of profile {name}" if in_file else variable
                check_in_header(values[key], source)
    for variable in ("SUPABASE_URL", "SUPABASE_ANON_KEY"):
        if _SETTINGS[variable] not in values:
            raise ConfigError(
                f"{variable} is not set",
                remedy=f"set {variable}, or {_SETTINGS[variable]} in [profiles.{name}]"
                f" of {paths.config_file}",
            )
    downloads = table.get("downloads")
    private = switch_of("LORA_TUI_ALLOW_PRIVATE_URLS", environment)
    return Profile(
        name=name,
        paths=paths,
        url=checked_url(values["url"], "SUPABASE_URL"),
        anon_key=values["anon_key"],
        service_key=_secret(values.get("service_key")),
        gpu_url=checked_url(values["gpu_url"], "GPU_CLUSTER_API_URL")
        if "gpu_url" in values
        else None,
        gpu_key=_secret(values.get("gpu_key")),
        email=values.get("email"),
        password=_secret(values.get("password")),
        access_token=_secret(values.get("access_token")),
        downloads_dir=expanded(downloads, "downloads")
        if isinstance(downloads, str)
        else paths.downloads_dir,
        allow_private_urls=_switch("allow_private_urls", table) if private is None else private,
        background_harvest=_switch("background_harvest", table),
        limit_rate=_limit_rate(
            f"profile {name}", environment.get("LORA_TUI_LIMIT_RATE") or table.get("limit_rate")
        ),
        parallel_downloads=_parallel(table.get("parallel_downloads", 3)),
    )


def _parallel(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_PARALLEL:
        raise ConfigError(f"parallel_downloads is a number from 1 to {_MOST_PARALLEL}")
    return value


def _limit_rate(name: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        return bytes_of(str(value))
    except ValueError:
        raise ConfigError(
            f"limit_rate of {name} is no rate", remedy='it looks like "5M" or "800K"'
        ) from None


def bytes_of(text: str) -> float:
    """`800K`, `5M`, `1.5G` (powers of 1024, as curl has it) or plain bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text.strip().upper(), re.ASCII)
    if match is None or not float(match[1]) > 0:
        raise ValueError("not an amount of bytes")
    return float(match[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[match[2]]


def _switch(key: str, table: Mapping[str, Any]) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise ConfigError(f"{key} is true or false, without quotes")
    return value


def switch_of(variable: str, environment: Mapping[str, str]) -> bool | None:
    """Whether a variable is on or off; None where it is not set, or empty. Raises ConfigError."""
    value = environment.get(variable, "").strip().lower()
    if not value:
        return None
    if value in _OFF or value in _ON:
        return value in _ON
    raise ConfigError(f"{variable} is neither on nor off", remedy="set it to true or false")


def _from_environment(variable: str, environment: Mapping[str, str]) -> str | None:
    if environment.get(variable):
        return environment[variable]
    file = environment.get(f"{variable}_FILE")
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(error, f"{variable}_FILE", file) from None


def _unreadable(error: OSError | UnicodeDecodeError, what: str, path: Path | str) -> ConfigError:
    if isinstance(error, UnicodeDecodeError):
        return ConfigError(f"{what} can't be read: it is not UTF-8 text", details=str(path))
    reason = disk_error_reason(error)
    return ConfigError(
        f"{what} can't be read: {reason.words}", details=str(path), remedy=reason.remedy_or(None)
    )


def checked_url(value: str, variable: str) -> str:
    """A project's address as it counts. Raises ConfigError; `variable` is what it is called."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ConfigError(f"{variable} is not a URL", remedy="it looks like https://host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError(f"{variable} must be a bare URL, without credentials or a query")
    if parts.scheme == "http" and not _is_this_machine(parts.hostname):
        raise ConfigError(
            f"{variable} is not encrypted: keys would travel in clear",
            remedy="use https:// (plain http is accepted for this machine only)",
        )
    return value.rstrip("/")


def _is_this_machine(host: str) -> bool:
    from lora_tui.addresses import is_loopback  # late: most projects' addresses are https

    return is_loopback(host)


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None
