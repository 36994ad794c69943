"""`lora-tui` as a child process under faults: CLOCK FILE_LIMIT ARGUMENTS…

CLOCK is a file with the seconds that the clock is off; its content may change.

The waits between attempts are shortened, so that a campaign meets more faults.
"""

from __future__ import annotations

import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lora_tui import clock
from lora_tui.cli.run import main
from lora_tui.harvest import schedule


def run() -> int:
    skew, limit, arguments = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    clock.now = lambda: datetime.now(UTC) + timedelta(seconds=float(skew.read_text()))
    schedule.JOB_BACKOFF = schedule.JOB_BACKOFF._replace(first=0.1, longest=0.5)  # type: ignore[misc]
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return int(main(arguments))


if __name__ == "__main__":
    sys.exit(run())
