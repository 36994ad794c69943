"""The disk of a campaign, which can be full: its own file system if we may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

_SIZE: Final = 512 << 20
_NAME: Final = "lora-tui-campaign-"
"""The name of the file system; the process id follows it."""


class Disk(AbstractContextManager["Disk"]):
    """At `home`. Root gets a tmpfs (ENOSPC); others a limit on the size of each file (EFBIG)."""

    def __init__(self, home: Path) -> None:
        self._home = home
        clear_up()
        self.real = os.geteuid() == 0 and _mount(home, f"size={_SIZE}")

    def __exit__(self, *exception: object) -> None:
        if self.real:
            # lazily: a process that was killed a moment ago may still be there
            _unmount(str(self._home))

    @contextmanager
    def with_free(self, free: int | None) -> Iterator[None]:
        """Within the block the disk has only `free` bytes left."""
        if free is None or not self.real:
            yield
            return
        stat = os.statvfs(self._home)
        used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
        # size=0 would mean no limit at all
        _mount(self._home, f"remount,size={max(used + free, stat.f_frsize)}")
        try:
            yield
        finally:
            _mount(self._home, f"remount,size={_SIZE}")

    def file_limit(self, free: int | None) -> int:
        """The bytes that a file may have, for a process; 0 for no limit."""
        return 0 if free is None or self.real else max(free, 4_096)


def clear_up() -> None:
    """Unmount the file systems of campaigns that were killed."""
    for place, name in mounted().items():
        if not Path(f"/proc/{name.removeprefix(_NAME)}").exists():
            _unmount(place)


def mounted() -> dict[str, str]:
    """Where the file systems of all campaigns here are mounted, and the name of each."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:  # another system, where none is mounted
        return {}
    entries = [line.split(" ")[:2] for line in lines]
    return {place: name for name, place in entries if name.startswith(_NAME)}


def _unmount(place: str) -> None:
    subprocess.run(["umount", "-l", place], check=True)


def _mount(place: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, f"{_NAME}{os.getpid()}", str(place)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
