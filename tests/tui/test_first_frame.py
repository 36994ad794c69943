"""The real start on a real terminal: the first frame has the models, and waits for nothing else."""

from __future__ import annotations

import base64
import fcntl
import gc
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lora_tui.config.load import load_profile
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import Library

pytestmark = pytest.mark.slow

USER = "00000000-0000-4000-8000-000000000001"
RECORD = """
import json, os, sys
from pathlib import Path
from textual.drivers.linux_driver import LinuxDriver

def write(driver, data):
    if "Models" in data:  # the title: a whole frame
        styles = [Path(file).name for file, _ in driver._app.stylesheet.source if file]
        found = {"frame": data, "modules": sorted(sys.modules), "styles": styles}
        Path(sys.argv[1]).write_text(json.dumps(found))
        os._exit(0)

LinuxDriver.write = write
from lora_tui.cli.run import main
main([])
"""
LATER = (
    "argparse.",
    "httpx.",
    "httpcore.",
    "postgrest.",
    "storage3.",
    "supabase.",
    "supabase_auth.",
    "pydantic.",
    "keyring.",
    "tomlkit.",
    "lora_tui.account.login.",
    "lora_tui.adapters.",
    "lora_tui.cache.jobs.",
    "lora_tui.config.write.",
    "lora_tui.domain.",
    "lora_tui.gateway.",
    "lora_tui.locks.",
    "lora_tui.processes.",
    "lora_tui.harvest.",
    "lora_tui.engine.online.",
    "lora_tui.sync.",
    "lora_tui.fetching.",
    "lora_tui.transfers.",
    "lora_tui.widgets.search_bar.",
)
STYLES = {"base_app.tcss", "models.tcss"}
"""Those of dialogs and forms are parsed with the first of them; those of a screen, with it."""
SHOWN = {"models", "models_body", "models_keys", "models_text", "table_screen"}
"""The list and its parts, and what every screen is made of."""


def first_frame(tmp_path: Path) -> dict[str, Any]:
    """What `lora-tui` draws first on a filled cache, and what it has loaded by then."""
    claims = json.dumps({"sub": USER, "email": "a@b.example", "exp": 4102444800}).encode()
    token = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    environment = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "LORA_TUI_HOME": str(tmp_path / "home"),
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_ANON_KEY": "anon",
        "LORA_TUI_ACCESS_TOKEN": f"e30.{token}.x",
    }
    Library(load_profile(environment=environment).cache_path(USER)).fill()
    record = tmp_path / "record.json"
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD, str(record)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        start_new_session=True,
    )
    os.close(follower)
    written = b""
    with suppress(OSError):  # the other end is closed when the process ends
        while data := os.read(leader, 1 << 16):
            written += data
    os.close(leader)
    assert process.wait() == 0, written.decode(errors="replace")
    found: dict[str, Any] = json.loads(record.read_text())
    return found


def test_the_first_frame_has_the_models_before_a_network_or_styles_of_another_screen_are_loaded(
    tmp_path: Path,
) -> None:
    found = first_frame(tmp_path)
    assert found["frame"].count("Customer Support") > 0
    assert "37 models" in found["frame"]
    loaded = {name for name in found["modules"] if f"{name}.".startswith(LATER)}
    assert not loaded
    screens = {
        name.removeprefix("lora_tui.screens.")
        for name in found["modules"]
        if name.startswith("lora_tui.screens.")
    }
    assert screens == SHOWN
    assert {name for name in found["styles"] if name.endswith(".tcss")} == STYLES
    assert "_input.py" not in found["styles"]  # the search is built after the first frame


async def test_the_status_says_nothing_that_the_list_does_not_show_yet(
    library: Library, open_app: Open
) -> None:
    app = open_app()
    app.poll_cache = lambda: None  # type: ignore[method-assign] # until the test asks for it
    async with app.run_test(size=(100, 30)) as pilot:
        library.fill()
        app.screen.query_one("StatusBar").refresh()
        await pilot.pause()
        assert "never synced" in screen_text(app)
        type(app).poll_cache(app)
        await until(pilot, lambda: "37 models" in screen_text(app))
        assert "never synced" not in screen_text(app)


async def test_memory_is_collected_from_the_first_frame_on(open_app: Open) -> None:
    gc.disable()
    try:
        app = open_app()
        async with app.run_test(size=(100, 30)) as pilot:
            await until(pilot, gc.isenabled)
    finally:
        gc.enable()
