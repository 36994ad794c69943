"""Several models are asked the same, one after the other, and each answer is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from lora_tui.domain.answers import (
    LONGEST_ANSWER,
    Answer,
    Contestant,
    Progress,
    Settings,
    from_document,
    measures,
    shown_lines,
    to_document,
)
from lora_tui.errors import BackendError, UnreachableError
from lora_tui.serving import answers
from lora_tui.serving.answers import ask_all
from lora_tui.serving.client import Message, Piece
from lora_tui.serving.prompts import Prompt, prompt_of

BASE = Contestant("base", "base model", None)
ADAPTER = Contestant("id", "Support", "support-v1")
OTHER = Contestant("other", "SQL", "sql-v1")


class Clock:
    """Goes on by what the answers take."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Talker:
    """A client whose answers the test gives: pieces, each after some seconds, or an error."""

    def __init__(self, clock: Clock, **answers: Sequence[Any]) -> None:
        self.clock, self.answers = clock, answers
        self.asked: list[tuple[str | None, tuple[Message, ...], dict[str, Any]]] = []
        self.open = self.most_open = self.closed = 0

    def answer(
        self, messages: Sequence[Message], adapter: str | None, **settings: Any
    ) -> Iterator[Piece]:
        self.asked.append((adapter, tuple(messages), settings))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            for seconds, piece in self.answers[(adapter or "base").partition("-")[0]]:
                self.clock.now += seconds
                if isinstance(piece, Exception):
                    raise piece
                yield piece if isinstance(piece, Piece) else Piece(piece)
        finally:
            self.open -= 1
            self.closed += 1


def asked(
    client: Talker,
    *contestants: Contestant,
    prompt: Prompt | None = None,
    settings: Settings = Settings(),  # noqa: B008 - a value
    is_cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[Answer], list[tuple[int, Answer]]]:
    last: dict[int, Answer] = {}
    taken: list[tuple[int, Answer]] = []

    def take(place: int, answer: Answer) -> None:
        last[place] = answer
        taken.append((place, answer))

    ask_all(
        lambda: nullcontext(client),  # type: ignore[arg-type, return-value]
        contestants,
        prompt or prompt_of("Why?"),
        settings,
        take=take,
        is_cancelled=is_cancelled,
        clock=client.clock,
    )
    return [last[place] for place in sorted(last)], taken


def test_they_are_asked_one_at_a_time_in_their_order_and_timed() -> None:
    said = [(0.5, "One"), (0.25, " two"), (0.25, Piece(" three", 9, 3, "stop"))]
    client = Talker(Clock(), base=said, support=[(0.25, ""), (0.25, "Yes")])
    (base, adapter), taken = asked(client, BASE, ADAPTER)
    assert [one[0] for one in client.asked] == [None, "support-v1"]
    assert client.most_open == 1
    assert base == Answer(
        Progress.DONE, "One two three", 0.5, 4.0, 3, is_counted=True, finish="stop"
    )
    assert (adapter.text, adapter.first_token, adapter.rate) == ("Yes", 0.5, None)
    assert not adapter.is_counted
    streamed = [answer.text for place, answer in taken if place == 0]
    assert streamed[:3] == ["", "One", "One two"]
    assert client.closed == 2


def test_settings_and_the_system_message_reach_the_server_unless_the_prompt_has_one() -> None:
    client = Talker(Clock(), base=[(0, "a")])
    settings = Settings(0.7, 11, 64, "Be brief.")
    asked(client, BASE, settings=settings)
    own = Prompt((Message("system", "Rhyme."), Message("user", "Why?")))
    asked(client, BASE, prompt=own, settings=settings)
    (_, first, options), (_, second, _) = client.asked
    assert first == (Message("system", "Be brief."), Message("user", "Why?"))
    assert second == own.messages
    assert options == {"most_tokens": 64, "temperature": 0.7, "seed": 11}


def test_one_that_fails_or_breaks_off_says_why_and_the_others_answer() -> None:
    broken = [(0.1, "Half "), (0.1, UnreachableError("The answer broke off", details="reset"))]
    refused = [(0, BackendError("gpu refused", details="\x1b[2Jno adapter"))]
    client = Talker(Clock(), base=broken, support=refused, sql=[(0.1, "ok")])
    (base, adapter, other), _ = asked(client, BASE, ADAPTER, OTHER)
    assert (base.progress, base.text) == (Progress.FAILED, "Half ")
    assert base.error == "The answer broke off: reset"
    assert adapter.error == "gpu refused: [2Jno adapter"
    assert (other.progress, other.text) == (Progress.DONE, "ok")


def test_a_server_that_never_ends_an_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_PIECES", 100)
    client = Talker(Clock(), base=[(0, "ab" * 3_000)] * 100, support=[(0, "")] * 200)
    (base, adapter), _ = asked(client, BASE, ADAPTER)
    assert (len(base.text), base.finish, base.progress) == (LONGEST_ANSWER, "cut", Progress.DONE)
    assert adapter.finish == "cut"
    assert client.closed == 2


def test_after_a_cancel_what_came_stays_and_the_rest_is_not_asked() -> None:
    cancelled = threading.Event()
    client = Talker(Clock(), base=[(0, "One"), (0, "two"), (0, "three")])

    def after_two() -> bool:
        if len(client.asked) and client.clock.now >= 0 and client.open:
            cancelled.set()
        return cancelled.is_set()

    (base, adapter), _ = asked(client, BASE, ADAPTER, is_cancelled=after_two)
    assert (base.progress, base.text) == (Progress.CANCELLED, "One")
    assert (adapter.progress, adapter.text) == (Progress.CANCELLED, "")
    assert [one[0] for one in client.asked] == [None]
    assert client.closed == 1


def test_all_at_once_each_gets_a_connection_and_a_dead_server_is_told_for_each() -> None:
    client = Talker(Clock(), base=[(0, "a")], support=[(0, "b")])
    found_at_once, _ = asked(client, BASE, ADAPTER, settings=Settings(parallel=True))
    assert [answer.text for answer in found_at_once] == ["a", "b"]

    found: dict[int, Answer] = {}

    def refuse() -> Any:
        raise UnreachableError("gpu does not answer")

    for parallel in (False, True):
        found.clear()
        ask_all(
            refuse, (BASE, ADAPTER), prompt_of("Hi"), Settings(parallel=parallel),
            take=found.__setitem__,
        )  # fmt: skip
        assert [found[place].error for place in (0, 1)] == ["gpu does not answer"] * 2


def test_an_answer_is_the_same_after_the_way_through_the_engine() -> None:
    answer = Answer(Progress.STREAMING, "text", 0.1, 3.0, 7, is_counted=True, finish="")
    assert from_document(to_document(answer)) == answer


def test_shown_text_keeps_lines_and_indentation_and_loses_what_controls_a_terminal() -> None:
    text = "\x1b[31mdef f():\r\n\treturn  1\n\n\n\n# \u202eend\u200b\n\n"
    assert shown_lines(text) == ["[31mdef f():", "    return 1", "", "# end"]


def test_counted_pieces_are_marked_as_approximate_and_blind_figures_have_no_times() -> None:
    answer = Answer(Progress.DONE, "a", 0.085, 42.04, 64, is_counted=False)
    assert measures(answer) == ("first token 85 ms", "~42.0 tok/s", "~64 tokens")
    assert measures(answer._replace(is_counted=True), timed=False) == ("64 tokens",)
