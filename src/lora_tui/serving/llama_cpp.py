"""llama.cpp's llama-server: its adapters are given at its start, and chosen in each request.

A request names every adapter with a scale, 0 for those that take no part: an adapter that a request
does not choose would else be at the scale that is set for all. No request uses the cache of
prompts, which answers with neither model after a switch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any, Final

from lora_tui import clock
from lora_tui.config.servers import Server
from lora_tui.domain.servers import ServedName, ServerKind, ServerState
from lora_tui.errors import LoraTuiError, NotFoundError, UsageError
from lora_tui.secret import Secret
from lora_tui.serving.client import Client, Message, Piece
from lora_tui.serving.refusals import NotANumberError, sentence
from lora_tui.serving.requests import Requests
from lora_tui.serving.values import (
    LONGEST_NAME,
    LONGEST_PATH,
    LONGEST_VERSION,
    asked_of,
    log_probability,
    not_understood,
    objects,
    pieces,
    shown,
    text,
)

MOST_PLACES: Final = 16
"""Tokens of a prompt whose log-probability is asked for, spread evenly: each takes a request."""
_CERTAIN: Final = 1e6
"""Added to the logit of a token, so that it is the one that is generated."""


class LlamaCpp(Client):
    """A llama-server."""

    kind = ServerKind.LLAMA_CPP

    def __init__(self, server: Server, key: Secret | None) -> None:
        self.server = server
        self._requests = Requests(server, key)

    def state(self) -> ServerState:
        """Whether it answers, its base model, and the adapters that it was started with."""
        asked_at = clock.timestamp_text(clock.now())
        empty = ServerState(self.server.name, self.server.url, str(self.kind), asked_at, False)
        what = f"ask {self.server.name}"
        try:
            adapters = self._listed()
            models = objects(self._requests.get("v1/models", what), "data", what)
            version = self._version()
        except LoraTuiError as error:
            return empty._replace(error=sentence(error))
        base = text(models[0].get("id"), LONGEST_PATH) if models else ""
        return empty._replace(answers=True, base=base, version=version, adapters=adapters)

    def load(self, name: str, path: str) -> None:
        """Raises UsageError: an adapter is given to llama-server at its start."""
        raise UsageError(
            f"{self.server.name} is a llama-server: it can't load {shown(name)} while it runs",
            remedy=f"start it again with --lora and the adapter as GGUF, made of {path}",
        )

    def unload(self, name: str) -> None:
        """Raises UsageError, as `load` does."""
        raise UsageError(
            f"{self.server.name} is a llama-server: it can't unload {shown(name)} while it runs",
            remedy="start it again without this --lora",
        )

    def log_probabilities(self, prompt: str, adapter: str | None) -> Sequence[float]:
        """The log-probability of tokens of the prompt: of all but the first, or of MOST_PLACES.

        llama-server tells log-probabilities of generated tokens only. So for each place the tokens
        before it are the prompt, and a bias makes it generate the token that stands there; what it
        tells is the log-probability without the bias. Of a token that ends within a character it
        tells nothing, so the result leaves these out. Raises NotANumberError where the weights
        have NaN.
        """
        what = asked_of(self.server.name, adapter)
        question = {"content": prompt, "add_special": True}
        answer = self._requests.post_json("tokenize", question, what)
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(tokens, list) or any(type(token) is not int for token in tokens):
            raise not_understood(what)
        if len(tokens) < 2:
            raise UsageError("The prompt is too short to be compared", remedy="use a longer one")
        body = {
            "n_predict": 1,
            "n_probs": 1,
            "temperature": 0,
            "post_sampling_probs": False,
            "cache_prompt": False,
            **self._chosen(adapter),
        }
        asked = (
            self._at(
                {**body, "prompt": tokens[:place], "logit_bias": [[tokens[place], _CERTAIN]]},
                tokens[place],
                what,
            )
            for place in _places(len(tokens))
        )
        numbers = [number for number in asked if number is not None]
        if not numbers:
            raise not_understood(what)
        return numbers

    def answer(
        self,
        messages: Sequence[Message],
        adapter: str | None,
        *,
        most_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[Piece]:
        """The answer, piece by piece; a model without a template gets ChatML from the server."""
        what = asked_of(self.server.name, adapter)
        body: dict[str, Any] = {
            "messages": [message._asdict() for message in messages],
            "max_tokens": most_tokens,
            "temperature": temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": False,
            **self._chosen(adapter),
        }
        if seed is not None:
            body["seed"] = seed
        yield from pieces(self._requests.events("v1/chat/completions", body, what), what)

    def close(self) -> None:
        """Close the connections, also those that another thread is reading from."""
        self._requests.close()

    def _listed(self) -> tuple[ServedName, ...]:
        what = f"ask {self.server.name}"
        found: list[ServedName] = []
        for one in objects(self._requests.get("lora-adapters", what), "", what):
            number, path = one.get("id"), text(one.get("path"), LONGEST_PATH)
            name = PurePath(path).name.removesuffix(".gguf")[:LONGEST_NAME]
            if type(number) is not int or not 0 <= number < 2**31 or not name:
                continue
            if any(name == other.name for other in found):
                name = f"{name}#{number}"  # two files of one name, in two directories
            found.append(ServedName(name, path, number))
        return tuple(found)

    def _version(self) -> str:
        try:
            answer = self._requests.get("props", f"ask {self.server.name}")
        except LoraTuiError:
            return ""
        return text(answer.get("build_info") if isinstance(answer, dict) else "", LONGEST_VERSION)

    def _chosen(self, adapter: str | None) -> dict[str, Any]:
        """The field of a request that chooses this adapter alone. Raises NotFoundError."""
        adapters = self._listed()  # each time: started again, it numbers them otherwise
        if adapter is not None and all(adapter != one.name for one in adapters):
            raise NotFoundError(
                f"{self.server.name} was not started with {shown(adapter)}",
                remedy="start llama-server with --lora and its file",
            )
        scales = [{"id": one.id, "scale": float(one.name == adapter)} for one in adapters]
        return {"lora": scales} if scales else {}

    def _at(self, body: dict[str, Any], token: int, what: str) -> float | None:
        """None for a token that ends within a character: the server tells nothing of it."""
        answer = self._requests.post_json("completion", body, what)
        if not isinstance(answer, dict):
            raise not_understood(what)
        if "completion_probabilities" not in answer:
            return None
        found = answer["completion_probabilities"]
        if not isinstance(found, list) or not found or not isinstance(found[0], dict):
            raise not_understood(what)
        number = log_probability(found[0].get("logprob"))
        if number is None:
            raise NotANumberError(f"Could not {what}: its answer is not a number")
        if found[0].get("id") != token:
            raise not_understood(what)
        return number


def _places(count: int) -> list[int]:
    """The places of a prompt of so many tokens that are asked for; the first token has none."""
    if count - 1 <= MOST_PLACES:
        return list(range(1, count))
    step = (count - 1) / MOST_PLACES
    return [round((number + 1) * step) for number in range(MOST_PLACES)]
