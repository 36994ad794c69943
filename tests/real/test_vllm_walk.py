"""The walk of tests/serving/walk.py with a real vLLM; only the project is the sandbox's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lora_tui.sandbox import Sandbox
from tests.real.commands import User
from tests.seeded import short_curves
from tests.serving.vllm_contract import Server
from tests.serving.walk import KEY_VARIABLE, STEPS, Walk, begin

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def walk(vllm: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A user with a project, models and this server."""
    with short_curves(), Sandbox.start(models=6, waiting_jobs=2) as sandbox:
        assert vllm.key
        environment = {**sandbox.environment(), KEY_VARIABLE: vllm.key}
        user = User(tmp_path_factory.mktemp("home"), environment)
        yield begin(user, vllm, tmp_path_factory.mktemp("adapters"))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__.removeprefix("check_"))
def test_the_walk_of_a_user_with_a_vllm(walk: Walk, step: Callable[[Walk], None]) -> None:
    step(walk)
