"""Cost records: one request more, corrections are noticed, and the rest goes on without them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from lora_tui.cache import costs, metadata
from lora_tui.cache.costs import read_costs
from lora_tui.cache.integrity import find_damage
from lora_tui.gateway.rest import Rest
from lora_tui.reports.costs import By
from lora_tui.sync import sync_cache
from tests.sync.faulty_server import USER, FaultyProject, serving
from tests.tui.library import identifier, model_row


@pytest.fixture
def project() -> FaultyProject:
    project = FaultyProject()
    project.tables["model_artifacts"] = [model_row(number) for number in range(4)]
    project.tables["cost_records"] = [cost(number) for number in range(3)]
    return project


@pytest.fixture
def rest(project: FaultyProject) -> Iterator[Rest]:
    with serving(project) as rest:
        yield rest


def cost(number: int, **changes: object) -> dict[str, object]:
    return {
        "id": identifier("cost", number),
        "user_id": USER,
        "job_id": None,
        "cost_type": "storage",
        "amount": "1.50",
        "billing_period": None,
        "recorded_at": f"2026-11-{number + 1:02}T00:00:00+00:00",
    } | changes


def total(db: sqlite3.Connection) -> float:
    return read_costs(db, By.MONTH).total.dollars


def asked_for_costs(project: FaultyProject) -> list[str]:
    return [asked for asked in project.asked if asked.startswith("cost_records")]


def test_a_sync_with_nothing_new_makes_one_request_for_costs(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    sync_cache(rest, db, USER)
    assert total(db) == 4.5
    project.asked.clear()
    sync_cache(rest, db, USER)
    assert len(asked_for_costs(project)) == 1


def test_new_records_arrive_also_those_that_became_visible_late(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    sync_cache(rest, db, USER)
    late = cost(3, recorded_at="2026-11-02T23:58:00+00:00")
    project.tables["cost_records"] += [cost(4), late]
    project.max_rows = 1
    sync_cache(rest, db, USER)
    assert total(db) == 7.5
    assert find_damage(db) is None


def test_corrected_and_deleted_records_are_noticed_by_the_daily_comparison(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    sync_cache(rest, db, USER)
    project.tables["cost_records"] = [cost(0, amount=-2)]
    db.execute("DELETE FROM facts WHERE key = 'sync.reconciled'")
    sync_cache(rest, db, USER)
    assert total(db) == -2.0
    assert find_damage(db) is None


def test_a_project_that_lacks_the_table_syncs_the_rest_and_says_so(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    missing = {"code": "PGRST205", "message": "Could not find the table"}
    project.refused = lambda table, _: (404, missing) if table == "cost_records" else None
    report = sync_cache(rest, db, USER)
    assert report.written["model_artifacts"] == 4
    assert list(report.unread) == ["cost_records"]
    assert metadata.get_sync_state(db).online
    assert "cost_records" in (costs.why_unread(db) or "")
    project.refused = lambda _table, _query: None
    sync_cache(rest, db, USER)
    assert costs.why_unread(db) is None
    assert total(db) == 4.5


def test_every_request_for_costs_names_their_owner(
    project: FaultyProject, rest: Rest, db: sqlite3.Connection
) -> None:
    project.tables["cost_records"].append(cost(9, user_id=identifier("somebody", 1)))
    for full in (False, False, True):
        sync_cache(rest, db, USER, full=full)
    assert total(db) == 4.5
    assert all(f"user_id=eq.{USER}" in asked for asked in asked_for_costs(project))
