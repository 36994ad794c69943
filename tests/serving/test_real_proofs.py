"""Proofs on servers: the stand-in for vLLM with its traps, and real llama.cpp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServerKind, Verdict
from lora_tui.errors import NotFoundError, UnreachableError
from lora_tui.sandbox.vllm import VllmStandIn
from lora_tui.serving.effect import Measured, prove
from lora_tui.serving.llama_cpp import LlamaCpp
from lora_tui.serving.no_effect import likely_reasons
from lora_tui.serving.probe import BUILT_IN
from lora_tui.serving.prove import Asking, known_files
from lora_tui.serving.refusals import NotANumberError
from lora_tui.serving.vllm import Vllm
from tests.adapters.weight_files import Matrix
from tests.serving.adapter_folders import matrices, renamed, write_adapter
from tests.serving.llama import Llama

PROBES = BUILT_IN[:3]
Start = Callable[..., VllmStandIn]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[VllmStandIn] = []

    def started(**options: object) -> VllmStandIn:
        running.append(VllmStandIn.start(**options))  # type: ignore[arg-type]
        return running[-1]

    yield started
    for one in running:
        one.stop()


def client_of(stand_in: VllmStandIn) -> Vllm:
    return Vllm(Server("gpu-1", stand_in.url, ServerKind.VLLM), None)


def loaded_and_proved(stand_in: VllmStandIn, folder: Path) -> Measured:
    with client_of(stand_in) as client:
        client.load("mine@1", str(folder))
        return prove(client, "mine@1", probes=PROBES)


def test_vllm_an_effect_is_proved_one_request_at_a_time(start: Start, tmp_path: Path) -> None:
    stand_in = start(dtype="bfloat16")
    found = loaded_and_proved(stand_in, write_adapter(tmp_path / "good"))
    assert found.verdict is Verdict.EFFECT
    assert found.difference > found.noise
    assert found.tokens >= 16 * len(PROBES)
    assert stand_in.most_at_once == 1


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (matrices(spread=0), "B is zero in all 4 modules"),
        (renamed(matrices(), "model.layers", "transformer.layers"), "begin with transformer."),
        (renamed(matrices(), "model.layers", "model.h"), "have .h. in place of .layers."),
    ],
)
def test_vllm_an_adapter_without_effect_is_found_out_with_its_reason(
    start: Start, tmp_path: Path, tensors: dict[str, Matrix], reason: str
) -> None:
    folder = write_adapter(tmp_path / "zero", tensors)
    assert loaded_and_proved(start(dtype="bfloat16"), folder).verdict is Verdict.NO_EFFECT
    files = known_files([folder], None, Asking())
    assert reason in likely_reasons(files, ServerKind.VLLM, "tiny-random-llama")[0]


def test_vllm_a_tiny_b_in_bfloat16_can_not_be_told_from_rounding(
    start: Start, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "tiny", matrices(spread=1e-5))
    assert loaded_and_proved(start(dtype="bfloat16"), folder).verdict is Verdict.UNCLEAR


def test_vllm_new_weights_under_the_same_name_and_path_are_proved_without_the_stale_cache(
    start: Start, tmp_path: Path
) -> None:
    stand_in, folder = start(), tmp_path / "same"
    assert loaded_and_proved(stand_in, write_adapter(folder)).verdict is Verdict.EFFECT
    with client_of(stand_in) as client:
        client.unload("mine@1")
    write_adapter(folder, matrices(spread=0))
    assert loaded_and_proved(stand_in, folder).verdict is Verdict.NO_EFFECT


def test_vllm_weights_with_nan_are_an_error(start: Start, tmp_path: Path) -> None:
    tensors = matrices()
    next(iter(tensors.values()))[0, 0] = float("nan")
    with pytest.raises(NotANumberError) as caught:
        loaded_and_proved(start(), write_adapter(tmp_path / "nan", tensors))
    assert "lora-tui spectrum" in (caught.value.remedy or "")


def test_vllm_a_server_that_dies_of_a_changed_folder_proves_nothing(
    start: Start, tmp_path: Path
) -> None:
    stand_in = start(max_loras=1)
    first, second = write_adapter(tmp_path / "one"), write_adapter(tmp_path / "two")
    with client_of(stand_in) as client:
        client.load("one@1", str(first))
        client.load("two@1", str(second))  # pushes the first one out
        (first / "adapter_model.safetensors").unlink()
        with pytest.raises(Exception, match="one@1") as caught:
            prove(client, "one@1", probes=PROBES)
        assert "Traceback" not in str(caught.value)
        with pytest.raises(UnreachableError):
            prove(client, "two@1", probes=PROBES)


def test_llama_cpp_an_effect_is_proved_and_zero_b_is_found_out(llama: Llama) -> None:
    with LlamaCpp(Server("cpu", llama.url, ServerKind.LLAMA_CPP), None) as client:
        good = prove(client, "good", probes=PROBES)
        assert good.verdict is Verdict.EFFECT
        assert good.difference > good.noise
        zero = prove(client, "zero", probes=PROBES)
        assert zero.verdict is Verdict.NO_EFFECT
        assert zero.difference == 0
        with pytest.raises(NotFoundError):
            prove(client, "other", probes=PROBES)


@pytest.mark.parametrize("hidden_size", [32, 48])
def test_vllm_an_adapter_of_a_smaller_base_model_is_warned_of(
    start: Start, tmp_path: Path, hidden_size: int
) -> None:
    folder = write_adapter(tmp_path / "small", matrices(hidden_size=hidden_size))
    found = loaded_and_proved(start(), folder)
    assert found.verdict is Verdict.EFFECT
    assert "probably garbage" in found.warning


def test_vllm_a_strong_adapter_of_the_right_base_model_is_not_warned_of(
    start: Start, tmp_path: Path
) -> None:
    found = loaded_and_proved(start(), write_adapter(tmp_path / "a", matrices(spread=3.0)))
    assert found.verdict is Verdict.EFFECT
    assert not found.warning
