"""The desktop's keyring, where there is one: the optional package `keyring` with a real backend.

Imported only where a token is read or written; LORA_TUI_NO_KEYRING=1 leaves it alone.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from lora_tui.config.table import variables

_SERVICE: Final = "lora-tui"
_LEAST_PRIORITY: Final = 1
"""What the package gives a backend that it recommends; those that keep plain text have less."""


def write(name: str, text: str) -> bool:
    """Keep the text under this name; False where there is no keyring that takes it."""
    backend = _backend()
    if backend is None:
        return False
    try:
        backend.set_password(_SERVICE, name, text)
    except Exception as error:  # a backend raises whatever its bus or library does
        _note("the keyring does not take the session", error)
        return False
    return True


def read(name: str) -> str | None:
    """The text that was kept; None where it is gone, locked, or there is no keyring."""
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
    """Forget it; what is not there is no error."""
    backend = _backend()
    if backend is None:
        return
    try:
        backend.delete_password(_SERVICE, name)
    except Exception as error:
        _note("the keyring does not forget the session", error)


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
    """A backend's error by its class alone: the text may hold what was to be kept."""
    import logging  # `list` loads this module, and has nothing to log

    logging.getLogger("lora_tui.account.sessions").info("%s: %s", what, type(error).__name__)
