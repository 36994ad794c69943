"""The star rating agrees with the web application, to the last bit."""

from __future__ import annotations

import json
import math
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.quality import calculate_quality_metrics, ecmascript_exp

Points = list[dict[str, Any]]


def points(*losses: object, validation: object = None) -> Points:
    rows: Points = [{"training_loss": loss, "validation_loss": None} for loss in losses]
    rows[-1]["validation_loss"] = validation
    return rows


def by_javascript(cases: list[Points]) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("web_rule.js")
    run = subprocess.run(
        ["node", str(script)], input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    # JavaScript writes a large double without an exponent; it is a double all the same
    answers: list[dict[str, Any]] = json.loads(run.stdout, parse_int=float)
    return answers


def random_cases(count: int) -> list[Points]:
    dice = random.Random(20261124)
    edges: list[Any] = [0, -0.0, None, 1e-9, -1.5, 709.79, 800, -800, 1e308, -1e308, 5e-324]

    def loss() -> Any:
        return dice.choice(edges) if dice.random() < 0.2 else round(dice.uniform(-1, 6), 6)

    return [
        [
            {"training_loss": loss(), "validation_loss": loss()}
            for _ in range(dice.choice((0, 1, 2, 3, 50)))
        ]
        for _ in range(count)
    ]


def test_it_agrees_with_a_javascript_engine_on_two_thousand_curves() -> None:
    cases = random_cases(2_000)
    assert [calculate_quality_metrics(case) for case in cases] == by_javascript(cases)


@pytest.mark.slow
def test_exp_is_the_javascript_engines_exp_to_the_last_bit() -> None:
    dice = random.Random(5)
    inputs = [dice.uniform(-10, 12) for _ in range(20_000)]
    inputs += [dice.uniform(-750, 715) for _ in range(10_000)]
    inputs += [0.0, 1.0, -1.0, 0.5 * math.log(2), 1.5 * math.log(2), 1e-300, 709.78, -745.2]
    cases = [points(1.0, 1.0, validation=value) for value in inputs]
    theirs = [answer["perplexity"] for answer in by_javascript(cases)]
    ours = [calculate_quality_metrics(case)["perplexity"] for case in cases]
    assert ours == theirs


@pytest.mark.parametrize(
    ("reduction", "convergence", "stars"),
    [
        (50.1, "excellent", 5),
        (50.0, "good", 4),
        (30.1, "good", 4),
        (30.0, "fair", 3),
        (15.1, "fair", 3),
        (15.0, "poor", 2),
        (5.1, "poor", 2),
        (5.0, "poor", 1),
        (-40.0, "poor", 1),
    ],
)
def test_thresholds_are_exclusive(reduction: float, convergence: str, stars: int) -> None:
    result = calculate_quality_metrics(points(100.0, 100.0 - reduction))
    assert (result["convergence_quality"], result["overall_score"]) == (convergence, stars)


def test_a_job_without_points_gets_three_stars_and_no_reduction() -> None:
    assert calculate_quality_metrics([]) == {
        "overall_score": 3,
        "convergence_quality": "unknown",
        "final_training_loss": None,
        "final_validation_loss": None,
        "perplexity": None,
    }


def test_overfitting_costs_a_star_but_never_goes_below_two() -> None:
    good = calculate_quality_metrics(points(4.0, 1.0, validation=1.6))
    bad = calculate_quality_metrics(points(4.0, 4.0, validation=4.6))
    assert (good["convergence_quality"], good["overall_score"]) == ("overfit", 4)
    assert (bad["convergence_quality"], bad["overall_score"]) == ("overfit", 2)


def test_numeric_strings_from_postgrest_are_numbers() -> None:
    text = calculate_quality_metrics(points("4.000000", "1.500000", validation="1.750000"))
    assert text == calculate_quality_metrics(points(4.0, 1.5, validation=1.75))


def test_a_start_of_zero_does_not_raise() -> None:
    assert calculate_quality_metrics(points(0, 1))["overall_score"] == 1
    assert calculate_quality_metrics(points(0, -1))["convergence_quality"] == "excellent"
    assert calculate_quality_metrics(points(0, 0))["loss_reduction_percent"] is None


def test_perplexity_is_null_without_a_validation_loss_and_where_it_overflows() -> None:
    assert calculate_quality_metrics(points(4, 1))["perplexity"] is None
    assert calculate_quality_metrics(points(4, 1, validation=0))["perplexity"] is None
    assert calculate_quality_metrics(points(4, 1, validation=1000))["perplexity"] is None
    assert ecmascript_exp(1000) == math.inf


def test_text_that_is_not_a_number_is_rejected() -> None:
    for text in ("1_000", "abc", "0x10", "infinity", "nan", "١"):
        assert calculate_quality_metrics(points(text, text))["final_training_loss"] is None


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.lists(st.integers(), max_size=2),
)
rows = st.fixed_dictionaries(
    {}, optional={"training_loss": anything, "validation_loss": anything, "step": anything}
)


@given(st.lists(rows, max_size=5))
def test_the_rating_of_any_rows_can_be_stored_as_json(metrics: Points) -> None:
    result = calculate_quality_metrics(metrics)
    stored = json.loads(json.dumps(result, allow_nan=False))
    assert stored == result
    assert 1 <= result["overall_score"] <= 5


@given(st.lists(rows, max_size=5))
def test_the_job_does_not_change_the_rating(metrics: Points) -> None:
    assert calculate_quality_metrics(metrics, {"status": "completed"}) == (
        calculate_quality_metrics(metrics)
    )
