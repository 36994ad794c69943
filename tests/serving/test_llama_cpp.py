"""llama-server's client, against real llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lora_tui import errors
from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServerKind
from lora_tui.secret import Secret
from lora_tui.serving.client import Message
from lora_tui.serving.connect import connect
from lora_tui.serving.llama_cpp import MOST_PLACES, LlamaCpp
from lora_tui.serving.refusals import NotANumberError
from tests.serving.llama import Llama, running_llama
from tests.serving.tiny_gguf import write_adapter

PROMPT = "The quick brown fox"
HELLO = [Message("user", "Hello!")]


@pytest.fixture
def client(llama: Llama) -> Iterator[LlamaCpp]:
    with LlamaCpp(Server("cpu", llama.url, ServerKind.LLAMA_CPP), None) as client:
        yield client


def test_it_tells_its_base_and_the_adapters_of_its_start(client: LlamaCpp, llama: Llama) -> None:
    state = client.state()
    assert (state.answers, state.base) == (True, str(llama.base))
    assert [(one.name, one.id, one.path) for one in state.adapters] == [
        (name, one.id, str(one.path)) for name, one in llama.adapters.items()
    ]


def test_its_kind_is_found_by_asking(llama: Llama) -> None:
    with connect(Server("cpu", llama.url)) as client:
        assert client.kind is ServerKind.LLAMA_CPP


def test_log_probabilities_show_an_effect_and_none_where_b_is_zero(client: LlamaCpp) -> None:
    base = client.log_probabilities(PROMPT, None)
    assert base == client.log_probabilities(PROMPT, None)
    assert base == client.log_probabilities(PROMPT, "zero")
    good = client.log_probabilities(PROMPT, "good")
    assert len(good) == len(base) == MOST_PLACES
    assert max(abs(a - b) for a, b in zip(good, base, strict=True)) > 0.01
    assert max(base) <= 0


def test_a_character_of_several_tokens_takes_no_part_and_the_others_do(client: LlamaCpp) -> None:
    base = client.log_probabilities("fährt", None)
    assert len(base) == len("_f?hrt")  # a space comes first; of the two bytes of ä the last counts
    assert client.log_probabilities("fährt", "zero") == base
    assert client.log_probabilities("fährt", "good") != base


def test_a_switch_for_all_requests_does_not_change_what_one_is_answered(
    client: LlamaCpp, llama: Llama
) -> None:
    base, good = (client.log_probabilities("abc def", name) for name in (None, "good"))
    every = httpx.get(f"{llama.url}/lora-adapters").json()
    try:
        httpx.post(f"{llama.url}/lora-adapters", json=[])
        assert client.log_probabilities("abc def", "good") == good
        assert client.log_probabilities("abc def", None) == base
    finally:
        scales = [{"id": one["id"], "scale": one["scale"]} for one in every]
        httpx.post(f"{llama.url}/lora-adapters", json=scales)


def test_a_chat_is_streamed_with_the_adapter_that_was_asked_for(client: LlamaCpp) -> None:
    def text(adapter: str | None) -> str:
        pieces = list(client.answer(HELLO, adapter, most_tokens=8))
        assert pieces[-1].finish == "length"
        assert pieces[-1].answer_tokens == 8
        return "".join(piece.text for piece in pieces)

    assert text("zero") == text(None) != text("good")


def test_loading_says_that_a_start_is_needed(client: LlamaCpp) -> None:
    with pytest.raises(errors.UsageError, match="can't load") as refused:
        client.load("new", "/models/new")
    assert "--lora" in (refused.value.remedy or "")
    with pytest.raises(errors.UsageError):
        client.unload("good")


def test_an_unknown_adapter_is_refused_here_as_the_server_would_answer_with_its_base(
    client: LlamaCpp,
) -> None:
    with pytest.raises(errors.NotFoundError, match="not started with nobody"):
        client.log_probabilities(PROMPT, "nobody")
    with pytest.raises(errors.NotFoundError):
        list(client.answer(HELLO, "nobody", most_tokens=2))


def test_keys_nan_and_equal_names(llama: Llama, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twins = [write_adapter(tmp_path / "nan.gguf", b=float("nan"))]
    twins.append(write_adapter(tmp_path / "other" / "nan.gguf"))
    with running_llama(llama.base, twins, key="sesame-opens") as server:
        place = Server("cpu", server.url, ServerKind.LLAMA_CPP)
        with LlamaCpp(place, None) as client:
            assert "does not accept the key" in client.state().error
        with LlamaCpp(place, Secret("sesame-opens")) as client:
            assert [one.name for one in client.state().adapters] == ["nan", "nan#1"]
            with pytest.raises(NotANumberError):
                client.log_probabilities(PROMPT, "nan")
            assert client.log_probabilities(PROMPT, "nan#1")
