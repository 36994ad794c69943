"""A harvest service that is killed again and again under faults; for a test and for a long run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.harvest.test_crashes import environment
from tests.harvest.world import World

Address = tuple[str, int]
_LOOK_SECONDS = 0.05
"""Between two looks at what a harvester has done."""

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
        self,
        home: Path,
        jobs: int,
        faults: float,
        concurrency: int,
        *,
        leases: bool = False,
        to_line: Callable[[Address], Address] = lambda address: address,
    ) -> None:
        """`to_line` gives the address at which harvesters reach a server, over a line perhaps."""
        # a lease of a dead harvester lasts a minute: without leases the next one goes on at once
        self.world = World(home, waiting_jobs=jobs, migrated=leases)
        self.kills: Counter[str] = Counter()
        self.memory: dict[str, float] = {}
        """The largest resident memory of the processes of each machine, MB."""
        self.ended: Counter[int] = Counter()
        """Harvesters that ended by themselves, by exit code."""
        url = urlsplit(self.world.sandbox.url)
        assert url.hostname
        assert url.port
        host, port = to_line((url.hostname, url.port))
        self._environment = {
            name: value.replace(url.netloc, f"{host}:{port}")
            for name, value in environment(self.world).items()
        }
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

    def retry_all(self) -> None:
        """Have jobs that wait for their next attempt tried at once; in a project with our queue."""
        jobs = self.world.sandbox._backend.database.rows(
            "SELECT id FROM training_jobs WHERE status = 'completed' AND artifact_id IS NULL"
        )
        self.world.http.post(
            "/rest/v1/rpc/retry_harvest_jobs", json={"p_job_ids": [row["id"] for row in jobs]}
        )

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
            env=os.environ | self._environment | {"LORA_TUI_HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not over() and process.poll() is None:
                time.sleep(_LOOK_SECONDS)
        finally:
            self._note_memory(process, machine)
            process.kill()
            process.wait()
        if process.returncode == -signal.SIGKILL:
            self.kills[machine] += 1
        else:
            self.ended[process.returncode] += 1

    def _note_memory(self, process: subprocess.Popen[bytes], machine: str) -> None:
        with suppress(OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            if found := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
                megabytes = int(found[1]) * 1024 / 1e6
                self.memory[machine] = max(self.memory.get(machine, 0.0), megabytes)

    def figures(self, seconds: float) -> dict[str, Any]:
        """What became of it all."""
        return {
            "jobs": self._jobs,
            "artifacts": len(self.world.artifacts()),
            "notifications": len(self.world.notifications()),
            "objects": len(self.world.objects()),
            "files_named": sum(len(row["artifacts"]) for row in self.world.artifacts().values()),
            "kills": self.kills.total(),
            "ended": {str(code): count for code, count in self.ended.items()},
            "memory_mb": {name: round(most) for name, most in sorted(self.memory.items())},
            "seconds": round(seconds),
            "requests": len(self.world.sandbox.requests()),
        }
