"""The stand-in answers as a real vLLM did: the promises of tests/serving/vllm_contract.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lora_tui.sandbox.vllm import VllmStandIn
from tests.sandbox.vllm.conftest import server_of
from tests.serving import vllm_contract as contract
from tests.serving.adapter_folders import matrices, renamed, write_adapter
from tests.serving.vllm_contract import Server

Q = "model.layers.0.self_attn.q_proj"


def test_loading_and_unloading_answer_plain_text_without_a_content_type(
    server: Server, good: Path
) -> None:
    contract.check_success_is_plain_text(server, good)


def test_a_name_is_loaded_once_whatever_the_path(server: Server, good: Path, other: Path) -> None:
    contract.check_a_name_is_taken_once(server, good, other)


def test_load_in_place_replaces_and_a_refused_one_leaves_the_old_one(
    server: Server, good: Path, other: Path, refused: Path
) -> None:
    contract.check_in_place_replaces_and_keeps_the_old_one_if_refused(server, good, other, refused)


def test_a_folder_or_configuration_that_the_server_does_not_have_is_404(
    server: Server, tmp_path: Path
) -> None:
    contract.check_a_missing_folder_is_not_found(server, tmp_path)


def test_empty_missing_and_broken_requests_and_the_bases_name_are_400(
    server: Server, good: Path
) -> None:
    contract.check_wrong_requests_are_400(server, good)


def test_unloading_an_unknown_name_is_404(server: Server) -> None:
    contract.check_an_unknown_name_cannot_be_unloaded(server)


def test_models_tell_path_and_base_of_each_adapter(server: Server, good: Path) -> None:
    contract.check_models_name_path_and_base(server, good)


def test_an_unknown_model_is_404_but_an_empty_or_missing_one_is_the_base(server: Server) -> None:
    contract.check_an_unknown_model_is_404_and_none_is_the_base(server)


def test_more_than_20_logprobs_are_400(server: Server) -> None:
    contract.check_more_than_20_logprobs_are_refused(server)


def test_a_stream_has_the_text_of_the_whole_answer_and_ends_with_usage(
    server: Server, good: Path
) -> None:
    contract.check_a_stream_ends_with_usage(server, good)


def test_a_chat_is_streamed(server: Server) -> None:
    contract.check_a_chat_is_streamed(server)


def test_a_chat_without_a_template_is_400() -> None:
    with VllmStandIn.start(chat_template=False) as stand_in:
        contract.check_without_a_chat_template_a_chat_is_400(server_of(stand_in))


def test_no_key_or_a_wrong_one_is_401_below_v1_and_health_needs_none(good: Path) -> None:
    with VllmStandIn.start(key="right") as stand_in:
        for key in (None, "wrong"):
            stranger = Server(stand_in.url, "tiny-random-llama", key)
            for answer in (stranger.get("/v1/models"), stranger.load("x", good)):
                assert answer.status_code == 401
                assert answer.json() == {"error": "Unauthorized"}
            assert stranger.get("/health").status_code == 200
        assert server_of(stand_in).load("x", good).status_code == 200


def test_without_enable_lora_loading_is_500_and_says_so(good: Path) -> None:
    with VllmStandIn.start(enable_lora=False) as stand_in:
        message = contract.refusal(server_of(stand_in).load("x", good), 500)
        assert message == "LoRA is not enabled. Use --enable-lora to enable LoRA."


def test_where_runtime_updating_is_not_allowed_loading_is_404(good: Path) -> None:
    with VllmStandIn.start(runtime_updating=False) as stand_in:
        for answer in (server_of(stand_in).load("x", good), server_of(stand_in).unload("x")):
            assert answer.status_code == 404
            assert answer.json() == {"detail": "Not Found"}


LOADS: dict[str, Callable[[Path], Path]] = {
    "float32": lambda folder: write_adapter(folder),
    "float16": lambda folder: write_adapter(folder, dtype="F16"),
    "bfloat16": lambda folder: write_adapter(folder, dtype="BF16"),
    "rslora": lambda folder: write_adapter(folder, use_rslora=True),
    "rank pattern": lambda folder: write_adapter(folder, rank_pattern={"q_proj": 8}),
    "alpha pattern": lambda folder: write_adapter(folder, alpha_pattern={"v_proj": 64}),
    "no prefix": lambda folder: write_adapter(folder, matrices(prefix="")),
    "a layer more": lambda folder: write_adapter(folder, matrices(layers=3)),
    "other rank than configured": lambda folder: write_adapter(folder, r=4),
    "head to save": lambda folder: write_adapter(folder, modules_to_save=["score"]),
    "embeddings": lambda folder: write_adapter(folder, _embeddings()),
}


def _embeddings() -> dict[str, contract.Any]:
    random = np.random.default_rng(0)
    return {
        "base_model.model.model.embed_tokens.lora_embedding_A": random.normal(size=(8, 512)),
        "base_model.model.model.embed_tokens.lora_embedding_B": random.normal(size=(64, 8)),
        "base_model.model.lm_head.lora_A.weight": random.normal(size=(8, 64)),
        "base_model.model.lm_head.lora_B.weight": random.normal(size=(512, 8)),
    }


@pytest.mark.parametrize("kind", LOADS)
def test_these_kinds_load_and_have_an_effect(server: Server, tmp_path: Path, kind: str) -> None:
    contract.check_an_effect(server, LOADS[kind](tmp_path / "adapter"))


NO_EFFECT: dict[str, Callable[[Path], Path]] = {
    "B is zero": lambda folder: write_adapter(folder, matrices(spread=0.0)),
    "B is zero in bfloat16": lambda folder: write_adapter(
        folder, matrices(spread=0.0), dtype="BF16"
    ),
    "transformer.": lambda folder: write_adapter(
        folder, renamed(matrices(), "model.model.layers", "model.transformer.layers")
    ),
    "language_model.": lambda folder: write_adapter(
        folder, renamed(matrices(), "model.model.", "model.language_model.model.")
    ),
    ".h. for .layers.": lambda folder: write_adapter(folder, renamed(matrices(), "layers", "h")),
    "only layers that the base lacks": lambda folder: write_adapter(
        folder,
        {
            name.replace("layers.2", "layers.7"): values
            for name, values in matrices(layers=3).items()
            if "layers.2" in name
        },
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_without_effect_load_and_answer_exactly_as_the_base(
    tmp_path: Path, dtype: contract.Any
) -> None:
    with VllmStandIn.start(dtype=dtype) as stand_in:
        for kind, write in NO_EFFECT.items():
            contract.check_no_effect(server_of(stand_in), write(tmp_path / kind))


REFUSED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "DoRA": ("DoRA", lambda folder: write_adapter(folder, use_dora=True)),
    "rank": ("greater than max_lora_rank 16", lambda folder: write_adapter(folder, r=32)),
    "modules to save": (
        "modules_to_save",
        lambda folder: write_adapter(folder, modules_to_save=["lm_head"]),
    ),
    "bias": ("bias", lambda folder: write_adapter(folder, bias="all")),
    "lora_bias": ("bias", lambda folder: write_adapter(folder, lora_bias=True)),
    "PiSSA": ("pissa", lambda folder: write_adapter(folder, init_lora_weights="pissa_niter_4")),
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
            {name: values for name, values in matrices().items() if f"{Q}.lora_B" not in name},
        ),
    ),
    "larger hidden size": (
        "must match the size of tensor b (128)",
        lambda folder: write_adapter(folder, matrices(hidden_size=128)),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_engine_refuses_is_500_with_the_workers_words(
    server: Server, tmp_path: Path, kind: str
) -> None:
    words, write = REFUSED[kind]
    contract.check_the_engine_refuses(server, write(tmp_path / "adapter"), words)


def test_other_methods_and_damaged_files_are_refused(
    server: Server, good: Path, tmp_path: Path
) -> None:
    other_method = tmp_path / "ia3"
    write_adapter(other_method)
    (other_method / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    contract.check_the_engine_refuses(server, other_method, "Missing required configuration")
    weights = good / "adapter_model.safetensors"
    whole = weights.read_bytes()
    for length in (len(whole) - 100, 20, 0):
        weights.write_bytes(whole[:length])
        contract.check_the_engine_refuses(server, good, "deserializing header")
    weights.unlink()
    contract.check_the_engine_refuses(server, good, "doesn't contain tensors")


def test_a_tiny_b_is_rounding_in_bfloat16_and_shows_in_float32(tmp_path: Path) -> None:
    tiny = write_adapter(tmp_path / "tiny", matrices(spread=1e-5))
    for dtype in ("float32", "bfloat16"):
        with VllmStandIn.start(dtype=dtype) as stand_in:
            contract.check_a_tiny_effect_is_within_rounding(server_of(stand_in), tiny)
            contract.check_an_effect(server_of(stand_in), tiny, at_least=0.0)


def test_the_adapter_of_a_smaller_base_loads_and_answers_garbage(
    server: Server, tmp_path: Path
) -> None:
    smaller = write_adapter(tmp_path / "smaller", matrices(hidden_size=32))
    contract.check_a_smaller_bases_adapter_gives_garbage(server, smaller)
    contract.check_an_effect(server, smaller, at_least=10)


def test_nan_weights_load_and_fail_with_logprobs_and_then_the_base_fails_at_times(
    stand_in: VllmStandIn, tmp_path: Path
) -> None:
    tensors = matrices()
    tensors[f"base_model.model.{Q}.lora_B.weight"][0, 0] = np.nan
    server = server_of(stand_in)
    assert server.echo(server.base).status_code == 200
    contract.check_nan_weights_load_and_fail_later(server, write_adapter(tmp_path / "n", tensors))
    statuses = [server.echo(server.base).status_code for _ in range(6)]
    assert sorted(set(statuses)) == [200, 400]
