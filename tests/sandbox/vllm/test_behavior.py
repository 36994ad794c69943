"""What a test can ask the stand-in for: slow, failing, hostile and wrong answers."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from lora_tui.sandbox.vllm import VllmStandIn
from lora_tui.sandbox.vllm.settings import HOSTILE, HUGE_BYTES
from tests.sandbox.vllm.conftest import server_of
from tests.serving.vllm_contract import PROMPT, Server

CHAT = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20, "temperature": 0}


def stream(server: Server) -> httpx.Response:
    return server.post("/v1/chat/completions", {**CHAT, "stream": True})


def test_the_same_question_has_the_same_answer_and_a_temperature_another(
    server: Server, good: Path
) -> None:
    def text(**more: object) -> str:
        return server.post("/v1/completions", {"prompt": PROMPT, "max_tokens": 12, **more}).json()[
            "choices"
        ][0]["text"]

    assert text(temperature=0) == text(temperature=0)
    assert text(temperature=1, seed=1) == text(temperature=1, seed=1)
    assert text(temperature=1, seed=1) != text(temperature=1, seed=2)
    assert text(temperature=1) != text(temperature=1)


def test_a_stream_can_break_in_the_middle(stand_in: VllmStandIn) -> None:
    stand_in.behavior.cut_stream_after = 3
    with pytest.raises(httpx.RemoteProtocolError):
        stream(server_of(stand_in))


def test_a_stream_can_end_with_an_error(stand_in: VllmStandIn) -> None:
    stand_in.behavior.fail_stream_after = 3
    events = [line for line in stream(server_of(stand_in)).text.split("\n\n") if line]
    assert json.loads(events[-2].removeprefix("data: "))["error"]["code"] == 500
    stand_in.clear_faults()
    assert '"error"' not in stream(server_of(stand_in)).text


def test_faults_of_the_sandbox_hold_here_too(stand_in: VllmStandIn) -> None:
    server = server_of(stand_in)
    stand_in.faults(path="/v1/models", fail_next=1, status=503)
    assert server.get("/v1/models").status_code == 503
    assert server.get("/v1/models").status_code == 200
    stand_in.faults(path="/v1/models", drop_after=0)
    with pytest.raises(httpx.RemoteProtocolError):
        server.get("/v1/models")


def test_hostile_text_comes_in_errors_models_version_and_answers(stand_in: VllmStandIn) -> None:
    server = server_of(stand_in)
    stand_in.behavior.hostile = True
    assert server.echo("nobody").json()["error"]["message"].endswith(HOSTILE)
    assert HOSTILE in server.models()
    assert server.get("/version").json()["version"].endswith(HOSTILE)
    answer = server.post("/v1/chat/completions", CHAT).json()
    assert "\x1b[2J" in answer["choices"][0]["message"]["content"]


def test_answers_can_have_megabytes(stand_in: VllmStandIn) -> None:
    stand_in.behavior.huge = True
    server = server_of(stand_in)
    assert len(server.echo("nobody").content) > HUGE_BYTES
    assert len(server.get("/v1/models").content) > HUGE_BYTES


def test_answers_can_be_redirects_or_other_json(stand_in: VllmStandIn) -> None:
    server = server_of(stand_in)
    stand_in.behavior.redirect_to = "http://elsewhere.example/v1/models"
    answer = server.get("/v1/models")
    assert answer.status_code == 307
    assert answer.headers["location"] == "http://elsewhere.example/v1/models"
    stand_in.behavior.redirect_to = None
    stand_in.behavior.wrong_json = '{"data": 7}'
    assert server.get("/v1/models").json() == {"data": 7}


def test_requests_are_listed_with_their_json_and_without_the_key(good: Path) -> None:
    with VllmStandIn.start(key="secret-key") as stand_in:
        server_of(stand_in).load("model", good)
        (entry,) = stand_in.requests()
    assert entry["path"] == "/v1/load_lora_adapter"
    assert entry["status"] == 200
    assert entry["body"] == {"lora_name": "model", "lora_path": str(good)}
    assert "secret-key" not in json.dumps(entry)
