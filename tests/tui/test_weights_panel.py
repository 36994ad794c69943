"""The model's page tells what the weights say, by what is known of them."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any

import pytest

from lora_tui.adapters.weight_facts import ModuleWeights, WeightFacts, facts_document, summarise
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.weights import put_weights
from lora_tui.domain import WeightSummary
from lora_tui.widgets.cells import cell_len
from lora_tui.widgets.weights_panel import LayerNorm, WeightsPanel, weight_lines
from tests.tui.conftest import Open, model_page, screen_text, until
from tests.tui.library import Library
from tests.tui.whole_model import CONFIGURATION, HIGH, MODEL, put_model


def facts_of(layers: int, damaged: bool = False) -> WeightFacts:
    modules = tuple(
        ModuleWeights(
            f"model.layers.{n}.self_attn.q_proj",
            16,
            2.0,
            norm=None if damaged else 1.0 + n,
            largest=None if damaged else 0.5,
            stable_rank=3.0,
            effective_rank=7.5,
            damaged=damaged,
        )
        for n in range(layers)
    )
    return WeightFacts(2 * layers, 0, modules, (), layers if damaged else 0, True)


def put_facts(library: Library, facts: WeightFacts) -> None:
    with closing(open_cache(library.path)) as db, transaction(db, Topic.WEIGHTS):
        put_weights(db, MODEL, "stamp", summarise(facts), facts_document(facts))


def text_of(lines: Any) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("width", [1, 20, 51, 76, 200])
@pytest.mark.parametrize("count", [0, 1, 32, 80, 600])
def test_no_line_is_wider_than_the_panel(width: int, count: int, ascii_only: bool) -> None:
    layers = [LayerNorm("model.layers", n, float(n), n == 3) for n in range(count)]
    summary = summarise(facts_of(max(1, count)))
    lines = weight_lines(summary, layers, width, ascii_only=ascii_only)
    for line in lines:
        text = "".join(part for part, _ in line)
        assert cell_len(text) <= width or width < 20
        assert text.isascii() or not ascii_only


def test_a_bar_is_as_high_as_the_norm_of_its_layer() -> None:
    layers = [LayerNorm("", n, norm, False) for n, norm in enumerate((4.0, 2.0, 0.01, 0.0))]
    lines = text_of(weight_lines(WeightSummary(tensors=8), layers, 4)).splitlines()
    bars = lines[-5:-1]
    assert [bar.ljust(4)[0] for bar in bars] == ["█", "█", "█", "█"]
    assert [bar.ljust(4)[1] for bar in bars] == [" ", " ", "█", "█"]
    assert bars[-1][2:4] == "▁ "


def test_an_infinite_or_missing_norm_draws_nothing_and_fails_nowhere() -> None:
    layers = [LayerNorm("", 0, None, True), LayerNorm("", 1, None, False)]
    assert "×" in text_of(weight_lines(WeightSummary(tensors=2, damaged=1), layers, 30))
    assert math.isfinite(len(text_of(weight_lines(WeightSummary(tensors=2), layers, 30))))


async def test_the_page_shows_the_stored_summary_then_what_was_computed_here(
    model: Library, open_app: Open
) -> None:
    stored = WeightSummary(tensors=4, modules=2, evaluated=2, rank=8, norm=3.25)
    put_model(model, configuration={**CONFIGURATION, "weights": stored.as_json()})
    app = open_app()
    async with model_page(app, HIGH) as pilot:
        await until(pilot, lambda: "3.25 in all" in screen_text(app))
        facts = facts_of(4)
        put_facts(model, facts)
        app.poll_cache()
        await until(pilot, lambda: "Norm by layer" in screen_text(app))
        assert "3.25 in all" not in screen_text(app)


async def test_damaged_weights_are_said_on_the_page(model: Library, open_app: Open) -> None:
    facts = facts_of(3, damaged=True)
    put_facts(model, facts)
    app = open_app()
    async with model_page(app, HIGH) as pilot:
        await until(pilot, lambda: "Damaged: 3 tensors of 6" in screen_text(app))


async def test_without_anything_known_there_is_no_panel(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, HIGH):
        assert not app.screen.query_one(WeightsPanel).display
