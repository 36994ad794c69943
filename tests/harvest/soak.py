"""A harvest service that is killed again and again under faults; for a test and for a long run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.harvest.test_crashes import environment, wait_until
from tests.harvest.world import World

# The service as it is, but for its waits: between attempts, and before a failed job's next try.
_SERVICE = """
import sys
from lora_tui.harvest import schedule
from lora_tui.cli.run import main
schedule.JOB_BACKOFF = schedule.JOB_BACKOFF._replace(first=0.5, longest=2.0)
sys.exit(main(sys.argv[1:]))
"""


class Soak(AbstractContextManager["Soak"]):
    """One world, and processes that die in it."""

    def __init__(
        self, home: Path, jobs: int, faults: float, concurrency: int, *, leases: bool = False
    ) -> None:
        # a lease of a dead harvester lasts a minute: without leases the next one goes on at once
        self.world = World(home, waiting_jobs=jobs, migrated=leases)
        self.kills: Counter[str] = Counter()
        self._jobs = jobs
        self._concurrency = concurrency
        for part in ("/rest/v1", "/storage/v1", "/worker-files", "/v2"):
            self.world.sandbox.faults(path=part, error_rate=faults, status=503)

    def __exit__(self, *exception: object) -> None:
        self.world.__exit__(*exception)

    def waiting(self) -> int:
        """Jobs without their model, asked past the faults."""
        row = self.world.sandbox._backend.database.row(
            "SELECT COUNT(*) AS n FROM training_jobs WHERE status = 'completed'"
            " AND external_job_id IS NOT NULL AND artifact_id IS NULL"
        )
        return int(row["n"])

    def harvest_until_killed(self, seconds: float, machine: str = "") -> None:
        """Run the service for so long at most, then kill it; sooner where no job waits.

        `machine` tells apart harvesters that share nothing but the backend.
        """
        end = time.monotonic() + seconds
        self._run(lambda: time.monotonic() >= end or not self.waiting(), machine)

    def harvest_until_stored(self, objects: int) -> None:
        """Run the service until so many objects are in the bucket, then kill it."""
        self._run(lambda: self._stored() >= objects or not self.waiting())

    def _stored(self) -> int:
        return len(self.world.requested("POST", "/storage/v1/object/lora-models/"))

    def _run(self, over: Callable[[], bool], machine: str = "") -> None:
        home = self.world.home / machine
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _SERVICE,
                *("--harvest", "--interval", "1", "--concurrency", str(self._concurrency)),
            ],
            env=os.environ | environment(self.world) | {"LORA_TUI_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(over)
        finally:
            process.kill()
            process.wait()
        self.kills[machine] += 1

    def figures(self, seconds: float) -> dict[str, Any]:
        """What became of it all."""
        return {
            "jobs": self._jobs,
            "artifacts": len(self.world.artifacts()),
            "notifications": len(self.world.notifications()),
            "objects": len(self.world.objects()),
            "files_named": sum(len(row["artifacts"]) for row in self.world.artifacts().values()),
            "kills": self.kills.total(),
            "seconds": round(seconds),
            "requests": len(self.world.sandbox.requests()),
        }
