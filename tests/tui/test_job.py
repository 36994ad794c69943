"""The page of a training job: how far it is, all that it logged, and why it failed."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui import formats
from lora_tui.app import LoraTuiApp
from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.live_curves import note_earlier
from lora_tui.cache.thinning import thin_old_runs
from lora_tui.clock import timestamp_text
from lora_tui.errors import ConfigError
from lora_tui.screens.job import JobScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.widgets.charts.metric_charts import MetricCharts
from lora_tui.widgets.model_page import OpinionPanel
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import NOW, FakeWriters, Library, model_row
from tests.tui.live_job import JOB, point, put_job, put_live_job, put_points
from tests.tui.test_snapshots import Compare

TALL = (180, 50)


@pytest.fixture
def live(library: Library) -> Library:
    """With one job that trains."""
    library.begin("live job", lambda: put_live_job(library))
    return library


@asynccontextmanager
async def job_page(app: LoraTuiApp, size: tuple[int, int] = TALL) -> AsyncIterator[Pilot[None]]:
    async with app.run_test(size=size) as pilot:
        await show_job(app, pilot)
        yield pilot


async def show_job(app: LoraTuiApp, pilot: Pilot[Any]) -> None:
    app.open_job(JOB)
    await until(pilot, lambda: isinstance(app.screen, JobScreen))
    await until(pilot, lambda: not list(app.screen.workers))


def charts(app: LoraTuiApp) -> MetricCharts:
    return app.screen.query_one(MetricCharts)


def titles(app: LoraTuiApp) -> list[str]:
    """The first line of each chart."""
    lines = charts(app).lines(charts(app).content_size.width)
    return ["".join(text for text, _ in line) for line in lines if line[0][1] == "heading"]


async def test_the_header_tells_how_far_it_is_and_what_it_costs(
    live: Library, open_app: Open
) -> None:
    app = open_app()
    async with job_page(app):
        text = screen_text(app)
        for words in (
            "Customer Support Emails",
            "running",
            "60 %",
            "step 1,200 of 2,000",
            "epoch 2 of 3",
            "s/step",
            "running for 30:00",
            "left",
            "$1.90 so far",
            "about $3.20 in all",
            "2 x NVIDIA A100 80GB",
        ):
            assert words in text, words


async def test_every_logged_metric_has_a_chart(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app):
        found = [title.split("  ")[0] for title in titles(app)]
        assert found == ["Loss", "Learning rate", "Gradient norm", "Throughput", "GPU utilisation"]


async def test_one_crosshair_reads_all_metrics_at_the_same_step(
    live: Library, open_app: Open
) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("right", "right", "right")
        number = charts(app).selected
        assert number is not None
        step = f"step {number * 10:,}"
        assert all(step in title for title in titles(app))
        assert formats.significant(2e-4 * (1 - number / 200)) in titles(app)[1]
        await pilot.press("plus")
        assert all(step in title for title in titles(app))
        assert "2.0×" in titles(app)[0]


async def test_new_points_are_drawn_and_the_view_stays(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("right", *["shift+right"] * 3, "plus")
        window, selected = charts(app).window, charts(app).selected
        run = charts(app)._run
        put_points(live, (point(number) for number in range(120, 130)))
        await until(pilot, lambda: len(charts(app)._run or ()) == 130)
        assert charts(app)._run is run  # only the new ones were read
        assert (charts(app).window, charts(app).selected) == (window, selected)
        assert "step 1,290 of 2,000" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), TALL], ids=str)
async def test_the_chart_says_which_points_of_an_old_run_are_kept_until_all_are_there(
    library: Library, open_app: Open, size: tuple[int, int]
) -> None:
    put_job(library, status="completed", completed_at=timestamp_text(NOW))
    put_points(library, (point(number, step=float(number)) for number in range(2_000)))
    with closing(open_cache(library.path)) as db:
        assert thin_old_runs(db, 0) == 1
        kept = len(metrics.get_points(db, JOB))
    app = open_app()
    async with job_page(app, size) as pilot:
        assert f"thinned: {kept:,} of 2,000 points" in screen_text(app)
        with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
            metrics.begin_replacement(db, JOB)
            metrics.add_replacement(
                db, JOB, [point(number, step=float(number)) for number in range(2_000)]
            )
            metrics.replace_points(db, JOB)
        await until(pilot, lambda: "thinned" not in screen_text(app))


async def test_a_point_that_comes_late_takes_its_place(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        late = point(50, id="late", training_loss=9.0, step=505.0)
        put_points(live, [late])
        await until(pilot, lambda: len(charts(app)._run or ()) == 121)
        run = charts(app)._run
        assert run is not None
        assert list(run.steps) == sorted(run.steps)


async def test_o_draws_over_epochs_time_and_percent_of_the_run(
    live: Library, open_app: Open
) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        seen = []
        for _ in range(4):
            await pilot.press("o")
            seen.append(titles(app)[0].rpartition("  ")[2])
        assert seen[:3] == ["over epochs", "over time", "over % of the run"]
        await pilot.press("o", "o", "o")
        assert "100 %" in screen_text(app)  # what is still to come is seen
        assert app.view_state.metric_axis == "percent"


async def test_a_length_that_becomes_known_later_is_the_end_of_the_axis(
    library: Library, open_app: Open
) -> None:
    put_live_job(library, total_steps=None)
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("o", "o", "o")
        assert app.view_state.metric_axis == "percent"
        end = charts(app).full_range[1]
        put_job(library, total_steps=4_000)
        await until(pilot, lambda: charts(app).full_range[1] != end)
        assert charts(app).full_range[1] == 4_000


async def test_hidden_metrics_stay_hidden_on_the_next_page(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("v", "j", "space", "enter")
        assert "Learning rate" not in "".join(titles(app))
        await pilot.press("escape")
        await show_job(app, pilot)
        assert "Learning rate" not in "".join(titles(app))
        await pilot.press("v", "j", "space", "escape")
        assert "Learning rate" not in "".join(titles(app))


async def test_where_all_metrics_are_hidden_the_key_that_shows_some_is_named(
    live: Library, open_app: Open
) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("v", *["space", "j"] * 5, "enter")
        assert "All metrics are hidden: v chooses some" in screen_text(app)
        assert titles(app) == ["Metrics"]


async def test_it_says_what_the_run_would_be_worth_now(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        await until(pilot, lambda: "If it ended now:" in screen_text(app))


async def test_a_run_is_not_rated_by_its_newest_points_alone(live: Library, open_app: Open) -> None:
    def note(*, missing: bool) -> None:
        with closing(open_cache(live.path)) as db, transaction(db, Topic.CURVES):
            note_earlier(db, JOB, missing=missing)

    note(missing=True)
    app = open_app()
    async with job_page(app) as pilot:
        await until(pilot, lambda: "earlier points follow" in screen_text(app))
        assert "If it ended now" not in screen_text(app)
        assert "First point" not in screen_text(app)
        note(missing=False)
        put_points(live, [point(120)])
        await until(pilot, lambda: "If it ended now" in screen_text(app))


async def test_no_stored_rating_is_spoken_of_before_there_is_one(
    live: Library, open_app: Open
) -> None:
    put_points(live, [point(120, training_loss=1.9)])
    app = open_app()
    async with job_page(app) as pilot:
        panel = app.screen.query_one(OpinionPanel)

        def said() -> str:
            return "".join(text for line in panel.lines(500) for text, _ in line)

        await until(pilot, lambda: "A rating of the pipeline uses only the last value" in said())
        assert "tored rating" not in said()


async def test_a_run_that_breaks_down_is_warned_of_at_once(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        assert "Warnings" not in screen_text(app)
        put_points(live, (point(number, training_loss=None) for number in range(120, 125)))
        await until(pilot, lambda: "Stop the run" in screen_text(app))
        assert "Warnings" in screen_text(app)


async def test_a_small_terminal_shows_the_worst_warning_above_the_charts(
    live: Library, open_app: Open
) -> None:
    put_points(live, (point(number, training_loss=None) for number in range(120, 125)))
    app = open_app()
    async with job_page(app, (80, 24)) as pilot:
        await until(pilot, lambda: "✗ The training loss is not a number" in screen_text(app))
        assert "logged not a number" in titles(app)[0]
        put_job(live, status="failed", completed_at=timestamp_text(NOW))
        await until(pilot, lambda: "✗ The training loss" not in screen_text(app))


async def test_with_ascii_alone_nothing_else_is_drawn(live: Library, open_app: Open) -> None:
    live.put_models(model_row(0, job_id=JOB), curves=False)
    app = open_app(ascii_only=True)
    async with job_page(app, (110, 60)) as pilot:
        await pilot.press("right", "o", "l", "plus")
        assert "step 10" in screen_text(app)
        assert screen_text(app).isascii()


async def test_a_job_without_points_says_so(library: Library, open_app: Open) -> None:
    put_job(library, status="queued", started_at=None, current_step=None, current_cost=None)
    app = open_app()
    async with job_page(app) as pilot:
        await until(pilot, lambda: "Nothing was logged yet" in screen_text(app))
        assert "queued" in screen_text(app)


async def test_an_ended_job_without_points_will_log_none(library: Library, open_app: Open) -> None:
    put_job(library)
    app = open_app()
    async with job_page(app) as pilot:
        await until(pilot, lambda: "Nothing was logged yet" in screen_text(app))
        put_job(library, status="failed", completed_at=timestamp_text(NOW))
        await until(pilot, lambda: "Nothing was logged yet" not in screen_text(app))
        assert "Nothing was logged" in screen_text(app)
        assert "no reason was recorded" in screen_text(app)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("completed", "Its result is not imported as a model yet."),
        ("failed", "No model was made of this run."),
        ("queued", "These points are of an earlier attempt."),
    ],
)
async def test_it_says_why_a_run_has_no_model(
    library: Library, open_app: Open, status: str, sentence: str
) -> None:
    put_live_job(library, status=status, retry_count=1)
    app = open_app()
    async with job_page(app) as pilot:
        await until(pilot, lambda: sentence in screen_text(app))
        waits = "waits for attempt 2" in screen_text(app)
        assert waits is (status == "queued")


async def test_a_failed_job_tells_why_and_y_copies_it(library: Library, open_app: Open) -> None:
    stack = "\n".join(f'File "train.py", line {n}, in step{n}' for n in range(60))
    put_job(library, status="failed", error_message="CUDA out of memory", error_stack=stack)
    app = open_app()
    async with job_page(app, (80, 24)) as pilot:
        assert "✗ CUDA out of memory" in screen_text(app).splitlines()[4]
        await pilot.press("G")
        assert "step59" in screen_text(app)
        await pilot.press("y")
        assert toasts(app) == ["Copied: Error of the job"]
        assert app.clipboard.startswith(f"{JOB}\nCUDA out of memory\nFile")


async def test_a_job_that_vanishes_is_said_to_be_gone(live: Library, open_app: Open) -> None:
    app = open_app()
    async with job_page(app) as pilot:
        with closing(open_cache(live.path)) as db, transaction(db, Topic.JOBS, Topic.CURVES):
            db.execute("DELETE FROM jobs")
            db.execute("DELETE FROM metrics")
            db.execute("DELETE FROM curves")
        await until(pilot, lambda: "This job is gone" in screen_text(app))
        await pilot.press("right", "o", "v", "y", "enter", "escape")
        assert not isinstance(app.screen, JobScreen)


async def test_enter_opens_the_model_of_a_job_and_its_page_leads_back(
    live: Library, open_app: Open
) -> None:
    live.put_models(model_row(0, job_id=JOB), curves=False)
    app = open_app()
    async with job_page(app) as pilot:
        job = app.screen
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
        await pilot.press("J")
        await until(pilot, lambda: app.screen is job)
        assert len(app.screen_stack) == 2


@pytest.mark.parametrize(
    "points",
    [
        [point(0)],
        [point(n, training_loss=None, gradient_norm=math.nan) for n in range(5)],
        [point(n, step=None, epoch=None) for n in range(8)],
        [point(n, step=float(abs(5 - n) * 10)) for n in range(12)],
        [point(n, training_loss=1e300, gradient_norm=math.inf, step=1e18 * n) for n in range(6)],
        [point(n, timestamp="not a time") for n in range(4)],
        [point(n, throughput=None, gpu_utilization=None, learning_rate=0.0) for n in range(9)],
    ],
    ids=["one", "no number", "no step", "back", "absurd", "no time", "sparse"],
)
async def test_odd_points_are_drawn_plainly(
    library: Library, open_app: Open, points: list[Any]
) -> None:
    put_job(library)
    put_points(library, points)
    app = open_app(ascii_only=True)
    async with job_page(app, (80, 24)) as pilot:
        keys = ("right", "plus", "l", "o", "o", "o", "left", "minus", "0", "F", "f", "G")
        await pilot.press(*keys)
        assert "Loss" in "".join(titles(app))


@pytest.mark.parametrize(
    "changes",
    [
        {"current_step": 5000, "progress": 4e9, "total_epochs": -1},
        {"started_at": timestamp_text(NOW.replace(year=2999)), "total_steps": 0},
        {"current_cost": "NaN", "status": "\x1b[31mwhat", "gpu_config": "none"},
    ],
)
async def test_an_absurd_row_is_shown_plainly(
    library: Library, open_app: Open, changes: dict[str, Any]
) -> None:
    put_live_job(library, **changes)
    app = open_app()
    async with job_page(app):
        assert "Customer Support Emails" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50)], ids=str)
def test_picture(
    live: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
) -> None:
    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await show_job(pilot.app, pilot)
        await pilot.press("right", "shift+right", "shift+right")

    assert snap_compare(open_app(), terminal_size=size, run_before=shown)


async def test_x_stops_a_run_after_a_question_and_says_what_happens_next(
    live: Library, open_app: Open, writers: FakeWriters
) -> None:
    put_job(live, external_job_id="w-1")
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("x")
        await until(pilot, lambda: "Stop the run on Customer Support Emails" in screen_text(app))
        await pilot.press("n")
        assert ("cancel_job", JOB) not in writers.asked
        await pilot.press("x", "y")
        await until(pilot, lambda: any("cancels the job" in text for text in toasts(app)))
        assert ("cancel_job", JOB) in writers.asked


async def test_why_a_run_was_not_stopped_is_said(
    live: Library, open_app: Open, writers: FakeWriters
) -> None:
    def refuse() -> str:
        raise ConfigError("The worker's key is needed", remedy="set GPU_CLUSTER_API_KEY")

    writers.on_cancel_job = refuse
    put_job(live, external_job_id="w-1")
    app = open_app()
    async with job_page(app) as pilot:
        await pilot.press("x", "y")
        await until(pilot, lambda: any("GPU_CLUSTER_API_KEY" in text for text in toasts(app)))


async def test_a_run_that_has_ended_offers_no_cancelling(live: Library, open_app: Open) -> None:
    put_job(live, external_job_id="w-1", status="completed", completed_at=timestamp_text(NOW))
    app = open_app()
    async with job_page(app) as pilot:
        before = app.screen
        await pilot.press("x")
        assert app.screen is before
