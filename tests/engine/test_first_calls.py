"""The first calls of a new process, made by several threads at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CALLS = """
import sys, threading
from pathlib import Path
from lora_tui.engine.writers import Writers
from lora_tui.errors import UnreachableError

def connect():
    import lora_tui.engine.online
    raise UnreachableError("no network")

writers = Writers(Path(sys.argv[1]) / "cache.sqlite3", Path(sys.argv[1]), connect=connect)
together = threading.Barrier(2)
failures = []

def call(what):
    together.wait()
    try:
        what()
    except UnreachableError:
        pass
    except BaseException as error:
        failures.append(repr(error))

sys.setswitchinterval(1e-6)
calls = writers.sync, writers.check_downloads
threads = [threading.Thread(target=call, args=[it]) for it in calls]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("\\n".join(failures) or 0)
"""


def test_a_sync_and_the_check_of_downloads_can_start_at_once(tmp_path: Path) -> None:
    for number in range(4):  # chance decides which thread imports what first
        home = tmp_path / str(number)
        home.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", CALLS, str(home)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
