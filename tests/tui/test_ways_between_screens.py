"""Keys that lead from screen to screen: back to one that is below, never a second one of it."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.screens.costs import CostsScreen
from lora_tui.screens.jobs import JobsScreen
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import Library, identifier, model_row, notice_row
from tests.tui.runs import fill_runs, run_row

RUN = 3
"""A completed run, the fourth line of the Jobs screen."""
TO_RUN = ("w", "j", "j", "j")


@pytest.fixture
def app(library: Library, open_app: Open) -> LoraTuiApp:
    """With a run, the model that it made, and a notification of it."""
    fill_runs(library)
    model = model_row(RUN, job_id=identifier("run", RUN))
    library.put_models(model)
    library.put_notices(notice_row(0))
    return open_app()


def stack(app: LoraTuiApp) -> list[str]:
    return [type(screen).__name__.removesuffix("Screen") for screen in app.screen_stack]


async def after(pilot: Pilot[Any], *keys: str) -> list[str]:
    """The screens, from the lowest."""
    await pilot.press(*keys)
    await pilot.pause()
    assert isinstance(pilot.app, LoraTuiApp)
    return stack(pilot.app)


@pytest.mark.parametrize(
    ("opens", "key", "left"),
    [
        ((*TO_RUN, "enter"), "w", ["Models", "Jobs"]),
        ((*TO_RUN, "enter", "m"), "w", ["Models", "Jobs"]),
        ((*TO_RUN, "enter", "m"), "J", ["Models", "Jobs", "Job"]),
        ((*TO_RUN, "m", "J"), "m", ["Models", "Jobs", "Model"]),
        ((*TO_RUN, "m", "t", "n"), "w", ["Models", "Jobs"]),
        (("dollar_sign", "w", "j", "enter"), "dollar_sign", ["Models", "Costs"]),
        (("dollar_sign", *TO_RUN, "m"), "dollar_sign", ["Models", "Costs"]),
        (("t", "w", "n"), "t", ["Models", "Transfers"]),
        (("O", "enter"), "O", ["Models", "Leaderboard"]),
        (("n", *TO_RUN, "enter"), "n", ["Models", "Notifications"]),
    ],
)
async def test_a_key_leads_back_to_a_screen_that_is_already_open(
    app: LoraTuiApp, opens: tuple[str, ...], key: str, left: list[str]
) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await after(pilot, *opens)
        assert await after(pilot, key) == left


async def test_a_screen_that_is_led_back_to_is_as_it_was(app: LoraTuiApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await after(pilot, *TO_RUN)
        jobs = app.screen
        assert isinstance(jobs, JobsScreen)
        chosen = jobs.rows.current
        await after(pilot, "enter", "m", "w")
        assert app.screen is jobs
        assert jobs.rows.current == chosen
        assert await after(pilot, "escape") == ["Models"]


async def test_the_jobs_of_a_group_of_costs_are_a_screen_of_their_own(app: LoraTuiApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        await after(pilot, "w", "dollar_sign", "b")
        await until(pilot, lambda: "by dataset" in screen_text(app))
        assert await after(pilot, "enter") == ["Models", "Jobs", "Costs", "Jobs"]
        assert await after(pilot, "dollar_sign") == ["Models", "Jobs", "Costs"]
        assert isinstance(app.screen, CostsScreen)


async def test_m_and_enter_lead_from_a_job_to_its_model(app: LoraTuiApp) -> None:
    async with app.run_test(size=(120, 36)) as pilot:
        for key in ("m", "enter"):
            await after(pilot, *TO_RUN, "enter")
            assert await after(pilot, key) == ["Models", "Jobs", "Job", "Model"]
            await after(pilot, "escape", "escape", "escape")


async def test_the_list_of_jobs_and_a_job_name_the_same_key_for_the_model(app: LoraTuiApp) -> None:
    async with app.run_test(size=(200, 50)) as pilot:
        await after(pilot, *TO_RUN)
        footers = [screen_text(app).splitlines()[-1]]
        await after(pilot, "enter")
        footers.append(screen_text(app).splitlines()[-1])
        assert all(" m Model " in footer for footer in footers)


async def test_a_job_that_made_no_model_offers_none(library: Library, app: LoraTuiApp) -> None:
    library.put_jobs(run_row(20, "failed"))
    async with app.run_test(size=(200, 50)) as pilot:
        app.open_job(identifier("run", 20))
        await pilot.pause()
        assert " m Model " not in screen_text(app)
        assert await after(pilot, "m", "enter") == ["Models", "Job"]
