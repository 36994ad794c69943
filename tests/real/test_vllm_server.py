"""A real vLLM answers as the stand-in of the sandbox: tests/serving/vllm_contract.py."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.real.tiny_llama import write_base
from tests.real.vllm_server import BASE, running_vllm
from tests.serving import vllm_contract as contract
from tests.serving.adapter_folders import matrices, renamed, write_adapter
from tests.serving.vllm_contract import PROMPT, Server
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)

Q = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """An adapter with an effect."""
    return write_adapter(tmp_path / "good")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another adapter with an effect."""
    return write_adapter(tmp_path / "other", matrices(1))


def test_loading_and_unloading(vllm: Server, good: Path, other: Path, tmp_path: Path) -> None:
    contract.check_success_is_plain_text(vllm, good)
    contract.check_a_name_is_taken_once(vllm, good, other)
    dora = write_adapter(tmp_path / "dora", use_dora=True)
    contract.check_in_place_replaces_and_keeps_the_old_one_if_refused(vllm, good, other, dora)
    contract.check_a_missing_folder_is_not_found(vllm, tmp_path)
    contract.check_wrong_requests_are_400(vllm, good)
    contract.check_an_unknown_name_cannot_be_unloaded(vllm)
    contract.check_models_name_path_and_base(vllm, good)


def test_answers(vllm: Server, good: Path) -> None:
    contract.check_an_unknown_model_is_404_and_none_is_the_base(vllm)
    contract.check_more_than_20_logprobs_are_refused(vllm)
    contract.check_a_stream_ends_with_usage(vllm, good)
    contract.check_a_chat_is_streamed(vllm)


def test_no_key_or_a_wrong_one_is_401_below_v1_and_health_needs_none(
    vllm: Server, good: Path
) -> None:
    for key in (None, "wrong"):
        stranger = Server(vllm.url, vllm.base, key)
        for answer in (stranger.get("/v1/models"), stranger.load("x", good)):
            assert answer.status_code == 401
            assert answer.json() == {"error": "Unauthorized"}
        assert stranger.get("/health").status_code == 200


LOADS: dict[str, Callable[[Path], Path]] = {
    "float32": lambda folder: write_adapter(folder),
    "bfloat16": lambda folder: write_adapter(folder, dtype="BF16"),
    "rslora": lambda folder: write_adapter(folder, use_rslora=True),
    "alpha pattern": lambda folder: write_adapter(folder, alpha_pattern={"v_proj": 64}),
    "no prefix": lambda folder: write_adapter(folder, matrices(prefix="")),
    "a layer more": lambda folder: write_adapter(folder, matrices(layers=3)),
    "a layer less": lambda folder: write_adapter(folder, matrices(layers=1)),
    "other rank than configured": lambda folder: write_adapter(folder, r=4),
}


@pytest.mark.parametrize("kind", LOADS)
def test_these_kinds_load_and_have_an_effect(vllm: Server, tmp_path: Path, kind: str) -> None:
    contract.check_an_effect(vllm, LOADS[kind](tmp_path / "adapter"))


NO_EFFECT: dict[str, Callable[[Path], Path]] = {
    "B is zero": lambda folder: write_adapter(folder, matrices(spread=0.0)),
    "transformer.": lambda folder: write_adapter(
        folder, renamed(matrices(), "model.model.layers", "model.transformer.layers")
    ),
    "language_model.": lambda folder: write_adapter(
        folder, renamed(matrices(), "model.model.", "model.language_model.model.")
    ),
    ".h. for .layers.": lambda folder: write_adapter(folder, renamed(matrices(), "layers", "h")),
}


@pytest.mark.parametrize("kind", NO_EFFECT)
def test_adapters_without_effect_load_and_answer_exactly_as_the_base(
    vllm: Server, tmp_path: Path, kind: str
) -> None:
    contract.check_no_effect(vllm, NO_EFFECT[kind](tmp_path / "adapter"))


