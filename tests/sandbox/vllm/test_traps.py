"""The traps of a real vLLM, which the stand-in has too."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from lora_tui.sandbox.vllm import VllmStandIn
from tests.sandbox.vllm.conftest import server_of
from tests.serving.adapter_folders import matrices, write_adapter
from tests.serving.vllm_contract import PROMPT, Server
from tests.waiting import until

LONG = " ".join([PROMPT] * 3)


def text_of(server: Server, model: str, prompt: str = LONG, **more: object) -> str:
    answer = server.post(
        "/v1/completions",
        {"model": model, "prompt": prompt, "max_tokens": 8, "temperature": 0, **more},
    )
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["text"]
    return text


def test_an_evicted_adapter_whose_folder_is_gone_ends_the_server_at_its_next_request(
    stand_in: VllmStandIn, good: Path, other: Path
) -> None:
    server = server_of(stand_in)
    assert server.load("first", good).status_code == 200
    shutil.rmtree(good)
    assert server.echo("first").status_code == 200  # still in its slot
    assert server.load("second", other).status_code == 200
    answer = server.echo("first")
    assert answer.status_code == 500
    assert "EngineCore encountered an issue" in answer.json()["error"]["message"]
    assert not stand_in.alive
    assert stand_in.died is not None
    assert str(good) in stand_in.died
    with pytest.raises(httpx.ConnectError):
        server.get("/health")


def test_an_evicted_adapter_that_is_refused_now_ends_the_server_too(
    stand_in: VllmStandIn, good: Path, other: Path
) -> None:
    server = server_of(stand_in)
    assert server.load("first", good).status_code == 200
    assert server.load("second", other).status_code == 200
    write_adapter(good, r=64)
    assert server.echo("first").status_code == 500
    assert "rank" in str(stand_in.died)


def test_an_evicted_adapter_that_was_replaced_is_served_without_a_word(
    stand_in: VllmStandIn, good: Path, other: Path
) -> None:
    server = server_of(stand_in)
    assert server.load("first", good).status_code == 200
    before = server.logprobs("first")
    assert server.load("second", other).status_code == 200
    write_adapter(good, matrices(2))
    assert server.logprobs("first") != before
    assert stand_in.alive


def test_an_unloaded_adapter_may_be_changed(stand_in: VllmStandIn, good: Path, other: Path) -> None:
    server = server_of(stand_in)
    assert server.load("first", good).status_code == 200
    assert server.unload("first").status_code == 200
    shutil.rmtree(good)
    assert server.load("second", other).status_code == 200
    assert server.echo("second").status_code == 200
    assert stand_in.alive


def test_with_more_slots_nothing_is_read_again(good: Path, other: Path) -> None:
    with VllmStandIn.start(max_loras=2) as stand_in:
        server = server_of(stand_in)
        assert server.load("first", good).status_code == 200
        assert server.load("second", other).status_code == 200
        shutil.rmtree(good)
        assert server.echo("first").status_code == 200


def test_new_weights_under_an_old_name_and_path_answer_long_prompts_with_neither(
    stand_in: VllmStandIn, good: Path, tmp_path: Path
) -> None:
    server = server_of(stand_in)
    with server.loaded("model", good):
        old = text_of(server, "model")
        old_short = text_of(server, "model", "Hello there")
    write_adapter(good, matrices(1))
    elsewhere = shutil.copytree(good, tmp_path / "elsewhere")
    with server.loaded("model", elsewhere):
        new = text_of(server, "model")
        new_short = text_of(server, "model", "Hello there")
    assert old != new
    assert old_short != new_short
    with server.loaded("model", good):
        assert text_of(server, "model") not in (old, new)
        assert text_of(server, "model", "Hello there") == new_short
        assert text_of(server, "model", cache_salt="fresh") == new
        echoed = server.logprobs("model", LONG)
    with server.loaded("model", elsewhere):
        assert server.logprobs("model", LONG) == echoed


def test_the_base_is_answered_with_the_adapter_that_is_asked_at_the_same_time(
    stand_in: VllmStandIn, good: Path
) -> None:
    server = server_of(stand_in)
    with server.loaded("adapter", good):
        right = server.logprobs(server.base)
        of_adapter = server.logprobs("adapter")
        stand_in.behavior.token_seconds = 60.0
        asked = {"model": "adapter", "prompt": PROMPT, "stream": True}
        with (
            httpx.Client(base_url=server.url, trust_env=False, verify=False) as http,
            http.stream("POST", "/v1/completions", json=asked) as answer,
        ):
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            assert server.logprobs(server.base) == of_adapter
        until(lambda: server.logprobs(server.base) == right)
        assert stand_in.most_at_once == 2


def test_a_restart_forgets_what_was_loaded(stand_in: VllmStandIn, good: Path) -> None:
    server = server_of(stand_in)
    assert server.load("model", good).status_code == 200
    assert stand_in.loaded == ["model"]
    stand_in.forget_adapters()
    assert server.echo("model").status_code == 404
    assert server.models().keys() == {server.base}
