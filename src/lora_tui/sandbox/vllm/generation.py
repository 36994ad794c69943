"""A request for text or for log-probabilities: read, checked, and answered by the engine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lora_tui.sandbox.vllm.adapter import Effect
from lora_tui.sandbox.vllm.engine import Engine, Running
from lora_tui.sandbox.vllm.language import Token, tokens_of
from lora_tui.sandbox.vllm.responses import RefusedError, bad_request

MOST_LOGPROBS: Final = 20
_DEFAULT_TOKENS: Final = 16
_counter = itertools.count()


@dataclass(frozen=True)
class Generation:
    """One checked request."""

    adapter: str | None
    """None for the base."""
    served_as: str
    """The name that the answer has in `model`."""
    prompts: tuple[tuple[str, ...], ...]
    """The tokens of each prompt."""
    max_tokens: int
    echo: bool
    logprobs: int | None
    stream: bool
    include_usage: bool
    chance: bytes
    cache_salt: str

    @property
    def identifier(self) -> str:
        return f"{next(_counter):032x}"


@dataclass(frozen=True)
class Written:
    """The answer to one prompt."""

    prompt: Sequence[Token]
    """Its tokens where the request has `echo`; the first one's log-probability means nothing."""
    tokens: Sequence[Token]
    finish_reason: str


def check(
    engine: Engine,
    fields: Mapping[str, Any],
    prompts: Sequence[Sequence[str]],
    *,
    max_tokens: Any,
    logprobs: Any,
) -> Generation:
    """The request that these fields describe. Raises RefusedError."""
    name = fields.get("model") or engine.base.name
    if not isinstance(name, str):
        raise RefusedError(400, "Bad Request", "Input should be a valid string", "model")
    adapter = None if name == engine.base.name else name
    if adapter is not None and adapter not in engine.adapters:
        raise RefusedError(
            404,
            "NotFoundError",
            f"The model `{adapter}` does not exist. Valid aliases: {engine.base.name}.",
            param="model",
        )
    echo = bool(fields.get("echo"))
    if logprobs is not None and logprobs > MOST_LOGPROBS:
        raise bad_request(
            f"Requested sample logprobs of {logprobs}, which is greater than max allowed:"
            f" {MOST_LOGPROBS} (parameter=logprobs, value={logprobs})",
            "logprobs",
        )
    longest = max(map(len, prompts))
    length = engine.base.max_model_len
    if longest >= length:
        raise bad_request(
            f"This model's maximum context length is {length} tokens. However, your request has"
            f" {longest} input tokens. Please reduce the length of the input messages.",
            "input_tokens",
        )
    most = _DEFAULT_TOKENS if max_tokens is None else max_tokens
    if not isinstance(most, int) or most < (0 if echo else 1):
        raise bad_request(f"max_tokens must be at least 1, got {most}.", "max_tokens")
    sampled = float(fields.get("temperature", 1.0)) > 0
    seed = fields.get("seed")
    chance = "" if not sampled else str(next(_counter) if seed is None else seed)
    options = fields.get("stream_options") or {}
    return Generation(
        adapter,
        name,
        tuple(map(tuple, prompts)),
        min(most, length - longest),
        echo,
        logprobs,
        bool(fields.get("stream")),
        bool(options.get("include_usage")),
        chance.encode(),
        str(fields.get("cache_salt") or ""),
    )


def write(
    engine: Engine, request: Generation, running: Running, *, hostile: bool
) -> tuple[Written, ...]:
    """Answer each prompt. Raises RefusedError where NaN would have to be written as JSON."""
    effect = engine.effect_on(running)
    if effect.is_nan and request.logprobs is not None:
        raise bad_request("Out of range float values are not JSON compliant")
    return tuple(
        _write_one(engine, request, prompt, effect, hostile=hostile) for prompt in request.prompts
    )


def _write_one(
    engine: Engine, request: Generation, prompt: Sequence[str], effect: Effect, *, hostile: bool
) -> Written:
    echoed: list[Token] = []
    if request.echo and request.logprobs is not None:  # such requests do not read the cache
        values = engine.language.logprobs(prompt, effect)
        echoed = [
            Token(text, 0.0 if value is None else value)
            for text, value in zip(prompt, values, strict=True)
        ]
    else:
        effect = engine.with_prefix_cache(request.adapter, prompt, request.cache_salt, effect)
        if request.echo:
            echoed = [Token(text, 0.0) for text in prompt]
    if request.max_tokens == 0:
        return Written(echoed, (), "length")
    tokens, reason = engine.language.continuation(
        prompt, effect, request.max_tokens, chance=request.chance, hostile=hostile
    )
    return Written(echoed, tokens, reason)


def prompts_of(value: Any) -> list[list[str]]:
    """The tokens of `prompt`: a text, token ids, or a list of either. Raises RefusedError."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and value:
        if all(isinstance(entry, int) for entry in value):
            value = [value]
        prompts = [
            tokens_of(entry) if isinstance(entry, str) else [f"<{number}>" for number in entry]
            for entry in value
        ]
        if all(prompts):
            return prompts
    raise bad_request("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
