"""Writes one setting into the configuration file and keeps all else in it, comments included."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lora_tui.config import KEYS, check_profile_name, check_setting, read_profiles
from lora_tui.errors import ConfigError, DiskError

SECRET_KEYS: Final = frozenset({"service_key", "gpu_key", "password", "access_token"})


def set_value(path: Path, profile: str, key: str, value: str) -> None:
    """Set `key` of `[profiles.PROFILE]`; an empty value removes it. Other processes wait.

    The file is replaced in one step, and only its owner can read it from then on where it holds
    secrets. Raises ConfigError (unknown key, unusable value, broken file) and DiskError.
    """
    check_profile_name(profile)
    if key not in KEYS:
        raise ConfigError(
            f"There is no setting named {key!r}",
            remedy=f"known ones: {', '.join(sorted(KEYS))}",
        )
    setting = check_setting(key, value) if value else None
    target = Path(os.path.realpath(path))  # a link to the real file stays a link
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _turn(target.parent):
            read_profiles(target)
            _replace(target, _edited(target, profile, key, setting))
    except OSError as error:
        raise DiskError(
            f"The configuration can't be written: {error.strerror}", details=str(path)
        ) from error


def _edited(path: Path, profile: str, key: str, setting: str | bool | None) -> str:
    import tomlkit  # late: only this command writes
    from tomlkit.exceptions import TOMLKitError

    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        document = tomlkit.parse(text)
        if "profiles" not in document:
            document["profiles"] = tomlkit.table(is_super_table=True)
        profiles = document["profiles"]
        assert isinstance(profiles, MutableMapping)
        if profile not in profiles:
            profiles[profile] = tomlkit.table()
        table = profiles[profile]
        assert isinstance(table, MutableMapping)
        if setting is None:
            table.pop(key, None)
        else:
            table[key] = setting
        return tomlkit.dumps(document)
    except TOMLKitError:
        # its message may quote the file, and with it a secret
        raise ConfigError("The configuration file is not valid TOML", details=str(path)) from None


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        tables = read_profiles(partial).values()  # what was written is what can be read
        if path.exists() and not any(SECRET_KEYS & table.keys() for table in tables):
            partial.chmod(stat.S_IMODE(path.stat().st_mode))
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
        raise


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """One writer at a time; the lock is on the directory, so no file is left behind."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
