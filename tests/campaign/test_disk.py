"""A campaign leaves no file system behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.campaign.disk import Disk, mounted

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.campaign.disk import Disk
disk = Disk(Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_campaign_gives_back_the_disk_of_one_that_was_killed(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, before], cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    assert (str(before) in mounted()) is (os.geteuid() == 0)

    with Disk(after):
        assert str(before) not in mounted()
    assert str(after) not in mounted()
