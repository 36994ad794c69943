"""Cycles for ever: the headless worker's rhythm, and what it does when the backend is away."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final

from lora_tui.errors import AuthenticationError, LoraTuiError, UsageError
from lora_tui.harvest.cycle import run_cycle
from lora_tui.harvest.events import Event
from lora_tui.harvest.harvester import Harvester

_JITTER: Final = 0.1
_LONGEST_WAIT: Final = 900.0


def run_forever(
    harvester: Harvester,
    *,
    interval: float,
    limit: int | None,
    emit: Callable[[Event], None],
    stop: threading.Event,
    concurrency: int = 1,
    wait: Callable[[float], bool] | None = None,
) -> None:
    """Run a cycle every `interval` seconds until `stop` is set; then end after the current file.

    While cycles fail altogether, the waits between them double, up to a quarter of an hour. `wait`
    sleeps so many seconds and says whether to stop. Raises AuthenticationError and UsageError:
    those need a person.
    """
    wait = wait or stop.wait
    failures = 0
    while not stop.is_set():
        try:
            run_cycle(
                harvester,
                limit=limit,
                dry_run=False,
                emit=emit,
                stop=stop,
                concurrency=concurrency,
            )
        except (AuthenticationError, UsageError):
            raise
        except LoraTuiError:
            failures += 1  # the cycle's last event has told what it was
        else:
            failures = 0
        pause = max(interval, min(interval * 2**failures, _LONGEST_WAIT))
        if wait(pause * random.uniform(1 - _JITTER, 1 + _JITTER)):  # noqa: S311 - not for secrets
            return
