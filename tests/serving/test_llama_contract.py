"""What lora-tui relies on in llama.cpp's server, asked of the real one.

The rows of docs/contract.md, "Servers that load adapters".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.serving.llama import Llama, StartFailedError, running_llama
from tests.serving.tiny_gguf import write_adapter, write_base

pytestmark = pytest.mark.xdist_group("llama")

WITHOUT: Final = [{"id": 0, "scale": 0}]
GOOD: Final = [{"id": 0, "scale": 1}]
ZERO: Final = [{"id": 1, "scale": 1}]
PROBE: Final = {"prompt": "Hello you there", "n_predict": 6, "temperature": 0, "n_probs": 2}
NOT_A_LIST: Final = "'lora' must be an array of objects with 'id' and 'scale' fields"


@pytest.fixture
def http(llama: Llama) -> Iterator[httpx.Client]:
    """A client of the server, whose scales are set back afterwards."""
    # After a streamed answer the server closes the connection, without a word in its headers.
    once = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=llama.url, limits=once) as client:
        yield client
        client.post("/lora-adapters", json=[{"id": 0, "scale": 1}, {"id": 1, "scale": 1}])


def answer(http: httpx.Client, **changes: object) -> dict[str, Any]:
    """What `/completion` answers to the probe."""
    response = http.post("/completion", json={**PROBE, "cache_prompt": False, **changes})
    assert response.status_code == 200
    return dict(response.json())


def said(body: dict[str, Any]) -> tuple[str, list[float]]:
    """The text and the log-probabilities of its tokens."""
    return body["content"], [token["logprob"] for token in body["completion_probabilities"]]


def scales(http: httpx.Client) -> dict[int, float]:
    """The scales for all requests, by id."""
    return {row["id"]: row["scale"] for row in http.get("/lora-adapters").json()}


def events(http: httpx.Client, path: str, **body: object) -> list[dict[str, Any]]:
    """The events of a streamed answer, without the last one, which is `[DONE]`."""
    response = http.post(path, json={**body, "stream": True})
    assert response.headers["content-type"] == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_adapters_of_the_start_are_listed_by_id_and_path_and_are_on(
    http: httpx.Client, llama: Llama
) -> None:
    assert http.get("/lora-adapters").json() == [
        {"id": id, "path": str(llama.adapters[name].path), "scale": 1.0}
        | {"task_name": "", "prompt_prefix": ""}
        for id, name in enumerate(["good", "zero"])
    ]


def test_a_post_sets_the_scales_and_those_not_named_become_0(http: httpx.Client) -> None:
    response = http.post("/lora-adapters", json=[{"id": 1, "scale": 0.5}])
    assert (response.status_code, response.json()) == (200, {"success": True})
    assert scales(http) == {0: 0.0, 1: 0.5}
    unknown = http.post("/lora-adapters", json=[{"id": 7, "scale": 1}])
    assert unknown.json() == {"success": True}
    assert scales(http) == {0: 0.0, 1: 0.0}
    http.post("/lora-adapters", json=GOOD)
    assert http.post("/lora-adapters", json=[]).json() == {"success": True}
    assert scales(http) == {0: 0.0, 1: 0.0}


@pytest.mark.parametrize("body", [b'{"id": 0, "scale": 1}', b"nonsense"], ids=["object", "no JSON"])
def test_a_post_that_is_no_list_is_refused(http: httpx.Client, body: bytes) -> None:
    response = http.post("/lora-adapters", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_an_adapter_of_the_request_holds_for_that_request_only(http: httpx.Client) -> None:
    http.post("/lora-adapters", json=[])
    base, good = said(answer(http)), said(answer(http, lora=GOOD))
    assert good[0] != base[0]
    assert said(answer(http)) == base
    assert said(answer(http, lora=WITHOUT)) == base
    http.post("/lora-adapters", json=GOOD)
    assert said(answer(http)) == said(answer(http, lora=[])) == good
    assert said(answer(http, lora=WITHOUT)) == base


def test_an_adapter_whose_b_is_0_changes_no_bit(http: httpx.Client) -> None:
    assert said(answer(http, lora=ZERO)) == said(answer(http, lora=WITHOUT))


@pytest.mark.parametrize(
    "odd", [[{"id": 9, "scale": 1}], [{"id": 0}], [{"scale": 1}], [{"id": "0", "scale": 1}], [3]]
)
def test_an_unknown_id_or_a_missing_scale_answers_with_the_base(
    http: httpx.Client, odd: list[object]
) -> None:
    assert said(answer(http, lora=odd)) == said(answer(http, lora=WITHOUT))


@pytest.mark.parametrize("odd", [{"id": 0, "scale": 1}, "good", 0])
def test_adapters_that_are_no_list_are_refused(http: httpx.Client, odd: object) -> None:
    response = http.post("/completion", json={**PROBE, "lora": odd})
    assert response.status_code == 400
    assert NOT_A_LIST in response.json()["error"]["message"]


def test_a_repeated_prompt_after_a_switch_of_all_answers_with_neither(http: httpx.Client) -> None:
    base, good = said(answer(http, lora=WITHOUT))[0], said(answer(http, lora=GOOD))[0]
    http.post("/lora-adapters", json=GOOD)
    assert said(answer(http, cache_prompt=True))[0] == good
    http.post("/lora-adapters", json=[])
    stale = answer(http, cache_prompt=True)
    assert stale["timings"]["cache_n"] > 0
    assert stale["content"] not in (base, good)
    assert said(answer(http))[0] == base


def test_a_switch_in_the_request_does_not_use_the_cache(http: httpx.Client) -> None:
    base, good = said(answer(http, lora=WITHOUT)), said(answer(http, lora=GOOD))
    for lora, expected in [(WITHOUT, base), (GOOD, good), (WITHOUT, base)]:
        body = answer(http, lora=lora, cache_prompt=True)
        assert body["timings"]["cache_n"] == 0
        assert said(body) == expected


def test_log_probabilities_are_of_the_generated_tokens_before_sampling(http: httpx.Client) -> None:
    body = answer(http, lora=GOOD)
    assert len(body["completion_probabilities"]) == PROBE["n_predict"]
    token = body["completion_probabilities"][0]
    assert token.keys() == {"id", "token", "bytes", "logprob", "top_logprobs"}
    assert token["logprob"] < -0.01
    assert token["top_logprobs"][0]["id"] == token["id"]
    assert len(token["top_logprobs"]) == PROBE["n_probs"]
    assert "completion_probabilities" not in answer(http, n_probs=0)


def test_probabilities_after_sampling_at_temperature_0_are_all_1(http: httpx.Client) -> None:
    tokens = answer(http, post_sampling_probs=True)["completion_probabilities"]
    assert {token["prob"] for token in tokens} == {1.0}


def test_no_tokens_to_predict_still_gives_one(http: httpx.Client) -> None:
    assert len(answer(http, n_predict=0)["completion_probabilities"]) == 1


def test_a_token_that_a_bias_forces_has_its_own_log_probability(http: httpx.Client) -> None:
    every = answer(http, n_predict=1, n_probs=400)["completion_probabilities"][0]["top_logprobs"]
    tenth = every[9]
    forced = answer(http, n_predict=1, n_probs=1, logit_bias=[[tenth["id"], 1e6]])
    assert forced["completion_probabilities"][0]["id"] == tenth["id"]
    assert forced["completion_probabilities"][0]["logprob"] == pytest.approx(
        tenth["logprob"], abs=1e-4
    )


def test_nothing_is_told_of_a_token_that_ends_within_a_character(http: httpx.Client) -> None:
    question = {"content": "ä", "add_special": False}
    first, second = http.post("/tokenize", json=question).json()["tokens"][-2:]
    body = answer(http, n_predict=1, logit_bias=[[first, 1e6]])
    assert "completion_probabilities" not in body
    whole = answer(http, prompt=[1, first], n_predict=1, logit_bias=[[second, 1e6]])
    assert whole["completion_probabilities"][0]["id"] == second


def test_the_beginnings_of_a_prompt_in_one_request_give_its_log_probabilities(
    http: httpx.Client,
) -> None:
    question = {"content": PROBE["prompt"], "add_special": True}
    tokens = http.post("/tokenize", json=question).json()["tokens"]
    beginnings = [tokens[:end] for end in range(1, len(tokens))]

    def ask(prompt: object, lora: object) -> Any:
        body = {**PROBE, "prompt": prompt, "n_predict": 1, "cache_prompt": False, "lora": lora}
        return http.post("/completion", json=body).json()

    rows = ask(beginnings, GOOD)
    assert [row["index"] for row in rows] == list(range(len(beginnings)))
    for row, beginning in zip(rows, beginnings, strict=True):
        alone = said(ask(beginning, GOOD))
        assert said(row) == (alone[0], pytest.approx(alone[1], abs=1e-5))
    assert [said(row) for row in ask(beginnings, ZERO)] == [
        said(row) for row in ask(beginnings, WITHOUT)
    ]


def test_openais_completions_give_no_log_probabilities_of_the_prompt(http: httpx.Client) -> None:
    body = {"prompt": "Hello", "max_tokens": 2, "temperature": 0, "echo": True, "logprobs": 3}
    choice = http.post("/v1/completions", json={**body, "lora": GOOD}).json()["choices"][0]
    assert len(choice["text"]) == 2
    assert [len(token["top_logprobs"]) for token in choice["logprobs"]["content"]] == [3, 3]
    other = http.post("/v1/completions", json={**body, "lora": WITHOUT}).json()["choices"][0]
    assert choice["text"] != other["text"]


def test_a_chat_is_streamed_with_usage_and_timings_at_its_end(http: httpx.Client) -> None:
    chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "temperature": 0}
    path = "/v1/chat/completions"
    first, *middle, last, usage = events(http, path, **chat, stream_options={"include_usage": True})
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert len("".join(event["choices"][0]["delta"]["content"] for event in middle)) == 3
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "length")
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 3
    assert usage["timings"].keys() >= {"predicted_n", "predicted_ms", "predicted_per_second"}
    assert "timings" in events(http, path, **chat)[-1]


def test_a_chat_takes_the_adapter_of_the_request(http: httpx.Client) -> None:
    def text(lora: object) -> str:
        chat = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0}
        body = {**chat, "cache_prompt": False, "lora": lora}
        response = http.post("/v1/chat/completions", json=body)
        return str(response.json()["choices"][0]["message"]["content"])

    assert text(ZERO) == text(WITHOUT) != text(GOOD)


@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/completion", {"prompt": "Hi"}),
        ("/v1/completions", {"prompt": "Hi"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ],
)
def test_an_unknown_model_is_answered_all_the_same(
    http: httpx.Client, llama: Llama, path: str, question: dict[str, object]
) -> None:
    response = http.post(path, json={**question, "model": "nobody", "max_tokens": 1})
    assert (response.status_code, response.json()["model"]) == (200, str(llama.base))


def test_the_server_names_itself_its_model_and_its_chat_template(
    http: httpx.Client, llama: Llama
) -> None:
    models = http.get("/v1/models")
    assert models.headers["server"] == "llama.cpp"
    (model,) = models.json()["data"]
    assert (model["id"], model["owned_by"]) == (str(llama.base), "llamacpp")
    assert model["meta"].keys() >= {"n_ctx", "n_ctx_train", "n_params", "ftype"}
    props = http.get("/props").json()
    assert props["model_path"] == str(llama.base)
    assert "message" in props["chat_template"] or "messages" in props["chat_template"]
    assert http.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/version"])
def test_nothing_can_be_loaded_at_run_time(http: httpx.Client, path: str) -> None:
    response = http.post(path, json={"lora_name": "x", "lora_path": "/x"})
    assert response.status_code == 404
    assert response.json()["error"]["message"] == "File Not Found"


def test_a_prompt_beyond_the_context_is_refused(http: httpx.Client) -> None:
    response = http.post("/completion", json={"prompt": "a" * 2000})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "exceed_context_size_error"


def test_without_its_key_a_server_answers_only_that_it_is_healthy(llama: Llama) -> None:
    with running_llama(llama.base, key="sesame") as server:
        for path in ("/v1/models", "/props", "/lora-adapters"):
            for headers in ({}, {"Authorization": "Bearer other"}):
                refused = httpx.get(server.url + path, headers=headers)
                assert refused.status_code == 401
                assert refused.json()["error"]["message"] == "Invalid API Key"
        assert httpx.get(server.url + "/health").status_code == 200
        right = httpx.get(server.url + "/lora-adapters", headers={"Authorization": "Bearer sesame"})
        assert (right.status_code, right.json()) == (200, [])


def test_an_adapter_of_another_base_ends_the_server_at_its_start(
    llama: Llama, tmp_path: Path
) -> None:
    narrow = write_adapter(tmp_path / "narrow.gguf", width=32)
    with (
        pytest.raises(StartFailedError, match=r"incorrect shape .hint: maybe wrong base"),
        running_llama(llama.base, [narrow]),
    ):
        pass


def test_not_a_number_has_no_log_probability_and_harms_no_later_answer(
    tmp_path: Path, llama: Llama
) -> None:
    broken = write_adapter(tmp_path / "nan.gguf", b=float("nan"))
    with running_llama(llama.base, [broken]) as server, httpx.Client(base_url=server.url) as http:
        base = said(answer(http, lora=WITHOUT))
        assert set(said(answer(http, lora=GOOD))[1]) == {None}
        assert said(answer(http, lora=WITHOUT)) == base


def test_a_model_without_a_chat_template_gets_chatml(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base.gguf", chat_template=None)
    with running_llama(base) as server:
        assert "<|im_start|>" in httpx.get(server.url + "/props").json()["chat_template"]
