"""`compare` answers from the cache: text, JSON, CSV and Markdown tell the same."""

from __future__ import annotations

import csv
import io

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture
def ids(configured: Sandbox, run: Run) -> list[str]:
    assert run("sync").code == 0
    return [model["id"] for model in run("list", "--json").data["models"]]


def test_json_names_the_models_and_only_what_differs(ids: list[str], run: Run) -> None:
    data = run("compare", *ids[:3], "--json").data
    assert [model["id"] for model in data["models"]] == ids[:3]
    assert all(len(set(map(str, row["values"].values()))) > 1 for row in data["rows"])
    everything = run("compare", *ids[:3], "--all", "--json").data["rows"]
    assert {row["property"] for row in data["rows"]} < {row["property"] for row in everything}


def test_text_csv_and_markdown_have_the_rows_of_the_json(ids: list[str], run: Run) -> None:
    rows = run("compare", *ids[:2], "--json").data["rows"]
    text = run("compare", *ids[:2]).out
    table = list(csv.DictReader(io.StringIO(run("compare", *ids[:2], "--csv").out)))
    markdown = run("compare", *ids[:2], "--markdown").out
    assert [line["property"] for line in table[1:]] == [row["property"] for row in rows]
    for row in rows:
        assert f"\n{row['property']}" in text
        assert f"\n{row['property']}" in markdown


def test_the_best_is_named_in_words(ids: list[str], run: Run) -> None:
    assert "(best)" in run("compare", *ids).out


def test_what_can_not_be_ranked_is_said_in_every_form(ids: list[str], run: Run) -> None:
    judged = run("compare", *ids[:3], "--json").data["judgement"]
    assert judged["sentences"]
    assert set(judged["validation"]) == set(ids[:3])
    for sentence in judged["sentences"]:
        assert sentence in run("compare", *ids[:3]).out
        assert sentence in run("compare", *ids[:3], "--csv").err
    said = run("compare", *ids[:3], "--markdown").out.partition("## What the losses tell")[2]
    assert said.count("\n- ") == len(judged["sentences"])


def test_a_report_has_the_last_and_the_best_validation_loss(ids: list[str], run: Run) -> None:
    judged = run("compare", *ids[:2], "--json").data["judgement"]
    for model in ids[:2]:
        assert run("report", model, "--json").data["validation"] == judged["validation"][model]


def test_an_id_prefix_selects_a_model(ids: list[str], run: Run) -> None:
    assert run("compare", ids[0][:8], ids[1][:8], "--json").code == 0


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([0], "compare takes 2 to 100 models, not 1"),
        ([0, 0], "is named twice"),
        ([0] * 101, "compare takes 2 to 100 models, not 101"),
    ],
)
def test_what_can_not_be_compared_is_a_usage_error(
    ids: list[str], run: Run, chosen: list[int], message: str
) -> None:
    ran = run("compare", *(ids[index] for index in chosen))
    assert ran.code == 2
    assert message in ran.err


def test_an_unknown_model_is_not_found(ids: list[str], run: Run) -> None:
    assert run("compare", ids[0], "no such model").code == 3
