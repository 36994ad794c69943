"""push → download → load in PEFT: every tensor and every answer stays the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.real.cases import (
    FORGETFUL,
    NOT_PLAIN,
    adapters,
    ask_peft,
    directory,
    facts,
    root,
)
from tests.real.commands import Journey, User

pytestmark = [pytest.mark.xdist_group("journey"), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def loaded(journey: Journey) -> dict[str, Any]:
    """What PEFT says of everything that came back."""
    compared: dict[str, Any] = ask_peft("load_back", root(), journey.place)
    return compared


@pytest.mark.parametrize("name", adapters(loads=True))
def test_what_peft_loads_can_be_pushed(name: str, journey: Journey) -> None:
    assert journey.pushed[name].code == 0, journey.pushed[name].err


@pytest.mark.parametrize("name", adapters(loads=True))
def test_every_tensor_and_answer_comes_back(
    name: str, journey: Journey, loaded: dict[str, Any]
) -> None:
    if journey.pushed[name].code != 0:
        return  # the test before says so
    assert journey.downloaded[name].code == 0, journey.downloaded[name].err
    back = loaded[name]
    assert "error" not in back, back["error"]
    assert (back["tensors"], back["different"]) == (facts(name)["tensors"], [])
    if name not in FORGETFUL:
        assert back["difference"] <= 1e-5


@pytest.mark.parametrize("name", [n for n in adapters(lora=True, loads=True) if n not in NOT_PLAIN])
def test_the_summary_that_is_stored_has_the_norm_of_the_dense_change(
    name: str, journey: Journey, user: User
) -> None:
    sent = journey.pushed[name]
    assert sent.code == 0, sent.err
    stored = user.types("show", sent.data["model_id"], "--json").data["configuration"]["weights"]
    matrices = [
        matrix
        for module in facts(name)["details"].values()
        for matrix in module["singular_values"] or []
    ]
    if all(module["singular_values"] is not None for module in facts(name)["details"].values()):
        norm = math.sqrt(sum(value * value for matrix in matrices for value in matrix))
        assert stored["norm"] == pytest.approx(norm, rel=1e-3)
    assert (stored["damaged"], stored["modules"]) == (0, facts(name)["modules"])


@pytest.mark.parametrize("name", adapters(loads=False))
def test_what_peft_does_not_load_again_is_not_pushed(name: str, user: User) -> None:
    sent = user.types("push", directory(name), "--dry-run", "--json")
    assert sent.code == 6, facts(name)["error"]
    assert json.loads(sent.out)["error"]
