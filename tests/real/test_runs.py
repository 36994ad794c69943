"""Runs of the real Trainer: what it logged is stored, and what went wrong is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.real.cases import root, truth
from tests.real.commands import Typed, User

pytestmark = pytest.mark.xdist_group("runs")

RUNS = sorted(truth()["runs"])
DIVERGED = [name for name in RUNS if name.startswith("nan_")]


@dataclass(frozen=True)
class Kept:
    """What a project keeps of a run."""

    push: Typed
    model: Mapping[str, Any]
    """As `show --json` has it."""
    words: str
    """As `show` says it."""


@pytest.fixture(scope="module")
def kept(user: User) -> dict[str, Kept]:
    """Every run, pushed, by its name."""
    dataset = user.dataset()
    sent = {
        name: user.types(
            "push", root() / "runs" / name, "--dataset", dataset, "--name", f"run {name}", "--json"
        )
        for name in RUNS
    }
    assert user.types("sync").code == 0
    found = {}
    for name, push in sent.items():
        model = push.data["model_id"] if push.code == 0 else name
        shown = user.types("show", model, "--json")
        found[name] = Kept(
            push,
            shown.data if shown.code == 0 else {},
            " ".join(user.types("show", model).out.split()),
        )
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_the_trainer_can_be_pushed(name: str, kept: dict[str, Kept]) -> None:
    assert kept[name].push.code == 0, kept[name].push.err


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in RUNS if name not in DIVERGED])
def test_every_logged_loss_is_stored(name: str, kept: dict[str, Kept]) -> None:
    curve = kept[name].model["training_summary"].get("loss_curve") or []
    stored = {step: loss for step, loss, _ in curve}
    logged = truth()["runs"][name]["losses"]
    assert {step: stored.get(step) for step, _ in logged} == pytest.approx(dict(logged), abs=1e-6)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", DIVERGED)
def test_a_run_with_nan_weights_is_not_rated_as_a_good_one(
    name: str, kept: dict[str, Kept]
) -> None:
    assert not truth()["runs"][name]["weights_finite"]
    run = kept[name]
    assert run.model["quality_metrics"]["overall_score"] <= 1
    assert "diverged" in run.words.lower()
    assert run.model["configuration"]["weights"]["damaged"] > 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in RUNS if name not in DIVERGED])
def test_a_run_whose_weights_are_finite_is_not_called_diverged(
    name: str, kept: dict[str, Kept]
) -> None:
    assert truth()["runs"][name]["weights_finite"]
    assert "nan" not in kept[name].words.lower().split()


@pytest.mark.timeout(600)
def test_the_first_of_several_evaluation_sets_is_the_validation_loss(kept: dict[str, Kept]) -> None:
    state = json.loads((root() / "runs/several_sets/trainer_state.json").read_text())
    easy = [e["eval_easy_loss"] for e in state["log_history"] if "eval_easy_loss" in e]
    run = kept["several_sets"]
    assert run.model["quality_metrics"]["final_validation_loss"] == pytest.approx(
        easy[-1], abs=1e-6
    )
    assert "easy" in run.push.err
    assert "hard" in run.push.err


@pytest.mark.timeout(600)
def test_the_checkpoint_that_the_weights_are_is_named(kept: dict[str, Kept]) -> None:
    best = truth()["runs"]["best_at_end"]["best_step"]
    assert best
    run = kept["best_at_end"]
    assert f"{best}" in json.dumps(run.model["training_summary"])
    assert f"step {best}" in run.words or f"step {best}" in run.push.err


@pytest.mark.timeout(600)
def test_a_run_shorter_than_its_logging_interval_is_said_to_have_no_losses(
    kept: dict[str, Kept],
) -> None:
    assert "trainer_state.json" in kept["logged_too_seldom"].push.err
