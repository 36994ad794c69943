"""Warnings about a run that has not ended: each comes for its reason, and for no other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.clock import timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.opinion import Finding, Kind, RunFacts, if_it_ended_now, live_warnings
from tests.unit.loss_runs import FAMILIES, falling

START: Final = datetime(2026, 11, 20, 10, tzinfo=UTC)
LONG_RUNS: Final = 8


def point(index: int, loss: float | None = 1.0, *, gap: float = 5.0, **values: Any) -> MetricPoint:
    moment = timestamp_text(START + timedelta(seconds=gap * index))
    made = MetricPoint(str(index), moment, 10.0 * index, None, loss, None)
    return made._replace(**{"gradient_norm": 0.5, "gpu_utilization": 95.0, **values})


def healthy(
    count: int, *, seed: int = 0, noise: float = 0.03, gap: float = 5.0
) -> list[MetricPoint]:
    chance = random.Random(seed)
    return [
        point(
            index,
            (1.0 + math.exp(-3 * index / count)) * (1 + chance.gauss(0, noise)),
            gap=gap,
            gradient_norm=0.5 * math.exp(chance.gauss(0, 0.3)),
            gpu_utilization=chance.uniform(60, 99),
        )
        for index in range(count)
    ]


def warnings(
    points: Sequence[MetricPoint], *, silent: float = 1.0, runs: bool = True, **facts: Any
) -> list[Finding]:
    """Those of a moment so many seconds after the last point."""
    at = datetime.fromisoformat(points[-1].timestamp) if points else START
    now = at + timedelta(seconds=silent)
    return live_warnings(points, runs=runs, now=now, facts=RunFacts(**facts))


def only(findings: Sequence[Finding], kind: Kind) -> Finding:
    assert [finding.kind for finding in findings] == [kind]
    assert findings[0].advice
    return findings[0]


def test_a_loss_that_is_no_number_is_serious_from_the_third_point_on() -> None:
    points = healthy(60)
    one = only(warnings([*points, point(60, None)]), Kind.NOT_A_NUMBER)
    assert one.severity.name == "WARNING"
    bad = [point(60 + number, None) for number in range(3)]
    three = only(warnings([*points, *bad]), Kind.NOT_A_NUMBER)
    assert three.severity.name == "SERIOUS"
    assert three.sentence == "The training loss is not a number since step 600, in 3 points."
    assert warnings([*points, *bad, *[point(63 + number, 1.05) for number in range(9)]]) == []


def test_zeros_after_ordinary_losses_are_losses_that_are_no_numbers() -> None:
    zeros = [point(60 + number, 0.0, gradient_norm=None) for number in range(5)]
    found = only(warnings([*healthy(60), *zeros]), Kind.NOT_A_NUMBER)
    assert "logged as 0" in found.sentence


def test_gradient_norms_that_are_no_numbers_are_serious() -> None:
    broken = [point(60 + number, 1.05, gradient_norm=math.nan) for number in range(4)]
    found = only(warnings([*healthy(60), *broken]), Kind.NOT_A_NUMBER)
    assert "gradient norm is not a number since step 600" in found.sentence


def test_a_loss_that_rises_far_is_a_divergence_while_it_happens() -> None:
    risen = [point(200 + number, 1.05 + 0.05 * number) for number in range(20)]
    found = only(warnings([*healthy(200), *risen]), Kind.DIVERGENCE)
    assert found.sentence.startswith("The training diverges. The training loss rose from")
    assert found.advice
    assert found.advice.startswith("Stop the run if this goes on.")


def test_several_gradient_spikes_are_a_warning_and_one_is_not() -> None:
    points = healthy(200)
    for index in (160, 175, 190):
        assert warnings(points) == []
        points[index] = points[index]._replace(gradient_norm=12.0)
    found = only(warnings(points), Kind.GRADIENT)
    assert found.sentence.startswith("3 gradient spikes in the last 50 points; the highest is 12.0")


def test_validation_that_turned_names_its_best_step() -> None:
    points = healthy(200)
    for number, loss in enumerate((1.9, 1.5, 1.3, 1.2, 1.26, 1.3, 1.36, 1.4)):
        at = 24 * (number + 1)
        points[at] = points[at]._replace(validation_loss=loss)
    found = only(warnings(points), Kind.OVERFIT)
    assert found.sentence == (
        "The validation loss has risen since step 960: from 1.2000 to 1.4000 at step 1,920, over"
        " 4 evaluations."
    )
    on_chat = only(warnings(points, is_chat=True), Kind.OVERFIT)
    assert on_chat.severity < found.severity


def test_validation_that_wavers_is_no_turn() -> None:
    chance = random.Random(3)
    for _ in range(LONG_RUNS):
        points = healthy(300)
        for at in range(20, 300, 20):
            loss = (1.1 + math.exp(-3 * at / 300)) * (1 + chance.gauss(0, 0.02))
            points[at] = points[at]._replace(validation_loss=loss)
        assert warnings(points) == []


@pytest.mark.parametrize(
    ("gap", "silent", "stalled"),
    [
        (5.0, 30.0, False),  # a minute is the least
        (5.0, 61.0, True),
        (60.0, 170.0, False),
        (60.0, 185.0, True),
    ],
)
def test_a_run_has_stalled_after_three_of_its_usual_gaps(
    gap: float, silent: float, stalled: bool
) -> None:
    found = warnings(healthy(30, gap=gap), silent=silent)
    assert [finding.kind for finding in found] == [Kind.STALLED] * stalled
    assert warnings(healthy(30, gap=gap), silent=silent, runs=False) == []


def test_nobody_knows_of_a_stall_until_the_points_were_read_once() -> None:
    assert live_warnings(healthy(30), runs=True, now=None) == []


def test_evaluations_are_no_stall() -> None:
    points = healthy(40, gap=20.0)
    late = [
        p._replace(
            timestamp=timestamp_text(datetime.fromisoformat(p.timestamp) + timedelta(seconds=300)),
        )
        for p in points[20:]
    ]
    assert warnings([*points[:20], *late], silent=400) == []
    assert only(warnings([*points[:20], *late], silent=600), Kind.STALLED)


def test_a_gpu_that_has_worked_and_idles_for_minutes_is_found() -> None:
    points = healthy(100)
    idle = [point(100 + number, 1.05, gpu_utilization=1.0) for number in range(40)]
    assert warnings([*points, *idle[:20]]) == []
    found = only(warnings([*points, *idle]), Kind.GPU_IDLE)
    assert found.sentence == (
        "The GPU has been idle for 03:15: its utilisation was at most 1.0 % in the last 40 points."
    )
    as_shares = [p._replace(gpu_utilization=(p.gpu_utilization or 0) / 100) for p in points + idle]
    assert only(warnings(as_shares), Kind.GPU_IDLE).sentence == found.sentence


def test_a_gpu_that_nobody_measures_is_not_idle() -> None:
    for value in (0.0, None):
        unmeasured = [p._replace(gpu_utilization=value) for p in healthy(300)]
        assert warnings(unmeasured) == []


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.15, 0.4])
def test_short_and_noisy_runs_that_are_healthy_get_no_warning(noise: float) -> None:
    for seed in range(LONG_RUNS):
        points = healthy(160, seed=seed, noise=noise)
        for count in (1, 2, 5, 12, 19, 25, 40, 80, 160):
            assert warnings(points[:count]) == []


def test_a_run_that_falls_gets_no_warning_at_any_time() -> None:
    chance = random.Random(7)
    for _ in range(LONG_RUNS):
        curve = falling(chance, noise=0.03, memory=0.5)
        points = [
            point(index, at.training_loss, validation_loss=at.validation_loss)
            for index, at in enumerate(curve)
        ]
        for share in (0.1, 0.35, 0.7, 1.0):
            assert warnings(points[: max(1, int(len(points) * share))]) == []


def test_diverged_runs_of_every_family_are_found_in_the_end() -> None:
    chance = random.Random(11)
    bad = [f for f in FAMILIES if f.truth & {Kind.DIVERGENCE, Kind.NOT_A_NUMBER}]
    for family in bad:
        points = [point(i, at.training_loss) for i, at in enumerate(family.make(chance))]
        assert warnings(points), family.name


@given(
    st.lists(
        st.builds(
            MetricPoint,
            st.just("id"),
            st.sampled_from(("", "nonsense", "2026-11-20T10:00:00+00:00", "9999-01-01")),
            *[st.none() | st.floats()] * 8,
        ),
        max_size=60,
    ),
    st.booleans(),
)
def test_nothing_that_a_backend_can_send_raises(points: list[MetricPoint], runs: bool) -> None:
    live_warnings(points, runs=runs, now=START)
    if_it_ended_now(points)


def rated(*losses: float | None, validation: float | None = None) -> str:
    points = [point(index, loss) for index, loss in enumerate(losses)]
    points[-1] = points[-1]._replace(validation_loss=validation)
    return if_it_ended_now(points).sentence


STARS: Final[Sequence[tuple[Callable[[], str], str]]] = (
    (
        lambda: rated(*[2.0] * 30, 1.3),
        "If it ended now: 4/5, because the training loss fell from 2.0000 to 1.3000 (35.0 %).",
    ),
    (
        lambda: rated(*[2.0] * 30, 1.3, validation=1.9),
        "If it ended now: 3/5, because the training loss fell from 2.0000 to 1.3000 (35.0 %), and"
        " the validation loss is 1.9000.",
    ),
    (
        lambda: rated(*[2.0] * 30, 2.5),
        "If it ended now: 1/5, because the training loss rose from 2.0000 to 2.5000.",
    ),
    (
        lambda: rated(*[2.0] * 30, None),
        "If it ended now: 1/5, because its first or last loss is not a number.",
    ),
    (
        lambda: rated(2.0, 1.5),
        "If it ended now: 3/5, because the training loss fell from 2.0000 to 1.5000 (25.0 %)."
        " That is early: 2 points so far.",
    ),
)


@pytest.mark.parametrize(("made", "sentence"), STARS)
def test_the_stars_of_a_run_if_it_ended_now_are_those_of_the_pipeline(
    made: Callable[[], str], sentence: str
) -> None:
    assert made() == sentence


def test_a_run_without_points_has_no_stars() -> None:
    assert if_it_ended_now([]).stars is None
