"""Harvest: each completed training job becomes one stored, rated and announced model.

The next run finishes what a crash interrupted: ids are derived from the job's id, every step can be
repeated, and the job leaves the queue with the last write. Imports transfers, adapters, gateway and
what lies below them.
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
