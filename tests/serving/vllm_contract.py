"""Promises about vLLM that hold for a real server and for the stand-in: functions of a `Server`.

Each function makes requests by bare HTTP, asserts what a real vLLM 0.32 answered, and leaves no
adapter loaded. `tests/sandbox/vllm` asks the stand-in, `tests/real` a real vLLM.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PROMPT = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun."


@dataclass(frozen=True)
class Server:
    """A vLLM that allows adapters and their loading at run time."""

    url: str
    base: str
    key: str | None = None

    def get(self, path: str) -> httpx.Response:
        return self._send("GET", path)

    def post(self, path: str, content: Any = None, **options: Any) -> httpx.Response:
        return self._send("POST", path, **({"json": content} | options))

    def load(self, name: str, folder: Path | str, **more: Any) -> httpx.Response:
        fields = {"lora_name": name, "lora_path": str(folder), **more}
        return self.post("/v1/load_lora_adapter", fields)

    def unload(self, name: str) -> httpx.Response:
        return self.post("/v1/unload_lora_adapter", {"lora_name": name})

    @contextmanager
    def loaded(self, name: str, folder: Path) -> Iterator[None]:
        """While the adapter is loaded; asserts that the server takes it."""
        answer = self.load(name, folder)
        assert answer.status_code == 200, answer.text
        try:
            yield
        finally:
            self.unload(name)

    def echo(self, model: str | None, prompt: str = PROMPT, **more: Any) -> httpx.Response:
        """The request that proves an effect: log-probabilities of the prompt, nothing written."""
        fields: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
            "temperature": 0,
        }
        if model is not None:
            fields["model"] = model
        return self.post("/v1/completions", fields | more)

    def logprobs(self, model: str, prompt: str = PROMPT) -> list[float]:
        """The log-probabilities of the prompt's tokens but the first."""
        answer = self.echo(model, prompt)
        assert answer.status_code == 200, answer.text
        first, *others = answer.json()["choices"][0]["logprobs"]["token_logprobs"]
        assert first is None
        return others

    def difference(self, adapter: str) -> float:
        """How far the adapter moves the sum of the prompt's log-probabilities."""
        return abs(sum(self.logprobs(adapter)) - sum(self.logprobs(self.base)))

    def models(self) -> dict[str, dict[str, Any]]:
        """The served models by name."""
        return {entry["id"]: entry for entry in self.get("/v1/models").json()["data"]}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        # loading the certificate authorities would take most of the time
        with httpx.Client(trust_env=False, verify=False, timeout=60, headers=headers) as http:
            return http.request(method, f"{self.url}{path}", **options)


