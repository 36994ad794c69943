"""The walk of tests/serving/walk.py on the sandbox, with its stand-in for vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.vllm import VllmStandIn
from tests.real.commands import User
from tests.seeded import short_curves
from tests.serving.vllm_contract import Server
from tests.serving.walk import KEY_VARIABLE, STEPS, Walk, begin


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A user with a project, models and a server that wants a key."""
    with (
        short_curves(),
        Sandbox.start(models=6, waiting_jobs=2) as sandbox,
        VllmStandIn.start(key="sesame") as stand_in,
    ):
        environment = {**sandbox.environment(), KEY_VARIABLE: "sesame"}
        user = User(tmp_path_factory.mktemp("home"), environment)
        server = Server(stand_in.url, "tiny-random-llama", "sesame")
        yield begin(user, server, tmp_path_factory.mktemp("adapters"))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__.removeprefix("check_"))
def test_the_walk_of_a_user_with_a_vllm(walk: Walk, step: Callable[[Walk], None]) -> None:
    step(walk)
