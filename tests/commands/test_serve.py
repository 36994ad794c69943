"""`serve`: the application as a page, for this machine and for who has the link."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import (
    ClientSession,
    ClientWebSocketResponse,
    CookieJar,
    WSMsgType,
    WSServerHandshakeError,
)
from yarl import URL

from lora_tui.config.paths import find_paths
from lora_tui.engine.crash_reports import crash_reports
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.running_processes import children_of, is_running

PREFETCH = {"Sec-Purpose": "prefetch;prerender"}
COMMAND = [sys.executable, "-m", "lora_tui", "serve"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """A running `lora-tui serve` and the link that it printed."""

    def __init__(self, *options: str) -> None:
        while True:
            self.process = subprocess.Popen(
                [*COMMAND, *options, "--port", str(free_port())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert self.process.stdout
            self.link = self.process.stdout.readline().strip()
            if self.link:
                break
            _, said = self.process.communicate()
            # another program took the port between our choice and its use
            assert "address already in use" in said, said

    @property
    def base(self) -> str:
        """Scheme, host and port."""
        return str(URL(self.link).origin())

    def next_link(self) -> str:
        """The link that was printed after the one before was used."""
        assert self.process.stderr
        for line in self.process.stderr:
            if found := re.search(r"http://\S+token=\S+", line):
                return found[0]
        raise AssertionError("no other link was printed")


def websocket_address(html: str) -> str:
    address = re.search(r'data-session-websocket-url="([^"]+)"', html)
    assert address is not None
    return address[1]


@pytest.fixture
def served(configured: Sandbox) -> Iterator[Served]:
    served = Served()
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
    async with browser.ws_connect(f"{websocket_address(html)}?width=120&height=40") as page:
        await text_until(page, name[:20])
        shown = command_lines({served.process.pid, *children_of(served.process.pid)})
        await page.send_json(["stdin", "q"])
        async for _ in page:
            pass
    assert served.process.poll() is None  # other pages can be opened
    assert len(shown) >= 2
    token = served.link.partition("token=")[2]
    secrets = (configured.password, configured.service_key, configured.gpu_key, token)
    assert [line for line in shown for secret in secrets if secret in line] == []


CRASHES = """
import sys
from lora_tui.app import LoraTuiApp

def fault(app):
    raise RuntimeError("the failure itself")

if "lora_tui.engine" not in sys.orig_argv:
    LoraTuiApp.on_ready = fault
