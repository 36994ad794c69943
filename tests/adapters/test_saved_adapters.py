"""What PEFT says of adapters that it saved, beside what lora-tui says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lora_tui.adapters.inspection import (
    Adapter,
    adapter_document,
    adapter_from,
    read_local,
    read_remote,
)
from lora_tui.adapters.modules import scaling_counts
from lora_tui.domain import Model
from tests.adapters.saved import saved_adapters, write_saved
from tests.conftest import Run

KNOWN = sorted(name for name, entry in saved_adapters().items() if entry["peft"])
REFUSED = {"rank_pattern_order", "cfg_no_peft_type"}
"""What PEFT does not load: its own save sorts the patterns; a configuration without a type."""

RANKS_UNKNOWN = {"type_frod"}
"""Whose rank in PEFT is the number of outputs, which no tensor of the file tells."""


def facts(adapter: Adapter) -> dict[str, Any]:
    return {
        "saved": adapter.header.parameters,
        "tensors": adapter.header.tensors,
        "scaling": scaling_counts(adapter.modules),
        "ranks": list(adapter.ranks),
    }


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_scaling_and_ranks_are_those_of_peft(name: str, tmp_path: Path) -> None:
    peft = saved_adapters()[name]["peft"] | ({"ranks": []} if name in RANKS_UNKNOWN else {})
    assert facts(read_local(write_saved(name, tmp_path))) == {
        "saved": peft["saved"],
        "tensors": peft["tensors"],
        "scaling": {float(value): count for value, count in peft["scaling"].items()},
        "ranks": peft["ranks"],
    }


@pytest.mark.parametrize("name", sorted(saved_adapters()))
def test_only_what_peft_refuses_is_a_problem(name: str, tmp_path: Path) -> None:
    adapter = read_local(write_saved(name, tmp_path))
    assert bool(adapter.problems) is (name in REFUSED), adapter.problems


@pytest.mark.parametrize("name", sorted(saved_adapters()))
def test_every_adapter_survives_the_way_through_the_engine(name: str, tmp_path: Path) -> None:
    adapter = read_local(write_saved(name, tmp_path))
    document = json.loads(json.dumps(adapter_document(adapter)))
    model = Model.from_row({"id": "m", "name": "m"})
    again = adapter_from(document, model)
    assert (again.header, again.config) == (adapter.header, adapter.config)
    assert (again.modules, again.findings) == (adapter.modules, adapter.findings)


def test_a_document_of_an_older_version_is_read() -> None:
    header = {
        "header_bytes": 100, "data_bytes": 64, "tensors": 2, "parameters": 32,
        "dtypes": {"F16": 32}, "modules": [{"name": "a.q_proj", "rank": 4, "parameters": 32}],
        "other_tensors": [], "metadata": {}, "problems": [],
    }  # fmt: skip
    config = {
        "peft_type": "LORA", "base_model": "b", "rank": 4, "alpha": 8.0,
        "target_modules": ["q_proj"], "modules_to_save": [], "rank_pattern": {},
        "rslora": False, "dora": False,
    }  # fmt: skip
    document = {"file": "f", "header": header, "config": config}
    adapter = adapter_from(document, Model.from_row({"id": "m", "name": "m"}))
    assert scaling_counts(adapter.modules) == {2.0: 1}
    assert adapter.problems == ()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("rslora", "LoRA, rsLoRA"),
        ("dora", "LoRA, DoRA"),
        ("alora", "LoRA, aLoRA"),
        ("ia3", "IA³"),
        ("vblora", "VB-LoRA"),
        ("mlx_single", "LoRA for MLX"),
        ("kohya", "LoRA of kohya's trainers"),
        ("diffusers_old", "LoRA for diffusers"),
    ],
)
def test_inspect_names_the_type_with_its_variants(
    run: Run, tmp_path: Path, name: str, shown: str
) -> None:
    ran = run("inspect", str(write_saved(name, tmp_path)))
    assert ran.code == 0, ran.err
    assert f"Type                 {shown}\n" in ran.out
    assert run("inspect", str(tmp_path / name), "--json").data["type"] == shown


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("mts_lmhead", {"saved modules": ["lm_head", "model.embed_tokens"]}),
        ("bert_seqcls", {"saved modules": ["classifier"]}),
        ("trainable_tokens", {"trained tokens": ["model.embed_tokens"]}),
        ("emb_target_tied", {"weights of the base model": ["model.embed_tokens"]}),
        ("gpt2", {}),
        ("nested_save", {"saved modules": ["head.0", "head.1"]}),
        ("conv_dora", {"DoRA magnitudes": ["c", "d"]}),
        ("ia3", {}),
    ],
)
def test_inspect_names_what_is_saved_beside_the_matrices(
    run: Run, tmp_path: Path, name: str, saved: dict[str, list[str]]
) -> None:
    found = run("inspect", str(write_saved(name, tmp_path)), "--json").data["saved_beside"]
    assert found == saved


def test_inspect_names_the_scaling_of_every_module(run: Run, tmp_path: Path) -> None:
    directory = str(write_saved("rank_pattern", tmp_path))
    data = run("inspect", directory, "--json").data
    assert data["scaling"] == {"2.0": 3, "4.0": 1}
    assert {m["name"]: m["scaling"] for m in data["modules"]} == {
        "model.layers.0.self_attn.q_proj": 2.0,
        "model.layers.0.self_attn.v_proj": 2.0,
        "model.layers.1.self_attn.q_proj": 4.0,
        "model.layers.1.self_attn.v_proj": 2.0,
    }
    assert "Scaling              2 (3 modules), 4 (1 module)\n" in run("inspect", directory).out


def test_stacked_experts_have_the_rank_of_each_expert(run: Run, tmp_path: Path) -> None:
    data = run("inspect", str(write_saved("extra_target", tmp_path)), "--json").data
    experts = [module for module in data["modules"] if module["experts"] > 1]
    assert {(m["parameter"], m["rank"], m["experts"]) for m in experts} == {
        ("gate_up_proj", 16, 4),
        ("down_proj", 8, 4),
    }
    assert data["target_modules"]["gate_up_proj"] == [16]


@pytest.mark.parametrize("name", ["ia3", "loha", "prompt_tuning", "adalora", "type_oft"])
def test_what_is_not_lora_is_one_plain_sentence(run: Run, tmp_path: Path, name: str) -> None:
    ran = run("inspect", str(write_saved(name, tmp_path)))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("not LoRA") == 1
    assert "Remark" not in ran.out


def test_a_sub_adapter_in_a_folder_is_inspected_and_named(run: Run, tmp_path: Path) -> None:
    directory = write_saved("multi_nodefault", tmp_path)
    assert (
        run("inspect", str(directory), "--json")
        .data["file"]
        .endswith("multi_nodefault/only/adapter_model.safetensors")
    )
    second = directory / "only"
    second.rename(directory / "first")
    write_saved("multi_nodefault", tmp_path)
    ran = run("inspect", str(directory))
    assert ran.code == 2
    assert "first, only" in ran.err
    for file in (directory / "first").iterdir():
        file.rename(directory / file.name)
    (directory / "first").rmdir()
    assert "Also in folders      only\n" in run("inspect", str(directory)).out


def test_a_model_in_the_bucket_with_adapters_in_folders_is_read_with_its_own_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {
        "only/adapter_config.json": write_saved("lora_r4", tmp_path) / "adapter_config.json",
        "only/adapter_model.safetensors": tmp_path / "lora_r4" / "adapter_model.safetensors",
        "adapter_config.json": write_saved("rslora", tmp_path) / "adapter_config.json",
        "adapter_model.safetensors": tmp_path / "rslora" / "adapter_model.safetensors",
    }

    def read_prefix(url: str, count: int) -> tuple[bytes, int]:
        content = files[url].read_bytes()
        return content[:count], len(content)

    monkeypatch.setattr("lora_tui.gateway.read_prefix.read_prefix", read_prefix)
    model = Model.from_row({"id": "m", "name": "m", "artifacts": {name: name for name in files}})
    adapter = read_remote(model, lambda path: path)
    assert (adapter.file, adapter.sub_adapters) == ("adapter_model.safetensors", ("only",))
    assert adapter.kind == "LoRA, rsLoRA"
    assert adapter.problems == ()


def test_what_loads_with_a_difference_is_a_remark_with_exit_code_0(
    run: Run, tmp_path: Path
) -> None:
    ran = run("inspect", str(write_saved("neg_alpha", tmp_path)))
    assert (ran.code, ran.err) == (0, "")
    assert "Agreement            PEFT loads it, see the remarks\n" in ran.out
    assert "Remark               an alpha of -16 inverts what was trained\n" in ran.out


def test_what_peft_refuses_is_said_on_stderr_with_exit_code_6(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", str(write_saved("rank_pattern_order", tmp_path)))
    assert ran.code == 6
    assert "Agreement            PEFT does not load it, see below\n" in ran.out
    assert ran.err == (
        "lora-tui: model.layers.0.self_attn.q_proj has rank 4, the configuration has 2\n"
    )
    assert "PEFT sorts the keys of rank_pattern when it saves" in ran.out


def test_an_adapter_of_mlx_says_its_rank_and_its_scaling(run: Run, tmp_path: Path) -> None:
    directory = write_saved("mlx_single", tmp_path)
    (directory / "0000100_adapters.safetensors").touch()  # a checkpoint
    data = run("inspect", str(directory), "--json").data
    assert (data["format"], data["ranks"]) == ("MLX", {"8": sum(data["ranks"].values())})
    assert set(data["scaling"]) == {"20.0"}
    assert data["config"]["base_model"] == "mlx-community/Qwen2.5-7B-Instruct-4bit"
