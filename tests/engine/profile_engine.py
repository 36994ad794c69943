"""An engine without a process that does the real work of a profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lora_tui.account.sessions import cache_owner
from lora_tui.config.table import Profile
from lora_tui.engine.harvest import INTERVAL
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.protocol import Hello
from lora_tui.engine.requests import Requests
from lora_tui.engine.server import Work
from lora_tui.engine.writers import Writers
from tests.engine.in_process import in_process_engine


def writers_of(
    profile: Profile,
    user_id: str,
    *,
    connect: Callable[[], OnlineWriters] | None,
    harvest_interval: float = INTERVAL,
) -> Writers:
    """Writers whose engine has the real requests of a profile; `connect`: None offline."""
    owner = cache_owner(profile, user_id)

    def open_work(_hello: Hello, tell: Callable[[str, Any], None]) -> Work:
        return Requests(
            profile.paths,
            profile,
            owner,
            connect=connect,
            tell=tell,
            harvest_interval=harvest_interval,
        )

    return Writers(lambda: in_process_engine(open_work), profile.downloads_dir)
