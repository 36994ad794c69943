"""The Harvest screen: what waits, runs, failed and is done; starting, stopping, trying again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.config.table import Profile
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.writers import Writers
from lora_tui.harvest.ledger_schema import State
from lora_tui.screens.harvest import HarvestScreen
from lora_tui.secret import Secret
from lora_tui.tui.background_harvest import BackgroundHarvest
from tests.engine.profile_engine import writers_of
from tests.harvest.world import World
from tests.tui.conftest import until
from tests.tui.library import FakeWriters


def profile_of(world: World, **changes: Any) -> Profile:
    return world.profile(
        email=world.sandbox.email, password=Secret(world.sandbox.password), **changes
    )


@pytest.fixture
def open_app(world: World) -> Any:
    opened: list[Writers] = []

    def make(**changes: Any) -> LoraTuiApp:
        profile = profile_of(world, **changes)
        online = OnlineWriters(profile)
        writers = writers_of(profile, online.user_id, connect=lambda: online, harvest_interval=1.0)
        opened.append(writers)
        app = LoraTuiApp(
            online.cache_path,
            writers,
            profile="test",
            sync_on_start=False,
            harvest=BackgroundHarvest(profile, writers),
        )
        app.animation_level = "none"
        return app

    yield make
    for writers in opened:
        writers.close()  # and with it what is online


def models_in(app: LoraTuiApp) -> int:
    return int(app.db.execute("SELECT COUNT(*) FROM models").fetchone()[0])


def text(app: LoraTuiApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def test_without_the_service_key_the_screen_says_what_to_do(open_app: Any) -> None:
    app = open_app(service_key=None)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: isinstance(app.screen, HarvestScreen))
        assert "SUPABASE_SERVICE_ROLE_KEY" in text(app)
        await pilot.press("b")
        await pilot.pause()
        assert not app.harvest.running


async def test_it_is_off_until_it_is_started_and_new_models_then_appear_by_themselves(
    world: World, open_app: Any
) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "background: off" in text(app))
        assert world.requested("GET", "/v2/") == []
        await pilot.press("b")
        await until(pilot, lambda: models_in(app) == 4)
        await until(pilot, lambda: "4 imported" in text(app))
        assert "background: on" in text(app)
        await pilot.press("b")
        await until(pilot, lambda: not app.harvest.running)
        await until(pilot, lambda: "background: off" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, HarvestScreen))
    world.check_complete()


async def test_models_appear_though_another_screen_was_opened_before_the_first_frame(
    world: World, open_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app()
    # what is to be called after a refresh of the first screen is never called: it is covered
    monkeypatch.setattr(app, "call_after_refresh", lambda *_: True)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "background: off" in text(app))
        await pilot.press("b")
        await until(pilot, lambda: models_in(app) == 4)


async def test_a_failed_job_shows_its_reason_and_can_be_tried_again(
    world: World, open_app: Any
) -> None:
    job = world.jobs()[0]
    world.sandbox.faults(vanish=[job["external_job_id"]])
    world.run()
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "1 given up" in text(app))
        assert "30 minutes" in text(app)
        assert "No automatic retry" in text(app)
        world.sandbox.clear_faults()
        await pilot.press("x")
        await until(pilot, lambda: "1 waiting" in text(app))
        await pilot.press("b")
        await until(pilot, lambda: "4 imported" in text(app))
    world.check_complete()


async def test_a_running_job_shows_how_far_each_file_is(world: World, open_app: Any) -> None:
    harvester = world.harvester()
    job = world.jobs()[0]
    harvester.ledger.queue([job])
    harvester.ledger.started(job["id"], "Invoices [red]x[/red]", harvester.holder)
    harvester.ledger.stored(job["id"], "adapter_config.json", 700)
    harvester.ledger.progress(job["id"], "adapter_model.safetensors", 25, 100)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "1 importing" in text(app))
        assert "25 % of 100 B" in text(app)
        assert "adapter_config.json" in text(app)
        assert "Invoices [red]x[/red]" in text(app)
        harvester.ledger.progress(job["id"], "adapter_model.safetensors", 50, 100)
        await until(pilot, lambda: "50 %" in text(app))


async def test_the_profile_may_have_it_start_by_itself(world: World, open_app: Any) -> None:
    app = open_app(background_harvest=True)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: models_in(app) == 4)
        with app.harvest.open_ledger() as ledger:
            assert {job.state for job in ledger.jobs()} == {State.DONE}


async def test_a_refused_key_ends_the_background_harvest_with_its_reason(open_app: Any) -> None:
    app = open_app(gpu_key=Secret("wrong"))
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h", "b")
        await until(pilot, lambda: app.harvest.error is not None)
        assert not app.harvest.running
        assert "key" in str(app.harvest.error)
        await until(pilot, lambda: "background: failed" in text(app))


async def test_something_unexpected_ends_the_background_harvest_with_a_word(
    open_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("lora_tui.engine.harvest.run_forever", broken)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h", "b")
        await until(pilot, lambda: app.harvest.error is not None)
        assert "ZeroDivisionError" in str(app.harvest.error)


async def test_a_ledger_that_the_disk_does_not_give_is_said_and_ends_nothing(
    world: World, open_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(limit=1)
    monkeypatch.setattr(LoraTuiApp, "HARVEST_POLL_SECONDS", 0.05)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "1 imported" in text(app))
        await until(pilot, lambda: app.harvest._watched is not None)  # opened when it is read
        app.harvest._watched._db.execute("DROP TABLE jobs")
        await until(pilot, lambda: "can't be read" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HarvestScreen))
    assert app.damage is None


def test_the_ledger_of_the_screen_is_the_one_of_the_service(world: World, tmp_path: Path) -> None:
    world.run(limit=1)
    with BackgroundHarvest(world.profile(), FakeWriters()).open_ledger() as ledger:
        assert sum(job.state is State.DONE for job in ledger.jobs()) == 1
