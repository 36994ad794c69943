"""The snippet for PEFT, pasted, gives the answers of the model that was trained."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.real.cases import FORGETFUL, adapters, ask_peft, directory, facts, root
from tests.real.commands import Journey, User

pytestmark = [pytest.mark.xdist_group("journey"), pytest.mark.timeout(900)]

OWN_MODULES: Final = {"conv", "conv_grouped", "conv_dora", "conv1d", "conv3d"}
"""Adapters of a base that only its author's program can build."""
NAMES: Final = [name for name in adapters(answers=True) if name not in OWN_MODULES]
WITH_TOKENIZER: Final = [n for n in NAMES if (directory(n) / "tokenizer.json").exists()]


@pytest.fixture(scope="module")
def ran(user: User, journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each snippet made, with its text."""
    snippets = tmp_path_factory.mktemp("snippets")
    found: dict[str, Any] = {}
    for name in NAMES:
        pushed = journey.pushed[name]
        if pushed.code != 0:
            found[name] = {"error": f"push: {pushed.err}"}
            continue
        shown = user.types("serve-config", pushed.data["model_id"], "--for", "peft")
        if shown.code != 0:
            found[name] = {"error": f"serve-config: {shown.err}"}
            continue
        (snippets / f"{name}.py").write_text(shown.out)
        found[name] = {"snippet": shown.out}
    for name, result in ask_peft("run_snippets", root(), snippets).items():
        found[name] |= result
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_snippet_gives_the_answers_of_the_trained_model(name: str, ran: dict[str, Any]) -> None:
    made = ran[name]
    assert "error" not in made, f"{made['error']}\n{made.get('snippet')}"
    assert made["base"].endswith(facts(name)["auto_class"].removeprefix("AutoModel")), made
    assert made["difference"] is not None, made
    if name not in FORGETFUL:
        assert made["difference"] <= 1e-4, made["snippet"]


@pytest.mark.parametrize("name", WITH_TOKENIZER)
def test_the_snippet_takes_the_tokenizer_of_the_adapter(
    name: str, ran: dict[str, Any], journey: Journey
) -> None:
    assert ran[name].get("tokenizer") is not None, ran[name]
    [line] = [part for part in ran[name]["snippet"].splitlines() if "AutoTokenizer.from_" in part]
    assert str(journey.place / name) in line
