"""Runs one cycle, or cycles until a stop, and ends the service after repeated refusals of a key.

A single refusal does not end it: clocks of a platform differ, or a gateway restarts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from lora_tui import formats
from lora_tui.errors import AuthenticationError, LoraTuiError, UsageError
from lora_tui.gateway.retry import RETRY
from lora_tui.harvest.cycle import CycleResult, run_cycle
from lora_tui.harvest.events import CycleFinished, Event
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.schedule import wait_between_cycles

_ATTEMPTS: Final = 3
"""Attempts of a single cycle, or of the first cycle of a service, while the key is refused."""
_REFUSED_CYCLES: Final = 5
_REFUSED_SECONDS: Final = 600.0
"""The service ends after so many refused cycles in a row that took at least so many seconds."""


def run_once(
    harvester: Harvester,
    *,
    limit: int | None,
    emit: Callable[[Event], None],
    stop: threading.Event,
    dry_run: bool = False,
    concurrency: int = 1,
    tries: int = _ATTEMPTS,
) -> CycleResult:
    """Run one cycle, up to `tries` times while a key is refused. Raises what the last one raises.

    The result counts all of them.
    """
    harvested = failed = elsewhere = 0

    def count(event: Event) -> None:
        nonlocal harvested, failed, elsewhere
        if isinstance(event, CycleFinished):
            harvested += event.harvested
            failed += event.failed
            elsewhere += event.elsewhere
        emit(event)

    attempts = RETRY
    for number in range(1, tries + 1):
        left = None if limit is None else max(0, limit - harvested)
        try:
            result = run_cycle(
                harvester,
                limit=left,
                dry_run=dry_run,
                emit=count,
                stop=stop,
                concurrency=concurrency,
            )
        except AuthenticationError as error:
            if number == tries or stop.is_set():
                raise
            attempts = attempts.wait(error)
        else:
            return CycleResult(harvested, failed, elsewhere, result.left)
    raise AssertionError("the last try returns or raises")


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

    While whole cycles fail, the waits between them double, up to a quarter of an hour. `wait` waits
    for a number of seconds and returns whether to stop. Raises UsageError, and AuthenticationError
    where a key is refused in the first cycle, or in several cycles in a row over minutes.
    """
    wait = wait or stop.wait
    failures = refused = 0
    refused_for = 0.0
    first = True
    while not stop.is_set():
        try:
            run_once(
                harvester,
                limit=limit,
                emit=emit,
                stop=stop,
                concurrency=concurrency,
                tries=_ATTEMPTS if first else 1,
            )
        except UsageError:
            raise
        except AuthenticationError as error:
            failures += 1
            refused += 1
            if first or (refused >= _REFUSED_CYCLES and refused_for >= _REFUSED_SECONDS):
                raise _final_refusal(error, refused, refused_for) from error
        except LoraTuiError:
            failures += 1  # the last event of the cycle has reported it
            refused, refused_for = 0, 0.0
        else:
            failures = refused = 0
            refused_for = 0.0
        first = False
        pause = wait_between_cycles(interval, failures)
        if refused:
            refused_for += pause
        if wait(pause):
            return


def _final_refusal(error: AuthenticationError, cycles: int, seconds: float) -> AuthenticationError:
    """The same error, with the reason why it ends the service."""
    when = (
        f"by {cycles} cycles in a row, over {formats.duration(seconds)}"
        if seconds
        else f"by the first cycle, {_ATTEMPTS} times"
    )
    details = f"refused {when}; {error.details}" if error.details else f"refused {when}"
    return AuthenticationError(str(error), details=details, remedy=error.remedy)
