"""The board of one dataset and base model: who is on it, in which order, and why."""

from __future__ import annotations

from typing import Any

from lora_tui.commands.table import sentence_lines
from lora_tui.domain import CurvePoint, Model
from lora_tui.opinion import Opinion, second_opinion
from lora_tui.reports.compare import compare_models
from lora_tui.reports.leaderboard import Board, Counts, board, board_data


def model(number: int, *, rank: int = 8, rate: float = 1e-4, **quality: Any) -> Model:
    return Model.from_row(
        {
            "id": f"id-{number}",
            "name": f"Model {number}",
            "dataset_id": "d-1",
            "quality_metrics": quality,
            "configuration": {
                "hyperparameters": {"base_model": "b", "lora_rank": rank, "learning_rate": rate}
            },
        }
    )


def made(
    *models: Model, opinions: list[Opinion | None] | None = None, limit: int = 3, broken: int = 0
) -> Board:
    validated = sum(each.quality.final_validation_loss is not None for each in models)
    return board(
        ("d-1", "Data", "b"),
        Counts(len(models), validated, broken),
        models,
        opinions or [None] * len(models),
        limit,
    )


def ids(found: Board) -> list[str]:
    return [place.model.id for place in found.places]


def test_validation_decides_and_an_overfit_run_is_not_first() -> None:
    found = made(
        model(1, final_training_loss=0.1, final_validation_loss=2.0),
        model(2, final_training_loss=0.9, final_validation_loss=1.0),
    )
    assert ids(found) == ["id-2", "id-1"]
    assert board_data(found)["ranked_by"] == "validation"


def test_no_more_than_the_limit_are_named() -> None:
    models = [model(n, final_validation_loss=1 + n / 10) for n in range(5)]
    assert ids(made(*models, limit=2)) == ["id-0", "id-1"]
    assert made(*models, limit=2).models == 5


def test_what_sets_the_first_apart_is_what_no_other_has() -> None:
    found = made(
        model(1, rank=32, rate=1e-4, final_validation_loss=0.9),
        model(2, rank=8, rate=1e-4, final_validation_loss=1.0),
        model(3, rank=16, rate=3e-4, final_validation_loss=1.1),
    )
    assert [(each.property, each.value, each.others) for each in found.differences] == [
        ("Rank", 32, (8, 16))
    ]
    assert found.sentences == ("The first differs from the others in: Rank 32 (others 8, 16).",)


def test_equal_losses_share_a_place_and_nothing_is_said_of_the_first() -> None:
    found = made(model(1, rank=32, final_validation_loss=0.9), model(2, final_validation_loss=0.9))
    assert [place.place for place in found.places] == [1, 1]
    assert found.sentences == ("The first ones have the same loss.",)


def test_without_validation_the_training_loss_ranks_and_that_is_said() -> None:
    found = made(model(1, final_training_loss=0.9), model(2, final_training_loss=0.8))
    assert ids(found) == ["id-2", "id-1"]
    assert "ranked by training loss, which hides overfitting" in found.sentences[0]


def test_who_is_not_ranked_is_counted() -> None:
    points = [CurvePoint(float(n), 1.0, 0.5) for n in range(5)]
    broken = second_opinion([*points, CurvePoint(9.0, float("nan"), None)])
    found = made(
        model(1, final_validation_loss=0.5),
        model(2, final_validation_loss=0.9),
        model(3, final_training_loss=0.1),
        opinions=[broken, None, None],
    )
    assert ids(found) == ["id-2"]
    assert any("1 model ended with losses that are not numbers" in s for s in found.sentences)
    assert any("no validation loss: not ranked" in s for s in found.sentences)


def test_runs_that_ended_badly_are_counted_in_the_whole_group() -> None:
    found = made(model(1, final_validation_loss=0.5), broken=12)
    assert "12 models ended with losses that are not numbers: not ranked." in found.sentences


def test_a_training_loss_of_exactly_0_is_not_ranked_where_it_would_decide() -> None:
    stored = {"final_training_loss": 0.0, "overall_score": 5}
    found = made(model(1, **stored), model(2, final_training_loss=0.8))
    assert ids(found) == ["id-2"]
    assert "1 model has a training loss of exactly 0: not ranked." in found.sentences
    judged = compare_models([model(1, **stored), model(2, overall_score=4)], [None, None])
    assert not any(0 in row.best for row in judged.rows)
    assert any("A has a training loss of exactly 0" in text for text in judged.sentences)
    assert ids(made(model(1, final_validation_loss=0.5, **stored))) == ["id-1"]


def test_a_validation_loss_of_exactly_0_is_not_ranked() -> None:
    models = [model(1, final_validation_loss=0.0), model(2, final_validation_loss=0.8)]
    found = made(*models, model(3, final_validation_loss=0.9))
    assert ids(found) == ["id-2", "id-3"]
    assert "1 model has a validation loss of exactly 0: not ranked." in found.sentences
    judged = compare_models(models, [None, None])
    assert not any(0 in row.best for row in judged.rows)
    assert any("A has a validation loss of exactly 0" in text for text in judged.sentences)
    assert not made(model(1, final_validation_loss=0.0)).places


def test_models_without_any_loss_have_an_empty_board_that_says_so() -> None:
    assert made(model(1)).sentences == ("1 model has no loss: not ranked.",)


def test_sentences_break_between_words_on_a_terminal_and_never_in_a_file() -> None:
    sentence = "The first differs from the others in: Learning rate 1e-4 (others 3e-4, 1e-5)."
    lines = sentence_lines([sentence], 40, indent="  ")
    assert " ".join(line.strip() for line in lines) == sentence
    assert all(len(line) <= 40 and line.startswith("  ") for line in lines)
    assert any("1e-4" in line for line in lines)
    assert sentence_lines([sentence], None, indent="  ") == [f"  {sentence}"]
