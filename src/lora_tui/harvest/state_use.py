"""Who may harvest with the state of a home: the processes of one machine, one service among them.

The ledger is an SQLite file with a write-ahead log, which works between the processes and
containers of one machine, and is damaged by two machines that share it over a network file system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from lora_tui.config.table import Profile
from lora_tui.errors import InUseError
from lora_tui.files import (
    PRIVATE_MODE,
    make_private_directory,
    read_small_text,
    translate_disk_errors,
)
from lora_tui.harvest.ledger import ledger_path, presence_directory
from lora_tui.locks.file_lock import FileLock
from lora_tui.locks.presence import Presence, is_present, present_process
from lora_tui.processes import LockHolder, has_same_kernel, is_identity, new_identity

OWN_HOME: Final = "give each harvester its own LORA_TUI_HOME"
_WHAT: Final = "The harvest's state can't be kept"
_INSTEAD: Final = "set LORA_TUI_HOME to another directory"


@contextmanager
def using_state(profile: Profile, *, service: bool) -> Iterator[None]:
    """Harvest with the state of this profile while the block runs; enter it before the ledger.

    `service`: one that runs until it is stopped. Raises InUseError where another machine harvests
    with this state, or where a service does and this is one too; DiskError.
    """
    path = ledger_path(profile)
    with ExitStack() as stack:
        with translate_disk_errors(_WHAT, path.parent, instead=_INSTEAD):
            make_private_directory(path.parent)
            # shown before the others are looked for: of two that start at once one sees the other
            stack.enter_context(closing(Presence(presence_directory(path), new_identity())))
            _require_no_other_machine(path)
            if service:
                stack.enter_context(closing(_service_lock(path)))
        yield


def _require_no_other_machine(path: Path) -> None:
    directory = presence_directory(path)
    for file in sorted(directory.iterdir()):
        name = file.name.replace("~", "/")
        if is_identity(name) and not has_same_kernel(name) and is_present(directory, name):
            raise _in_use_error(
                "A harvester of another machine uses this state",
                present_process(directory, name),
                path,
            )


def _service_lock(ledger: Path) -> FileLock:
    """The lock of the service of this state, with its identity in the file.

    Raises OSError, InUseError.
    """
    path = ledger.with_name(f"{ledger.name}.service")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = FileLock(os.open(path, flags, PRIVATE_MODE), path)
    try:
        holder = lock.acquire()
        if holder is not None:
            named = LockHolder.of_identity(read_small_text(path))
            raise _in_use_error(
                "Another harvest service uses this state",
                holder if named.pid is None else named,
                ledger,
            )
        os.ftruncate(lock.descriptor, 0)
        os.write(lock.descriptor, new_identity().encode())
    except BaseException:
        lock.close()
        raise
    return lock


def _in_use_error(message: str, holder: LockHolder, ledger: Path) -> InUseError:
    return InUseError(
        message,
        details=f"{ledger} is used by {holder}",
        remedy=holder.remedy if holder.suspended else f"{OWN_HOME}; or {holder.remedy}",
    )
