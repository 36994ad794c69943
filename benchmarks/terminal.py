"""An application in a pseudo-terminal, measured from outside by the bytes that it draws."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

QUIET = 0.08
"""Seconds without output after which a frame is complete."""
UNANSWERED = 2.0
APPS = str(Path(__file__).with_name("terminal_apps.py"))


class Terminal:
    """An application in a pseudo-terminal."""

    def __init__(self, kind: str, argument: str, mark: str, *, settled: bool = True) -> None:
        """`settled`: wait until nothing is drawn any more."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, APPS, kind, argument],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=environment,
            start_new_session=True,
        )
        os.close(follower)
        self.leader = leader
        self.first_paint = self._until(mark.encode()) - started
        self.processor = self._processor_seconds()
        if settled:
            self.settle()

    def press(self, keys: str) -> float:
        """Seconds from the keys to the end of the frame that answers them."""
        start = time.perf_counter()
        os.write(self.leader, keys.encode())
        last = start
        limit = UNANSWERED
        while select.select([self.leader], [], [], limit)[0]:
            os.read(self.leader, 1 << 20)
            last = time.perf_counter()
            limit = QUIET
        return last - start

    def seen_after(self, keys: str, mark: str) -> float:
        """Seconds from the keys to the frame that shows `mark`, whatever else is drawn."""
        start = time.perf_counter()
        os.write(self.leader, keys.encode())
        return self._until(mark.encode()) - start

    def draw(self, seconds: float) -> None:
        """Take what is drawn for so long."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.leader], [], [], left)[0]:
                os.read(self.leader, 1 << 20)

    def settle(self) -> None:
        """Wait until nothing is drawn any more."""
        while select.select([self.leader], [], [], 0.4)[0]:
            os.read(self.leader, 1 << 20)

    @property
    def memory(self) -> float:
        """MiB at the peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = (entry for entry in status.splitlines() if entry.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def _processor_seconds(self) -> float:
        """What the application has used so far; other programs don't make it longer."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.leader)

    def _until(self, mark: bytes) -> float:
        seen = b""
        while mark not in seen:
            with suppress(OSError):
                seen += os.read(self.leader, 1 << 20)
            if self.process.poll() is not None:
                sys.exit(f"the application ended: {seen[-2000:].decode(errors='replace')}")
        return time.perf_counter()
