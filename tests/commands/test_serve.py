"""`serve`: the application as a page, for this machine and for who has the link."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import (
    ClientSession,
    ClientWebSocketResponse,
    CookieJar,
    WSMsgType,
    WSServerHandshakeError,
)

from lora_tui.sandbox import Sandbox
from tests.conftest import Run

COMMAND = [sys.executable, "-m", "lora_tui", "serve"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """A running `lora-tui serve` and the link that it printed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--port", str(free_port())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.link = self.process.stdout.readline().strip()

    @property
    def base(self) -> str:
        return self.link.partition("/?")[0]


@pytest.fixture
def served(configured: Sandbox) -> Iterator[Served]:
    served = Served()
    assert served.link, served.process.communicate()
    yield served
    served.process.kill()
    served.process.communicate()


@pytest.fixture
async def browser() -> AsyncIterator[ClientSession]:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        yield session


async def text_until(page: ClientWebSocketResponse, wanted: str) -> str:
    """What the page was sent, without escape sequences, as soon as `wanted` is in it."""
    seen = ""
    async for message in page:
        if message.type is WSMsgType.BINARY:
            seen += message.data.decode(errors="replace")
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
        if wanted in plain:
            return plain
    raise AssertionError(f"the page ended without {wanted!r}")


async def test_the_link_opens_the_list_q_ends_it_and_no_process_shows_a_secret(
    served: Served, browser: ClientSession, configured: Sandbox, run: Run
) -> None:
    assert run("sync").code == 0
    name = run("list", "--json").data["models"][0]["name"]
    async with browser.get(served.link) as answer:
        html = await answer.text()
        assert answer.status == 200
        assert "token" not in str(answer.url)
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    address = re.search(r'data-session-websocket-url="([^"]+)"', html)
    assert address is not None
    async with browser.ws_connect(f"{address[1]}?width=120&height=40") as page:
        await text_until(page, name[:20])
        shown = [line for line in process_lines() if "lora_tui" in line]
        await page.send_json(["stdin", "q"])
        async for _ in page:
            pass
    assert served.process.poll() is None  # other pages can be opened
    assert len(shown) >= 2
    token = served.link.partition("token=")[2]
    secrets = (configured.password, configured.service_key, configured.gpu_key, token)
    assert [line for line in shown for secret in secrets if secret in line] == []


async def test_nobody_gets_in_without_the_link_nor_from_another_site(
    served: Served, browser: ClientSession
) -> None:
    for path in ("/", "/ws", "/static/js/textual.js", "/?token=guessed"):
        async with browser.get(served.base + path) as answer:
            assert answer.status == 403, path
    async with browser.get(served.link) as answer:
        assert answer.status == 200
    for headers in ({"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}):
        with pytest.raises(WSServerHandshakeError) as refused:
            await browser.ws_connect(f"{served.base}/ws", headers=headers)
        assert refused.value.status == 403


def test_ctrl_c_ends_it_with_0(served: Served) -> None:
    served.process.send_signal(signal.SIGINT)
    _, talk = served.process.communicate(timeout=20)
    assert served.process.returncode == 0
    assert "Traceback" not in talk


def process_lines() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.stat().st_uid == os.getuid():
                lines.append(file.read_text(errors="replace").replace("\0", " "))
        except OSError:
            continue  # it has ended
    return lines


@pytest.mark.parametrize(
    "options",
    [
        ["--host", "192.0.2.1"],
        ["--host", "0.0.0.0"],
        ["--host", "0.0.0.0", "--allow-others"],
        ["--port", "70000"],
        ["--port", "0"],
    ],
    ids=" ".join,
)
def test_an_address_that_is_not_to_be_served_is_refused_in_one_line(
    run: Run, options: list[str]
) -> None:
    ran = run("serve", *options)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_a_port_that_is_taken_is_one_line(configured: Sandbox, run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ran = run("serve", "--port", str(other.getsockname()[1]))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--port" in ran.err


def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "lora_tui.web", raising=False)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    ran = run("serve", "--json")
    assert ran.code == 2
    assert json.loads(ran.out)["details"] == "Install lora-tui[web]."
