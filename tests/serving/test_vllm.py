"""vLLM's client: what it loads, asks and tells of refusals, against the stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lora_tui import errors
from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServedName, ServerKind
from lora_tui.sandbox.vllm import VllmStandIn
from lora_tui.secret import Secret
from lora_tui.serving.client import Message, Piece
from lora_tui.serving.connect import connect, find_kind
from lora_tui.serving.refusals import NoRuntimeLoadingError, NotANumberError
from lora_tui.serving.vllm import Vllm
from tests.serving.adapter_folders import matrices, renamed, write_adapter

PROMPT = "The quick brown fox jumps over the lazy dog."
HELLO = [Message("system", "Be short."), Message("user", "Hello!")]
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


def client_of(stand_in: VllmStandIn, key: str | None = None) -> Vllm:
    return Vllm(Server("gpu-1", stand_in.url, ServerKind.VLLM), Secret(key) if key else None)


def said(pieces: Iterator[Piece]) -> tuple[str, Piece]:
    found = list(pieces)
    return "".join(piece.text for piece in found), found[-1]


def test_an_adapter_is_loaded_asked_and_unloaded(start: Start, tmp_path: Path) -> None:
    stand_in, folder = start(), write_adapter(tmp_path / "good")
    with client_of(stand_in) as client:
        state = client.state()
        assert (state.answers, state.base, state.adapters) == (True, "tiny-random-llama", ())
        assert state.version == "0.32.0"
        client.load("terse@1", str(folder))
        assert client.state().adapters == (ServedName("terse@1", str(folder)),)
        assert said(client.answer(HELLO, "terse@1", most_tokens=12)) != said(
            client.answer(HELLO, None, most_tokens=12)
        )
        client.unload("terse@1")
        assert client.state().adapters == ()
        with pytest.raises(errors.NotFoundError, match="does not have it"):
            client.unload("terse@1")


def test_log_probabilities_are_of_the_same_tokens_with_and_without_an_adapter(
    start: Start, tmp_path: Path
) -> None:
    stand_in = start()
    with client_of(stand_in) as client:
        client.load("good", str(write_adapter(tmp_path / "good")))
        client.load("zero", str(write_adapter(tmp_path / "zero", matrices(spread=0))))
        base = client.log_probabilities(PROMPT, None)
        assert base == client.log_probabilities(PROMPT, None)
        assert base == client.log_probabilities(PROMPT, "zero")
        good = client.log_probabilities(PROMPT, "good")
        assert len(good) == len(base) > 4
        assert good != base
        assert max(base) <= 0
    asked = [one["body"] for one in stand_in.requests() if one["path"] == "/v1/completions"]
    assert {body["model"] for body in asked} == {"tiny-random-llama", "zero", "good"}


def test_an_adapter_with_nan_gives_no_numbers_and_says_so(start: Start, tmp_path: Path) -> None:
    tensors = {
        name: np.full_like(values, np.nan) if "lora_B" in name else values
        for name, values in matrices().items()
    }
    with client_of(start()) as client:
        client.load("nan", str(write_adapter(tmp_path / "nan", tensors)))
        with pytest.raises(NotANumberError, match="not a number"):
            client.log_probabilities(PROMPT, "nan")


def test_an_answer_comes_in_pieces_with_its_counts_at_the_end(start: Start) -> None:
    with client_of(start()) as client:
        pieces = list(client.answer(HELLO, None, most_tokens=7, seed=3))
    assert len([piece for piece in pieces if piece.text]) > 1
    assert pieces[-1].finish == "length"
    assert pieces[-1].answer_tokens == 7
    assert pieces[-1].prompt_tokens


def test_a_model_without_a_chat_template_gets_the_contents_as_a_prompt(start: Start) -> None:
    stand_in = start(chat_template=False)
    with client_of(stand_in) as client:
        text, last = said(client.answer(HELLO, None, most_tokens=5))
    assert text
    assert last.answer_tokens == 5
    assert stand_in.requests()[-1]["body"]["prompt"] == "Be short.\nHello!"


def test_a_stream_that_is_left_ends_the_request(start: Start) -> None:
    stand_in = start()
    stand_in.behavior.token_seconds = 0.05
    with client_of(stand_in) as client:
        pieces = client.answer(HELLO, None, most_tokens=500)
        assert next(pieces).text
        pieces.close()  # type: ignore[attr-defined]
        assert client.state().answers


@pytest.mark.parametrize(
    ("field", "sentence"),
    [("cut_stream_after", "broke"), ("fail_stream_after", "in the middle of its answer")],
)
def test_a_stream_that_breaks_is_one_sentence(start: Start, field: str, sentence: str) -> None:
    stand_in = start()
    setattr(stand_in.behavior, field, 3)
    with client_of(stand_in) as client, pytest.raises(errors.LoraTuiError, match=sentence):
        list(client.answer(HELLO, None, most_tokens=9))


def test_a_server_without_runtime_loading_says_how_to_start_it(
    start: Start, tmp_path: Path
) -> None:
    folder = write_adapter(tmp_path / "good")
    with client_of(start(runtime_updating=False)) as client:
        with pytest.raises(NoRuntimeLoadingError) as refused:
            client.load("x", str(folder))
        assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" in (refused.value.remedy or "")
        with pytest.raises(NoRuntimeLoadingError):
            client.unload("x")
    with client_of(start(enable_lora=False)) as client:
        with pytest.raises(errors.BackendError, match="started without LoRA") as disabled:
            client.load("x", str(folder))
        assert "--enable-lora" in (disabled.value.remedy or "")
        assert "LoRA is not enabled" in (disabled.value.details or "")


def test_each_refusal_has_the_servers_words_and_our_reason(start: Start, tmp_path: Path) -> None:
    def refusal(name: str, folder: Path) -> errors.LoraTuiError:
        with pytest.raises(errors.LoraTuiError) as refused:
            client.load(name, str(folder))
        assert refused.value.details
        return refused.value

    good = write_adapter(tmp_path / "good")
    with client_of(start()) as client:
        client.load("good", str(good))
        again = refusal("good", good)
        assert isinstance(again, errors.ConflictError)
        missing = refusal("gone", tmp_path / "gone")
        assert isinstance(missing, errors.NotFoundError)
        assert "--local" in (missing.remedy or "")
        rank = refusal("high", write_adapter(tmp_path / "high", matrices(rank=64), r=64))
        assert "--max-lora-rank" in (rank.remedy or "")
        assert "DoRA" in str(refusal("d", write_adapter(tmp_path / "d", use_dora=True)))
        odd = renamed(matrices(), "q_proj", "query")
        assert "names" in str(refusal("odd", write_adapter(tmp_path / "odd", odd)))
        wide = matrices(hidden_size=128)
        assert "sizes" in str(refusal("wide", write_adapter(tmp_path / "wide", wide)))
        assert "base model" in str(refusal("tiny-random-llama", good))
        assert [one.name for one in client.state().adapters] == ["good"]


def test_a_load_is_sent_once_even_where_the_server_fails(start: Start, tmp_path: Path) -> None:
    stand_in = start()
    with client_of(stand_in) as client, pytest.raises(errors.LoraTuiError):
        client.load("high", str(write_adapter(tmp_path / "high", matrices(rank=64), r=64)))
    loads = [one for one in stand_in.requests() if one["path"].endswith("load_lora_adapter")]
    assert len(loads) == 1


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_never_reaches_a_server_which_would_answer_with_its_base(
    start: Start, name: str
) -> None:
    stand_in = start()
    with client_of(stand_in) as client:
        for ask in (
            lambda: client.load(name, "/x"),
            lambda: client.log_probabilities(PROMPT, name),
            lambda: list(client.answer(HELLO, name, most_tokens=3)),
        ):
            with pytest.raises(errors.UsageError, match="needs a name"):
                ask()
    assert stand_in.requests() == []


def test_an_adapter_that_the_server_does_not_have_is_not_found(start: Start) -> None:
    with client_of(start()) as client:
        with pytest.raises(errors.NotFoundError):
            client.log_probabilities(PROMPT, "nobody")
        with pytest.raises(errors.NotFoundError):
            list(client.answer(HELLO, "nobody", most_tokens=3))


def test_a_wrong_key_is_told_with_the_way_to_give_one(start: Start) -> None:
    stand_in = start(key="sesame-opens-it")
    with client_of(stand_in, "another-key") as client:
        state = client.state()
        assert not state.answers
        assert "does not accept the key" in state.error
        with pytest.raises(errors.AuthenticationError) as refused:
            list(client.answer(HELLO, None, most_tokens=1))
        assert "LORA_TUI_SERVER_KEY_GPU_1" in (refused.value.remedy or "")
    with client_of(stand_in, "sesame-opens-it") as client:
        assert client.state().answers
        assert list(client.answer(HELLO, None, most_tokens=2))
    assert find_kind(client.server, Secret("sesame-opens-it")) is ServerKind.VLLM


def test_a_key_does_not_follow_a_redirect(start: Start) -> None:
    stand_in, other = start(key="sesame-opens-it"), start()
    stand_in.behavior.redirect_to = f"{other.url}/v1/models"
    with client_of(stand_in, "sesame-opens-it") as client:
        assert "redirects" in client.state().error
        with pytest.raises(errors.InterceptedError):
            list(client.answer(HELLO, None, most_tokens=2))
    assert other.requests() == []


def test_a_dead_server_is_told_as_one(start: Start) -> None:
    stand_in = start()
    stand_in.stop()
    with client_of(stand_in) as client:
        state = client.state()
        assert (state.answers, state.adapters) == (False, ())
        assert "can't be reached" in state.error
        with pytest.raises(errors.UnreachableError) as failed:
            client.load("x", "/x")
        assert stand_in.url in (failed.value.remedy or "")
    with pytest.raises(errors.UnreachableError):
        connect(Server("gpu-1", stand_in.url))


def test_the_kind_is_found_by_asking(start: Start) -> None:
    with connect(Server("gpu-1", start().url)) as client:
        assert client.kind is ServerKind.VLLM
