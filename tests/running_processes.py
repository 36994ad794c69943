"""Processes as /proc shows them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def children_of(parent: int) -> set[int]:
    """The processes that this one has started."""
    return {pid for pid in all_processes() if _fields(pid)[1:2] == [str(parent)]}


def engines_of(parent: int) -> list[int]:
    """The engines of lora-tui that this process has started and that run."""
    return engines_among(children_of(parent))


def engines_among(pids: Iterable[int]) -> list[int]:
    """Those that are a running engine of lora-tui."""
    return [
        pid for pid in sorted(pids) if b"lora_tui.engine" in command_of(pid) and is_running(pid)
    ]


def all_processes() -> list[int]:
    """Every process that can be seen."""
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    return _fields(pid)[:1] not in ([], ["Z"])


def command_of(pid: int) -> list[bytes]:
    """Its command line; nothing where it has ended."""
    return _content(pid, "cmdline").split(b"\0")


def environment_of(pid: int) -> list[bytes]:
    """Its environment, `NAME=value`; nothing where it has ended."""
    return _content(pid, "environ").split(b"\0")


def _fields(pid: int) -> list[str]:
    """State, parent and more of a process; nothing where it has ended."""
    return _content(pid, "stat").decode(errors="replace").rpartition(")")[2].split()


def _content(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
