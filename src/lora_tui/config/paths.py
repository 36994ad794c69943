"""Where files lie: the directories, and the file names of a profile and its users."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lora_tui.config.kinds import expanded
from lora_tui.errors import ConfigError

HOME_VARIABLE = "LORA_TUI_HOME"

try:  # like `random` of the standard library: hashlib loads OpenSSL, which delays `list`
    from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found,no-redef,unused-ignore]
    except ImportError:
        from hashlib import sha256


class Paths(NamedTuple):
    """The directories. One variable, LORA_TUI_HOME, moves all of them."""

    config_file: Path
    cache_dir: Path
    state_dir: Path
    """Sessions, and what must outlive a cleared cache."""
    home: Path | None = None
    """LORA_TUI_HOME, if it is set."""
    data: Path | None = None
    """What the user has made here; see `data_dir`."""

    @property
    def data_dir(self) -> Path:
        """The directory for what only the user can make again: one's own marks of models."""
        return self.data or self.state_dir

    @property
    def deployments_file(self) -> Path:
        """What was loaded into which server, and what was proved there (deployments/record.py)."""
        return self.data_dir / "deployments.sqlite3"

    @property
    def downloads_dir(self) -> Path:
        """The directory for adapters, unless the profile names another."""
        if self.home is not None:
            return self.home / "downloads"
        from platformdirs import user_downloads_path  # late: few commands download

        return user_downloads_path() / "lora-tui"


def find_paths(
    environment: Mapping[str, str] = os.environ, config_file: Path | None = None
) -> Paths:
    """The directories of this system, or all under LORA_TUI_HOME. Nothing is created.

    Raises ConfigError where they are not known, or their names are not UTF-8, which SQLite needs.
    """
    paths = _find_paths(environment, config_file)
    for directory in (paths.cache_dir, paths.state_dir, paths.data_dir):
        try:
            str(directory).encode()
        except UnicodeEncodeError:
            raise ConfigError(
                "The directory for the cache can't be used: its name is not UTF-8 text",
                details=str(directory).encode(errors="replace").decode(),
                remedy=f"set {HOME_VARIABLE} to a directory whose whole path is UTF-8",
            ) from None
    return paths


def _find_paths(environment: Mapping[str, str], config_file: Path | None) -> Paths:
    home = environment.get(HOME_VARIABLE)
    if home:
        root = expanded(home, HOME_VARIABLE).absolute()
        return Paths(
            config_file=config_file or root / "config.toml",
            cache_dir=root / "cache",
            state_dir=root / "state",
            home=root,
            data=root / "data",
        )
    if os.environ.get("HOME") == "":
        del os.environ["HOME"]  # an empty one is none: the system knows where the home is
    on_linux = _linux_directories()
    if on_linux is not None:
        config_dir, cache_dir, state_dir, data_dir = on_linux
        file = config_file or config_dir / "config.toml"
        return Paths(file, cache_dir, state_dir, data=data_dir)
    from platformdirs import PlatformDirs

    dirs = PlatformDirs("lora-tui", appauthor=False)
    try:
        return Paths(
            config_file=config_file or dirs.user_config_path / "config.toml",
            cache_dir=dirs.user_cache_path,
            state_dir=dirs.user_state_path,
            data=dirs.user_data_path,
        )
    except RuntimeError:
        raise ConfigError(
            "There is no home directory: HOME is not set, and the user id"
            f" {os.getuid()} has no entry in passwd",
            remedy="set HOME or LORA_TUI_HOME to a directory that you own",
        ) from None


def _linux_directories() -> list[Path] | None:
    """The directories for configuration, cache, state and data, as platformdirs has them.

    Loading platformdirs takes a sixth of the time of `list`. None on other systems, and where a
    variable holds no absolute path.
    """
    if sys.platform != "linux" or "ANDROID_ROOT" in os.environ:
        return None
    found = []
    for variable, default in (
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_DATA_HOME", ".local/share"),
    ):
        base = os.environ.get(variable) or f"{os.environ.get('HOME', '')}/{default}"
        if not base.startswith("/") or not os.environ.get("HOME"):
            return None
        found.append(Path(base) / "lora-tui")
    return found


def project_key(profile: str, project: str) -> str:
    """The name of the files of a profile and a project; `project` is mostly its URL."""
    return f"{profile}-{digest(project)[:8]}"


def cache_name(key: str, user_id: str) -> str:
    """The file name of a user's cache; `key` is the `project_key`."""
    return f"{key}-{digest(user_id)[:12]}.sqlite3"


def marks_name(key: str, user_id: str) -> str:
    """The file name of a user's own marks; `key` is the `project_key`."""
    return f"{key}-{digest(user_id)[:12]}.json"


def digest(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal: no address and no id is in a file name."""
    # half of a surrogate pair can stand in an address that was typed, or in a profile's name
    return str(sha256(text.encode(errors="surrogatepass")).hexdigest())
