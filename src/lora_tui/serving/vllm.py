"""vLLM, asked by its own endpoints for adapters and by OpenAI's for answers.

An adapter is a model there: its name in a request chooses it. An empty name, or none, would be
answered by the base model, so a request always has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lora_tui import clock
from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServedName, ServerKind, ServerState
from lora_tui.errors import BackendError, LoraTuiError, UsageError
from lora_tui.secret import Secret
from lora_tui.serving.client import Client, Message, Piece
from lora_tui.serving.refusals import NotANumberError, sentence
from lora_tui.serving.requests import Requests
from lora_tui.serving.values import (
    LONGEST_NAME,
    LONGEST_PATH,
    LONGEST_VERSION,
    as_prompt,
    asked_of,
    log_probability,
    not_understood,
    objects,
    pieces,
    shown,
    text,
)


class Vllm(Client):
    """A vLLM server."""

    kind = ServerKind.VLLM

    def __init__(self, server: Server, key: Secret | None) -> None:
        self.server = server
        self._requests = Requests(server, key)
        self._base = ""

    def state(self) -> ServerState:
        """Whether it answers, its base model, and what it has loaded."""
        asked_at = clock.timestamp_text(clock.now())
        empty = ServerState(self.server.name, self.server.url, str(self.kind), asked_at, False)
        try:
            base, adapters = self._models()
        except LoraTuiError as error:
            return empty._replace(error=sentence(error))
        return empty._replace(
            answers=True, base=base, version=self._version(), adapters=tuple(adapters)
        )

    def load(self, name: str, path: str) -> None:
        """Load the adapter at this path of the server's disk under this name.

        Raises ConflictError where it has one of this name, NotFoundError where the path is not on
        its disk, NoRuntimeLoadingError, and what client.py lists.
        """
        _check_name(name)
        body = {"lora_name": name, "lora_path": path}
        self._requests.post("v1/load_lora_adapter", body, f"load {shown(name)}")

    def unload(self, name: str) -> None:
        """Unload it. Raises NotFoundError where it is not loaded."""
        _check_name(name)
        self._requests.post("v1/unload_lora_adapter", {"lora_name": name}, f"unload {shown(name)}")

    def log_probabilities(self, prompt: str, adapter: str | None) -> Sequence[float]:
        """The log-probability of each token of the prompt but the first, which has none.

        By an echo request, which uses no cache of the server. Raises NotANumberError where the
        weights have NaN.
        """
        what = asked_of(self.server.name, adapter)
        body = {
            "model": self._model(adapter),
            "prompt": prompt,
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
            "temperature": 0,
        }
        answer = self._requests.post_json("v1/completions", body, what)
        choices = objects(answer, "choices", what)
        found = choices[0].get("logprobs") if choices else None
        values = found.get("token_logprobs") if isinstance(found, dict) else None
        if not isinstance(values, list):
            raise not_understood(what)
        if len(values) < 2:
            raise UsageError("The prompt is too short to be compared", remedy="use a longer one")
        numbers = [log_probability(value) for value in values[1:]]
        if None in numbers:
            raise NotANumberError(f"Could not {what}: its answer is not a number")
        return [number for number in numbers if number is not None]

    def answer(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        *,
        most_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[Piece]:
        """The answer, piece by piece; a model without a chat template gets the contents alone."""
        what = asked_of(self.server.name, adapter)
        body: dict[str, Any] = {
            "model": self._model(adapter),
            "max_tokens": most_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if seed is not None:
            body["seed"] = seed
        chat = {**body, "messages": [message._asdict() for message in messages]}
        try:
            yield from pieces(self._requests.events("v1/chat/completions", chat, what), what)
        except BackendError as error:
            if "chat template" not in (error.details or ""):
                raise
            plain = {**body, "prompt": as_prompt(messages)}
            yield from pieces(self._requests.events("v1/completions", plain, what), what)

    def close(self) -> None:
        """Close the connections, also those that another thread is reading from."""
        self._requests.close()

    def _models(self) -> tuple[str, list[ServedName]]:
        what = f"ask {self.server.name}"
        models = objects(self._requests.get("v1/models", what), "data", what)
        if any(one.get("owned_by") == "llamacpp" for one in models):
            raise BackendError(
                f"Could not {what}: llama-server runs there now, not vLLM",
                remedy=f"`lora-tui servers add {self.server.name} {self.server.url} --force`"
                " asks what it is",
            )
        bases = [name for one in models if one.get("parent") is None
                 if (name := text(one.get("id"), LONGEST_NAME))]  # fmt: skip
        if not bases:
            raise BackendError(
                f"Could not {what}: it names no base model", remedy="check what runs at its address"
            )
        self._base = bases[0]
        adapters: dict[str, ServedName] = {}  # a name that is listed twice is one adapter
        for one in models:
            name = text(one.get("id"), LONGEST_NAME)
            if one.get("parent") is not None and name:
                adapters.setdefault(name, ServedName(name, text(one.get("root"), LONGEST_PATH)))
        return bases[0], list(adapters.values())

    def _version(self) -> str:
        try:
            answer = self._requests.get("version", f"ask {self.server.name}")
        except LoraTuiError:  # a proxy may pass on /v1 only
            return ""
        return text(answer.get("version") if isinstance(answer, dict) else "", LONGEST_VERSION)

    def _model(self, adapter: str | None) -> str:
        if adapter is not None:
            _check_name(adapter)
            return adapter
        if not self._base:
            self._models()
        return self._base


def _check_name(name: str) -> None:
    if not name.strip():
        raise UsageError("An adapter on a server needs a name")
