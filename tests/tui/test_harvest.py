"""Pictures of the harvest in its states, and the jobs that wait according to the cache."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.clock import timestamp_text
from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.processes import new_identity
from lora_tui.secret import Secret
from lora_tui.tui.background_harvest import BackgroundHarvest
from lora_tui.tui.cache_app import CacheApp
from tests.tui.conftest import Open, screen_text, type_at_once, until
from tests.tui.library import DATASETS, NOW, USER, FakeWriters, Library, identifier
from tests.tui.test_snapshots import LARGE, SMALL, Compare

WEIGHTS = "adapter_model.safetensors"
Made = Callable[..., LoraTuiApp]


def job_row(number: int, minutes: float, **changes: Any) -> dict[str, Any]:
    """Job `number`, completed so many minutes ago, of which nobody has made a model."""
    completed = timestamp_text(NOW - timedelta(minutes=minutes))
    row = {
        "id": identifier("waiting", number),
        "user_id": USER,
        "dataset_id": identifier("dataset", number % len(DATASETS)),
        "preset_id": "balanced",
        "status": "completed",
        "external_job_id": f"run-{number}-u1",
        "artifact_id": None,
        "completed_at": completed,
        "updated_at": completed,
    }
    return {**row, **changes}


@pytest.fixture
def make(library: Library, open_app: Open, writers: FakeWriters, tmp_path: Path) -> Made:
    """The application with a harvest, which nothing starts."""
    library.fill()

    def made(**changes: Any) -> LoraTuiApp:
        profile = Profile(
            name="demo",
            paths=Paths(tmp_path / "config", tmp_path, tmp_path, tmp_path),
            url="http://127.0.0.1:9",
            anon_key="anon",
            **{
                "service_key": Secret("service"),
                "gpu_url": "http://127.0.0.1:9/v2/x",
                "gpu_key": Secret("gpu"),
                **changes.pop("profile_changes", {}),
            },
        )
        return open_app(harvest=BackgroundHarvest(profile, writers), **changes)

    return made


def put_all_states(app: LoraTuiApp, library: Library) -> None:
    """One job that runs, one that failed, one that is dead, one that is done; two that wait."""
    assert app.harvest is not None
    library.put_jobs(job_row(6, 4), job_row(7, 23), job_row(8, 50))
    holder = new_identity()
    with app.harvest.open_ledger() as ledger:
        jobs = [job_row(number, minutes) for number, minutes in enumerate((3, 9, 55, 12))]
        ledger.queue(jobs)
        running, failed, dead, done = (str(job["id"]) for job in jobs)
        ledger.started(running, "Customer Support Emails - 2026-11-23", holder)
        ledger.stored(running, "adapter_config.json", 742)
        ledger.stored(running, "tokenizer.json", 9_085_657)
        ledger.progress(running, WEIGHTS, 331_350_016, 524_288_000)
        ledger.started(failed, "SQL Assistant - 2026-11-23", holder)
        ledger.failed(
            failed,
            reason="The worker's storage fails",
            details="HTTP 503",
            remedy="nothing to do: the next cycle continues",
            permanent=False,
        )
        ledger.started(dead, "Radiology [red]Reports[/red] - 2026-11-23", holder)
        ledger.failed(
            dead,
            reason="The GPU worker no longer has this result",
            details="it keeps results for about 30 minutes",
            remedy="harvest more often; the training has to be repeated",
            permanent=True,
        )
        ledger.started(done, "Legal Clause Review - 2026-11-23", holder)
        ledger.done(done, "Legal Clause Review - 2026-11-23", identifier("model", 3), 4)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
@pytest.mark.parametrize("ascii_only", [False, True], ids=["", "ascii"])
def test_all_states(
    library: Library,
    make: Made,
    snap_compare: Compare,
    size: tuple[int, int],
    ascii_only: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, _high: 1.0)
    app = make(ascii_only=ascii_only)
    put_all_states(app, library)
    assert snap_compare(app, press=["h", "j"], terminal_size=size)


def test_no_jobs(make: Made, snap_compare: Compare) -> None:
    assert snap_compare(make(), press=["h"], terminal_size=SMALL)


def test_without_the_service_key(library: Library, make: Made, snap_compare: Compare) -> None:
    library.put_jobs(job_row(6, 4), job_row(7, 23))
    app = make(profile_changes={"service_key": None})
    assert snap_compare(app, press=["h"], terminal_size=SMALL)


def test_without_the_service_key_and_jobs(make: Made, snap_compare: Compare) -> None:
    app = make(profile_changes={"service_key": None})
    assert snap_compare(app, press=["h"], terminal_size=SMALL)


async def test_a_job_that_waits_is_shown_before_any_harvest_and_goes_when_it_has_its_model(
    library: Library, make: Made
) -> None:
    library.put_jobs(
        job_row(1, 5),
        job_row(2, 6, artifact_id=identifier("model", 2)),
        job_row(3, 7, status="running"),
        job_row(4, 8, external_job_id=None),
    )
    app = make()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await pilot.pause()
        assert "1 waiting" in text(app)
        assert f"{DATASETS[1]} - balanced" in text(app)
        library.put_jobs(job_row(1, 5, artifact_id=identifier("model", 1)))
        while "Nothing to import" not in text(app):
            await pilot.pause(0.01)


class CountingHarvest:
    """A harvest of which a test says how many models it has made."""

    running = wanted = False

    def __init__(self) -> None:
        self.made = self.looks = 0

    def models_made(self) -> int:
        self.looks += 1
        return self.made


async def test_a_harvested_model_is_synced_again_after_a_sync_that_another_process_prevented(
    library: Library, open_app: Open, writers: FakeWriters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CacheApp, "HARVEST_POLL_SECONDS", 0.01)
    library.fill()
    harvest = CountingHarvest()
    app = open_app(harvest=harvest)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: harvest.looks > 0)
        library.put_state(running=True)
        harvest.made = 1
        await until(pilot, lambda: ("sync",) in writers.asked and not app.is_syncing)
        library.put_state(running=False)
        before = len(writers.asked)
        await until(pilot, lambda: len(writers.asked) > before and not app.is_syncing)
        before, looks = len(writers.asked), harvest.looks
        await until(pilot, lambda: harvest.looks > looks + 3)
        assert len(writers.asked) == before


def text(app: LoraTuiApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def test_a_late_job_is_not_called_expired_because_it_is_still_tried(
    library: Library, make: Made
) -> None:
    library.put_jobs(job_row(1, 50))
    app = make()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "waiting" in screen_text(app))
        assert "The worker may have deleted the result" in screen_text(app)
        assert "expired" not in screen_text(app)


async def test_the_keys_name_only_what_they_do_now(library: Library, make: Made) -> None:
    library.put_jobs(job_row(1, 5))
    app = make()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "waiting" in screen_text(app))
        assert "b Start" in screen_text(app)
        assert "Stop" not in screen_text(app)
        assert "Open model" not in screen_text(app)  # a job that waits has none


async def test_of_two_quick_keys_the_first_starts_the_harvest_and_the_second_stops_it(
    make: Made, writers: FakeWriters
) -> None:
    """The second comes before the engine has told that it runs."""
    app = make()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "background: off" in screen_text(app))
        type_at_once(app, "b", "b")
        await until(pilot, lambda: ("stop_harvest",) in writers.asked)
        assert [call for call in writers.asked if "harvest" in call[0]] == [
            ("start_harvest",),
            ("stop_harvest",),
        ]
