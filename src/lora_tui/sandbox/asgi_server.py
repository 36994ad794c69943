"""Serves an ASGI application of the sandbox: uvicorn in a thread, on a free port of loopback."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lora_tui.sandbox.middleware import Connections

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class AsgiServer(uvicorn.Server):
    """uvicorn in a daemon thread; it serves once the constructor returns."""

    def __init__(self, build: Callable[[Connections], ASGIApp]) -> None:
        """`build` makes the application; its argument maps client addresses to transports."""
        connections: Connections = {}
        super().__init__(
            uvicorn.Config(
                build(connections),
                http=_protocol(connections),
                ws="none",
                loop="asyncio",
                lifespan="off",
                access_log=False,
                date_header=False,  # the middleware's follows the sandbox's clock
                log_config=None,
                log_level="critical",
                timeout_graceful_shutdown=1,
            )
        )
        listener = _loopback_listener()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._serving = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=self.run, args=([listener],), name="sandbox", daemon=True
        )
        self._thread.start()
        if not self._serving.wait(_START_SECONDS):
            raise RuntimeError("the sandbox did not start")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._serving.set()

    async def main_loop(self) -> None:
        """Like uvicorn's own, but stops at once."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Like uvicorn's own, but without its wait of 0.1 s if no connection is open."""
        self._close_listeners()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)

    def end_after_this_answer(self) -> None:
        """Accept no connection any more, and end; for a handler, which may still answer.

        To be called in the server's own thread.
        """
        self._close_listeners()
        self.should_exit = True
        self._stopping.set()

    def stop(self) -> None:
        """Finish what is under way, for a second at most, and end the thread."""
        self.should_exit = True
        with suppress(RuntimeError):  # the loop is closed: already stopped
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)

    def _close_listeners(self) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()


def _loopback_listener() -> socket.socket:
    # asyncio switches Nagle's delay off only where the protocol is named: without it each answer
    # waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


def _protocol(connections: Connections) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, which also notes its transport, so that a fault can cut it."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._address = transport.get_extra_info("peername")
            connections[self._address] = transport

        def connection_lost(self, exc: Exception | None) -> None:
            connections.pop(self._address, None)
            super().connection_lost(exc)

    return Protocol
