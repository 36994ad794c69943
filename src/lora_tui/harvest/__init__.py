"""Harvest: each completed training job becomes one stored, rated and announced model.

Whatever dies on the way, the next run finishes it: ids are made from the job's id, every step may
be repeated, and the job leaves the queue by the very last write. docs/architecture.md tells why.
"""

from __future__ import annotations

from lora_tui.harvest.cycle import CycleResult, run_cycle
from lora_tui.harvest.events import (
    CycleFinished,
    CycleStarted,
    Event,
    FileStored,
    JobFailed,
    JobHarvested,
    JobStarted,
    ResultExpiring,
    ResultLost,
    TransferSlow,
    as_json,
    describe,
)
from lora_tui.harvest.harvester import Harvester, connect
from lora_tui.harvest.ledger import Ledger, ledger_path
from lora_tui.harvest.ledger_schema import FileState, JobState, State
from lora_tui.harvest.loop import run_forever, run_once

__all__ = [
    "CycleFinished",
    "CycleResult",
    "CycleStarted",
    "Event",
    "FileState",
    "FileStored",
    "Harvester",
    "JobFailed",
    "JobHarvested",
    "JobStarted",
    "JobState",
    "Ledger",
    "ResultExpiring",
    "ResultLost",
    "State",
    "TransferSlow",
    "as_json",
    "connect",
    "describe",
    "ledger_path",
    "run_cycle",
    "run_forever",
    "run_once",
]
