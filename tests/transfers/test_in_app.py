"""The application downloads beside its event loop: seen, paused, resumed and finished by keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

from lora_tui.app import LoraTuiApp
from lora_tui.cache.transfer_queue import TransferState, queue_of
from lora_tui.config.table import Profile
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.writers import Writers
from lora_tui.sandbox import Sandbox
from lora_tui.screens.transfers import TransfersScreen
from tests.engine.profile_engine import writers_of
from tests.tui.conftest import until

SIGNED = "/storage/v1/object/sign/lora-models/"


@contextmanager
def writers_over(online: OnlineWriters, profile: Profile) -> Iterator[Writers]:
    with closing(writers_of(profile, online.user_id, connect=lambda: online)) as writers:
        yield writers


def offers(app: LoraTuiApp, what: str) -> bool:
    """Whether the screen has seen files that this key applies to; until then it ignores the key."""
    return app.screen.check_action("all", (what,)) is True


async def test_a_download_is_paused_left_and_finished_by_the_next_start(
    profile: Profile, configured: Sandbox
) -> None:
    online = OnlineWriters(profile)
    online.sync()
    with writers_over(online, profile) as writers:
        configured.faults(path=SIGNED, method="GET", throttle=100_000)
        app = LoraTuiApp(online.cache_path, writers, profile="test")
        app.animation_level = "none"

        def states() -> list[TransferState]:
            return [row.state for row in queue_of(app.db)]

        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.press("d", "t")
            await until(pilot, lambda: isinstance(app.screen, TransfersScreen))
            await until(pilot, lambda: TransferState.RUNNING in states())
            await until(pilot, lambda: any(row.bytes_done for row in queue_of(app.db)))
            await until(pilot, lambda: offers(app, "pause"))
            await pilot.press("P")
            await until(pilot, lambda: TransferState.PAUSED in states())
            assert TransferState.RUNNING not in states()
            await until(pilot, lambda: offers(app, "resume"))
            await pilot.press("A")
            await until(pilot, lambda: TransferState.PAUSED not in states())
            await until(pilot, lambda: TransferState.RUNNING in states())
            app.exit()
    configured.clear_faults()
    online = OnlineWriters(profile)
    with writers_over(online, profile) as writers:
        app = LoraTuiApp(online.cache_path, writers, profile="test")
        async with app.run_test(size=(100, 30)) as pilot:
            await until(
                pilot,
                lambda: (
                    bool(queue_of(app.db))
                    and all(row.state is TransferState.DONE for row in queue_of(app.db))
                ),
            )
            rows = queue_of(app.db)
        record = json.loads((rows[0].target.parent / "lora-tui.json").read_text())
        assert {row.target.name for row in rows} == set(record["files"])
        for row in rows:
            assert row.target.stat().st_size == row.bytes_total
