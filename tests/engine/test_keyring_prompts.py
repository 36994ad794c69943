"""A keyring that asks for its password on the terminal does not do so from the engine."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest

from lora_tui.config.load import load_profile

ASKING = """
import getpass, os
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 5

    def get_password(self, service, username):
        if "GPG_TTY" in os.environ:  # where pinentry draws its window of characters
            with open(os.environ["GPG_TTY"], "w") as terminal:
                terminal.write("PINENTRY")
        return getpass.getpass("KEYRING PASSWORD: ")

    set_password = delete_password = get_password
"""

APPLICATION = """
import os
from contextlib import closing
from lora_tui.config.load import load_profile
from lora_tui.engine.writers import Writers
from lora_tui.errors import LoraTuiError

os.environ["GPG_TTY"] = os.ttyname(0)
profile = load_profile()
with closing(Writers.for_profile(profile, None, profile.paths)) as writers:
    try:
        writers.sync()
    except LoraTuiError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_no_prompt_is_drawn_on_the_terminal_of_the_application(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "anon")
    monkeypatch.delenv("LORA_TUI_NO_KEYRING")
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "asking.py").write_text(ASKING)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "asking.Keyring")
    sessions = home / "state" / "sessions"
    sessions.mkdir(parents=True)
    session = {"kept_in": "keyring", "user_id": "00000000-0000-4000-8000-000000000001"}
    (sessions / f"{load_profile().key}.json").write_text(json.dumps(session | {"email": "a@b.c"}))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", APPLICATION])
    said = b""
    try:
        while more := os.read(terminal, 4096):
            said += more
    except OSError:  # all that had the terminal open have ended
        pass
    os.close(terminal)
    os.waitpid(pid, 0)
    text = said.decode()
    assert "NotSignedInError The session is in the keyring, which refuses (EOFError)" in text, text
    assert "PASSWORD" not in text
    assert "PINENTRY" not in text
