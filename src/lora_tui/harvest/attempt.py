"""One attempt at a job: what its steps share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lora_tui.harvest.artifact_rows import Identity
from lora_tui.harvest.events import Event
from lora_tui.harvest.harvester import Harvester
from lora_tui.harvest.receipts import Owner, Receipts
from lora_tui.json_values import Row

Emit = Callable[[Event], None]
Progress = Callable[[str, int, int | None], None]
"""Gets the name of a file, the bytes received so far, and its size."""


class StoppedError(Exception):
    """The harvest was asked to stop; the next run continues the job."""


@dataclass(frozen=True)
class Attempt:
    """The parameters of `harvest_job`, for its steps."""

    harvester: Harvester
    job: Row
    identity: Identity
    emit: Emit
    stopping: Callable[[], bool]
    on_progress: Progress
    check_stop: Callable[[], None]
    turn: int
    """In the byte budget."""

    def receipts(self) -> Receipts:
        """The receipts of the job's artifact."""
        return receipts_of(self.harvester, self.identity)


def receipts_of(harvester: Harvester, identity: Identity) -> Receipts:
    """The receipts of a job's artifact."""
    return Receipts(harvester.spool_dir, identity.artifact_id, harvester.holder, Owner.of(identity))