REFUSED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "DoRA": ("DoRA", lambda folder: write_adapter(folder, use_dora=True)),
    "rank": ("greater than max_lora_rank 16", lambda folder: write_adapter(folder, r=32)),
    "modules to save": (
        "modules_to_save",
        lambda folder: write_adapter(folder, modules_to_save=["lm_head"]),
    ),
    "bias": ("bias", lambda folder: write_adapter(folder, bias="all")),
    "unknown modules": (
        "expected target modules in",
        lambda folder: write_adapter(folder, renamed(matrices(), "q_proj", "c_attn")),
    ),
    "keys of another adapter name": (
        "unsupported LoRA weight",
        lambda folder: write_adapter(folder, renamed(matrices(), ".weight", ".default.weight")),
    ),
    "missing B": (
        "NoneType",
        lambda folder: write_adapter(
            folder,
            {name: part for name, part in matrices().items() if name != f"{Q}.lora_B.weight"},
        ),
    ),
    "larger hidden size": (
        "must match the size of tensor b (128)",
        lambda folder: write_adapter(folder, matrices(hidden_size=128)),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_engine_refuses_is_500_with_the_workers_words(
    vllm: Server, tmp_path: Path, kind: str
) -> None:
    words, write = REFUSED[kind]
    contract.check_the_engine_refuses(vllm, write(tmp_path / "adapter"), words)


def test_damaged_files_are_refused(vllm: Server, good: Path) -> None:
    weights = good / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    contract.check_the_engine_refuses(vllm, good, "deserializing header")
    weights.unlink()
    contract.check_the_engine_refuses(vllm, good, "doesn't contain tensors")


def test_an_adapter_of_a_smaller_base_loads(vllm: Server, tmp_path: Path) -> None:
    smaller = write_adapter(tmp_path / "smaller", matrices(hidden_size=32))
    contract.check_a_smaller_bases_adapter_gives_garbage(vllm, smaller)


def test_new_weights_under_an_old_name_and_path_answer_with_neither(
    vllm: Server, good: Path, other: Path
) -> None:
    def text(model: str) -> str:
        fields = {"model": model, "prompt": PROMPT * 5, "max_tokens": 8, "temperature": 0}
        answer = vllm.post("/v1/completions", fields)
        return str(answer.json()["choices"][0]["text"])

    with vllm.loaded("stale", good):
        before = text("stale")
    with vllm.loaded("fresh", other):
        right = text("fresh")
    name = "adapter_model.safetensors"
    shutil.copy(other / name, good / name)
    with vllm.loaded("stale", good), vllm.loaded("fresh", other):
        assert text("stale") not in (before, right)
        assert vllm.logprobs("stale") == vllm.logprobs("fresh")


def test_metrics_tell_how_many_adapters_are_in_memory(vllm: Server, good: Path) -> None:
    with vllm.loaded("counted", good):
        vllm.logprobs("counted")
        assert 'vllm:lora_requests_info{max_lora="1"' in vllm.get("/metrics").text


def test_without_a_chat_template_and_where_loading_is_not_allowed(
    tmp_path: Path, good: Path
) -> None:
    base = write_base(tmp_path / BASE, chat_template=False)
    with running_vllm(base, tmp_path / "log", runtime_updating=False) as strict:
        contract.check_without_a_chat_template_a_chat_is_400(strict)
        for answer in (strict.load("x", good), strict.unload("x")):
            assert answer.status_code == 404
            assert answer.json() == {"detail": "Not Found"}


def test_a_folder_that_changes_is_read_again_and_one_that_vanishes_ends_the_server(
    tmp_path: Path, good: Path, other: Path
) -> None:
    tensors = matrices()
    tensors[f"{Q}.lora_B.weight"][0, 0] = np.nan
    broken = write_adapter(tmp_path / "broken", tensors)
    with running_vllm(write_base(tmp_path / BASE), tmp_path / "log") as server:
        assert server.load("first", good).status_code == 200
        assert server.load("second", other).status_code == 200  # the first is no more in memory
        first = server.logprobs("first")
        second = server.logprobs("second")
        shutil.copytree(other, good, dirs_exist_ok=True)
        assert server.logprobs("first") == second != first  # read again without a word
        contract.check_nan_weights_load_and_fail_later(server, broken)  # and so may all later ones
        server.unload("second")
        shutil.rmtree(good)
        assert server.load("second", other).status_code == 200
        assert server.echo("first").status_code == 500

        def is_gone() -> bool:
            try:
                return bool(server.get("/health").status_code != 200)
            except httpx.TransportError:
                return True

        until(is_gone)
