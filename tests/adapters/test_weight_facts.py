"""Layers, outliers and the stored summary: right for every naming, and nothing read is trusted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.adapters.weight_facts import (
    NO_LAYER,
    ModuleWeights,
    WeightFacts,
    facts_from,
    layers_of,
    modified_scores,
    outliers_of,
    place_of,
    summarise,
)
from lora_tui.domain.weight_summary import MAX_SUMMARY_BYTES, WeightSummary


def facts_of(*modules: ModuleWeights) -> WeightFacts:
    return WeightFacts(
        tensors=2 * len(modules),
        other_tensors=0,
        modules=modules,
        damaged=(),
        damaged_count=0,
        scaled=True,
    )


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj", ("model.layers", 3, "self_attn.q_proj")),
        ("transformer.h.11.attn.c_attn", ("transformer.h", 11, "attn.c_attn")),
        (
            "encoder.block.0.layer.1.SelfAttention.q",
            ("encoder.block", 0, "layer.1.SelfAttention.q"),
        ),
        ("layers.5.mlp.experts.7.w1", ("layers", 5, "mlp.experts.7.w1")),
        ("lora_unet_down_blocks_2_to_k", ("lora_unet_down_blocks", 2, "to_k")),
        ("lm_head", ("", NO_LAYER, "lm_head")),
        ("w1.weights2", ("", NO_LAYER, "w1.weights2")),
    ],
)
def test_a_module_is_found_in_its_layer(name: str, place: tuple[str, int, str]) -> None:
    assert place_of(name) == place


def test_layers_are_in_the_order_of_their_numbers_and_the_rest_is_last() -> None:
    names = ["lm_head", "layers.10.q", "layers.9.q", "layers.9.v", "encoder.1.q"]
    layers = layers_of(ModuleWeights(name, 4, 1.0, norm=3.0) for name in names)
    assert [layer.label for layer in layers] == ["9", "10", "1", "other"]
    assert layers[0].norm == pytest.approx(18**0.5)


def test_norms_that_are_all_alike_have_no_outlier() -> None:
    modules = [ModuleWeights(f"layers.{n}.q", 4, 1.0, norm=1.0 + (n == 3) * 0.2) for n in range(20)]
    assert outliers_of(modules) == ()


def test_the_modified_score_is_that_of_iglewicz_and_hoaglin() -> None:
    scores = modified_scores([1.0, 2.0, 3.0, 4.0, 100.0])
    assert scores == pytest.approx([-1.349, -0.6745, 0.0, 0.6745, 65.4265])
    assert modified_scores([2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]


def test_the_summary_of_the_largest_adapter_fits_into_a_kilobyte() -> None:
    modules = [
        ModuleWeights(
            f"{'很长的名字' * 20}.layers.{layer}.{target}",
            64,
            2.0,
            norm=1234.5678 * (1 + layer),
            largest=345.678,
            stable_rank=12.3456,
            effective_rank=45.6789,
        )
        for layer in range(200)
        for target in ("q_proj", "k_proj")
    ]
    summary = summarise(facts_of(*modules))
    stored = json.dumps(summary.as_json())
    assert len(stored) <= MAX_SUMMARY_BYTES
    assert WeightSummary.from_json(json.loads(stored)) is not None


def test_a_stored_summary_says_the_same_when_it_is_read_again() -> None:
    modules = [
        ModuleWeights(f"model.layers.{n}.q_proj", 16, 2.0, 0.25, 0.125, 4.0, 8.0, (0.25, 0.5))
        for n in range(80)
    ]
    summary = summarise(facts_of(*modules))
    assert WeightSummary.from_json(summary.as_json()) == WeightSummary(
        **{**vars(summary), "norm": pytest.approx(summary.norm, rel=1e-3)}
    )
    assert len(summary.layers) == 80


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "version",
                    "tensors",
                    "modules",
                    "norm",
                    "layers",
                    "damaged_names",
                    "damaged",
                    "name",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(value=JSON, tensors=JSON, modules=JSON)
def test_no_stored_value_is_trusted(value: Any, tensors: Any, modules: Any) -> None:
    for document in (value, {"version": 1, "tensors": tensors, "modules": modules, "norm": value}):
        summary = WeightSummary.from_json(document)
        assert summary is None or 0 <= summary.dead <= summary.evaluated <= summary.modules
        facts = facts_from(document)
        assert facts is None or facts.tensors >= 0
    assert WeightSummary.from_json({"version": 1, "tensors": 3, "norm": float("nan")}) == (
        WeightSummary(tensors=3)
    )


def test_hostile_names_in_a_summary_are_made_safe() -> None:
    summary = WeightSummary.from_json(
        {"version": 1, "tensors": 1, "damaged": 1, "damaged_names": ["\x1b[31mred", 7, "a" * 999]}
    )
    assert summary is not None
    assert all("\x1b" not in name and len(name) <= 80 for name in summary.damaged_names)
