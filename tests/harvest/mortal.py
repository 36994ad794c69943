"""A harvester that dies after so many remote writes; it imports little, for processes that die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.harvester import Harvester


class CrashError(BaseException):
    """The process is gone: no handler for errors may see this one."""


def crash() -> None:
    """Die, as far as that can be done without the process of the tests."""
    raise CrashError


class Mortal:
    """Passes calls on until the fatal write is done; from then on every call fails."""

    _WRITES = frozenset(
        {
            "claim_lease",
            "upload",
            "upload_resumable",
            "insert_artifact",
            "insert_notification",
            "link_job",
            "delete",
        }
    )

    def __init__(self, target: object, fate: Fate) -> None:
        self._target = target
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._fate.check()
            answer = method(*arguments, **options)
            if name in self._WRITES:
                self._fate.wrote()
            return answer

        return call


class Fate:
    """Death after so many remote writes."""

    def __init__(self, writes: int, die: Callable[[], None]) -> None:
        self._left = writes
        self._die = die
        self.dead = False

    def check(self) -> None:
        if self.dead:
            self._die()

    def wrote(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.dead = True
            self._die()


def mortal(harvester: Harvester, writes: int, die: Callable[[], None] = crash) -> Harvester:
    fate = Fate(writes, die)
    return replace(
        harvester,
        rest=cast(Rest, Mortal(harvester.rest, fate)),
        storage=cast(Storage, Mortal(harvester.storage, fate)),
    )
