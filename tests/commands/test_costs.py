"""`costs`: what was spent, as a table, JSON and CSV, of any period."""

from __future__ import annotations

import csv
import io

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture
def synced(configured: Sandbox, run: Run) -> Sandbox:
    assert run("sync").code == 0
    return configured


def test_every_grouping_prints_the_same_total(synced: Sandbox, run: Run) -> None:
    totals = []
    for by in ("month", "dataset", "preset", "gpu", "base-model", "status"):
        ran = run("costs", "--by", by)
        assert ran.code == 0
        assert all(line.isascii() for line in ran.out.splitlines())  # no bars
        totals.append(ran.out.splitlines()[-1].split()[1:])
        assert "failed or cancelled runs: $" in ran.err
        assert "synced just now" in ran.err
    assert totals == [totals[0]] * len(totals)


def test_json_and_csv_hold_the_same_numbers(synced: Sandbox, run: Run) -> None:
    data = run("costs", "--by", "gpu", "--json").data
    rows = list(csv.DictReader(io.StringIO(run("costs", "--by", "gpu", "--csv").out)))
    assert [row["gpu"] for row in rows] == [group["label"] for group in data["groups"]]
    assert [float(row["total"]) for row in rows] == [group["total"] for group in data["groups"]]
    assert sum(group["runs"] for group in data["groups"]) == data["total"]["runs"] == 13


def test_a_period_without_runs_is_empty(synced: Sandbox, run: Run) -> None:
    ran = run("costs", "--since", "2999-01-01", "--until", "2999-12-31")
    assert (ran.code, ran.out) == (0, "")
    assert "0 runs since 2999-01-01 until 2999-12-31" in ran.err
    assert run("costs", "--since", "soon").code == 2
