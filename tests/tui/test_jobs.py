"""The Jobs screen: what runs, what failed and why, in any width, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui import clock, formats
from lora_tui.app import LoraTuiApp
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.job_query import JobSort
from lora_tui.cache.jobs import delete_jobs
from lora_tui.clock import timestamp_text
from lora_tui.screens.jobs import JobsScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.job_columns import JOB_COLUMNS, JobRow
from lora_tui.widgets.states import OfflineBanner
from tests.tui.conftest import Open, screen_text, toasts, type_at_once, until
from tests.tui.library import HOSTILE_NAMES, NOW, Library, identifier, notice_row
from tests.tui.runs import fill_runs, log_points, run_row
from tests.tui.test_snapshots import SMALL, Compare

SIZES = [(80, 24), (120, 36), (200, 50)]
KEYS = [column.key for column in JOB_COLUMNS.columns]


def jobs(app: LoraTuiApp) -> JobsScreen:
    assert isinstance(app.screen, JobsScreen)
    return app.screen


def line_of(app: LoraTuiApp, word: str) -> str:
    """The first line of the screen with this word."""
    return next(line for line in screen_text(app).splitlines() if word in line)


def delete_job(library: Library, number: int, *topics: Topic) -> None:
    """Without topics no screen hears of it yet."""
    with closing(open_cache(library.path)) as db, transaction(db, *topics):
        delete_jobs(db, [identifier("run", number)])


@pytest.fixture
def app(library: Library, open_app: Open) -> LoraTuiApp:
    fill_runs(library)
    return open_app()


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "120x36", "200x50"])
def test_jobs(app: LoraTuiApp, snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app, press=["w", "j"], terminal_size=size)


def test_jobs_in_ascii(library: Library, open_app: Open, snap_compare: Compare) -> None:
    fill_runs(library)
    assert snap_compare(open_app(ascii_only=True), press=["w"], terminal_size=SMALL)


def test_no_jobs(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.put_state()
    assert snap_compare(open_app(), press=["w"], terminal_size=SMALL)


async def test_what_runs_comes_first_with_progress_time_left_loss_and_cost(
    app: LoraTuiApp,
) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        assert "Jobs  2 running, 1 queued, 6 ended" in screen_text(app)
        running = line_of(app, "● running")
        assert "40 %" in running
        assert "about 8 min" in running  # 900 steps at two a second
        assert formats.loss(0.8 + 1 / 60) in running
        assert "$1.25" in running
        failed = line_of(app, "✗ failed")
        assert "failed: CUDA o" in failed


async def test_the_list_tells_the_same_last_loss_as_the_page_of_the_job(
    library: Library, app: LoraTuiApp
) -> None:
    log_points(library, identifier("run", 0), count=80)
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.press("w")
        loss = formats.loss(0.8 + 1 / 80)
        assert loss in line_of(app, "● running")
        await pilot.press("enter")
        await until(pilot, lambda: f"logged {loss}" in screen_text(app))


async def test_a_failed_job_says_why_where_there_is_room(app: LoraTuiApp) -> None:
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.press("w")
        assert "CUDA out of memory" in screen_text(app)
        assert "failed at 40 %" in screen_text(app)


async def test_times_go_on_while_a_job_runs_and_only_its_line_is_drawn(
    app: LoraTuiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.press("w")
        table = jobs(app).view
        before = line_of(app, "● running")
        drawn: list[int] = []
        monkeypatch.setattr(table, "refresh_lines", lambda y, count=1: drawn.append(y))
        table.tick()
        assert drawn == [1, 2]  # below the heading: the two that run
        monkeypatch.undo()
        monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(hours=2))
        table.tick()
        await pilot.pause()
        assert line_of(app, "● running") != before
        monkeypatch.undo()


async def test_new_points_of_many_runs_are_read_once_and_drawn_in_parts(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.put_jobs(*(run_row(number, "running") for number in range(12)))
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("w")
        screen = jobs(app)
        fetch, fetched, at_once, drawn = screen.rows.fetch, [0], [0], set[int]()
        frame: list[int] = []

        def counted(offset: int, limit: int) -> Sequence[JobRow]:
            fetched[0] += 1
            return fetch(offset, limit)

        def noted(y: int, count: int = 1) -> None:
            frame.append(y)
            drawn.add(y)

        monkeypatch.setattr(screen.rows, "fetch", counted)
        monkeypatch.setattr(screen.view, "refresh_lines", noted)
        tick = screen.view.tick

        def measured(part: int = 0, parts: int = 1, *, everything: bool = False) -> None:
            frame.clear()
            tick(part, parts, everything=everything)
            at_once[0] = max(at_once[0], len(frame))

        monkeypatch.setattr(screen.view, "tick", measured)
        for _ in range(12):
            screen.cache_changed(frozenset({Topic.CURVES}))
        await until(pilot, lambda: fetched[0] > 0 and len(drawn) == 12)
        assert fetched == [1]
        assert at_once == [2]


async def test_nothing_ticks_while_nothing_runs(library: Library, open_app: Open) -> None:
    library.fill(count=2)
    library.put_jobs(run_row(3, "completed"), run_row(2, "queued"))
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        assert not jobs(app).is_ticking
        library.put_jobs(run_row(2, "running"))
        app.poll_cache()
        await pilot.pause()
        assert jobs(app).is_ticking


async def test_the_cursor_stays_on_its_job_while_others_come_and_end(
    library: Library, app: LoraTuiApp
) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w", "j", "j")
        chosen = jobs(app).rows.current
        assert chosen is not None
        library.put_jobs(run_row(20, "running"), run_row(21, "running"))
        app.poll_cache()
        await pilot.pause()
        assert "4 running" in screen_text(app)
        now = jobs(app).rows.current
        assert now is not None
        assert now.id == chosen.id


async def test_a_job_that_vanishes_is_gone_from_the_list_and_enter_does_no_harm(
    library: Library, app: LoraTuiApp
) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w", "j", "j")
        delete_job(library, 2)
        await pilot.press("enter")  # before the list has been read again
        assert any("not in the cache" in toast for toast in toasts(app))
        delete_job(library, 0, Topic.JOBS)
        await until(pilot, lambda: "1 running, 6 ended" in screen_text(app))
        for number in (1, *range(3, 9)):
            delete_job(library, number, Topic.JOBS)
        await until(pilot, lambda: "No training jobs yet" in screen_text(app))


async def test_new_points_show_a_new_time_left(library: Library, app: LoraTuiApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        assert "about 8 min" in line_of(app, "● running")
        log_points(library, identifier("run", 0), count=61, ends_at=1400)
        app.poll_cache()
        await until(pilot, lambda: "under 1 min" in line_of(app, "● running"))
        assert "93 %" in line_of(app, "● running")


async def test_search_sort_and_filters_work_as_in_models(app: LoraTuiApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        type_at_once(app, "w")
        await until(pilot, lambda: isinstance(app.screen, JobsScreen))
        await pilot.press("slash", *"fail", "enter")
        assert "2 of 9 jobs" in screen_text(app)
        await pilot.press("escape")
        assert "9 jobs" in screen_text(app)
        await pilot.press("f", "space")  # the first status
        await pilot.press("enter")
        assert jobs(app).job_query.statuses == {"running"}
        assert "1 of 9 jobs" in screen_text(app)
        await pilot.press("escape")
        assert jobs(app).job_query.is_everything
        await pilot.press("s", *"jjjj", "enter")
        assert jobs(app).job_query.sort is JobSort.COST
        assert "Cost, most expensive first" in screen_text(app)
        await pilot.press("S")
        assert "Cost, cheapest first" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)


async def test_nothing_found_says_what_clears_the_search(app: LoraTuiApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w", "slash", *"zzz", "enter")
        assert "No matching jobs" in screen_text(app)
        assert "clears the search" in screen_text(app)


async def test_chosen_columns_and_the_order_are_those_of_the_next_start(
    library: Library, open_app: Open, tmp_path: Any
) -> None:
    fill_runs(library)
    path = tmp_path / "views.json"
    async with open_app(views=path).run_test(size=SMALL) as pilot:
        await pilot.press("w", "C", "space", "enter", "s", "j", "enter")
    app = open_app(views=path)
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        assert "Date, newest first" in screen_text(app)
        assert "Status" not in line_of(app, "Dataset")
        assert "Loss" in line_of(app, "Dataset")


async def test_m_opens_the_model_of_a_job_that_has_one(app: LoraTuiApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w", "m")
        assert isinstance(app.screen, JobsScreen)
        await pilot.press("j", "j", "j", "m")
        assert type(app.screen).__name__ == "ModelScreen"


async def test_x_asks_before_it_stops_a_job_that_runs(app: LoraTuiApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w", "x")
        assert "Stop the run on Customer Support Emails at step 600?" in " ".join(
            line.strip(" │") for line in screen_text(app).splitlines()
        )
        await pilot.press("n", "G", "x")  # the last one has ended
        assert isinstance(app.screen, JobsScreen)


async def test_a_cache_that_was_never_synced_says_so(library: Library, open_app: Open) -> None:
    library.put_state(synced=None)
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        assert "Never synced" in screen_text(app)
        assert "fetches your training jobs" in screen_text(app)


async def test_offline_shows_the_age_of_the_data(
    library: Library, app: LoraTuiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.put_state(error="No answer from the backend")
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        assert "Offline · data from 5 min ago" in screen_text(app)
        assert "● running" in screen_text(app)
        monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(hours=2))
        app.screen.query_one(OfflineBanner).refresh_age()  # as every fifteen seconds
        await until(pilot, lambda: "Offline · data from 2 h ago" in screen_text(app))


async def test_a_terminal_that_is_too_small_says_so(app: LoraTuiApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("w")
        await pilot.resize_terminal(39, 12)
        await until(pilot, lambda: app.size.width == 39)
        assert "Terminal too small" in screen_text(app)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "running" in screen_text(app))


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (200, 50)])
async def test_absurd_rows_are_shown_plainly(
    library: Library, open_app: Open, size: tuple[int, int]
) -> None:
    library.fill(count=1)
    future = timestamp_text(NOW + timedelta(days=40_000))
    hostile = {
        "error_message": HOSTILE_NAMES[0],
        "preset_id": HOSTILE_NAMES[2],
        "current_stage": HOSTILE_NAMES[4],
        "hyperparameters": {"base_model": HOSTILE_NAMES[5]},
        "gpu_config": {"type": HOSTILE_NAMES[3], "count": 1e18},
        "dataset_id": None,
    }
    library.put_jobs(
        run_row(0, "running", progress=1e9, current_step=99_999, total_steps=100),
        run_row(1, "running", progress="NaN", current_step=-5, total_steps=0, **hostile),
        run_row(2, "running", queued_at=future, created_at=future, started_at=future),
        run_row(3, "failed", completed_at="no time", current_cost="Infinity", **hostile),
        run_row(4, "completed", final_cost=1e300, completed_at=future, retry_count=-7),
        run_row(5, HOSTILE_NAMES[7], current_metrics=[1], hyperparameters=7, gpu_config="x"),
        run_row(6, "running", total_steps=2**62, current_step=1, progress=-3),
        run_row(7, "queued", queued_at=None, created_at=None, estimated_total_cost=-1),
        {"id": identifier("run", 8)},
    )
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("w")
        text = screen_text(app)
        assert size[0] < 80 or "9 jobs" in text
        assert not any(sign in text for sign in ("\x1b", "\u202e", "NaN", "inf"))
        for column in KEYS[1:]:
            jobs(app).view.columns = ("dataset", column)
            await pilot.pause()
        jobs(app).view.tick()
        await pilot.press("S", "G", "j", "k")


async def test_no_models_leads_to_the_jobs_that_are_active(
    library: Library, open_app: Open
) -> None:
    library.put_state()
    library.put_jobs(run_row(0, "running"), run_row(1, "running"), run_row(2, "queued"))
    app = open_app()
    async with app.run_test(size=SMALL) as pilot:
        assert "2 jobs are training, 1 is queued; w shows them" in screen_text(app)
        await pilot.press("w")
        assert isinstance(app.screen, JobsScreen)


async def test_a_notification_without_a_model_opens_its_job(
    library: Library, app: LoraTuiApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(app, "open_job", opened.append)
    failed = {"type": "training_failed", "title": "Training Failed", "message": "Out of memory"}
    library.put_notices(
        notice_row(0, metadata={"job_id": identifier("run", 4)}, **failed),
        notice_row(1, metadata={"job_id": identifier("run", 99)}, **failed),
    )
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("n", "enter")
        assert opened == [identifier("run", 4)]
        assert "Python Code Review" in screen_text(app)  # the dataset of that job
        await pilot.press("j", "enter")
        assert opened == [identifier("run", 4)]
        assert any("That job is not in the cache" in toast for toast in toasts(app))


@given(st.integers(30, 300), st.sets(st.sampled_from(KEYS)), st.sampled_from([None, *JobSort]))
def test_any_choice_of_columns_stays_within_the_line(
    width: int, chosen: set[str], sort: JobSort | None
) -> None:
    end = 0
    for placed in JOB_COLUMNS.layout(width, chosen, sort=sort):
        assert placed.left >= end
        end = placed.left + placed.width + 1
    assert end - 1 <= width


def test_at_80_columns_the_most_important_ones_fit() -> None:
    shown = [placed.column.key for placed in JOB_COLUMNS.layout(75)]
    assert shown == ["dataset", "status", "when", "loss", "cost"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1.0, "–"),
        (float("inf"), "–"),
        (59.0, "under 1 min"),
        (60.0, "about 1 min"),
        (725.0, "about 12 min"),
        (3_599.0, "about 1.0 h"),
        (9_000.0, "about 2.5 h"),
        (100_000.0, "about 28 h"),
        (300_000.0, "about 3 d"),
        (1e30, "over a year"),
    ],
)
def test_the_time_left_is_told_in_the_unit_that_fits(seconds: float | None, text: str) -> None:
    assert formats.about(seconds) == text
