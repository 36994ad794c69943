"""Pauses the garbage collector while a million small objects are created.

A full collection of so many objects stops every thread for a quarter of a second, including the one
that handles keys, and frees nothing.
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
    """Pause garbage collection; it resumes when the last pause of any thread ends."""
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
