"""The first requests of a new engine, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALLS = """
import sys, threading
from functools import partial
from lora_tui.engine.protocol import Hello
from lora_tui.engine.requests import open_requests
from lora_tui.errors import LoraTuiError

hello = Hello(profile=None, config_file=None, offline=False, owner=None)
requests = open_requests(hello, lambda *_: None)
asked = {
    "sync": {"full": False, "scheduled": False},
    "check_downloads": {},
    "check_project": {"url": "http://127.0.0.1:9", "anon_key": "anon"},
    "sign_out": {},
}
together = threading.Barrier(len(asked))
failures = []

def call(name, arguments):
    together.wait()
    try:
        requests.call(name, arguments)
    except LoraTuiError:
        pass
    except BaseException as error:
        failures.append(repr(error))

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=call, args=item) for item in asked.items()]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("\\n".join(failures) or 0)
"""


def test_the_first_requests_of_an_engine_can_come_at_once(tmp_path: Path) -> None:
    for number in range(4):  # chance decides which thread imports what first
        done = subprocess.run(
            [sys.executable, "-c", CALLS],
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **os.environ,
                "LORA_TUI_HOME": str(tmp_path / str(number)),
                "SUPABASE_URL": "http://127.0.0.1:9",
                "SUPABASE_ANON_KEY": "anon",
            },
        )
        assert done.returncode == 0, done.stderr
