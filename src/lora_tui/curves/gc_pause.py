"""Keeps the garbage collector quiet while a million small objects are made.

At that number a full collection holds every thread up, the one that answers keys too, for a quarter
of a second at a time, and finds nothing.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_askers = 0


@contextmanager
def quiet_collector() -> Iterator[None]:
    """No collection until the last of those who ask for it, in any thread, is done."""
    global _askers
    with _lock:
        _askers += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _askers -= 1
            if not _askers:
                gc.enable()
