"""The application in a browser, through textual-serve: for this machine, and for who has the link.

A page on any site may try to reach a server on loopback, and so may other users of the machine.
So the link carries a token, kept in a cookie; a strange Host or Origin is refused; and the page may
load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from textual_serve.server import Server

from lora_tui.errors import UsageError

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " font-src 'self' data:; img-src 'self' data:; connect-src 'self' ws:; frame-ancestors 'none'"
)
_SECONDS_TO_CLOSE: Final = 2


def serve(command: str, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Run `command` anew for each page, until SIGINT or SIGTERM. Raises UsageError."""
    asyncio.run(_serve(_Server(command, host, port), announce))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server there."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _serve(server: _Server, announce: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        await server.guarded(), access_log=None, shutdown_timeout=_SECONDS_TO_CLOSE
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, server.host, server.port).start()
        except OSError as error:
            raise UsageError(
                f"Port {server.port} of {server.host} can't be served: {error.strerror}",
                remedy="choose another with --port",
            ) from None
        announce(server.link)
        await stop.wait()
    finally:
        await runner.cleanup()


class _Server(Server):
    """textual-serve's server behind a guard; its own start would log local variables."""

    def __init__(self, command: str, host: str, port: int) -> None:
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        super().__init__(command, host, port, title="lora-tui", public_url=f"http://{self.address}")
        self._token = secrets.token_urlsafe(24)
        self._cookie = f"lora_tui_{port}"

    @property
    def link(self) -> str:
        """What opens the application; whoever has it acts as the user."""
        return f"{self.public_url}/?token={self._token}"

    async def guarded(self) -> web.Application:
        """The web application, for requests that pass the guard."""

        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        application = await self._make_app()
        application.middlewares.append(guard)
        return application

    async def on_startup(self, app: web.Application) -> None:
        """What textual-serve would print, `announce` says."""

    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.host != self.address:
            raise web.HTTPForbidden(text="This host name is not served here.\n")
        if request.headers.get("Origin", self.public_url) != self.public_url:
            raise web.HTTPForbidden(text="Other sites may not open the application.\n")
        if self._is_token(request.query.get("token", "")):
            answer = web.HTTPSeeOther("/")  # the token leaves the address bar
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
            raise answer
        if not self._is_token(request.cookies.get(self._cookie, "")):
            raise web.HTTPForbidden(text="Open the link that `lora-tui serve` printed.\n")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = _POLICY
            response.headers["Referrer-Policy"] = "no-referrer"
        return response

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())
