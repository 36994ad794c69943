"""A line with a round trip and a pace, on the loopback interface: a TCP relay in its own process.

    with line(to=("127.0.0.1", 54321), round_trip=0.05, pace=100e6) as address: ...

Bytes need half the round trip in each direction, and at most `pace` bytes a second of each
connection go in each direction. The first bytes of a new connection leave a round trip after it
was accepted, as after TCP's handshake. TLS is passed on as it is, so its own round trips are paid
as well. Not imitated: loss, slow start, and a limit of all connections together. One process
relays about 500 MB/s; `python benchmarks/line.py` shows what this machine does.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

PIECE = 128 << 10
"""Bytes that are read at once."""
AHEAD = 0.004
"""Seconds of the pace that may be read ahead."""
Address = tuple[str, int]


@contextmanager
def line(*, to: Address, round_trip: float, pace: float = math.inf) -> Iterator[Address]:
    """The address of a line that leads to `to`. `round_trip` in seconds, `pace` in bytes/s."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(
        target=_relay, args=(theirs, to, round_trip, pace), name="line", daemon=True
    )
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.terminate()
        process.join()


@dataclass(eq=False)
class Flow:
    """One direction of one connection."""

    source: socket.socket
    target: socket.socket
    free_at: float
    """When the next byte may leave."""
    queue: deque[tuple[float, memoryview | None]] = field(default_factory=deque)
    """Bytes and the times at which they arrive; None: the end."""
    is_read: bool = False
    """Whether the source is read now: it is not while the pace is used up."""
    is_blocked: bool = False
    """Whether the target takes no bytes now."""
    ended: bool = False
    other: Flow | None = None


def _relay(parent: Connection, to: Address, round_trip: float, pace: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        listener.setblocking(False)
        parent.send(listener.getsockname()[:2])
        Relay(listener, to, round_trip, pace).run(parent)


class Relay:
    """All connections of one line."""

    def __init__(
        self, listener: socket.socket, to: Address, round_trip: float, pace: float
    ) -> None:
        self._listener = listener
        self._to = to
        self._round_trip = round_trip
        self._pace = pace
        self._flows: set[Flow] = set()
        self._selector = selectors.DefaultSelector()
        self._wanted: dict[socket.socket, tuple[int, list[Flow]]] = {}

    def run(self, parent: Connection) -> None:
        """Until the parent is gone."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(parent, selectors.EVENT_READ)
        while True:
            wait = self._next_time() - time.monotonic()
            for key, events in self._selector.select(max(0.0, min(wait, 60.0))):
                if key.fileobj is parent:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.data, tuple):
                    self._ready(key.data, events)
            now = time.monotonic()
            for flow in list(self._flows):
                self._deliver(flow, now)
                if not flow.ended and not flow.is_read and flow.free_at - now < AHEAD:
                    flow.is_read = True
                    self._watch(flow.source)

    def _next_time(self) -> float:
        times = [math.inf]
        for flow in self._flows:
            if flow.queue and not flow.is_blocked:
                times.append(flow.queue[0][0])
            if not flow.ended and not flow.is_read:
                times.append(flow.free_at - AHEAD)
        return min(times)

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            while True:
                near, _ = self._listener.accept()
                now = time.monotonic()
                try:
                    far = socket.create_connection(self._to, 10)
                except OSError:
                    near.close()
                    continue
                for one in (near, far):
                    one.setblocking(False)
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                up = Flow(near, far, now + self._round_trip)
                down = Flow(far, near, now)
                up.other, down.other = down, up
                for one in (near, far):
                    # read of the flow that begins there, written by the one that ends there
                    self._wanted[one] = (0, [up, down] if one is near else [down, up])
                self._flows |= {up, down}

    def _ready(self, flows: tuple[Flow, Flow], events: int) -> None:
        begins, ends = flows
        if events & selectors.EVENT_WRITE:
            ends.is_blocked = False
            self._watch(ends.target)
        if events & selectors.EVENT_READ and begins.is_read:
            self._read(begins)

    def _read(self, flow: Flow) -> None:
        now = time.monotonic()
        try:
            data = flow.source.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            self._drop(flow)
            return
        if not data:
            flow.ended, flow.is_read = True, False
            flow.queue.append((max(now, flow.free_at) + self._round_trip / 2, None))
            self._watch(flow.source)
            return
        flow.free_at = max(now, flow.free_at) + len(data) / self._pace
        flow.queue.append((flow.free_at + self._round_trip / 2, memoryview(data)))
        if flow.free_at - now >= AHEAD:
            flow.is_read = False
            self._watch(flow.source)

    def _deliver(self, flow: Flow, now: float) -> None:
        while flow.queue and not flow.is_blocked and flow.queue[0][0] <= now:
            due, data = flow.queue.popleft()
            try:
                if data is None:
                    flow.target.shutdown(socket.SHUT_WR)
                    if flow.other is not None and flow.other.ended and not flow.other.queue:
                        self._drop(flow)
                    return
                sent = flow.target.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(flow)
                return
            if data is not None and sent < len(data):
                flow.queue.appendleft((due, data[sent:]))
                flow.is_blocked = True
                self._watch(flow.target)

    def _watch(self, one: socket.socket) -> None:
        """Ask for the events that are wanted of a socket now."""
        if one not in self._wanted:
            return
        before, (begins, ends) = self._wanted[one]
        wanted = selectors.EVENT_READ * begins.is_read | selectors.EVENT_WRITE * ends.is_blocked
        if wanted == before:
            return
        self._wanted[one] = (wanted, [begins, ends])
        if not before:
            self._selector.register(one, wanted, (begins, ends))
        elif wanted:
            self._selector.modify(one, wanted, (begins, ends))
        else:
            self._selector.unregister(one)

    def _drop(self, flow: Flow) -> None:
        """Close both ends; what is under way is lost, as with a connection that breaks."""
        for one in (flow.source, flow.target):
            watched, _ = self._wanted.pop(one, (0, []))
            if watched:
                self._selector.unregister(one)
            with suppress(OSError):
                one.close()
        self._flows -= {flow, *([flow.other] if flow.other else [])}


def main() -> None:
    """Measure a line to a server that reads all and answers one byte."""
    parser = argparse.ArgumentParser(description="Measure the line itself.")
    parser.add_argument("--round-trip", type=float, default=0.05, help="seconds")
    parser.add_argument("--pace", type=float, default=100e6, help="bytes/s of each connection")
    parser.add_argument("--megabytes", type=int, default=256)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = os.fork()
        if not child:
            for _ in range(2):
                near, _ = server.accept()
                while near.recv(1 << 20):
                    pass
                near.sendall(b".")
                near.close()
            os._exit(0)
        to = server.getsockname()[:2]
        with line(to=to, round_trip=arguments.round_trip, pace=arguments.pace) as address:
            for size in (1, arguments.megabytes << 20):
                start = time.perf_counter()
                with socket.create_connection(address) as near:
                    piece = bytes(1 << 20)
                    for at in range(0, size, len(piece)):
                        near.sendall(piece[: size - at])
                    near.shutdown(socket.SHUT_WR)
                    near.recv(1)
                seconds = time.perf_counter() - start
                rate = f"{size / seconds / 1e6:.1f} MB/s"
                print(f"{size:>12,} bytes and an answer: {seconds:6.3f} s, {rate}")
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
