"""Loading a model into a server from the list and its page: a menu, a toast with the verdict."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from lora_tui.cache.connection import open_existing, transaction
from lora_tui.cache.served import put_served
from lora_tui.domain.servers import Loaded
from lora_tui.engine.writers import CommandToConfirm, LoadedText, ServerLine
from lora_tui.errors import BackendError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.load_model import LoadMenu
from lora_tui.screens.models import ModelsScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, identifier

MODEL = identifier("model", 0)
SIZE = (110, 32)
SERVERS = (
    ServerLine("gpu-1", "vllm", "answers, with meta-llama/Llama-3.1-8B-Instruct"),
    ServerLine("laptop", "llama.cpp", "not asked yet"),
    ServerLine("old", "vllm", "silent: Could not ask old: connection refused"),
)


def put_loaded(library: Library, server: str) -> None:
    row = Loaded("me", server, "http://gpu", "support-1-abc", MODEL, "Support", "abc", "/srv/a",
                 "", "2026-11-23T11:00:00.000000Z")  # fmt: skip
    with closing(open_existing(library.path)) as db, transaction(db):
        put_served(db, [row], [])


async def test_a_model_of_the_list_is_loaded_and_the_verdict_is_told(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill(count=2)
    writers.servers = SERVERS
    writers.on_load = lambda _server, _confirmed: LoadedText(
        True, ("Support is loaded on gpu-1.", "Changes the answers, 0.36 nats a token."), ""
    )
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        assert "not asked yet" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: any("0.36 nats" in toast for toast in toasts(app)))
        assert ("load_model", MODEL, "gpu-1") in writers.asked
        assert any(toast.startswith("Loaded into gpu-1: ") for toast in toasts(app))


async def test_one_without_effect_is_said_loudly_and_a_refusal_in_the_servers_words(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill(count=2)
    writers.servers = SERVERS
    writers.on_load = lambda _server, _confirmed: LoadedText(
        False, ("Loaded without effect: B is zero.",), ""
    )
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        await pilot.press("enter")
        await until(pilot, lambda: any("B is zero" in toast for toast in toasts(app)))
        assert [n.severity for n in app._notifications if "B is zero" in n.message] == ["warning"]

        def refuse(_server: str, _confirmed: bool) -> Any:
            raise BackendError("Could not load it", details="LoRA rank 64 is greater than 16")

        writers.on_load = refuse
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        await pilot.press("down", "enter")
        await until(pilot, lambda: any("rank 64" in toast for toast in toasts(app)))
        assert isinstance(app.screen, ModelsScreen)


async def test_a_command_for_another_machine_is_shown_before_it_runs(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill(count=2)
    writers.servers = SERVERS
    writers.on_load = lambda _server, confirmed: (
        LoadedText(True, ("It is loaded.",), "")
        if confirmed
        else CommandToConfirm("ssh gpu-1 sh -s  # fetches 6 files, 12 MB, into /srv/a")
    )
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "ssh gpu-1 sh -s" in screen_text(app)
        await pilot.press("n")
        assert ("load_model", MODEL, "gpu-1", "confirmed") not in writers.asked
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: ("load_model", MODEL, "gpu-1", "confirmed") in writers.asked)


async def test_a_server_that_has_it_is_offered_for_unloading_after_a_question(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill(count=2)
    put_loaded(library, "gpu-1")
    writers.servers = SERVERS
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        app.open_model(MODEL)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        assert "has it: support-1-abc" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert ("unload_model", MODEL, "gpu-1") not in writers.asked
        await pilot.press("y")
        await until(pilot, lambda: ("unload_model", MODEL, "gpu-1") in writers.asked)
        await until(pilot, lambda: any("Unloaded from gpu-1" in toast for toast in toasts(app)))


async def test_without_a_server_it_says_how_to_add_one(library: Library, open_app: Open) -> None:
    library.fill(count=2)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: any("servers add" in toast for toast in toasts(app)))


async def test_llama_servers_commands_are_copied(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill(count=2)
    writers.servers = SERVERS
    writers.on_load = lambda _server, _confirmed: LoadedText(False, (), "llama-server --lora x\n")
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))
        await pilot.press("down", "enter")
        await until(pilot, lambda: app.clipboard == "llama-server --lora x\n")
        await until(pilot, lambda: any("at its start only" in toast for toast in toasts(app)))


def test_the_menu(
    library: Library, open_app: Open, writers: FakeWriters, snap_compare: Any
) -> None:
    library.fill(count=12)
    put_loaded(library, "gpu-1")
    writers.servers = SERVERS
    app = open_app()

    async def before(pilot: Any) -> None:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, LoadMenu))

    assert snap_compare(app, terminal_size=SIZE, run_before=before)
