"""Who works on a job: a name for each harvester, and whether that one still lives here."""

from __future__ import annotations

import os
import socket
import uuid
from typing import Final

_OF_THIS_PROCESS: Final[set[str]] = set()


def new_holder() -> str:
    """`host/pid/random`: the name that a harvester holds leases, notes and uploads under."""
    holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
    _OF_THIS_PROCESS.add(holder)
    return holder


def is_alive(holder: str) -> bool:
    """Whether its process is there; in a container a new process has the number of the dead one."""
    pid = _pid(holder)
    if pid == os.getpid():
        return holder in _OF_THIS_PROCESS
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _pid(holder: str) -> int:
    number = holder.split("/")[1] if holder.count("/") == 2 else ""
    return int(number) if number.isdecimal() and len(number) < 10 else 0
