"""Models of the sandbox that tests of commands use."""

from __future__ import annotations

from tests.conftest import Run


def whole_model(run: Run) -> str:
    """The id of a model all of whose files are in the bucket."""
    for model in run("list", "--json", "--sort", "quality").data["models"]:
        if len(model["artifacts"]) == 6:
            return str(model["id"])
    raise AssertionError("the sandbox has no whole model")
