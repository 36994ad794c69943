"""How many examples the fuzzing makes: few in `make test`, more with LORA_TUI_FUZZ=examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

EXAMPLES = int(os.environ.get("LORA_TUI_FUZZ", "0"))
"""Examples a test; 0: each test's own few."""


def examples(few: int) -> settings:
    """The settings of a test that makes so many examples when there is little time."""
    return settings(
        max_examples=EXAMPLES or few,
        deadline=None,
        # a failure as it was found says enough, and making it smaller can take minutes
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        derandomize=not EXAMPLES,
        suppress_health_check=list(HealthCheck),
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a long run more time; an example that hangs still ends the test."""
    for item in items:
        if EXAMPLES and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(120 + 5 * EXAMPLES))
