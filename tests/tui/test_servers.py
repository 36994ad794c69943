"""The screen Servers: what is known of them, and asked again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from textual.pilot import Pilot

from lora_tui.cache.connection import open_existing, transaction
from lora_tui.cache.served import put_served, put_server_state
from lora_tui.clock import timestamp_text
from lora_tui.domain.servers import Loaded, Proof, ServedName, ServerState, Verdict
from lora_tui.errors import UnreachableError
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.servers import ServersScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import NOW, FakeWriters, Library
from tests.tui.whole_model import MODEL

Compare = Callable[..., bool]
AT = timestamp_text(NOW)
URL = "http://gpu-1:8000"
HOSTILE = "\x1b[2J[red]evil[/]\u202e"
VLLM = ServerState(
    "gpu-1", URL, "vllm", AT, True, "", "meta-llama/Llama-3.1-8B-Instruct", "0.32.0",
    (ServedName("support-1.0-abc", "/models/a"), ServedName(HOSTILE, "/x")),
)  # fmt: skip
DEAD = ServerState(
    "lab", "http://10.0.0.7:8080", "llama.cpp", AT, False, "10.0.0.7 can't be reached"
)
LOADED = Loaded(
    "me", "gpu-1", URL, "support-1.0-abc", MODEL, "Support mails", "abc", "/models/a", "", AT
)
PROOF = Proof(
    "me", MODEL, "gpu-1", URL, "support-1.0-abc", "abc", Verdict.NO_EFFECT, 0.0, 0.01, 5, 120,
    ("B is zero in all 14 modules",), "", AT,
)  # fmt: skip


def put(library: Library, *states: ServerState, loaded: Loaded = LOADED) -> None:
    with closing(open_existing(library.path)) as db, transaction(db):
        for state in states:
            put_server_state(db, state)
        put_served(db, [loaded], [PROOF])


async def show_servers(pilot: Pilot[None]) -> None:
    """Open the screen, and wait until the servers were asked."""
    await pilot.press("H")
    await until(pilot, lambda: isinstance(pilot.app.screen, ServersScreen))
    await until(pilot, lambda: not list(pilot.app.screen.workers))


@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=["80x24", "120x36"])
def test_the_servers(
    model: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
) -> None:
    put(model, VLLM, DEAD)
    assert snap_compare(open_app(), run_before=show_servers, terminal_size=size)


def test_no_server_says_how_to_add_one(
    model: Library, open_app: Open, snap_compare: Compare
) -> None:
    assert model
    assert snap_compare(open_app(), run_before=show_servers, terminal_size=(80, 24))


async def test_servers_are_asked_when_the_screen_opens_and_again_on_r(
    model: Library, open_app: Open, writers: FakeWriters
) -> None:
    put(model, DEAD)
    writers.on_refresh_servers = lambda: put(model, VLLM)
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("H")
        await until(pilot, lambda: "1 of 2 answer" in screen_text(app))
        text = screen_text(app)
        for words in ("Support mails", "as support-1.0-abc", "not by lora-tui", "can't be reached"):
            assert words in text
        assert "\x1b" not in text
        writers.on_refresh_servers = lambda: ["gpu-1 has Support mails no longer"]
        await pilot.press("r")
        await until(pilot, lambda: any("no longer" in toast for toast in toasts(app)))
        assert writers.asked.count(("refresh_servers",)) == 2
        assert ("sync",) not in writers.asked


async def test_offline_the_last_answers_stay_and_the_reason_is_told(
    model: Library, open_app: Open, writers: FakeWriters
) -> None:
    put(model, VLLM)

    def refused() -> list[str]:
        raise UnreachableError("This needs the network", remedy="start without --offline")

    writers.on_refresh_servers = refused
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("H")
        await until(pilot, lambda: "This needs the network" in screen_text(app))
        assert "Support mails" in screen_text(app)


async def test_enter_opens_the_model_that_is_loaded(model: Library, open_app: Open) -> None:
    put(model, VLLM)
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("H")
        await until(pilot, lambda: isinstance(app.screen, ServersScreen))
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, ModelScreen))
