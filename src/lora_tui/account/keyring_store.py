"""Texts in the desktop's keyring: the optional package `keyring` with a backend that encrypts.

The package is imported only to read or write a token, and not with LORA_TUI_NO_KEYRING=1. It runs
in a thread, because a keyring may wait without end for a bus or for a password in a window.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from lora_tui.config.table import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from threading import Thread

ATTENDED_SECONDS = 30.0
"""How long an answer is waited for where the user may have to unlock the keyring first."""
UNATTENDED_SECONDS = 5.0
"""Seconds, as above, where a configured password can replace the session in the keyring."""
HINT_SECONDS = 3.0
"""After this long a line says what is waited for."""

_SERVICE: Final = "lora-tui"
_LEAST_PRIORITY: Final = 1
"""The priority of backends that the package recommends; backends of plain text have less."""


class KeyringError(Exception):
    """There is a keyring, and it can't be used; the text completes "the keyring …"."""


def write(name: str, text: str, *, patience: float) -> bool:
    """Store the text under this name; False where there is no keyring.

    Waits up to `patience` seconds. Raises KeyringError.
    """

    def store(backend: Any) -> bool:
        backend.set_password(_SERVICE, name, text)
        return True

    return bool(_ask(store, patience))


def read(name: str, *, patience: float) -> str | None:
    """The stored text; None where it is gone, or there is no keyring.

    Waits up to `patience` seconds. Raises KeyringError.
    """
    text = _ask(lambda backend: backend.get_password(_SERVICE, name), patience)
    return text if isinstance(text, str) else None


def remove(name: str) -> None:
    """Remove the text; no error where there is none, or the keyring can't be used."""
    with suppress(KeyringError):
        _ask(lambda backend: backend.delete_password(_SERVICE, name), UNATTENDED_SECONDS)


on_wait: Callable[[bool], None] | None = None
"""Called in any thread, with True once a call waits for longer than HINT_SECONDS, with False when
none does any more: the engine sets it, to tell the application."""
_waiting: list["Thread"] = []  # noqa: UP037 - evaluated at run time
_unanswered: list["Thread"] = []  # noqa: UP037
"""The call that waits for the keyring; until it ends no other is made."""


def _ask(call: Callable[[Any], Any], patience: float) -> Any:
    """The result of a call of the keyring; None where there is no keyring. Raises KeyringError."""
    if variables().no_keyring:
        return None
    from threading import Thread  # late: `list` loads this module

    results: list[Any] = []
    errors: list[str] = []

    def run() -> None:
        try:
            backend = _backend()
            results.append(None if backend is None else call(backend))
        except BaseException as error:  # a backend raises whatever its bus or library does
            errors.append(type(error).__name__)  # without its text, which may hold the token

    if any(thread.is_alive() for thread in _unanswered):
        raise KeyringError("does not answer")
    thread = Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(min(patience, HINT_SECONDS))
    if thread.is_alive() and patience > HINT_SECONDS:
        from lora_tui.account import notice

        if patience > UNATTENDED_SECONDS:
            notice.warn("Waiting for the keyring, which may ask for its password in a window")
        _waiting.append(thread)
        _tell_waiting()
        thread.join(patience - HINT_SECONDS)
        _waiting.remove(thread)
        _tell_waiting()
    if thread.is_alive():
        _unanswered[:] = [thread]
        raise KeyringError("does not answer")
    if errors:
        raise KeyringError(f"refuses ({errors[0]})")
    return results[0]


def _tell_waiting() -> None:
    if on_wait is not None:
        on_wait(bool(_waiting))


def _backend() -> Any:
    """The keyring; None where there is none that encrypts."""
    try:
        keyring = importlib.import_module("keyring")
        backend = keyring.get_keyring()
        # a chain asks the next one where the first has no such entry: one without encryption, or
        # one that asks for a password on the terminal
        backend = next(iter(getattr(backend, "backends", [])), backend)
        return backend if backend.priority >= _LEAST_PRIORITY else None
    except Exception:  # the package is missing, or its backends fail
        return None
