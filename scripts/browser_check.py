"""`make browser-check`: `lora-tui serve` in a headless Chromium, driven over its DevTools protocol.

Not part of `make test`, since Chromium is 113 MB to install (Debian: apt-get install chromium). It
opens the page without the token and must be refused, opens it with the token and must see the
models, types a key and must see another screen, and leaves pictures in build/browser-check/.
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
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

from lora_tui.sandbox import Sandbox

PICTURES = Path(__file__).resolve().parent.parent / "build" / "browser-check"
PATIENCE = 60
"""Seconds for a page to show what it is to show."""


class Page:
    """A tab of the browser; what its WebSocket receives is the screen, as text."""

    def __init__(self, devtools: ClientWebSocketResponse) -> None:
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

    async def wait_for(self, text: str) -> None:
        """Until the application has drawn `text`."""
        async with asyncio.timeout(PATIENCE):
            while text not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.received):
                await self._next()

    async def key(self, character: str) -> None:
        """Type it."""
        self.received = ""
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
        await self.call("Runtime.evaluate", awaitPromise=True, expression=_TWO_FRAMES)
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


_TWO_FRAMES = "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"


def main() -> int:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("chromium is missing; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch, Sandbox.start(models=24) as sandbox:
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
        subprocess.run([*lora_tui, "sync"], env=environment, check=True)
        listed = [*lora_tui, "list", "--csv", "--limit", "1"]
        first = subprocess.run(listed, env=environment, check=True, capture_output=True, text=True)
        name = first.stdout.splitlines()[1].split(",")[1]
        with (
            running([*lora_tui, "serve", "--port", str(free_port())], environment) as serve,
            running(
                [chromium, *_HEADLESS, f"--user-data-dir={scratch}/chromium", "about:blank"],
                {**os.environ, "HOME": scratch},
            ),
        ):
            assert serve.stdout
            link = serve.stdout.readline().strip()
            asyncio.run(check(Path(scratch, "chromium", "DevToolsActivePort"), link, name))
    print(f"browser-check: all well; pictures in {PICTURES}")
    return 0


async def check(port_file: Path, link: str, name: str) -> None:
    """Raises AssertionError, or TimeoutError where something is never shown."""
    async with asyncio.timeout(PATIENCE):
        while not port_file.exists() or "\n" not in port_file.read_text():
            await asyncio.sleep(0.05)
    port = port_file.read_text().split("\n")[0]
    async with ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(tab for tab in await answer.json() if tab["type"] == "page")
        async with session.ws_connect(
            target["webSocketDebuggerUrl"], max_msg_size=1 << 26
        ) as devtools:
            page = Page(devtools)
            await page.call("Network.enable")
            await page.call("Page.enable")
            await page.call("Page.navigate", url=link.partition("/?")[0] + "/")
            await page.wait_for_body("Open the link that `lora-tui serve` printed.")
            await page.picture("refused")
            print("without the token: refused")

            await page.call("Page.navigate", url=link)
            await page.wait_for(name[:20])
            before = await page.picture("models")
            assert "token" not in await page.evaluate("location.href")
            print(f"with it: the list shows {name!r}, and the address no token")

            await page.evaluate("document.querySelector('.xterm-helper-textarea').focus()")
            await page.key("?")
            await page.wait_for("This screen")
            after = await page.picture("help")
            assert before != after
            print("`?` shows the keys")


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
        process.communicate(timeout=PATIENCE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_HEADLESS = [
    *("--headless=new", "--remote-debugging-port=0", "--window-size=1280,800", "--disable-gpu"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    # as root it has no sandbox of its own, and nothing but our page is opened in it
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
]


if __name__ == "__main__":
    sys.exit(main())
