"""Each test has a user with datasets, and a failed request is repeated without a wait."""

from __future__ import annotations

import pytest
from httpx_retries import Retry

from lora_tui.sandbox import Sandbox
from tests.conftest import Run


@pytest.fixture(autouse=True)
def _no_waiting_between_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retry, "sleep", lambda _policy, _answer: None)


@pytest.fixture
def dataset(configured: Sandbox, run: Run) -> str:
    """The id of one of the user's datasets; the user is signed in."""
    run("sync")
    models = run("list", "--json").data["models"]
    return str(next(model["dataset_id"] for model in models))
