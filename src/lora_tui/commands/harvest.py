"""`lora-tui --harvest`: the headless worker, one cycle or for ever."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import closing

import lora_tui.harvest as harvesting
from lora_tui.commands.context import Context
from lora_tui.errors import PartlyFailedError


def run(context: Context) -> None:
    """Turn completed jobs into artifacts. Raises PartlyFailedError where a job failed."""
    context.require_network()
    arguments = context.arguments
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def emit(event: harvesting.Event) -> None:
        if context.json:
            context.out.write(json.dumps(harvesting.as_json(event)) + "\n")
        else:
            context.out.write(harvesting.describe(event) + "\n")
        context.out.flush()

    with closing(harvesting.connect(context.profile)) as harvester:
        if arguments.once or arguments.dry_run:
            result = harvesting.run_cycle(
                harvester,
                limit=arguments.limit_jobs,
                dry_run=arguments.dry_run,
                emit=emit,
                stop=stop,
            )
            if result.failed:
                raise PartlyFailedError(
                    f"{result.failed} of {result.failed + result.harvested} jobs failed",
                    remedy="the reasons are above; the next run tries again",
                )
            return
        harvesting.run_forever(
            harvester,
            interval=arguments.interval,
            limit=arguments.limit_jobs,
            emit=emit,
            stop=stop,
        )
