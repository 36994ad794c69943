"""What an engine does while the application is open: it syncs now and then, and follows runs.

It works on the profile of its environment, until it is killed or its input ends.
"""

from __future__ import annotations

import select
import sys
from contextlib import suppress
from functools import partial

from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.requests import Requests
from lora_tui.errors import LoraTuiError

POINTS_EVERY = 0.3
"""Seconds, so that an episode has many reads."""
SYNC_EVERY = 1.5


def main() -> None:
    profile = load_profile()
    while True:
        try:
            online = OnlineWriters(profile)
        except LoraTuiError:  # the faults are the same for a login
            if _ended(0.2):
                return
        else:
            break
    owner = online.cache_owner
    online.close()
    requests = Requests(
        find_paths(),
        profile,
        owner,
        connect=partial(OnlineWriters, profile),
        tell=lambda _name, _data: None,
        live_interval=POINTS_EVERY,
    )
    print("ready", flush=True)
    while True:
        with suppress(LoraTuiError):
            requests.call("sync", {"full": False, "scheduled": False})
        if _ended(SYNC_EVERY):
            break
    requests.close()


def _ended(seconds: float) -> bool:
    readable, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(readable)


if __name__ == "__main__":
    main()
