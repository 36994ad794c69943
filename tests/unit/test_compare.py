"""The table of differences: what is shown, what is best, and what survives an export."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.domain import CurvePoint, Model
from lora_tui.errors import DiskError
from lora_tui.opinion import second_opinion
from lora_tui.reports.compare import (
    Comparison,
    Row,
    compare_models,
    to_csv,
    to_data,
    to_markdown,
)
from lora_tui.reports.exports import markdown_text, write_new_file


def model(number: int, **quality: Any) -> Model:
    return Model.from_row(
        {
            "id": f"id-{number}",
            "name": f"Model {number}",
            "quality_metrics": {"overall_score": 4, "convergence_quality": "good", **quality},
            "training_summary": {"total_cost": 1.5 * number},
            "configuration": {
                "hyperparameters": {"lora_rank": 8 * number, "num_epochs": 3, "seed": number},
                "gpu_config": {"gpu_type": "A100"},
            },
        }
    )


def compared(*models: Model) -> Comparison:
    return compare_models(models, [None] * len(models))


def row(comparison: Comparison, label: str) -> Row:
    return next(row for row in comparison.rows if row.label == label)


def test_by_default_only_rows_that_differ_are_shown() -> None:
    comparison = compared(model(1), model(2))
    labels = [row.label for row in comparison.shown(everything=False)]
    assert labels == ["Cost", "Rank", "seed"]
    everything = [row.label for row in comparison.shown(everything=True)]
    assert {"Rating", "Epochs", "GPU"} < set(everything)
    assert "Perplexity" not in everything


def test_the_best_is_the_lowest_loss_and_the_highest_rating() -> None:
    comparison = compared(
        model(1, final_training_loss=0.9, overall_score=3),
        model(2, final_training_loss=0.7, overall_score=5),
        model(3, final_training_loss=0.70000001, overall_score=5),
    )
    assert row(comparison, "Training loss").best == {1, 2}
    assert row(comparison, "Rating").best == {1, 2}
    assert row(comparison, "Cost").best == {0}


def test_the_best_validation_loss_is_that_of_the_whole_curve() -> None:
    curve = [
        CurvePoint(float(step), 1.0, None if step == 50 else 1.2 + abs(step - 30) / 100)
        for step in range(51)
    ]
    comparison = compare_models([model(1), model(2)], [second_opinion(curve), None])
    assert row(comparison, "Best validation").texts == ("1.2000", "–")
    assert row(comparison, "Best at step").texts == ("30", "–")


def test_equal_values_and_unordered_properties_have_no_best() -> None:
    comparison = compared(model(1, perplexity=2.0), model(2))
    assert row(comparison, "Perplexity").best == frozenset()
    assert row(comparison, "Rating").best == frozenset()
    assert row(comparison, "Rank").best == frozenset()


def test_json_has_numbers_and_the_ids_of_the_best() -> None:
    data = to_data(compared(model(1), model(2)))
    assert data["models"] == [{"id": "id-1", "name": "Model 1"}, {"id": "id-2", "name": "Model 2"}]
    assert data["rows"][0] == {
        "group": "Run",
        "property": "Cost",
        "values": {"id-1": 1.5, "id-2": 3.0},
        "best": ["id-1"],
    }


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_breaks_out_of_its_cell(name: str, setting: str) -> None:
    hostile = Model.from_row(
        {
            "id": "id-2",
            "name": name,
            "configuration": {"hyperparameters": {"note": setting, "lora_rank": 3}},
        }
    )
    comparison = compared(model(1), hostile)
    table, *_ = to_markdown(comparison, everything=True).split("\n\n")
    lines = table.splitlines()
    bars = {len(line.replace("\\\\", "").replace("\\|", "").split("|")) for line in lines}
    assert bars == {5}
    parsed = list(csv.reader(io.StringIO(to_csv(comparison, everything=True))))
    assert {len(line) for line in parsed} == {5}
    for cell in (cell for line in parsed for cell in line):
        assert not cell.strip().startswith(("=", "+", "-", "@")) or _is_number(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a | b", r"a \| b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[click](https://x.example)", r"\[click\]\(https\://x.example\)"),
        ("www.x.example", r"www\.x.example"),
        ("`rm` *now*", r"\`rm\` \*now\*"),
        ("two\nlines", "two lines"),
    ],
)
def test_remote_text_in_markdown_renders_literally(text: str, written: str) -> None:
    assert markdown_text(text) == written


def test_an_export_never_replaces_a_file(tmp_path: Path) -> None:
    first = write_new_file(tmp_path / "new", "comparison.md", "one")
    second = write_new_file(tmp_path / "new", "comparison.md", "two")
    assert (first.name, second.name) == ("comparison.md", "comparison-2.md")
    assert (first.read_text(), second.read_text()) == ("one", "two")


def test_an_export_that_can_not_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="can't be written"):
        write_new_file(tmp_path / "file", "comparison.md", "one")
