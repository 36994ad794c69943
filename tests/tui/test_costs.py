"""Costs: the same numbers as the command, grouped by a key, with bars and totals."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.costs import put_cost_records
from lora_tui.screens.costs import CostsScreen
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import Library, identifier
from tests.tui.test_snapshots import Compare


def job(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": identifier("job", number),
        "dataset_id": identifier("dataset", 0),
        "preset_id": "balanced",
        "status": "completed",
        "created_at": f"2026-{11 - number:02}-05T00:00:00Z",
        "updated_at": "2026-11-05T00:00:00Z",
        "final_cost": 10 * (number + 1),
    } | changes


@pytest.fixture
def spent(library: Library) -> Library:
    library.fill(count=3)
    library.put_jobs(job(0), job(1, status="failed"), job(2, final_cost=None))
    storage = {"id": identifier("cost", 0), "cost_type": "storage", "amount": "2.50"}
    with closing(open_cache(library.path)) as db, transaction(db, Topic.COSTS):
        put_cost_records(db, [storage | {"recorded_at": "2026-11-09T00:00:00Z"}])
    return library


def costly_runs(library: Library) -> None:
    """Runs of every status over two years, of many prices, with records of their own and others."""
    library.begin("costly runs", lambda: _put_costly_runs(library))


def _put_costly_runs(library: Library) -> None:
    library.fill(count=3)
    statuses = ("completed", "completed", "failed", "completed", "cancelled", "completed")
    rows = [
        job(number % 10, id=identifier("costly", number), status=statuses[number % 6])
        | {
            "dataset_id": identifier("dataset", number % 5),
            "created_at": f"{2026 - number // 12}-{12 - number % 12:02}-05T00:00:00Z",
            "final_cost": round(0.37 * 1.6 ** (number % 17), 2),
            "hyperparameters": {"base_model": f"meta-llama/Llama-{number % 4}-8B-Instruct"},
            "gpu_config": {"gpu_type": ("A100-80GB", "H100")[number % 2]},
        }
        for number in range(24)
    ]
    active = [
        job(0, id=identifier("costly", 30), status="running", final_cost=None, current_cost=1.5),
        job(0, id=identifier("costly", 31), status="queued", final_cost=None),
        job(0, id=identifier("costly", 32), status="failed", final_cost=None, preset_id=None),
    ]
    library.put_jobs(*rows, *active)
    kinds = ("gpu", "storage", "network")
    with closing(open_cache(library.path)) as db, transaction(db, Topic.COSTS):
        put_cost_records(
            db,
            [
                {
                    "id": identifier("record", number),
                    "job_id": identifier("costly", number) if number % 4 else None,
                    "cost_type": kinds[number % 3],
                    "amount": str(round(0.5 * 1.4 ** (number % 11), 2)),
                    "recorded_at": f"2026-{1 + number % 11:02}-09T00:00:00Z",
                }
                for number in range(22)
            ],
        )


@pytest.mark.parametrize(
    "size", [(80, 24), (120, 36), (200, 50)], ids=["80x24", "120x36", "200x50"]
)
@pytest.mark.parametrize("keys", [(), ("b",), ("B",)], ids=["month", "dataset", "status"])
def test_picture(
    library: Library,
    open_app: Open,
    snap_compare: Compare,
    size: tuple[int, int],
    keys: tuple[str, ...],
) -> None:
    costly_runs(library)

    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await opened(pilot.app, pilot, *keys)

    assert snap_compare(open_app(), terminal_size=size, run_before=shown)


async def opened(app: LoraTuiApp, pilot: Pilot[Any], *keys: str) -> str:
    if not isinstance(app.screen, CostsScreen):
        await pilot.press("dollar_sign")
        await until(pilot, lambda: isinstance(app.screen, CostsScreen))
    for key in ("", *keys):
        await pilot.press(*key.split())
        await until(pilot, lambda: not list(app.screen.workers))
    return screen_text(app)


async def test_the_months_are_shown_with_the_total(spent: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        text = await opened(app, pilot)
        assert "1 failed or cancelled run: $20.00" in text.replace("\n", " ")
        assert "1 run without a known cost" in text
        lines = [line.split() for line in text.splitlines()]
        assert ["2026-11", "1", "$10.00", "$2.50", "$12.50"] in [line[:5] for line in lines]
        assert ["total", "3", "$30.00", "$2.50", "$32.50"] in [line[:5] for line in lines]


async def test_why_the_total_is_less_than_its_parts_is_said(
    library: Library, open_app: Open
) -> None:
    costly_runs(library)
    app = open_app()
    async with app.run_test(size=(200, 50)) as pilot:
        text = await opened(app, pilot)
        assert "$462.75 of run costs was billed, and counts as records" in text


async def test_no_line_of_the_remarks_begins_with_a_separator(
    library: Library, open_app: Open
) -> None:
    costly_runs(library)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        lines = [line.strip() for line in (await opened(app, pilot)).splitlines()]
        assert any("1 run without a known cost" in line for line in lines)
        assert not [line for line in lines if line.startswith("·")]


async def test_a_key_groups_by_another_kind_and_another_goes_back(
    spent: Library, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        text = await opened(app, pilot, "b")
        assert "Customer Support Emails" in text
        assert "no run" in text
        assert "by status" in await opened(app, pilot, "B B")


async def test_enter_opens_the_jobs_of_the_line(spent: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        await opened(app, pilot, "B", "j enter")  # by status: failed, completed
        text = screen_text(app)
        assert "Jobs" in text.splitlines()[0]
        assert "2 of 3 jobs" in text
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, CostsScreen)


async def test_another_period_narrows_the_sums(spent: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert "2026-10" in await opened(app, pilot)
        text = await opened(app, pilot, "p")
        assert "this month" in text
        assert "2026-10" not in text


async def test_with_ascii_alone_nothing_else_is_drawn(spent: Library, open_app: Open) -> None:
    app = open_app(ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        text = await opened(app, pilot)
        assert "####" in text
        assert text.isascii()


async def test_without_runs_it_says_where_costs_come_from(library: Library, open_app: Open) -> None:
    library.fill(count=0)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        assert "No runs yet" in await opened(app, pilot)
        assert "No runs in this period" in await opened(app, pilot, "p")


async def test_a_filtered_list_says_what_its_models_cost(library: Library, open_app: Open) -> None:
    library.fill(count=10)
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        assert "$" not in screen_text(app).splitlines()[-2]
        await pilot.press("slash", *"sql", "enter")
        # models 1 and 6
        await until(pilot, lambda: "$13.59" in screen_text(app))