def refusal(answer: httpx.Response, status: int) -> str:
    """Assert an error in vLLM's shape; its message."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == status
    message: str = error["message"]
    return message


def check_success_is_plain_text(server: Server, good: Path) -> None:
    loaded = server.load("plain", good)
    assert loaded.status_code == 200
    assert loaded.text == "Success: LoRA adapter 'plain' added successfully."
    assert "content-type" not in loaded.headers
    unloaded = server.unload("plain")
    assert unloaded.status_code == 200
    assert unloaded.text == "Success: LoRA adapter 'plain' removed successfully."
    assert "content-type" not in unloaded.headers


def check_a_name_is_taken_once(server: Server, good: Path, other: Path) -> None:
    with server.loaded("once", good):
        for folder in (good, other):
            assert "'once' has already been loaded" in refusal(server.load("once", folder), 400)
        assert server.models()["once"]["root"] == str(good)


def check_in_place_replaces_and_keeps_the_old_one_if_refused(
    server: Server, good: Path, other: Path, refused: Path
) -> None:
    with server.loaded("placed", good):
        before = server.logprobs("placed")
        refusal(server.load("placed", refused, load_inplace=True), 500)
        assert server.logprobs("placed") == before
        assert server.load("placed", other, load_inplace=True).status_code == 200
        assert server.models()["placed"]["root"] == str(other)
        assert server.logprobs("placed") != before


def check_a_missing_folder_is_not_found(server: Server, directory: Path) -> None:
    empty = directory / "without-config"
    empty.mkdir()
    for folder in (directory / "nowhere", empty):
        refusal(server.load("missing", folder), 404)
    assert "missing" not in server.models()


def check_wrong_requests_are_400(server: Server, good: Path) -> None:
    refusal(server.load("", good), 400)
    refusal(server.load("x", ""), 400)
    refusal(server.post("/v1/load_lora_adapter", {"lora_name": "x"}), 400)
    refusal(server.post("/v1/load_lora_adapter", {"lora_path": str(good)}), 400)
    refusal(server.load(server.base, good), 400)
    broken = server.post(
        "/v1/load_lora_adapter",
        content=b'{"lora_name": ',
        headers={"Content-Type": "application/json"},
        json=None,
    )
    refusal(broken, 400)


def check_an_unknown_name_cannot_be_unloaded(server: Server) -> None:
    assert "cannot be found" in refusal(server.unload("nobody"), 404)


def check_models_name_path_and_base(server: Server, good: Path) -> None:
    with server.loaded("listed", good):
        models = server.models()
    assert models[server.base]["parent"] is None
    assert models["listed"]["root"] == str(good)
    assert models["listed"]["parent"] == server.base
    assert "listed" not in server.models()


def check_an_unknown_model_is_404_and_none_is_the_base(server: Server) -> None:
    message = refusal(server.echo("nobody"), 404)
    assert message.startswith("The model `nobody` does not exist. Valid aliases: ")
    of_base = server.logprobs(server.base)
    for model in (None, ""):
        answer = server.echo(model)
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["logprobs"]["token_logprobs"][1:] == of_base


def check_more_than_20_logprobs_are_refused(server: Server) -> None:
    refusal(server.echo(server.base, logprobs=21), 400)


def check_the_engine_refuses(server: Server, folder: Path, words: str = "") -> None:
    message = refusal(server.load("refused", folder), 500)
    assert message.startswith("Call to add_lora method failed: Worker failed with error '")
    assert words in message
    assert "refused" not in server.models()


def check_an_effect(server: Server, good: Path, *, at_least: float = 0.1) -> None:
    with server.loaded("effect", good):
        assert server.difference("effect") > at_least


def check_no_effect(server: Server, folder: Path) -> None:
    with server.loaded("nothing", folder):
        assert server.logprobs("nothing") == server.logprobs(server.base)


def check_a_tiny_effect_is_within_rounding(server: Server, tiny: Path) -> None:
    with server.loaded("tiny", tiny):
        assert server.difference("tiny") <= 0.1


def check_a_smaller_bases_adapter_gives_garbage(server: Server, smaller: Path) -> None:
    with server.loaded("garbage", smaller):
        pairs = zip(server.logprobs("garbage"), server.logprobs(server.base), strict=True)
        assert any(abs(one - other) > 0.01 for one, other in pairs)


def check_nan_weights_load_and_fail_later(server: Server, broken: Path) -> None:
    with server.loaded("nan", broken):
        assert "Out of range float values" in refusal(server.echo("nan"), 400)
        written = server.post(
            "/v1/completions", {"model": "nan", "prompt": PROMPT, "max_tokens": 4}
        )
        assert written.status_code == 200
        assert written.json()["choices"][0]["text"] == ""


def check_a_stream_ends_with_usage(server: Server, good: Path) -> None:
    fields = {
        "prompt": PROMPT,
        "max_tokens": 6,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    with server.loaded("streamed", good):
        for model in (server.base, "streamed"):
            answer = server.post("/v1/completions", fields | {"model": model})
            *chunks, last = events(answer)
            assert {chunk["model"] for chunk in (*chunks, last)} == {model}
            assert last["choices"] == []
            assert 0 < last["usage"]["completion_tokens"] <= 6
            whole = server.post(
                "/v1/completions",
                {**fields, "model": model, "stream": False, "stream_options": None},
            )
            text = "".join(chunk["choices"][0]["text"] for chunk in chunks)
            assert text == whole.json()["choices"][0]["text"]


def check_a_chat_is_streamed(server: Server) -> None:
    answer = server.post(
        "/v1/chat/completions",
        {
            "model": server.base,
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": 6,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    )
    first, *chunks, last = events(answer)
    assert first["choices"][0]["delta"]["role"] == "assistant"
    assert any(chunk["choices"][0]["finish_reason"] for chunk in chunks)
    assert last["usage"]["completion_tokens"] > 0


def check_without_a_chat_template_a_chat_is_400(server: Server) -> None:
    fields = {"model": server.base, "messages": [{"role": "user", "content": "hello"}]}
    assert "chat template" in refusal(server.post("/v1/chat/completions", fields), 400)


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The JSON of each server-sent event; asserts that the stream ended."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]
