"""Runs one cycle, or cycles until it is stopped, and decides when a refused key ends the service.

A key that is refused once may be accepted a moment later: two parts of a platform disagree about
the time, or a gateway is restarted. So a single refusal does not end the service.
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

_TRIES: Final = 3
"""Of a cycle in a row, where the key is refused: of the only one, and of a service's first."""
_REFUSED_CYCLES: Final = 5
_REFUSED_SECONDS: Final = 600.0
"""So many cycles in a row, over so long: then the key is taken for wrong."""


def run_once(
    harvester: Harvester,
    *,
    limit: int | None,
    emit: Callable[[Event], None],
    stop: threading.Event,
    dry_run: bool = False,
    concurrency: int = 1,
    tries: int = _TRIES,
) -> CycleResult:
    """Run one cycle; `tries` in all where a key is refused. Raises what the last one raises.

    The figures are those of all of them.
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

    While cycles fail altogether, the waits between them double, up to a quarter of an hour. `wait`
    sleeps so many seconds and says whether to stop. Raises AuthenticationError where a key is
    refused by the first cycle, or by several in a row over minutes, and UsageError: those need a
    person.
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
                tries=_TRIES if first else 1,
            )
        except UsageError:
            raise
        except AuthenticationError as error:
            failures += 1
            refused += 1
            if first or (refused >= _REFUSED_CYCLES and refused_for >= _REFUSED_SECONDS):
                raise _for_good(error, refused, refused_for) from error
        except LoraTuiError:
            failures += 1  # the cycle's last event has told what it was
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


def _for_good(error: AuthenticationError, cycles: int, seconds: float) -> AuthenticationError:
    """The same error, saying why it ends the service."""
    when = (
        f"by {cycles} cycles in a row, over {formats.duration(seconds)}"
        if seconds
        else f"by the first cycle, {_TRIES} times"
    )
    details = f"refused {when}; {error.details}" if error.details else f"refused {when}"
    return AuthenticationError(str(error), details=details, remedy=error.remedy)
