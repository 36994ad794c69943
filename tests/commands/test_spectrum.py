"""`spectrum`: what the weights say, of a directory, a file, or a downloaded model."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from lora_tui.sandbox import Sandbox
from tests.adapters.weight_files import Matrix, pair, write_tensors
from tests.commands.models import whole_model
from tests.conftest import Run

RANDOM = np.random.default_rng(3)


def adapter(directory: Path, *, layers: int = 6, up: float = 1.0, bad: float | None = None) -> Path:
    directory.mkdir()
    tensors: dict[str, Matrix] = {}
    for layer in range(layers):
        for target in ("q_proj", "v_proj"):
            tensors |= pair(
                f"model.layers.{layer}.self_attn.{target}",
                RANDOM.normal(size=(8, 32)),
                up * RANDOM.normal(size=(24, 8)),
            )
    if bad is not None:
        tensors["base_model.model.lm_head.weight"] = np.array([[1.0, bad]])
    write_tensors(directory / "adapter_model.safetensors", tensors)
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "base_model_name_or_path": "a/b"}
    (directory / "adapter_config.json").write_text(json.dumps(config))
    return directory


def test_a_healthy_adapter_is_a_line_a_layer_within_80_columns(run: Run, tmp_path: Path) -> None:
    ran = run("spectrum", str(adapter(tmp_path / "a")))
    assert ran.code == 0, ran.err
    assert "All values are finite" in ran.out
    assert "of 8 (median)" in ran.out
    rows = ran.out.partition("Layer")[2].splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert all(len(line) <= 80 for line in ran.out.splitlines()[1:])
    assert ran.err == ""


def test_scripts_get_every_module(run: Run, tmp_path: Path) -> None:
    directory = adapter(tmp_path / "a")
    ran = run("spectrum", str(directory / "adapter_model.safetensors"), "--json")
    assert ran.code == 0
    assert len(ran.data["modules"]) == 12
    module = ran.data["modules"][0]
    assert module["name"] == "model.layers.0.self_attn.q_proj"
    assert module["scaling"] == 2.0
    assert 1 <= module["stable_rank"] <= module["effective_rank"] <= 8
    assert list(module["energy"]) == ["1", "2", "4", "8"]
    assert module["energy"]["8"] == pytest.approx(1)
    assert [layer["layer"] for layer in ran.data["layers"]] == list(range(6))
    assert (ran.data["damaged_tensors"], ran.data["no_effect"]) == (0, False)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_damaged_adapter_ends_with_6_and_names_the_tensor(
    run: Run, tmp_path: Path, bad: float
) -> None:
    directory = adapter(tmp_path / "a", bad=bad)
    ran = run("spectrum", str(directory))
    assert ran.code == 6
    assert "Damaged: 1 tensor of 25" in ran.out
    assert "lm_head.weight: 1 value is" in ran.err
    ran = run("spectrum", str(directory), "--json")
    assert ran.code == 6
    assert [found["name"] for found in ran.data["damaged"]] == ["lm_head.weight"]


def test_an_adapter_that_was_never_trained_is_said_to_have_no_effect(
    run: Run, tmp_path: Path
) -> None:
    ran = run("spectrum", str(adapter(tmp_path / "a", up=0.0)))
    assert ran.code == 0
    assert "No effect: B·A is zero in every module" in ran.out


def test_a_downloaded_model_is_analysed_without_the_network(configured: Sandbox, run: Run) -> None:
    run("sync")
    model = whole_model(run)
    ran = run("spectrum", model)
    assert ran.code == 3
    assert f"lora-tui download {model}" in ran.err
    assert run("download", model).code == 0
    before = len(configured.requests())
    ran = run("spectrum", model, "--offline")
    assert ran.code == 0, ran.err
    assert "All values are finite" in ran.out
    assert len(configured.requests()) == before


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.safetensors", None, 3),
        ("empty.safetensors", b"", 6),
        ("cut.safetensors", b"\xff" * 40, 6),
    ],
)
def test_what_is_no_adapter_is_refused_in_one_line(
    run: Run, tmp_path: Path, name: str, content: bytes | None, code: int
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    ran = run("spectrum", str(path))
    assert ran.code == code
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert ran.err.startswith("lora-tui: ")


def test_a_pickle_is_not_opened(run: Run, tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x02.")
    ran = run("spectrum", str(tmp_path))
    assert ran.code == 3
    assert "pickle" in ran.err


@pytest.mark.parametrize("alpha", [1e308, -1e308, 1e307, 2e306])
def test_a_scaling_beyond_all_numbers_is_a_remark_and_no_error(
    run: Run, tmp_path: Path, alpha: float
) -> None:
    directory = adapter(tmp_path / "a")
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": alpha}))
    ran = run("spectrum", str(directory))
    assert ran.code == 0, ran.err
    assert "inf" not in ran.out.partition("Modules")[2]
    assert "Layer" in ran.out
