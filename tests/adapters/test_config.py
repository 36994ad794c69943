"""What an adapter's configuration means for its weights, as PEFT reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lora_tui.adapters.agreement import Findings, config_mismatches, find_disagreements
from lora_tui.adapters.config import AdapterConfig, module_settings, read_config
from lora_tui.adapters.header import LoraHeader, read_header
from lora_tui.adapters.modules import adapted_modules
from lora_tui.adapters.peft_types import PEFT_KINDS
from lora_tui.errors import IntegrityError
from tests.adapters.saved import header_bytes, pair_shapes, tensor_table

CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "somebody/base",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj"],
    "rank_pattern": {},
}
LAYER = "model.layers.{}.self_attn.{}"


def config(**changed: object) -> AdapterConfig:
    return read_config(json.dumps({**CONFIG, **changed}).encode())


def weights(ranks: dict[int, int], *, target: str = "q_proj", **more: list[int]) -> LoraHeader:
    """One module a layer, of this rank, and tensors of these shapes."""
    shapes = pair_shapes({(layer, target): rank for layer, rank in ranks.items()})
    return read_header(header_bytes(tensor_table({**shapes, **more})))


def found(header: LoraHeader, **changed: object) -> Findings:
    return find_disagreements(header, config(**changed))


def test_weights_that_match_their_configuration_have_neither_problems_nor_remarks() -> None:
    assert found(weights({0: 8, 1: 8})) == Findings((), ())
    assert config().scaling == 2.0
    assert config(use_rslora=True, r=16).scaling == 4.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"r": 16}, "has rank 8, the configuration has 16"),
        ({"r": 16, "target_modules": None}, "has rank 8, the configuration has 16"),
        ({"r": 16, "target_modules": "all-linear"}, "has rank 8, the configuration has 16"),
        ({"r": 0}, "only ranks above 0"),
        ({"r": None}, "the rank (r) is null"),
        ({"r": 8.0}, "not a whole number"),
        ({"lora_alpha": "16"}, "is 16, not a number"),
        ({"lora_alpha": None}, "is null, not a number"),
        ({"peft_type": "BONE"}, "MISS took its place"),
        ({"peft_type": "lora"}, "no adapter type lora"),
        ({"peft_type": 7}, "no adapter type 7"),
        ({"task_type": "CHAT"}, "no task_type CHAT"),
        ({"target_parameters": "experts"}, "target_parameters is a text"),
        ({"target_modules": "(a", "rank_pattern": {}}, "not a valid regular expression"),
        ({"target_modules": ".*q", "layers_to_transform": [0]}, "layers_to_transform does not"),
        ({"layers_pattern": "layers"}, "without layers_to_transform"),
        ({"target_modules": []}, "target_modules is empty"),
        ({"rank_pattern": None}, "rank_pattern is null"),
        ({"rank_pattern": {"q_proj[": 4}}, "a key of rank_pattern is not a valid"),
        ({"alpha_pattern": {"*q": 4}}, "a key of alpha_pattern is not a valid"),
        ({"lora_bias": True, "use_dora": True}, "lora_bias does not work with DoRA"),
        ({"lora_bias": True, "init_lora_weights": "pissa"}, "init_lora_weights pissa"),
        ({"init_lora_weights": "loftq"}, "no loftq_config"),
        ({"use_dora": True, "megatron_config": {"a": 1}}, "megatron_config"),
        ({"eva_config": "yes"}, "eva_config is yes, not an object"),
        ({"bias": "some"}, "no bias setting some"),
        ({"trainable_token_indices": [1, 2]}, "the file has none of them"),
        ({"trainable_token_indices": []}, "the file has none of them"),
        ({"trainable_token_indices": "1"}, "trainable_token_indices is 1"),
        ({"r": True}, "not a whole number"),
        ({"lora_dropout": 1.5}, "more than 1"),
        ({"lora_dropout": None}, "the dropout (lora_dropout) is null"),
        ({"init_lora_weights": 1}, "neither a name"),
        ({"layer_replication": [[0, 1], [0]]}, "no list of pairs"),
        ({"target_modules": 5}, "target_modules is 5"),
        ({"target_modules": ["q_proj", 5]}, "has something that is no name"),
        ({"exclude_modules": 5}, "exclude_modules is 5"),
        ({"modules_to_save": "lm_head"}, "modules_to_save is lm_head"),
        ({"layers_to_transform": "0"}, "layers_to_transform is 0"),
        ({"monteclora_config": 5}, "monteclora_config is 5"),
    ],
)
def test_what_peft_refuses_is_a_problem(changed: dict[str, Any], said: str) -> None:
    problems = config_mismatches(weights({0: 8}), config(**changed))
    assert any(said in sentence for sentence in problems), problems


def test_a_configuration_without_a_type_is_a_problem() -> None:
    bare = read_config(b'{"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}')
    assert config_mismatches(weights({0: 8}), bare) == (
        "the configuration has no peft_type: PEFT does not load it",
    )
    assert bare.is_lora


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target_modules": ["q_proj", "v_proj"]}, "no weights for the target module v_proj"),
        ({"target_modules": ["v_proj"]}, "PEFT ignores the weights of model.layers.0"),
        ({"target_modules": r".*\.v_proj"}, "PEFT ignores the weights of model.layers.0"),
        ({"layers_to_transform": [1]}, "PEFT ignores the weights of model.layers.0"),
        ({"exclude_modules": ["q_proj"]}, "PEFT ignores the weights of model.layers.0"),
        ({"lora_alpha": -4}, "an alpha of -4 inverts"),
        ({"lora_alpha": 0}, "an alpha of 0 disables"),
        ({"lora_alpha": float("nan")}, "the alpha is no finite number"),
        ({"use_dora": True}, "no magnitudes"),
        ({"modules_to_save": ["lm_head"]}, "no weights of lm_head (modules_to_save)"),
        ({"init_lora_weights": "corda"}, "a base that preprocess_corda prepared"),
        ({"init_lora_weights": "pissa_niter_x"}, "no initialisation pissa_niter_x"),
        ({"target_modules": r"(?=(a+))\1.*"}, "target_modules was not evaluated"),
        ({"rank_pattern": {r"(?<=q)_proj": 4}}, "rank_pattern has an expression"),
        ({"alpha_pattern": {r"(?<=q)_proj": 4}}, "alpha_pattern has an expression"),
    ],
)
def test_what_peft_loads_is_a_remark_and_no_problem(changed: dict[str, Any], said: str) -> None:
    findings = found(weights({0: 8}), **changed)
    assert findings.problems == ()
    assert any(said in sentence for sentence in findings.remarks), findings.remarks


@pytest.mark.parametrize(
    "changed",
    [
        {"r": 8, "target_modules": None},
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "o_proj"], "exclude_modules": ["o_proj"]},
        {"target_modules": ["model.layers.0.self_attn.q_proj"]},
        {"layers_to_transform": 0, "layers_pattern": ["layers"]},
        {"layers_to_transform": [0, 1]},
        {"modules_to_save": [], "bias": "lora_only", "task_type": None},
        {"exclude_modules": r".*layers\.1.*"},
        {"an_option_of_tomorrow": {"a": 1}},
        {"init_lora_weights": "Gaussian"},
        {"lora_dropout": -1, "megatron_core": "megatron.core", "use_rslora": False},
    ],
)
def test_settings_that_fit_the_weights_are_silent(changed: dict[str, Any]) -> None:
    assert found(weights({0: 8}), **changed) == Findings((), ())


def test_a_rank_that_differs_in_a_module_that_peft_ignores_is_no_problem() -> None:
    assert found(weights({0: 16}), target_modules=["v_proj"]).problems == ()


@pytest.mark.parametrize(
    ("pattern", "ranks"),
    [
        ({"q_proj": 4}, {0: 4, 1: 4}),
        ({"layers.1.self_attn.q_proj": 32}, {0: 8, 1: 32}),
        ({"^model.layers.1.self_attn.q_proj": 32}, {0: 8, 1: 32}),
        ({"^layers.1.self_attn.q_proj": 32}, {0: 8, 1: 8}),
        ({r".*layers\.1.*q_proj": 32}, {0: 8, 1: 32}),
        ({r"layers\.[1-3]\.self_attn\.(q|k)_proj": 32}, {0: 8, 1: 32}),
        ({"proj": 4, "_proj": 2}, {0: 8, 1: 8}),
        ({"self_attn": 4}, {0: 8, 1: 8}),
        ({"k_proj)|(.*q_proj": 4}, {0: 4, 1: 4}),
        ({"layers.0.self_attn.q_proj": 2, "q_proj": 4}, {0: 2, 1: 4}),
        ({"q_proj": 4, "layers.0.self_attn.q_proj": 2}, {0: 4, 1: 4}),
        ({r"^(?!.*layers\.0\.).*": 4}, {0: 8, 1: 4}),
    ],
)
def test_the_first_pattern_that_matches_gives_the_rank(
    pattern: dict[str, int], ranks: dict[int, int]
) -> None:
    assert found(weights(ranks), rank_pattern=pattern) == Findings((), ())
    assert len(found(weights({0: 64, 1: 64}), rank_pattern=pattern).problems) == 2


def test_rank_and_alpha_are_looked_up_separately() -> None:
    both = config(rank_pattern={"q_proj": 4}, alpha_pattern={r".*layers\.1.*": 2.5})
    assert [module_settings(both, LAYER.format(layer, "q_proj")) for layer in (0, 1)] == [
        module_settings(config(r=4), "x"),
        module_settings(config(r=4, lora_alpha=2.5), "x"),
    ]
    assert module_settings(both, LAYER.format(1, "v_proj")).scaling == 2.5 / 8


def test_a_pattern_that_is_not_evaluated_leaves_rank_and_scaling_unknown() -> None:
    unclear = config(rank_pattern={r"(q)\1": 4})
    settings = module_settings(unclear, "q_proj")
    assert (settings.rank, settings.alpha, settings.scaling) == (None, 16.0, None)
    [module] = adapted_modules(weights({0: 8}), unclear)
    assert (module.rank, module.scaling) == (8, 2.0)


def experts(rows: dict[str, int]) -> LoraHeader:
    """The wrappers of one MoE layer: name → rows of its first matrix."""
    shapes = {}
    for name, count in rows.items():
        shapes[f"base_model.model.model.layers.0.mlp.{name}.lora_A.weight"] = [count, 64]
        shapes[f"base_model.model.model.layers.0.mlp.{name}.lora_B.weight"] = [32, count]
    return read_header(header_bytes(tensor_table(shapes)))


BOTH = ["experts.gate_up_proj", "experts.down_proj"]


@pytest.mark.parametrize(
    ("rows", "changed", "ranks"),
    [
        ({"experts": 32}, {"target_parameters": ["mlp.experts.down_proj"]}, [8]),
        ({"experts": 32, "experts.base_layer": 32}, {"target_parameters": BOTH}, [8, 8]),
        (
            {"experts": 16, "experts.base_layer": 64},
            {"target_parameters": BOTH, "rank_pattern": {"gate_up_proj": 16, "down_proj": 4}},
            [4, 16],
        ),
        (
            {"experts": 64, "experts.base_layer": 16},
            {"target_parameters": BOTH, "rank_pattern": {"gate_up_proj": 16, "down_proj": 4}},
            [16, 4],
        ),
        (
            {"experts": 32},
            {"target_parameters": ["experts.down_proj"], "rank_pattern": {"experts": 2}},
            [8],
        ),
    ],
)
def test_stacked_experts_have_rank_times_experts_rows(
    rows: dict[str, int], changed: dict[str, Any], ranks: list[int]
) -> None:
    header = experts(rows)
    modules = adapted_modules(header, config(target_modules=None, **changed))
    assert [module.rank for module in modules] == ranks
    assert found(header, target_modules=None, **changed) == Findings((), ())


def test_rows_of_experts_that_no_rank_divides_are_a_problem() -> None:
    findings = found(experts({"experts": 30}), target_modules=None, target_parameters=BOTH[:1])
    assert findings.problems == (
        "the rows of model.layers.0.mlp.experts are no multiple of the rank 8",
    )


@pytest.mark.parametrize("name", sorted(PEFT_KINDS.keys() - {"LORA"}))
def test_every_other_type_of_peft_is_one_sentence_and_no_problem(name: str) -> None:
    findings = found(weights({}), peft_type=name)
    assert findings.problems == ()
    assert len(findings.remarks) == 1
    assert findings.remarks[0].startswith(f"This is {PEFT_KINDS[name].title}, not LoRA: it trains")


def test_names_that_peft_does_not_find_are_a_remark() -> None:
    shapes = {"model.layers.0.q_proj.lora_A.weight": [8, 64]}
    shapes["model.layers.0.q_proj.lora_B.weight"] = [64, 8]
    bare = found(read_header(header_bytes(tensor_table(shapes))))
    assert bare.problems == ()
    assert "do not begin with base_model.model" in bare.remarks[0]
    twice = {f"base_model.model.base_model.model.{name}": each for name, each in shapes.items()}
    doubled = found(read_header(header_bytes(tensor_table(twice))))
    assert "prefix twice" in doubled.remarks[0]


def test_an_adapter_without_lora_matrices_is_said_and_loads() -> None:
    assert found(weights({})).remarks[0] == "the file has no tensors, so it changes nothing"
    assert found(weights({}, other=[4])).remarks[0] == "the file has no LoRA matrices"


def test_a_configuration_that_is_not_an_object_of_utf_8_is_refused() -> None:
    text = json.dumps(CONFIG)
    refused = (
        b"", b"[]", b"{", b'{"a":' * 100_000, b" " * (5 << 20), b"null",
        text.encode("utf-16"), text.encode("utf-8-sig"),
    )  # fmt: skip
    for content in refused:
        with pytest.raises(IntegrityError):
            read_config(content)


def test_a_repeated_setting_counts_as_its_last() -> None:
    assert read_config(b'{"peft_type": "LORA", "r": 4, "r": 16}').rank == 16


def test_settings_that_are_missing_are_those_that_peft_takes() -> None:
    bare = read_config(b'{"peft_type": "LORA", "target_modules": ["q_proj"]}')
    assert (bare.rank, bare.alpha, bare.scaling) == (8, 8.0, 1.0)
    assert (bare.bias, bare.init_lora_weights, bare.format) == ("none", "true", "PEFT")
