"""`costs`: what was spent, as a table, JSON and CSV, of any period."""

from __future__ import annotations

import csv
import io
import os
import sys

import pytest

from lora_tui.sandbox import Sandbox
from lora_tui.text import cell_width
from tests.conftest import Run
from tests.pseudo_terminal import open_terminal


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
    for words in (("costs",), ("jobs",), ("list",)):
        ran = run(*words, "--since", "2026-11-02", "--until", "2026-11-01")
        assert (ran.code, ran.out) == (2, "")
        assert "--until is before --since" in ran.err
    assert run("costs", "--since", "2026-11-02", "--until", "2026-11-02").code == 0


def test_the_table_fits_the_terminal_in_the_characters_that_are_wanted(
    synced: Sandbox, run: Run
) -> None:
    command = [sys.executable, "-m", "lora_tui", "costs", "--by", "gpu"]
    for width in (20, 40, 80, 300):
        terminal = open_terminal(command, {**os.environ, "LORA_TUI_ASCII": "1"}, size=(width, 24))
        assert terminal.end() == 0
        lines = bytes(terminal.written).decode().splitlines()
        table = lines[: 1 + next(at for at, line in enumerate(lines) if line.startswith("total"))]
        assert all(cell_width(line) <= width and line.isascii() for line in table), table
        assert ("#" in "".join(table)) == (width >= 40)