"""


async def test_a_page_that_crashes_closes_and_the_terminal_says_where_the_report_is(
    configured: Sandbox,
    browser: ClientSession,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run("sync").code == 0
    (tmp_path / "sitecustomize.py").write_text(CRASHES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")  # the line is seen when it is written
    served = Served()
    try:
        async with browser.get(served.link) as answer:
            html = await answer.text()
        async with browser.ws_connect(f"{websocket_address(html)}?width=120&height=40") as page:
            async for _ in page:
                pass
        assert served.process.stdout
        said = next(line for line in served.process.stdout if "crashed" in line)
        assert served.process.poll() is None  # other pages can be opened
        served.process.send_signal(signal.SIGTERM)
        said += "".join(served.process.communicate())
    finally:
        served.process.kill()
    (report,) = crash_reports(find_paths().state_dir)
    assert f"lora-tui: The application crashed. The report is in {report};" in said
    assert "Traceback" not in said
    assert "a page in a browser, 120x40" in report.read_text()


async def test_nobody_gets_in_without_the_link_nor_from_another_site(
    served: Served, browser: ClientSession
) -> None:
    below = URL(served.link).path
    for path in ("/", "/ws", "/static/js/textual.js", "/?token=guessed", "/favicon.ico"):
        for start in ("", below.rstrip("/")):
            async with browser.get(served.base + start + path) as answer:
                assert answer.status == 403, path
    async with browser.get(served.link) as answer:
        assert answer.status == 200
        address = websocket_address(await answer.text())
    port = URL(served.base).port
    for headers in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{free_port()}"},
        {"Origin": f"http://localhost:{port}"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Host": "elsewhere.example"},
        {"Host": f"127.0.0.1.elsewhere.example:{port}"},
        {"Host": f"elsewhere.example:{port}"},
    ):
        with pytest.raises(WSServerHandshakeError) as refused:
            await browser.ws_connect(address, headers=headers)
        assert refused.value.status == 403, headers
        async with browser.get(served.base + below, headers=headers) as answer:
            assert answer.status == 403, headers


async def test_no_other_server_of_this_machine_is_sent_the_cookie(
    served: Served, browser: ClientSession
) -> None:
    async with browser.get(served.link, allow_redirects=False) as answer:
        (cookie,) = answer.cookies.values()
        page = str(URL(served.base).join(URL(answer.headers["Location"])))
    assert cookie["domain"] == ""  # of this host alone
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    jar = browser.cookie_jar
    assert jar.filter_cookies(URL(page))
    for other in ("http://127.0.0.1:9/", "http://localhost:9/", f"{served.base}/", served.base):
        assert not jar.filter_cookies(URL(other)), other
    assert len(URL(page).path) > 20  # nor can it be guessed


async def test_a_page_ends_its_application_and_the_server_ends_them_all(
    configured: Sandbox, browser: ClientSession, run: Run
) -> None:
    assert run("sync").code == 0
    name = run("list", "--json").data["models"][0]["name"]
    served = Served("--offline")  # what is idle draws nothing, and so would not fail at drawing
    async with browser.get(served.link) as answer:
        address = websocket_address(await answer.text())
    async with browser.ws_connect(address) as closed, browser.ws_connect(address) as left:
        await closed.receive()  # its application has started
        await text_until(left, name[:20])
        running = children_of(served.process.pid)
        assert len(running) == 2
        await closed.close()
        await until(lambda: sum(map(is_running, running)) == 1)
        served.process.kill()
        served.process.communicate()
        await until(lambda: not any(map(is_running, running)))
    assert not crash_reports(find_paths().state_dir)  # they had nobody to write to any more


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.sleep(0.02)


async def test_a_link_lets_one_browser_in_and_no_other(
    served: Served, browser: ClientSession
) -> None:
    for asked in (browser.head(served.link), browser.get(served.link, headers=PREFETCH)):
        async with asked as answer:
            assert answer.status == 403  # looked at, and not used up by that
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as thief:
        for _ in range(2):
            async with browser.get(served.link) as answer:
                assert answer.status == 200
                assert "token" not in str(answer.url)
            async with thief.get(served.link) as answer:
                assert answer.status == 403
        async with thief.get(served.next_link()) as answer:
            assert answer.status == 200


async def test_a_link_clicked_on_another_sites_page_opens_too(
    served: Served, browser: ClientSession
) -> None:
    """The browser keeps a strict cookie back until our own page asks."""
    clicked = {"Sec-Fetch-Site": "cross-site"}
    async with browser.get(served.link, headers=clicked, allow_redirects=False) as answer:
        page = str(URL(served.base).join(URL(answer.headers["Location"])))
        assert answer.status == 303
    async with ClientSession() as held_back, held_back.get(page, headers=clicked) as answer:
        assert answer.status == 200
        assert 'http-equiv="refresh"' in await answer.text()
        assert "websocket" not in await answer.text()
    async with ClientSession() as stranger, stranger.get(page) as answer:
        assert answer.status == 403
    async with browser.get(page) as answer:
        assert websocket_address(await answer.text())


async def test_behind_a_tunnel_with_another_port_the_page_names_that_port(
    served: Served, browser: ClientSession
) -> None:
    tunnel = {"Host": "127.0.0.1:9123"}
    async with browser.get(served.link, headers=tunnel) as answer:
        assert answer.status == 200
        assert websocket_address(await answer.text()).startswith("ws://127.0.0.1:9123/")
        assert "ws://127.0.0.1:9123" in answer.headers["Content-Security-Policy"]


def test_ctrl_c_ends_it_with_0(served: Served) -> None:
    served.process.send_signal(signal.SIGINT)
    _, talk = served.process.communicate(timeout=60)
    assert served.process.returncode == 0
    assert "Traceback" not in talk


def command_lines(processes: set[int]) -> list[str]:
    """What the list of processes shows of these."""
    files = (Path(f"/proc/{pid}/cmdline") for pid in processes)
    return [file.read_text(errors="replace").replace("\0", " ") for file in files]


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
    monkeypatch.delitem(sys.modules, "lora_tui.tui.web", raising=False)
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    ran = run("serve", "--json")
    assert ran.code == 2
    assert json.loads(ran.out)["details"].startswith("In the checkout, run `pip install '.[web]'`")
