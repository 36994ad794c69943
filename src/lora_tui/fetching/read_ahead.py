"""Reads from the backend in threads, ahead of the one thread that writes what comes.

A thread runs an iterator whose steps each wait for an answer. What it yields waits until it is
taken, in bounded number. An error is raised where its step would have been taken, so the steps
before it are used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, Self, TypeVar

T = TypeVar("T")
K = TypeVar("K")


class Step(NamedTuple, Generic[T]):
    """What an iterator did next."""

    value: T | None = None
    ended: bool = False
    error: BaseException | None = None
    """What ended it; None at its regular end."""


class ReadAhead:
    """Use it in `with`: what is still being read at its end is dropped.

    The threads are daemons, not those of an executor: quitting must not wait for an answer.
    """

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._rooms: list[tuple[threading.Semaphore, int]] = []
        """How many values may wait to be taken, with the number of threads that wait for room."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopped.set()
        for room, threads in self._rooms:
            room.release(threads)

    def each(self, steps: Iterator[T]) -> Iterator[T]:
        """What `steps` yields; the first one is asked for now, the next while one is used."""
        found: SimpleQueue[Step[T]] = SimpleQueue()
        room = self._room(1, threads=1)
        self._start(steps, found.put, room)

        def taken() -> Iterator[T]:
            while not (step := found.get()).ended:
                room.release()
                yield step.value  # type: ignore[misc]  # a step that has not ended has a value
            if step.error is not None:
                raise step.error

        return taken()

    def call(self, function: Callable[[], T]) -> Callable[[], T]:
        """What returns the result of `function`, or raises its error, once; it is called now."""
        steps = self.each(call() for call in (function,))
        return lambda: next(steps)

    def together(
        self, sources: Iterable[tuple[K, Iterator[T]]], *, at_once: int
    ) -> Iterator[tuple[K, Step[T]]]:
        """The steps of many iterators as they come, each with the key of its iterator.

        At most `at_once` of them run at a time. The next source is taken in the caller's thread
        when one has ended.
        """
        found: SimpleQueue[tuple[K, Step[T]]] = SimpleQueue()
        room = self._room(at_once, threads=at_once)
        waiting, running = iter(sources), 0
        while True:
            while running < at_once and (source := next(waiting, None)) is not None:
                self._start(source[1], _with_key(source[0], found), room)
                running += 1
            if not running:
                return
            key, step = found.get()
            if step.ended:
                running -= 1
            else:
                room.release()
            yield key, step

    def _room(self, values: int, *, threads: int) -> threading.Semaphore:
        room = threading.Semaphore(values)
        self._rooms.append((room, threads))
        return room

    def _start(
        self, steps: Iterator[T], put: Callable[[Step[T]], None], room: threading.Semaphore
    ) -> None:
        def run() -> None:
            try:
                for value in steps:
                    room.acquire()
                    if self._stopped.is_set():
                        return
                    put(Step(value))
            except BaseException as error:
                put(Step(ended=True, error=error))
            else:
                put(Step(ended=True))

        threading.Thread(target=run, name="read ahead", daemon=True).start()


def _with_key(key: K, found: SimpleQueue[tuple[K, Step[Any]]]) -> Callable[[Step[Any]], None]:
    return lambda step: found.put((key, step))
