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
)
from lora_tui.reports.compared_markdown import comparison_markdown
from lora_tui.reports.exports import markdown_text, write_new_file
from lora_tui.reports.model_table import table_columns
from lora_tui.reports.run_losses import NO_LOSSES


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
    lines = comparison_markdown(comparison, [NO_LOSSES] * 2, everything=True).splitlines()
    assert [line for line in lines if line.startswith("```")] == ["```"] * 2
    assert lines[-1] == "```"
    assert lines[2:4] == [line for line in lines if line.startswith("- ")][:2]
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
        ("[click](https://x.example)", r"\[click\](https\://x.example)"),
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


def test_of_many_models_each_is_a_numbered_line_and_sentences_use_the_numbers() -> None:
    losses = {number: {"final_validation_loss": 2.0 - number / 10} for number in range(1, 8)}
    comparison = compared(*(model(number, **losses[number]) for number in losses), model(8))
    assert comparison.sentences[:2] == (
        "The dataset of 8 models is not known: their losses may not be comparable.",
        "The base model of 8 models is not known: their losses may not be comparable.",
    )
    assert "Model 7 has the best last validation loss: 1.3000." in comparison.sentences
    assert any(text.startswith("Model 8 has no validation loss") for text in comparison.sentences)
    columns = {column.title: column for column in table_columns(comparison)}
    assert columns["Val. loss"].cell(6) == "1.3000*"
    assert columns["Val. loss"].order(reverse=False) == [6, 5, 4, 3, 2, 1, 0, 7]
    assert columns["Val. loss"].order(reverse=True) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert columns["Rank"].is_setting
    assert "Epochs" not in columns  # all have the same
    text = comparison_markdown(comparison, [NO_LOSSES] * 8, order=[6, 0, 1, 2, 3, 4, 5, 7])
    assert text.index("`Model 7`") < text.index("`Model 1`")
    assert "\n7  1.3000*" in text
