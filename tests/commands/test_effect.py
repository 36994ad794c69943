"""`effect` answers from the cache: a table, a sentence, JSON and CSV that tell the same."""

from __future__ import annotations

import csv
import io

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture(autouse=True)
def synced(configured: Sandbox, run: Run) -> None:
    assert run("sync").code == 0


def test_text_json_and_csv_tell_the_same(run: Run) -> None:
    data = run("effect", "duration", "cost", "--by", "preset", "--json").data
    assert (data["x"], data["y"], data["by"]) == ("duration_hours", "cost", "preset")
    assert data["runs"] + data["left_out"]["models"] == data["models"] == data["read"]
    assert sum(line["runs"] for line in data["table"]) == data["runs"]
    assert sum(each["runs"] for each in data["by_values"]) == data["runs"]
    rho = data["correlation"]
    assert -1 <= rho["low"] <= rho["rho"] <= rho["high"] <= 1
    ran = run("effect", "duration", "cost", "--by", "preset")
    for text in (data["sentence"], *data["remarks"], *(line["value"] for line in data["table"])):
        assert text in ran.out
    assert f"cost by duration_hours of {data['runs']} models" in ran.err
    rows = list(csv.DictReader(io.StringIO(run("effect", "duration", "cost", "--csv").out)))
    assert [float(row["median"]) for row in rows] == [line["median"] for line in data["table"]]


def test_a_file_has_a_chart_only_where_it_was_asked_for(run: Run) -> None:
    assert "└" not in run("effect", "preset", "cost").out
    assert "└" in run("effect", "preset", "cost", "--chart").out


def test_filters_and_conditions_choose_the_models(run: Run) -> None:
    everything = run("effect", "preset", "cost", "--json").data
    found = run("effect", "preset", "cost", "--where", "cost > 3", "--json").data
    assert 0 < found["models"] < everything["models"]
    assert all(line["least"] > 3 for line in found["table"])
    none = run("effect", "preset", "cost", "--search", "nosuchword")
    assert (none.code, none.out) == (0, "No run has both preset and cost.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rnak", "cost"), "There is no column 'rnak'. Did you mean rank or"),
        (("cost", "cost"), "cost is compared with itself. Name two different columns"),
        (
            ("cost", "preset"),
            "The second column must be a number; preset is a text."
            " It can stand first: `lora-tui effect preset cost`",
        ),
        (("name", "preset"), "Name a column of numbers"),
        (("rank", "cost", "--by", "colour"), "There is no column 'colour'"),
        (("rank", "cost", "--where", "rank >"), "The condition ends too early"),
    ],
)
def test_what_cannot_be_compared_has_a_remedy(
    run: Run, words: tuple[str, ...], message: str
) -> None:
    ran = run("effect", *words)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
