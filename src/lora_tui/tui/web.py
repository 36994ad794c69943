"""Serves the application to browsers on this machine that have the link (textual-serve).

Pages of any site, and servers of other users of this machine, may try to get access. Cookies ignore
ports: a cookie for 127.0.0.1 would be sent to every server there. So the page and its cookie belong
to a random path, and the browser sends the cookie nowhere else. The link admits one browser and is
then invalid; an unknown Host or Origin is refused; the page loads nothing from other hosts.
"""

from __future__ import annotations

import asyncio
import copy
import hmac
import ipaddress
import re
import secrets
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from aiohttp import web
from textual_serve.server import Server

from lora_tui.errors import UsageError

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " font-src 'self' data:; img-src 'self' data:; connect-src 'self' ws://{host};"
    " frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_RELOAD: Final = '<!doctype html><meta http-equiv="refresh" content="0"><title>lora-tui</title>'
_SECONDS_TO_CLOSE: Final = 2


def serve(
    command: str,
    host: str,
    port: int,
    announce: Callable[[str], None],
    announce_next: Callable[[str], None],
) -> None:
    """Run `command` anew for each page, until SIGINT or SIGTERM. Raises UsageError.

    `announce` gets the link; `announce_next` gets each new link after the previous one was used.
    """
    asyncio.run(_serve(_Server(command, host, port, announce_next), announce))


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
    """textual-serve's server with access checks; its own start would log local variables."""

    def __init__(
        self, command: str, host: str, port: int, announce_next: Callable[[str], None]
    ) -> None:
        host = _literal(host)
        self._name = f"[{host}]" if ":" in host else host
        super().__init__(
            command, host, port, title="lora-tui", public_url=f"http://{self._name}:{port}"
        )
        self._announce_next = announce_next
        self._path = f"/{secrets.token_urlsafe(24)}/"
        self._token = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(24)
        # a name that no other server of this host can set a cookie for
        self._cookie = f"lora_tui_{secrets.token_hex(8)}"

    @property
    def link(self) -> str:
        """The link that admits the next browser, which then acts as the user."""
        return f"{self.public_url}{self._path}?token={self._token}"

    async def guarded(self) -> web.Application:
        """The web application below its path, with access checks."""

        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            return await self._guard(request, handler)

        application = web.Application(middlewares=[guard])
        application.add_subapp(self._path, await self._make_app())
        return application

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing; `announce` receives the link."""

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page, with addresses of this request: a tunnel may have another port."""
        here = copy.copy(self)
        here.public_url = f"http://{request.host}"
        return await Server.handle_index(here, request)

    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not re.fullmatch(re.escape(self._name) + r"(:\d{1,5})?", request.host.lower()):
            raise web.HTTPForbidden(text="This host name is not served here.\n")
        own = f"http://{request.host}"
        if request.headers.get("Origin", own) != own:
            raise web.HTTPForbidden(text="Other sites may not open the application.\n")
        at_page = request.method == "GET" and request.path == self._path
        if _same(request.cookies.get(self._cookie, ""), self._session):
            if at_page and "token" in request.query:
                raise web.HTTPSeeOther(self._path)  # the token leaves the address bar
            response = await handler(request)
            if not response.prepared:
                response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)
                response.headers.update(_HEADERS)
            return response
        if at_page and self._is_admitted(request):
            raise self._entry()
        if at_page and request.headers.get("Sec-Fetch-Site") == "cross-site":
            # A link that was clicked on another site's page: the browser does not send the cookie
            # this once, and sends it when our own page asks.
            return web.Response(text=_RELOAD, content_type="text/html", headers=_HEADERS)
        raise web.HTTPForbidden(
            text="Open the newest link that `lora-tui serve` printed; each lets one browser in.\n"
        )

    def _is_admitted(self, request: web.Request) -> bool:
        ahead_of_time = "prefetch" in request.headers.get("Sec-Purpose", "")
        return not ahead_of_time and _same(request.query.get("token", ""), self._token)

    def _entry(self) -> web.HTTPSeeOther:
        """The response that admits a browser and replaces the used token."""
        self._token = secrets.token_urlsafe(24)
        with suppress(OSError):  # nobody reads the output any more; this browser is still admitted
            self._announce_next(self.link)
        answer = web.HTTPSeeOther(self._path, headers=_HEADERS)
        answer.set_cookie(
            self._cookie, self._session, path=self._path, httponly=True, samesite="Strict"
        )
        return answer


def _literal(host: str) -> str:
    """The host as browsers write it; `localhost` might be a foreign server on ::1."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        return host.lower()


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), secret.encode())
