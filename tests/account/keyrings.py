"""A keyring in memory that can be locked, fail, or never answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class Desktop(KeyringBackend):
    """Works, until `fault` is "locked", "raises" or "blocks"."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.calls = 0
        self.on_fault: Callable[[str], None] = lambda _fault: None
        """Told each new fault."""
        self._fault = ""
        self._end = threading.Event()

    @property
    def fault(self) -> str:
        return self._fault

    @fault.setter
    def fault(self, fault: str) -> None:
        self._fault = fault
        self.on_fault(fault)

    def get_password(self, service: str, username: str) -> str | None:
        self._open()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._open()
        del self.kept[service, username]

    def answer(self) -> None:
        """Answer the calls that wait, and all later ones."""
        self.fault = ""
        self._end.set()
        for thread in threading.enumerate():
            if thread.name == "keyring":
                thread.join()

    def _open(self) -> None:
        self.calls += 1
        if self.fault == "locked":
            raise KeyringLocked("locked")
        if self.fault == "raises":
            raise SystemError("a secret of the bus")
        if self.fault == "blocks":
            self._end.wait()


@contextmanager
def installed() -> Iterator[Desktop]:
    """The keyring that the package `keyring` finds."""
    before, backend = keyring.get_keyring(), Desktop()
    keyring.set_keyring(backend)
    try:
        yield backend
    finally:
        backend.answer()
        keyring.set_keyring(before)
