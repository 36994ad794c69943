"""`make browser-check`: `lora-tui serve` in a headless Chromium, driven over its DevTools protocol.

Not part of `make test`, since Chromium is 113 MB to install (Debian: apt-get install chromium);
`.ci/run` has it. A page without the link is refused; with it there is the list, a key, a reload,
two pages at once; a server on another port is sent no cookie and opens no WebSocket; a closed page
ends its application. Pictures are left in build/browser-check/.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, web

from lora_tui.sandbox import Sandbox

PICTURES = Path(__file__).resolve().parent.parent / "build" / "browser-check"
PATIENCE = 60
"""Seconds for a page to show what it is to show."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Page:
    """A tab of the browser; what its WebSocket receives is the screen, as text."""

    def __init__(self, target: str, devtools: ClientWebSocketResponse) -> None:
        self.target = target
        self._devtools = devtools
        self._numbers = count(1)
        self.received = ""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; what it answers."""
        number = next(self._numbers)
        await self._devtools.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    async def open(self, address: str) -> None:
        self.received = ""
        await self.call("Page.navigate", url=address)

    async def reload(self) -> None:
        self.received = ""
        await self.call("Page.reload")

    async def wait_for(self, text: str) -> None:
        """Until the application has drawn `text`."""
        async with asyncio.timeout(PATIENCE):
            while text not in ESCAPES.sub("", self.received):
                await self._next()

    async def key(self, character: str) -> None:
        """Type it."""
        self.received = ""
        await self.evaluate("document.querySelector('.xterm-helper-textarea').focus()")
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    async def wait_for_body(self, text: str) -> None:
        """Until a page that is no application says `text`."""
        async with asyncio.timeout(PATIENCE):
            while text not in await self.evaluate("document.body?.innerText ?? ''"):
                await asyncio.sleep(0.05)

    async def evaluate(self, expression: str) -> str:
        """What a piece of JavaScript gives."""
        found = await self.call("Runtime.evaluate", expression=expression)
        return str(found["result"].get("value"))

    async def picture(self, name: str) -> bytes:
        """What is drawn, kept as a PNG."""
        await self.call("Runtime.evaluate", awaitPromise=True, expression=TWO_FRAMES)
        shot = base64.b64decode((await self.call("Page.captureScreenshot"))["data"])
        PICTURES.mkdir(parents=True, exist_ok=True)
        (PICTURES / f"{name}.png").write_bytes(shot)
        return shot

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._devtools.receive_json(timeout=PATIENCE)
        if message.get("method") == "Network.webSocketFrameReceived":
            response = message["params"]["response"]
            if response["opcode"] == 2:
                self.received += base64.b64decode(response["payloadData"]).decode(errors="replace")
        return message


TWO_FRAMES = "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"


class Browser:
    """A Chromium that runs; each page of it is a tab, all with the same cookies."""

    def __init__(self, session: ClientSession, port: str, stack: AsyncExitStack) -> None:
        self._session = session
        self._devtools = f"http://127.0.0.1:{port}/json"
        self._stack = stack

    async def new_page(self) -> Page:
        """An empty tab, which is in front."""
        async with self._session.put(f"{self._devtools}/new?about:blank") as answer:
            target = await answer.json()
        page = Page(
            target["id"],
            await self._stack.enter_async_context(
                self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=1 << 26)
            ),
        )
        await page.call("Network.enable")
        await page.call("Page.enable")
        await page.call("Page.bringToFront")
        return page

    async def close(self, page: Page) -> None:
        """As one closes a tab."""
        async with self._session.get(f"{self._devtools}/close/{page.target}") as answer:
            assert answer.status == 200


class Stranger:
    """Another user's server on this machine; its page tries to get at the application."""

    def __init__(self, base: str, seen: list[str]) -> None:
        self.base = base
        self.seen = seen
        """The cookies that it was sent."""


STRANGERS_PAGE = """<!doctype html><body><script>
const tries = [
  new Promise(done => {
    const socket = new WebSocket("WEBSOCKET");
    socket.onopen = () => done("open");
    socket.onerror = () => done("refused");
  }),
  fetch("PAGE", {credentials: "include"}).then(() => "open", () => "refused"),
  fetch("/again", {credentials: "include"}).then(() => "asked"),
];
Promise.all(tries).then(found => { document.body.innerText = found.join(" "); });
</script></body>"""


