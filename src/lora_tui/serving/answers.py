"""Asks several models of one server the same, one after the other, and measures the answers.

One at a time by default: on a CPU, vLLM answers the base model with an adapter where a batch mixes
them (docs/serving.md), and answers that share a machine measure each other's speed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from lora_tui.domain.answers import (
    LONGEST_ANSWER,
    Answer,
    Contestant,
    Progress,
    Settings,
)
from lora_tui.errors import LoraTuiError
from lora_tui.serving.client import Client, Message
from lora_tui.serving.prompts import Prompt
from lora_tui.text import terminal_safe

MOST_PIECES: Final = 100_000
"""A server that sends more than these, maybe empty ones, for one answer is not read any longer."""
_LONGEST_ERROR: Final = 400
Connect = Callable[[], AbstractContextManager[Client]]
"""Opens a connection of its own to the server."""
Take = Callable[[int, Answer], None]
"""Takes the answer at a place, as far as it came."""


def messages_of(prompt: Prompt, settings: Settings) -> tuple[Message, ...]:
    """What is sent: the prompt, below the system message of the settings unless it has its own."""
    has_system = any(message.role == "system" for message in prompt.messages)
    if not settings.system or has_system:
        return prompt.messages
    return (Message("system", settings.system), *prompt.messages)


def ask_all(
    connect: Connect,
    contestants: Sequence[Contestant],
    prompt: Prompt,
    settings: Settings,
    *,
    take: Take,
    is_cancelled: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Ask all of them, in this order; with `settings.parallel` at once.

    `take` gets each change, of parallel answers from several threads. A model that can't answer has
    its error in its answer, and the others are asked all the same.
    """

    def ask(place: int, client: Client) -> None:
        if is_cancelled():
            take(place, Answer(Progress.CANCELLED))
            return
        _ask(
            client,
            contestants[place].adapter,
            messages_of(prompt, settings),
            settings,
            lambda answer: take(place, answer),
            is_cancelled,
            clock,
        )

    def ask_some(places: Sequence[int]) -> None:
        left = list(places)
        try:
            with connect() as client:
                while left:
                    ask(left[0], client)
                    del left[0]
        except LoraTuiError as error:  # of the connection: what fails in an answer is in it
            for place in left:
                take(place, _failed(Answer(), error, is_cancelled))

    places = range(len(contestants))
    if not settings.parallel:
        ask_some(places)
        return
    threads = [
        threading.Thread(target=ask_some, args=([place],), name=f"answer {place}", daemon=True)
        for place in places
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def error_text(error: LoraTuiError) -> str:
    """An error as one sentence, with what a server said of it."""
    details = f": {error.details}" if error.details else ""
    return terminal_safe(f"{error}{details}", limit=_LONGEST_ERROR)


def _ask(
    client: Client,
    adapter: str | None,
    messages: Sequence[Message],
    settings: Settings,
    take: Callable[[Answer], None],
    is_cancelled: Callable[[], bool],
    clock: Callable[[], float],
) -> None:
    answer = Answer(Progress.STREAMING)
    take(answer)
    began = clock()
    first: float | None = None
    last = began
    text = ""
    pieces = 0
    counted: int | None = None
    finish = ""
    stream = client.answer(
        messages,
        adapter,
        most_tokens=settings.most_tokens,
        temperature=settings.temperature,
        seed=settings.seed,
    )
    try:
        for number, piece in enumerate(stream):
            if piece.text:
                last = clock()
                first = last if first is None else first
                pieces += 1
                text += piece.text[: LONGEST_ANSWER - len(text)]
            counted = piece.answer_tokens if piece.answer_tokens is not None else counted
            finish = piece.finish or finish
            tokens = counted if counted is not None else pieces
            answer = Answer(
                Progress.STREAMING,
                text=text,
                first_token=None if first is None else first - began,
                rate=_rate(tokens, first, last),
                tokens=tokens,
                is_counted=counted is not None,
                finish=terminal_safe(finish, limit=40),
            )
            if len(text) >= LONGEST_ANSWER or number >= MOST_PIECES:
                answer = answer._replace(finish="cut")
                break
            if is_cancelled():
                take(answer._replace(progress=Progress.CANCELLED))
                return
            take(answer)
        take(answer._replace(progress=Progress.DONE))
    except LoraTuiError as error:  # what came stays
        take(_failed(answer, error, is_cancelled))
    finally:
        close = getattr(stream, "close", None)
        if close is not None:
            close()


def _failed(answer: Answer, error: LoraTuiError, is_cancelled: Callable[[], bool]) -> Answer:
    """What came, and why there is no more: whoever cancels may close the connection."""
    if is_cancelled():
        return answer._replace(progress=Progress.CANCELLED)
    return answer._replace(progress=Progress.FAILED, error=error_text(error))


def _rate(tokens: int, first: float | None, last: float) -> float | None:
    """Tokens a second from the first to the last one; None where that is too few to say."""
    if first is None or tokens < 2 or last <= first:
        return None
    return (tokens - 1) / (last - first)
