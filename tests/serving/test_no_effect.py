"""Why an adapter may be loaded without effect is told from its files, each reason with its fact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lora_tui.domain.servers import ServerKind
from lora_tui.serving.no_effect import KnownFiles, base_mismatch, likely_reasons
from lora_tui.serving.prove import Asking, known_files
from tests.adapters.weight_files import Matrix, pair, write_tensors

VLLM, LLAMA = ServerKind.VLLM, ServerKind.LLAMA_CPP


def adapter(
    directory: Path, *, up: float = 1.0, name: str = "model.layers.{}.self_attn.q_proj",
    layers: tuple[int, ...] = (0, 1), **config: object,
) -> KnownFiles:  # fmt: skip
    """What is known of an adapter in this directory."""
    tensors: dict[str, Matrix] = {}
    for layer in layers:
        tensors |= pair(name.format(layer), np.ones((4, 8)), np.full((8, 4), up))
    directory.mkdir(exist_ok=True)
    write_tensors(directory / "adapter_model.safetensors", tensors)
    table = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"],
             "base_model_name_or_path": "org/Tiny-1", **config}  # fmt: skip
    (directory / "adapter_config.json").write_text(json.dumps(table))
    return known_files([None, directory], None, Asking())


def test_zero_b_is_told_with_the_number_of_modules(tmp_path: Path) -> None:
    [reason] = likely_reasons(adapter(tmp_path, up=0.0), VLLM, "org/Tiny-1")
    assert reason.startswith("B is zero in all 2 modules")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("transformer.layers.{}.q_proj", "begin with transformer."),
        ("language_model.model.layers.{}.q_proj", "begin with language_model."),
        ("model.h.{}.q_proj", "have .h. in place of .layers."),
    ],
)
def test_names_that_vllm_skips_are_told_with_an_example(
    tmp_path: Path, name: str, what: str
) -> None:
    files = adapter(tmp_path, name=name)
    [reason] = likely_reasons(files, VLLM, "org/Tiny-1")
    assert reason.startswith(f"The names of 2 of 2 modules {what}, such as {name.format(0)}")
    # llama.cpp's converter refuses such names, so no server of it can have loaded them
    assert "do not explain it" in likely_reasons(files, LLAMA, "Tiny-1.gguf")[0]


def test_an_alpha_of_zero_is_told_in_place_of_zero_b(tmp_path: Path) -> None:
    [reason] = likely_reasons(adapter(tmp_path, lora_alpha=0), VLLM, "org/Tiny-1")
    assert reason.startswith("lora_alpha is 0, so the change of all 2 modules")


def test_layers_that_a_smaller_base_model_lacks_are_told(tmp_path: Path) -> None:
    [reason] = likely_reasons(adapter(tmp_path, layers=(40, 47)), VLLM, "org/Tiny-1")
    assert "only layers 40 to 47" in reason


def test_another_base_model_is_told(tmp_path: Path) -> None:
    files = adapter(tmp_path)
    [reason] = likely_reasons(files, VLLM, "org/Other")
    assert reason == (
        "It was trained for org/Tiny-1, and the server says that its base model is org/Other"
    )
    assert not base_mismatch(files, "/models/tiny-1/")
    assert not base_mismatch(files, "/models/Tiny-1.gguf")


def test_without_a_reason_in_the_files_it_points_to_the_server(tmp_path: Path) -> None:
    [reason] = likely_reasons(adapter(tmp_path), VLLM, "org/Tiny-1")
    assert "its log may tell" in reason


def test_without_files_it_says_that_they_are_not_here(tmp_path: Path) -> None:
    files = known_files([tmp_path / "gone"], None, Asking())
    [reason] = likely_reasons(files, VLLM, "tiny")
    assert "not on this machine" in reason
    assert likely_reasons(files, VLLM, "tiny", explained=False) == ()


def test_the_header_in_the_bucket_serves_where_the_files_are_not_here(tmp_path: Path) -> None:
    header = adapter(tmp_path, name="transformer.h.{}.attn.c_attn").adapter
    assert header is not None
    files = known_files([], None, Asking(read_header=lambda: header))
    reasons = likely_reasons(files, VLLM, "org/Tiny-1")
    assert "begin with transformer." in reasons[0]
    assert reasons[-1].startswith("Only the adapter's header was read")


def test_damaged_files_explain_nothing_and_raise_nothing(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"not a file of weights")
    assert known_files([tmp_path], None, Asking()) == KnownFiles()
