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
_pauses = 0


@contextmanager
def gc_paused() -> Iterator[None]:
    """No collection until the last of those who ask for it, in any thread, is done."""
    global _pauses
    with _lock:
        _pauses += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses:
                gc.enable()
