"""Costs add up to the same total however they are grouped, whatever the rows hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.domain import CostRecord
from lora_tui.domain.cost_records import micro_dollars
from lora_tui.reports.cost_table import cost_rows
from lora_tui.reports.costs import By, Group, Period, Sums, bar, combine, remarks
from lora_tui.text import cell_width

AMOUNTS = st.integers(-(10**11), 10**11)
SUMS = st.builds(Sums, runs=st.integers(0, 99), run_cost=AMOUNTS, records=AMOUNTS, counted=AMOUNTS)
GROUPS = st.builds(Group, value=st.none() | st.text(max_size=5), has_run=st.booleans())


def record(**changes: Any) -> CostRecord:
    return CostRecord.from_row(
        {"id": "c", "cost_type": "gpu", "amount": 1, "recorded_at": "2026-11-20T10:00:00Z"}
        | changes
    )


@given(
    parts=st.dictionaries(GROUPS, st.lists(SUMS, max_size=3), max_size=8), by=st.sampled_from(By)
)
def test_the_total_is_the_sum_of_all_parts(parts: dict[Group, list[Sums]], by: By) -> None:
    costs = combine(by, Period(), parts, {})
    every = [sums for some in parts.values() for sums in some]
    for name in ("runs", "run_cost", "records", "counted"):
        expected = sum(getattr(sums, name) for sums in every)
        assert getattr(costs.total, name) == expected
        assert sum(getattr(line.sums, name) for line in costs.lines) == expected


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        ("12.50", 12_500_000),
        (0.1, 100_000),
        (-5, -5_000_000),
        (None, None),
        ("NaN", None),
        ("a lot", None),
        (1e300, None),
        (1_000_000, None),
        (True, None),
    ],
)
def test_an_amount_counts_if_it_is_one(amount: object, micros: int | None) -> None:
    assert micro_dollars(record(amount=amount).amount) == micros


@pytest.mark.parametrize(
    ("recorded", "period", "day"),
    [
        ("2026-11-20T10:00:00Z", "2026-11", "2026-11-20"),
        ("2026-12-01T00:20:00Z", "2026-11", "2026-11-30"),
        ("2026-10-31T00:20:00Z", "2026-11-01/2026-11-30", "2026-11-01"),
        ("2026-12-01T00:20:00Z", "Nov/26", "2026-12-01"),
        ("2026-12-01T00:20:00Z", "2026-99", "2026-12-01"),
        ("2026-12-01T00:20:00Z", "0000-01", "2026-12-01"),
        ("2026-12-01T00:20:00Z", None, "2026-12-01"),
        ("2999-01-01T00:00:00Z", "2999-01", "2999-01-01"),
        ("yesterday", "2026-11", "2026-11-01"),
        ("yesterday", "9999-12", None),
        ("yesterday", [], None),
    ],
)
def test_a_record_counts_in_its_billing_period(
    recorded: str, period: object, day: str | None
) -> None:
    moment = record(recorded_at=recorded, billing_period=period).moment
    assert (moment and moment.date().isoformat()) == day


@pytest.mark.parametrize(
    ("kind", "of_the_run"),
    [
        ("gpu", True),
        ("GPU hours", True),
        ("spot_gpu", True),
        ("gpu4090", True),
        ("training", True),
        ("storage", False),
        ("network", False),
        ("restraining order", False),
        (None, False),
    ],
)
def test_the_time_of_a_run_is_told_from_what_comes_on_top(kind: object, of_the_run: bool) -> None:
    assert record(cost_type=kind).is_of_the_run is of_the_run


def test_groups_are_most_expensive_first_and_months_newest_first() -> None:
    parts = {
        Group("2026-10", True): [Sums(counted=5)],
        Group(None, True): [Sums(counted=1)],
        Group("2026-11", True): [Sums(counted=2)],
    }
    months = combine(By.MONTH, Period(), parts, {})
    assert [line.label for line in months.lines] == ["2026-11", "2026-10", "unknown date"]
    gpus = combine(By.GPU, Period(), parts, {})
    assert [line.label for line in gpus.lines] == ["2026-10", "2026-11", "unknown GPU"]


def test_datasets_of_the_same_name_are_told_apart() -> None:
    parts = {Group("aaaaaaaa-1", True): [Sums()], Group("bbbbbbbb-1", True): [Sums()]}
    names = dict.fromkeys(("aaaaaaaa-1", "bbbbbbbb-1"), "Mails")
    labels = {line.label for line in combine(By.DATASET, Period(), parts, names).lines}
    assert labels == {"Mails (aaaaaaaa)", "Mails (bbbbbbbb)"}


def test_what_is_not_known_is_said() -> None:
    sums = Sums(
        runs=9,
        run_cost=5_000_000,
        counted=5_000_000,
        unknown=3,
        unknown_records=1,
        failed_runs=1,
        failed=500_000,
    )
    assert remarks(combine(By.GPU, Period(), {Group("x", True): [sums]}, {})) == [
        "1 failed or cancelled run: $0.50",
        "3 runs without a known cost",
        "1 cost record without a known amount",
    ]


@given(
    amounts=st.lists(AMOUNTS, min_size=1, max_size=5),
    width=st.integers(40, 200),
    label=st.text("abc 客é", max_size=90),
    ascii_only=st.booleans(),
)
def test_no_line_of_the_table_is_wider_than_the_terminal(
    amounts: list[int], width: int, label: str, ascii_only: bool
) -> None:
    parts = {
        Group(f"{label}{place}", True): [Sums(runs=1, run_cost=amount, counted=amount)]
        for place, amount in enumerate(amounts)
    }
    costs = combine(By.BASE_MODEL, Period(), parts, {})
    rows = cost_rows(costs, width, ascii_only=ascii_only)
    assert max(cell_width(row.text) for row in rows) <= width
    assert len({cell_width(row.label + row.numbers + row.total) for row in rows}) == 1


def test_a_bar_is_as_long_as_its_share_and_never_nothing() -> None:
    assert bar(1.0, 10) == "█" * 10
    assert bar(0.5, 3) == "█▌"
    assert bar(1e-9, 10) == "▏"
    assert bar(0.0, 10) == ""
    assert bar(1e-9, 10, ascii_only=True) == "#"


def test_credits_have_no_bar() -> None:
    parts = {Group("a", True): [Sums(counted=-5)], Group("b", True): [Sums(counted=-1)]}
    assert combine(By.GPU, Period(), parts, {}).shares() == [0.0, 0.0]


def test_a_record_of_nonsense_is_read() -> None:
    found = CostRecord.from_row({"id": 7, "job_id": [], "cost_type": {}, "amount": [], "x": 1})
    assert (found.id, found.job_id, found.type, found.amount) == ("7", None, "unknown", None)
    assert found.moment is None
    assert record(recorded_at=datetime(2026, 11, 1, tzinfo=UTC).isoformat()).moment is not None
