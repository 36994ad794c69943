"""`/v1/completions` and `/v1/chat/completions`, whole and as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lora_tui import clock
from lora_tui.sandbox.vllm.engine import Engine, Running
from lora_tui.sandbox.vllm.generation import (
    Generation,
    Written,
    check,
    prompts_of,
    write,
)
from lora_tui.sandbox.vllm.language import Token, tokens_of
from lora_tui.sandbox.vllm.responses import RefusedError, bad_request, json_answer, read_fields
from lora_tui.sandbox.vllm.settings import Behavior

Choice = Callable[[Token | None, str | None], dict[str, Any]]
"""The choice of a chunk: of a token, and at the end with the finish reason."""

_DONE: Final = b"data: [DONE]\n\n"


class _CutStreamError(Exception):
    """Makes uvicorn close the connection in the middle of an answer."""


async def complete(engine: Engine, behavior: Behavior, request: Request) -> Response:
    """`POST /v1/completions`."""
    fields = await read_fields(request)
    asked = check(
        engine,
        fields,
        prompts_of(fields.get("prompt")),
        max_tokens=fields.get("max_tokens"),
        logprobs=fields.get("logprobs"),
    )
    frame = _frame("cmpl", "text_completion", asked)
    stack = ExitStack()
    running = stack.enter_context(engine.running(asked.adapter))
    if asked.stream:
        return _event_stream(
            _stream(engine, behavior, asked, running, stack, frame, _text_choice(asked))
        )
    with stack:
        await asyncio.sleep(behavior.first_token_seconds)
        answers = write(engine, asked, running, hostile=behavior.hostile)
        await asyncio.sleep(behavior.token_seconds * max(len(one.tokens) for one in answers))
    choices = [
        {
            "index": index,
            "text": "".join(token.text for token in (*answer.prompt, *answer.tokens)),
            "logprobs": _logprobs(asked, answer),
            "finish_reason": answer.finish_reason,
            "stop_reason": None,
            "prompt_logprobs": None,
        }
        for index, answer in enumerate(answers)
    ]
    return json_answer({**frame, "choices": choices, "usage": _usage(asked, answers)})


async def chat(
    engine: Engine, behavior: Behavior, request: Request, *, has_template: bool
) -> Response:
    """`POST /v1/chat/completions`."""
    fields = await read_fields(request)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(
            400,
            "Bad Request",
            "1 validation error:\n  {'type': 'missing', 'loc': ('body', 'messages'),"
            " 'msg': 'Field required'}",
        )
    wanted = (fields.get("top_logprobs") or 0) if fields.get("logprobs") else None
    prompt = tokens_of("".join(map(_spoken, messages)) + "<|assistant|>\n")
    most = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if most is None:
        most = engine.base.max_model_len
    asked = check(engine, fields, [prompt], max_tokens=most, logprobs=wanted)
    if not has_template:
        raise bad_request(
            "As of transformers v4.44, default chat template is no longer allowed, so you must"
            " provide a chat template if the tokenizer does not define one."
        )
    stack = ExitStack()
    running = stack.enter_context(engine.running(asked.adapter))
    if asked.stream:
        frame = _frame("chatcmpl", "chat.completion.chunk", asked)
        opening = _delta({"role": "assistant", "content": ""}, None, None)
        return _event_stream(
            _stream(engine, behavior, asked, running, stack, frame, _chat_choice(asked), opening)
        )
    with stack:
        await asyncio.sleep(behavior.first_token_seconds)
        answers = write(engine, asked, running, hostile=behavior.hostile)
        await asyncio.sleep(behavior.token_seconds * len(answers[0].tokens))
    answer = answers[0]
    choice = {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "".join(token.text for token in answer.tokens),
            "refusal": None,
            "tool_calls": [],
        },
        "logprobs": None if wanted is None else {"content": [*map(_chat_token, answer.tokens)]},
        "finish_reason": answer.finish_reason,
        "stop_reason": None,
    }
    frame = _frame("chatcmpl", "chat.completion", asked)
    return json_answer({**frame, "choices": [choice], "usage": _usage(asked, answers)})


async def _stream(
    engine: Engine,
    behavior: Behavior,
    asked: Generation,
    running: Running,
    stack: ExitStack,
    frame: Mapping[str, Any],
    choice: Choice,
    opening: Mapping[str, Any] | None = None,
) -> AsyncIterator[bytes]:
    """The events of one answer, token by token, at the pace that is set."""
    with stack:
        if opening is not None:
            yield _event({**frame, "choices": [opening]})
        await asyncio.sleep(behavior.first_token_seconds)
        try:
            answer = write(engine, asked, running, hostile=behavior.hostile)[0]
        except RefusedError as error:
            yield _event(error.body(behavior))
            yield _DONE
            return
        for place, token in enumerate(answer.tokens):
            if place == behavior.cut_stream_after:
                raise _CutStreamError
            if place == behavior.fail_stream_after:
                failed = RefusedError(500, "InternalServerError", "Internal server error")
                yield _event(failed.body(behavior))
                yield _DONE
                return
            if place:
                await asyncio.sleep(behavior.token_seconds)
            is_last = place == len(answer.tokens) - 1
            reason = answer.finish_reason if is_last else None
            yield _event({**frame, "choices": [choice(token, reason)]})
        if not answer.tokens:
            yield _event({**frame, "choices": [choice(None, answer.finish_reason)]})
        if asked.include_usage:
            yield _event({**frame, "choices": [], "usage": _usage(asked, [answer])})
        yield _DONE


def _event_stream(events: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(events, media_type="text/event-stream")


def _event(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode("utf-8", "replace")


def _frame(prefix: str, kind: str, asked: Generation) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{asked.identifier}",
        "object": kind,
        "created": int(clock.now().timestamp()),
        "model": asked.served_as,
    }


def _text_choice(asked: Generation) -> Choice:
    def choice(token: Token | None, reason: str | None) -> dict[str, Any]:
        return {
            "index": 0,
            "text": "" if token is None else token.text,
            "logprobs": None if token is None else _logprobs(asked, Written((), (token,), "")),
            "finish_reason": reason,
            "stop_reason": None,
        }

    return choice


def _chat_choice(asked: Generation) -> Choice:
    def choice(token: Token | None, reason: str | None) -> dict[str, Any]:
        logprobs = None
        if token is not None and asked.logprobs is not None:
            logprobs = {"content": [_chat_token(token)]}
        return _delta({"content": "" if token is None else token.text}, logprobs, reason)

    return choice


def _delta(
    delta: Mapping[str, Any], logprobs: Mapping[str, Any] | None, reason: str | None
) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(asked: Generation, answer: Written) -> dict[str, Any] | None:
    """Log-probabilities as `/v1/completions` has them; null for the first token of a prompt."""
    if asked.logprobs is None:
        return None
    tokens = [*answer.prompt, *answer.tokens]
    values: list[float | None] = [token.logprob for token in tokens]
    if answer.prompt:
        values[0] = None
    offsets = []
    offset = 0
    for token in tokens:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "text_offset": offsets,
        "token_logprobs": values,
        "tokens": [token.text for token in tokens],
        "top_logprobs": [
            None if value is None else {token.text: value}
            for token, value in zip(tokens, values, strict=True)
        ],
    }


def _chat_token(token: Token) -> dict[str, Any]:
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": list(token.text.encode("utf-8", "replace")),
        "top_logprobs": [],
    }


def _usage(asked: Generation, answers: Sequence[Written]) -> dict[str, int]:
    prompt = sum(map(len, asked.prompts))
    written = sum(len(answer.tokens) for answer in answers)
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + written,
        "completion_tokens": written,
    }


def _spoken(message: Any) -> str:
    """A message as the chat template writes it. Raises RefusedError."""
    if not isinstance(message, dict) or "role" not in message:
        raise RefusedError(400, "Bad Request", "Field required", "messages")
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content)
    return f"<|{message['role']}|>\n{content}\n"
