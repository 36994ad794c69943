"""An adapter's modules and ranks from a header alone, and what of a hostile one is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lora_tui.adapters.header import LoraHeader, header_length, read_header
from lora_tui.adapters.inspection import read_local
from lora_tui.adapters.modules import (
    adapted_modules,
    rank_counts,
    ranks_by_target,
    scaling_counts,
    scalings_text,
)
from lora_tui.errors import IntegrityError
from tests.adapters.saved import Q, header_bytes, pair_shapes, saved_adapters, tensor_table
from tests.conftest import Run


def header_of(shapes: dict[str, list[int]], metadata: dict[str, str] | None = None) -> LoraHeader:
    table = tensor_table(shapes)
    return read_header(header_bytes({**table, "__metadata__": metadata or {}}))


def test_a_header_gives_ranks_modules_types_parameters_and_size() -> None:
    facts = header_of(pair_shapes({(2, "q_proj"): 8, (10, "q_proj"): 4}))
    modules = adapted_modules(facts, None)
    assert rank_counts(modules) == {4: 1, 8: 1}
    assert ranks_by_target(modules) == {"q_proj": (4, 8)}
    assert [module.name for module in modules] == [
        "model.layers.2.self_attn.q_proj",
        "model.layers.10.self_attn.q_proj",
    ]
    assert facts.parameters == 8 * 96 + 4 * 96
    assert facts.dtypes == {"F16": facts.parameters}
    assert facts.data_bytes == facts.parameters * 2
    assert (facts.problems, facts.remarks) == ((), ())


def test_embeddings_and_the_names_of_other_trainers_are_understood() -> None:
    facts = header_of(
        {
            "base_model.model.model.embed_tokens.lora_embedding_A": [4, 1000],
            "base_model.model.model.embed_tokens.lora_embedding_B": [64, 4],
            "lora_unet_down.lora_down.weight": [16, 320, 1, 1],
            "lora_unet_down.lora_up.weight": [320, 16, 1, 1],
            "base_model.model.lm_head.lora_A.default.weight": [2, 64],
            "base_model.model.lm_head.lora_B.default.weight": [1000, 2],
            "unet.mid.attn1.processor.to_q_lora.down.weight": [3, 64],
            "unet.mid.attn1.processor.to_q_lora.up.weight": [64, 3],
            "text_encoder.q_proj.lora_linear_layer.down.weight": [5, 64],
            "text_encoder.q_proj.lora_linear_layer.up.weight": [64, 5],
            "model.layers.0.q_proj.lora_a": [64, 6],
            "model.layers.0.q_proj.lora_b": [6, 32],
            "model.layers.0.experts.up_proj.lora_a": [4, 7, 64],
            "model.layers.0.experts.up_proj.lora_b": [4, 128, 7],
            "base_model.model.conv.lora_A.weight": [8, 4, 3, 3],
            "base_model.model.conv.lora_B.weight": [64, 2, 1, 1],
            "base_model.model.score.weight": [2, 64],
        }
    )
    assert {module.name: module.rank for module in facts.modules} == {
        "model.embed_tokens": 4,
        "lora_unet_down": 16,
        "lm_head": 2,
        "unet.mid.attn1.processor.to_q": 3,
        "text_encoder.q_proj": 5,
        "model.layers.0.q_proj": 6,
        "model.layers.0.experts.up_proj": 7,
        "conv": 8,
    }
    assert facts.other_tensors == ("base_model.model.score.weight",)
    assert facts.problems == ()


@pytest.mark.parametrize(
    ("name", "metadata", "layout"),
    [
        ("base_model.model.q_proj.lora_A.weight", {}, "PEFT"),
        ("prompt_embeddings", {}, "PEFT"),
        ("model.layers.0.q_proj.lora_a", {}, "MLX"),
        ("lora_te1_text_model_encoder.lora_down.weight", {}, "kohya"),
        ("lycoris_unet_mid.lokr_w1", {}, "kohya"),
        ("anything", {"ss_network_dim": "4"}, "kohya"),
        ("unet.mid_block.to_q.lora_A.weight", {}, "diffusers"),
        ("transformer.blocks.0.attn.to_q.lora_A.weight", {}, "diffusers"),
        ("diffusion_model.blocks.0.attn.q.lora_A.weight", {}, "ComfyUI"),
        ("model.layers.0.q_proj.weight", {}, ""),
    ],
)
def test_the_names_of_the_tensors_tell_which_program_wrote_them(
    name: str, metadata: dict[str, str], layout: str
) -> None:
    assert header_of({name: [4, 4]}, metadata).layout == layout


@pytest.mark.parametrize(
    ("metadata", "scaling"),
    [
        ({"ss_network_alpha": "8"}, {0.5: 1}),
        ({"ss_network_alpha": "8", "ss_network_args": '{"conv_alpha": "1"}'}, {}),
        ({"lora_adapter_metadata": '{"unet.r": 16, "unet.lora_alpha": 32}'}, {2.0: 1}),
        ({"lora_adapter_metadata": '{"a.lora_alpha": 8, "b.lora_alpha": 4}'}, {}),
        ({"lora_adapter_metadata": '{"lora_alpha": 8, "alpha_pattern": {"q": 1}}'}, {}),
        ({"lora_adapter_metadata": "[]"}, {}),
        ({"ss_network_alpha": "many"}, {}),
        ({"ss_network_alpha": "nan"}, {}),
        ({}, {}),
    ],
)
def test_the_alpha_in_the_metadata_gives_the_scaling(
    metadata: dict[str, str], scaling: dict[float, int]
) -> None:
    shapes = {"unet.to_q.lora_A.weight": [16, 64], "unet.to_q.lora_B.weight": [64, 16]}
    assert scaling_counts(adapted_modules(header_of(shapes, metadata), None)) == scaling


def test_the_alphas_that_a_trainer_saved_as_tensors_give_the_scaling(
    run: Run, tmp_path: Path
) -> None:
    [(name, table)] = saved_adapters()["kohya"]["files"].items()
    values = {
        entry["data_offsets"][0]: 4.0 for key, entry in table.items() if key.endswith(".alpha")
    }
    end = max(entry["data_offsets"][1] for key, entry in table.items() if key != "__metadata__")
    data = bytearray(end)
    for place, value in values.items():
        data[place : place + 2] = struct.pack("<e", value)
    file = tmp_path / name
    file.write_bytes(header_bytes(table) + data)
    assert scaling_counts(read_local(file).modules) == {4.0 / 16: len(values)}
    shown = run("inspect", str(file)).out
    assert "Alpha (metadata)     8\n" in shown
    assert "Title                x\n" in shown
    assert "Base model           sdxl_base_v1-0\n" in shown


def test_many_scalings_are_shown_as_their_range() -> None:
    shapes: dict[str, list[int]] = {}
    for layer in range(5):
        shapes |= pair_shapes({(layer, "q_proj"): 2 << layer})
    facts = header_of(shapes, {"ss_network_alpha": "8"})
    assert scalings_text(adapted_modules(facts, None)) == "0.25 to 4 (5 values in 5 modules)"


def test_matrices_that_do_not_match_are_a_problem_and_a_missing_one_is_a_remark() -> None:
    shapes = {
        Q.format(0, "q_proj", "A"): [8, 64],
        Q.format(0, "q_proj", "B"): [32, 4],
        Q.format(1, "q_proj", "A"): [8, 64],
        Q.format(2, "q_proj", "A"): [0, 64],
        Q.format(2, "q_proj", "B"): [64, 0],
    }
    facts = header_of(shapes)
    assert len(facts.problems) == 2
    assert "do not match" in facts.problems[0]
    assert "has rank 0" in facts.problems[1]
    [remark] = facts.remarks
    assert "only one of its two" in remark


def test_the_longest_metadata_is_left_out_and_the_rest_is_kept() -> None:
    metadata = {f"key{number}": str(number) for number in range(19)}
    facts = header_of({}, {"ss_tag_frequency": "x" * 100_000, **metadata, "ss_network_dim": "4"})
    assert facts.metadata == {**metadata, "ss_network_dim": "4"}


A = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\x00",
        (1 << 63).to_bytes(8, "little") + b"{}",
        (40 << 20).to_bytes(8, "little") + b"{}",
        (100).to_bytes(8, "little") + b"{}",
        header_bytes(b"[" * 200_000),
        header_bytes(b'{"a":' * 100_000),
        header_bytes({"a": {**A, "shape": [10**30, 10**30]}}),
        header_bytes({"a": {**A, "shape": [1] * 100_000}}),
        header_bytes({"a": {**A, "shape": [1 << 61, 1 << 61]}}),
        header_bytes(
            b'{"a":{"dtype":"F16","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,8]}}'
        ),
        header_bytes({str(n): {**A, "shape": [0], "data_offsets": [0, 0]} for n in range(200_001)}),
    ],
    ids=range(12),
)
def test_a_hostile_header_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        read_header(content)


def test_a_file_size_that_does_not_match_the_header_is_refused() -> None:
    content = header_bytes({"a": A})
    assert read_header(content, file_size=len(content) + 8).size == len(content) + 8
    for size in (len(content) + 7, len(content) + 9):
        with pytest.raises(IntegrityError):
            read_header(content, file_size=size)
    with pytest.raises(IntegrityError):
        header_length(content, 12)


def test_control_characters_in_names_are_removed() -> None:
    facts = header_of({"\x1b[31mred.lora_A.weight": [2, 2], "\x1b[31mred.lora_B.weight": [2, 2]})
    [module] = facts.modules
    assert "\x1b" not in module.name


def test_hostile_names_are_shown_without_control_characters(run: Run, tmp_path: Path) -> None:
    bad = "\x1b[31m\u202e"
    table: dict[str, Any] = tensor_table(
        {f"base_model.model.{bad}.lora_A.weight": [2, 2], f"{bad}.weight": [2]}
    )
    table["__metadata__"] = {"modelspec.title": bad}
    (tmp_path / "adapter_model.safetensors").write_bytes(header_bytes(table) + bytes(12))
    config = {
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": [bad],
        "rank_pattern": {bad: 4}, "alpha_pattern": {f"({bad})\\1": 4},
        "base_model_name_or_path": bad, "init_lora_weights": bad, "task_type": bad,
        "trainable_token_indices": {bad: [1]}, "modules_to_save": [bad], "bias": bad,
    }  # fmt: skip
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    ran = run("inspect", str(tmp_path))
    config |= {"task_type": None, "bias": "none"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    more = run("inspect", str(tmp_path))
    for text in (ran.out, ran.err, more.out, more.err):
        assert "\x1b" not in text
        assert "\u202e" not in text
