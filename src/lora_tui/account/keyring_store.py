"""Texts in the desktop's keyring: the optional package `keyring` with a backend that encrypts.

The package is imported only to read or write a token, and not with LORA_TUI_NO_KEYRING=1.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from lora_tui.config.table import variables

_SERVICE: Final = "lora-tui"
_LEAST_PRIORITY: Final = 1
"""The priority of backends that the package recommends; backends of plain text have less."""


def write(name: str, text: str) -> bool:
    """Store the text under this name; False where no keyring accepts it."""
    backend = _backend()
    if backend is None:
        return False
    try:
        backend.set_password(_SERVICE, name, text)
    except Exception as error:  # a backend raises whatever its bus or library does
        _note("the keyring does not accept the session", error)
        return False
    return True


def read(name: str) -> str | None:
    """The stored text; None where it is gone, the keyring is locked, or there is none."""
    backend = _backend()
    if backend is None:
        return None
    try:
        text = backend.get_password(_SERVICE, name)
    except Exception as error:
        _note("the keyring does not give the session", error)
        return None
    return text if isinstance(text, str) else None


def remove(name: str) -> None:
    """Remove the text; no error where there is none."""
    backend = _backend()
    if backend is None:
        return
    try:
        backend.delete_password(_SERVICE, name)
    except Exception as error:
        _note("the keyring does not remove the session", error)


def _backend() -> Any:
    if variables().no_keyring:
        return None
    try:
        keyring = importlib.import_module("keyring")
        backend = keyring.get_keyring()
        return backend if backend.priority >= _LEAST_PRIORITY else None
    except Exception as error:
        _note("there is no keyring", error)
        return None


def _note(what: str, error: Exception) -> None:
    """Log an error of a backend by its class alone: its text may hold the token."""
    import logging  # `list` loads this module, and has nothing to log

    logging.getLogger("lora_tui.account.sessions").info("%s: %s", what, type(error).__name__)
