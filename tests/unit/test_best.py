"""Which of several models is best in what: never a mark that misleads, and said in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lora_tui.domain import CurvePoint, Model
from lora_tui.opinion import Opinion, second_opinion
from lora_tui.reports.best import validation_of
from lora_tui.reports.compare import (
    Comparison,
    Row,
    compare_models,
    to_data,
)
from lora_tui.reports.compared_markdown import comparison_markdown
from lora_tui.reports.run_losses import NO_LOSSES
from lora_tui.widgets.difference_table import table_lines

BASE = "meta-llama/Llama-3.1-8B-Instruct"


def model(number: int, *, dataset: str = "d-1", base: str = BASE, **quality: Any) -> Model:
    return Model.from_row(
        {
            "id": f"id-{number}",
            "name": f"Model {number}",
            "job_id": f"job-{number}",
            "dataset_id": dataset or None,
            "quality_metrics": {"overall_score": 4, "convergence_quality": "good", **quality},
            "configuration": {"hyperparameters": {"base_model": base}},
        }
    )


def compared(*models: Model, opinions: Sequence[Opinion | None] = ()) -> Comparison:
    return compare_models(models, opinions or [None] * len(models))


def row(comparison: Comparison, label: str) -> Row:
    return next(row for row in comparison.rows if row.label == label)


def opinion(*validations: float | None, training: float = 0.5) -> Opinion:
    """Of a run with these validation losses, one every 10 steps."""
    points = [CurvePoint(10.0 * n, training + 1 / (1 + n), v) for n, v in enumerate(validations)]
    return second_opinion(points)


def said(comparison: Comparison) -> str:
    return " ".join(comparison.sentences)


OVERFIT = model(
    1,
    final_training_loss=0.2,
    final_validation_loss=1.9,
    loss_reduction_percent=92.0,
    perplexity=6.69,
    overall_score=4,
)
SOUND = model(
    2,
    final_training_loss=0.8,
    final_validation_loss=1.0,
    loss_reduction_percent=25.0,
    perplexity=2.72,
    overall_score=3,
)


def test_an_overfit_run_is_not_marked_best_for_its_training_loss() -> None:
    comparison = compared(OVERFIT, SOUND)
    for label in ("Training loss", "Loss reduction", "Rating"):
        assert row(comparison, label).best == frozenset(), label
    for label in ("Validation loss", "Perplexity"):
        assert row(comparison, label).best == {1}, label
    assert "B has the best last validation loss: 1.0000." in said(comparison)
    assert "Not marked, as validation decides: training loss" in said(comparison)


def test_a_model_without_validation_at_its_last_point_does_not_lose_to_a_worse_one() -> None:
    better = model(1, final_training_loss=0.9)
    worse = model(2, final_training_loss=0.8, final_validation_loss=1.5, perplexity=4.48)
    comparison = compared(
        better, worse, opinions=[opinion(1.9, 1.2, 1.1, 1.0, None), opinion(1.9, 1.7, 1.6, 1.5)]
    )
    assert row(comparison, "Validation loss").best == {0}
    assert row(comparison, "Best validation").best == {0}
    assert row(comparison, "Perplexity").best == frozenset()
    assert row(comparison, "Training loss").best == frozenset()
    assert "A has the best last validation loss: 1.0000 at step 30." in said(comparison)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"dataset": "d-2"}, "Different datasets"),
        ({"base": "Qwen/Qwen2.5-7B"}, "Different base models"),
        ({"dataset": "d-2", "base": "Qwen/Qwen2.5-7B"}, "Different datasets and base models"),
    ],
)
def test_losses_of_different_datasets_or_base_models_are_not_ranked(
    other: dict[str, str], what: str
) -> None:
    values = {"final_training_loss": 0.8, "loss_reduction_percent": 25.0}
    comparison = compared(
        model(1, **values, final_validation_loss=1.0, perplexity=2.72),
        model(
            2,
            final_training_loss=0.7,
            final_validation_loss=0.9,
            loss_reduction_percent=20.0,
            perplexity=2.5,
            **other,
        ),
    )
    for label in ("Training loss", "Validation loss", "Loss reduction", "Perplexity"):
        assert row(comparison, label).best == frozenset(), label
    sentence = f"{what}: losses can't be compared; none is marked."
    assert comparison.sentences == (sentence,)
    assert sentence in comparison_markdown(comparison, [NO_LOSSES] * len(comparison.models))
    assert to_data(comparison)["judgement"]["comparable"] is False
    lines = ["".join(text for text, _ in line) for line in table_lines(comparison, 80)]
    assert lines[0] == sentence


def test_models_with_other_evaluation_sets_have_no_best_validation_loss() -> None:
    def evaluated(number: int, name: str, loss: float) -> Model:
        recorded = {"step": 10, "loss": loss}
        row = {
            "id": f"id-{number}",
            "name": "a",
            "training_summary": {
                "last_validation": recorded,
                "evaluation_sets": {name: {"last": recorded, "best": recorded}},
            },
        }
        return Model.from_row(row)

    comparison = compared(evaluated(1, "news", 1.0), evaluated(2, "code", 0.9))
    assert row(comparison, "Validation loss").best == frozenset()
    assert "Different evaluation sets: losses can't be compared" in said(comparison)


def test_models_without_any_loss_need_no_sentence() -> None:
    assert compared(model(1), model(2, dataset="d-2")).sentences == ()


def test_what_is_not_known_to_be_the_same_is_said() -> None:
    comparison = compared(
        model(1, final_validation_loss=1.0), model(2, dataset="", final_validation_loss=0.9)
    )
    assert "The dataset of B is not known: its losses may not be comparable." in said(comparison)
    assert row(comparison, "Validation loss").best == {1}


def test_without_any_validation_loss_the_training_loss_counts_and_that_is_said() -> None:
    comparison = compared(model(1, final_training_loss=0.8), model(2, final_training_loss=0.7))
    assert row(comparison, "Training loss").best == {1}
    assert "No model has a validation loss" in said(comparison)


def test_a_tie_is_said_and_both_are_marked() -> None:
    comparison = compared(
        model(1, final_validation_loss=0.9),
        model(2, final_validation_loss=0.90000001),
        model(3, final_validation_loss=1.4),
    )
    assert row(comparison, "Validation loss").best == {0, 1}
    assert "A and B have the same best last validation loss: 0.9000." in said(comparison)
    same = compared(model(1, final_validation_loss=0.9), model(2, final_validation_loss=0.9))
    assert "All have the same last validation loss: 0.9000." in said(same)


def test_models_without_validation_loss_are_named_and_not_ranked() -> None:
    comparison = compared(
        model(1, final_training_loss=0.1),
        model(2, final_validation_loss=1.2),
        model(3, final_validation_loss=1.0),
    )
    assert row(comparison, "Validation loss").best == {2}
    assert row(comparison, "Training loss").best == frozenset()
    assert "A has no validation loss: it is not ranked by losses." in said(comparison)
    alone = compared(model(1, final_training_loss=0.1), model(2, final_validation_loss=1.2))
    assert "Only B has a validation loss: no loss is marked." in said(alone)


def test_a_run_that_ended_broken_is_not_said_to_have_no_validation_loss() -> None:
    points = [CurvePoint(float(n), 1.0, 0.5) for n in range(5)]
    broken = second_opinion([*points, CurvePoint(9.0, float("nan"), None)])
    comparison = compared(model(1), model(2), model(3), opinions=[broken, opinion(1.9, 1.2), None])
    assert comparison.sentences == (
        "A ended with losses that are not numbers: it is not ranked by losses.",
        "Only B is left with a validation loss: no loss is marked.",
        "C has no validation loss: it is not ranked by losses.",
    )


def test_a_run_that_ended_in_numbers_that_are_none_is_not_best() -> None:
    points = [CurvePoint(float(n), 1.0, 0.5) for n in range(5)]
    broken = second_opinion([*points, CurvePoint(9.0, float("nan"), None)])
    assert broken.ends_bad
    sound = opinion(1.9, 1.2, 1.1, 1.0)
    comparison = compared(model(1), model(2), model(3), opinions=[broken, sound, opinion(1.9, 1.2)])
    assert row(comparison, "Validation loss").best == {1}
    assert row(comparison, "Best validation").best == {1}
    assert "A ended with losses that are not numbers" in said(comparison)


def test_the_lowest_loss_of_a_run_is_named_where_another_ended_better() -> None:
    comparison = compared(
        model(1), model(2), opinions=[opinion(1.9, 0.7, 1.1, 1.4), opinion(1.9, 1.2, 1.1, 1.0)]
    )
    assert row(comparison, "Validation loss").best == {1}
    assert row(comparison, "Best validation").best == {0}
    assert "A had the lowest of its run: 0.7000 at step 10." in said(comparison)


def test_json_adds_the_judgement_with_steps_and_ids() -> None:
    judged = to_data(
        compared(model(1), model(2), opinions=[opinion(1.9, 0.7, None), opinion(1.9, 1.2)])
    )["judgement"]
    assert judged["comparable"] is True
    assert judged["best"]["last_validation"] == ["id-1"]
    assert judged["best"]["best_validation"] == ["id-1"]
    assert judged["best"]["training"] == []
    assert judged["validation"]["id-1"] == {
        "last": 0.7,
        "last_step": 10.0,
        "best": 0.7,
        "best_step": 10.0,
    }


def test_the_curve_that_came_with_a_model_has_its_validation_losses() -> None:
    points = [[step, 1.0, loss] for step, loss in ((0, 2.0), (10, 0.8), (20, 0.9), (30, None))]
    found = validation_of(
        Model.from_row({"id": "x", "training_summary": {"loss_curve": points}}), None
    )
    assert found is not None
    assert (found.last, found.last_step, found.best, found.best_step) == (0.9, 20, 0.8, 10)
