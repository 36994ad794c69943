"""What comes is asked for ahead, errors lose nothing, and no thread is waited for at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lora_tui.errors import UnreachableError
from lora_tui.fetching.read_ahead import ReadAhead

PATIENCE = 60


def test_the_next_answer_is_asked_for_while_this_one_is_used() -> None:
    asked = [threading.Event() for _ in range(3)]

    def answers() -> Iterator[int]:
        for number, event in enumerate(asked):
            event.set()
            yield number

    with ReadAhead() as ahead:
        steps = ahead.each(answers())
        assert asked[0].wait(PATIENCE)  # before anybody takes it
        for number in steps:
            assert asked[min(number + 1, 2)].wait(PATIENCE)


def test_an_error_is_raised_after_what_came_before_it_was_used() -> None:
    def answers() -> Iterator[int]:
        yield 1
        raise UnreachableError("The connection broke")

    with ReadAhead() as ahead:
        steps = ahead.each(answers())
        assert next(steps) == 1
        with pytest.raises(UnreachableError):
            next(steps)


def test_of_many_sources_all_steps_come_and_an_error_of_one_ends_only_that_one() -> None:
    def answers(key: int) -> Iterator[int]:
        yield key
        if key == 3:
            raise UnreachableError("The connection broke")
        yield key + 100

    found: dict[int, list[int]] = {key: [] for key in range(20)}
    errors = []
    with ReadAhead() as ahead:
        for key, step in ahead.together(((key, answers(key)) for key in found), at_once=4):
            if step.error is not None:
                errors.append((key, type(step.error)))
            elif step.value is not None:
                found[key].append(step.value)
    assert errors == [(3, UnreachableError)]
    assert found.pop(3) == [3]
    assert found == {key: [key, key + 100] for key in found}


def test_at_the_end_what_waits_is_dropped_and_its_threads_end() -> None:
    before = {*threading.enumerate()}
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    with ReadAhead() as ahead:
        assert next(ahead.each(endless())) == 1
        next(ahead.together([(number, endless()) for number in range(3)], at_once=3))
    assert closed.wait(PATIENCE)
    for thread in {*threading.enumerate()} - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()
