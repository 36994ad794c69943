"""One episode of a campaign: its processes and its faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Fault = dict[str, Any]
"""Settings of the sandbox (sandbox/faults.py)."""
Ending = Literal["quit", "kill -9", "hang up", "SIGTERM", "ctrl+c"]
"""How the application ends: `hang up` closes its terminal, `ctrl+c` sends SIGINT (the key of this
name does not quit)."""


@dataclass(frozen=True)
class Act:
    """What happens to the application, so many seconds after the act before."""

    after: float
    keys: str = ""
    kills_engine: bool = False
    """Its engine is killed; the seconds then begin when there is one."""


@dataclass(frozen=True)
class Sitting:
    """A user at the application."""

    acts: tuple[Act, ...]
    ending: Ending
    at_once: bool = False
    """The acts begin before the first frame."""


@dataclass(frozen=True)
class Episode:
    """Processes that run at once, under these faults."""

    number: int
    commands: tuple[tuple[str, ...], ...]
    """Arguments of `lora-tui`, a process each; MODEL stands for a model by its index."""
    faults: tuple[Fault, ...] = ()
    edits: tuple[str, ...] = ()
    """Remote changes while they run (world.py)."""
    kill_after: int | None = None
    """Kill all of them after this many requests."""
    clock_skew: float = 0.0
    """Seconds that this machine's clock is off."""
    clock_jump: tuple[int, float] | None = None
    """After this many requests the clock jumps by this many seconds."""
    disk_free: int | None = None
    """Free bytes on the disk while they run."""
    damage: int | None = None
    """The seed of a damage to the caches before anything runs (cache/damage.py)."""
    plant: tuple[str, int] | None = None
    """What is put beside the downloads while they run, and its seed (plants.py)."""
    suspend: tuple[int, float] | None = None
    """SIGSTOP for one of them after so many requests, SIGCONT after so many seconds."""
    take_over: int = 0
    """How many times a second client asks for an upload that goes on."""
    calm_after: float | None = None
    """Seconds after which the faults end while the processes run."""
    recheck: Literal["changes", "full"] | None = None
    """After it one sync, of changes or of all, has to make the cache equal to the backend."""
    application: Sitting | None = None
    """The application on a terminal, beside the commands."""
    marks: frozenset[str] = field(default_factory=frozenset)
    """The kinds of trouble, for the figures."""
