"""Adapter facts from a header alone, and what of a hostile one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lora_tui.adapters.config import config_mismatches, read_config
from lora_tui.adapters.header import LoraHeader, header_length, read_header
from lora_tui.errors import IntegrityError

Q = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "somebody/base",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj"],
    "rank_pattern": {},
}


def header(table: object) -> bytes:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(text).to_bytes(8, "little") + text


def tensors(shapes: dict[str, list[int]], dtype: str = "F16") -> dict[str, Any]:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        size = 2
        for dimension in shape:
            size *= dimension
        table[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [position, position + size],
        }
        position += size
    return table


def adapter(ranks: dict[int, int]) -> LoraHeader:
    """One q_proj a layer, of this rank."""
    shapes = {}
    for layer, rank in ranks.items():
        shapes[Q.format(layer, "A")] = [rank, 64]
        shapes[Q.format(layer, "B")] = [32, rank]
    return read_header(header(tensors(shapes)))


def config(**changed: object) -> Any:
    return read_config(json.dumps({**CONFIG, **changed}).encode())


def test_a_header_gives_ranks_modules_types_parameters_and_size() -> None:
    facts = adapter({2: 8, 10: 4})
    assert facts.ranks == {4: 1, 8: 1}
    assert facts.ranks_by_target == {"q_proj": (4, 8)}
    assert [module.name for module in facts.modules] == [
        "model.layers.2.self_attn.q_proj",
        "model.layers.10.self_attn.q_proj",
    ]
    assert facts.parameters == 8 * 96 + 4 * 96
    assert facts.dtypes == {"F16": facts.parameters}
    assert facts.data_bytes == facts.parameters * 2
    assert facts.problems == ()


def test_embeddings_and_the_names_of_other_trainers_are_understood() -> None:
    facts = read_header(
        header(
            tensors(
                {
                    "base_model.model.model.embed_tokens.lora_embedding_A": [4, 1000],
                    "base_model.model.model.embed_tokens.lora_embedding_B": [64, 4],
                    "lora_unet_down.lora_down.weight": [16, 320, 1, 1],
                    "lora_unet_down.lora_up.weight": [320, 16, 1, 1],
                    "base_model.model.lm_head.lora_A.default.weight": [2, 64],
                    "base_model.model.lm_head.lora_B.default.weight": [1000, 2],
                    "base_model.model.score.weight": [2, 64],
                }
            )
        )
    )
    assert {module.name: module.rank for module in facts.modules} == {
        "model.embed_tokens": 4,
        "lora_unet_down": 16,
        "lm_head": 2,
    }
    assert facts.other_tensors == ("base_model.model.score.weight",)


def test_a_matching_configuration_has_no_mismatches() -> None:
    assert config_mismatches(adapter({0: 8, 1: 8}), config()) == ()
    assert config().scaling == 2.0
    assert config(use_rslora=True, r=16).scaling == 4.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"r": 16}, "has rank 8, the configuration has 16"),
        ({"r": None}, "has no rank"),
        ({"lora_alpha": "16"}, "has no alpha"),
        ({"lora_alpha": -4}, "an alpha of -4"),
        ({"target_modules": ["q_proj", "v_proj"]}, "no weights for the target module v_proj"),
        ({"target_modules": ["v_proj"]}, "q_proj is not among the target_modules"),
        ({"peft_type": "IA3"}, "a IA3 adapter"),
        ({"use_dora": True}, "DoRA"),
    ],
)
def test_a_configuration_that_does_not_match_is_reported(
    changed: dict[str, Any], said: str
) -> None:
    found = config_mismatches(adapter({0: 8}), config(**changed))
    assert any(said in sentence for sentence in found), found


def test_a_rank_pattern_sets_the_rank_of_single_modules() -> None:
    facts = adapter({0: 8, 1: 32})
    assert len(config_mismatches(facts, config())) == 1
    assert config_mismatches(facts, config(rank_pattern={"layers.1.self_attn.q_proj": 32})) == ()
    assert len(config_mismatches(facts, config(rank_pattern={"layers.1.self_attn.q_proj": 4}))) == 1


def test_regular_expressions_of_a_configuration_are_never_run() -> None:
    hostile = config(target_modules="(a+)+$", rank_pattern={"(.*.*)*x": 4})
    assert config_mismatches(adapter({0: 8}), hostile) == ()


def test_matrices_that_do_not_match_are_a_problem() -> None:
    shapes = {Q.format(0, "A"): [8, 64], Q.format(0, "B"): [32, 4], Q.format(1, "A"): [8, 64]}
    problems = read_header(header(tensors(shapes))).problems
    assert len(problems) == 2
    assert "do not match" in problems[0]
    assert "only one of its two" in problems[1]
    assert read_header(header({})).problems == ("the file has no LoRA matrices",)


A = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00",
        (1 << 63).to_bytes(8, "little") + b"{}",
        (40 << 20).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        header(b"[" * 200_000),
        header(b'{"a":' * 100_000),
        header(b"[]"),
        header(b"null"),
        header(b"{\xff}"),
        header({"a": 1}),
        header({"a": {**A, "shape": [2, -2]}}),
        header({"a": {**A, "shape": [2, 2.0]}}),
        header({"a": {**A, "shape": [True, 4]}}),
        header({"a": {**A, "shape": [10**30, 10**30]}}),
        header({"a": {**A, "shape": [1] * 100_000}}),
        header({"a": {**A, "shape": [1 << 61, 1 << 61]}}),
        header({"a": {**A, "shape": [1 << 61, 1 << 61], "dtype": "NEW"}}),
        header({"a": {**A, "data_offsets": [8, 0]}}),
        header({"a": {**A, "data_offsets": [0, 8, 16]}}),
        header({"a": A, "b": A}),
        header({"a": A, "b": {**A, "data_offsets": [4, 12]}}),
        header({"a": A, "b": {**A, "data_offsets": [16, 24]}}),
        header(b'{"a":' + json.dumps(A).encode() + b',"a":' + json.dumps(A).encode() + b"}"),
        header(b'{"a":{"dtype":"F16","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,8]}}'),
        header({str(n): {**A, "shape": [0], "data_offsets": [0, 0]} for n in range(200_001)}),
    ],
    ids=range(26),
)
def test_a_hostile_header_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        read_header(content)


def test_a_file_size_that_does_not_match_the_header_is_refused() -> None:
    content = header({"a": A})
    assert read_header(content, file_size=len(content) + 8).size == len(content) + 8
    for size in (len(content) + 7, len(content) + 9):
        with pytest.raises(IntegrityError):
            read_header(content, file_size=size)
    with pytest.raises(IntegrityError):
        header_length(content, 12)


def test_control_characters_in_names_are_removed() -> None:
    table = tensors({"\x1b[31mred.lora_A.weight": [2, 2], "\x1b[31mred.lora_B.weight": [2, 2]})
    [module] = read_header(header(table)).modules
    assert "\x1b" not in module.name


def test_a_configuration_that_is_not_an_object_is_refused() -> None:
    for content in (b"[]", b"{", b'{"a":' * 100_000, b" " * (5 << 20)):
        with pytest.raises(IntegrityError):
            read_config(content)
