"""Waits until something is so: a test waits for a condition, not for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.pseudo_terminal import PATIENCE


def until(condition: Callable[[], object]) -> None:
    """Ask again and again; fails after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