@asynccontextmanager
async def stranger(websocket: str, page: str) -> AsyncIterator[Stranger]:
    """Listens on a port of its own for as long as it is needed."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.extend(request.headers.getall("Cookie", []))
        text = STRANGERS_PAGE.replace("WEBSOCKET", websocket).replace("PAGE", page)
        return web.Response(text=text, content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield Stranger(f"http://127.0.0.1:{runner.addresses[0][1]}", seen)
    finally:
        await runner.cleanup()


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print(
            "chromium is missing; on Debian: apt-get install chromium", file=sys.stderr, flush=True
        )
        return 1
    with (
        tempfile.TemporaryDirectory() as scratch,
        Sandbox.start(models=24, hostile=True) as sandbox,
    ):
        environment = {
            **os.environ,
            "LORA_TUI_HOME": f"{scratch}/home",
            "LORA_TUI_NO_KEYRING": "1",
            "SUPABASE_URL": sandbox.url,
            "SUPABASE_ANON_KEY": sandbox.anon_key,
            "LORA_TUI_EMAIL": sandbox.email,
            "LORA_TUI_PASSWORD": sandbox.password,
        }
        lora_tui = [sys.executable, "-m", "lora_tui"]
        with running(
            [chromium, *HEADLESS, f"--user-data-dir={scratch}/chromium", "about:blank"],
            {**os.environ, "HOME": scratch},
        ):
            subprocess.run([*lora_tui, "sync"], env=environment, check=True)
            listed = [*lora_tui, "list", "--csv", "--limit", "1"]
            rows = subprocess.run(
                listed, env=environment, check=True, capture_output=True, text=True
            )
            name = rows.stdout.splitlines()[1].split(",")[1]
            serve_command = [*lora_tui, "serve", "--port", str(free_port())]
            with running(serve_command, environment) as serve:
                assert serve.stdout
                link = serve.stdout.readline().strip()
                port_file = Path(scratch, "chromium", "DevToolsActivePort")
                asyncio.run(check(port_file, link, name[:20], serve.pid))
    print(f"browser-check: all well; pictures in {PICTURES}", flush=True)
    return 0


async def check(port_file: Path, link: str, name: str, serve: int) -> None:
    """Raises AssertionError, or TimeoutError where something is never shown."""
    await until(lambda: port_file.exists() and "\n" in port_file.read_text())
    port = port_file.read_text().split("\n")[0]
    async with ClientSession() as session, AsyncExitStack() as stack:
        browser = Browser(session, port, stack)
        page = await browser.new_page()
        await check_one_page(page, link, name)
        await check_two_pages(browser, page, link, name, serve)
        await check_foreign_port(browser, page)
        await browser.close(page)
        await until(lambda: not children_of(serve))
        print("the last page closed: no application runs", flush=True)


async def check_one_page(page: Page, link: str, name: str) -> None:
    await page.open(link.partition("?")[0])
    await page.wait_for_body("link that `lora-tui serve` printed")
    await page.picture("refused")
    print("without the token: refused", flush=True)

    await page.open(link)
    await page.wait_for(name)
    before = await page.picture("models")
    assert "token" not in await page.evaluate("location.href")
    print(f"with it: the list shows {name!r}, and the address no token", flush=True)

    await page.key("?")
    await page.wait_for("This screen")
    assert before != await page.picture("help")
    print("`?` shows the keys", flush=True)


async def check_two_pages(browser: Browser, page: Page, link: str, name: str, serve: int) -> None:
    first = children_of(serve)
    second = await browser.new_page()
    await second.open(link)  # which this browser may use again
    await second.wait_for(name)
    both = children_of(serve)
    assert len(both) == 2, both
    await second.key("t")
    await second.wait_for("Transfers")
    assert "Transfers" not in page.received
    print("two pages at once: an application each", flush=True)

    await page.reload()
    await page.wait_for(name)
    await until(lambda: not first & children_of(serve))
    assert "token" not in await page.evaluate("location.href")
    print("a reload: a new application, and the old one ended", flush=True)

    left = both - first
    await browser.close(second)
    await until(lambda: not left & children_of(serve))
    assert len(children_of(serve)) == 1
    print("a page closed: its application ended, the other runs", flush=True)


async def check_foreign_port(browser: Browser, page: Page) -> None:
    terminal = "document.getElementById('terminal').dataset.sessionWebsocketUrl"
    websocket, address = await page.evaluate(terminal), await page.evaluate("location.href")
    async with stranger(websocket, address) as server:
        other = await browser.new_page()
        for base in (server.base, server.base.replace("127.0.0.1", "localhost")):
            await other.open(base)
            # it may know the whole address, and yet
            await other.wait_for_body("refused refused asked")
        assert server.seen == [], server.seen
        await browser.close(other)
    print("a server on another port: no cookie, no WebSocket, no page", flush=True)


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not happened():
            await asyncio.sleep(0.05)


def children_of(parent: int) -> set[int]:
    """The processes that this one has started and that run."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, started_by = file.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue  # it has just ended
        if started_by == str(parent) and state != "Z":
            found.add(int(file.parent.name))
    return found


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended afterwards."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


HEADLESS = [
    *("--headless=new", "--remote-debugging-port=0", "--window-size=1280,800", "--disable-gpu"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    "--disable-dev-shm-usage",  # which is small in a container
    # a sandbox needs rights that root and containers lack; nothing but our pages is opened in it
    "--no-sandbox",
]


if __name__ == "__main__":
    sys.exit(main())
