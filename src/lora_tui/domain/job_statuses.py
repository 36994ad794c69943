"""The statuses of training jobs, and which of them mean that a job runs, waits or has ended."""

from __future__ import annotations

from typing import Final

RUNNING: Final = ("running", "initializing")
QUEUED: Final = ("queued",)
ACTIVE: Final = (*RUNNING, *QUEUED)
"""A job that runs or waits can be cancelled."""
ENDED: Final = ("completed", "failed", "cancelled")
STATUSES: Final = (*ACTIVE, *ENDED)
"""In the order in which filters list them."""
