"""`lora-tui` in a process of its own, in bad weather: SKEW FILE_LIMIT ARGUMENTS…

The waits between attempts are short here, so that a campaign sees more trouble in its time.
"""

from __future__ import annotations

import resource
import sys
from datetime import UTC, datetime, timedelta

from lora_tui import clock
from lora_tui.cli import main
from lora_tui.harvest import ledger


def run() -> int:
    skew, limit, arguments = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    clock.now = lambda: datetime.now(UTC) + timedelta(seconds=skew)
    ledger.FIRST_WAIT, ledger.LONGEST_WAIT = 0.1, 0.5  # type: ignore[misc]
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return int(main(arguments))


if __name__ == "__main__":
    sys.exit(run())
