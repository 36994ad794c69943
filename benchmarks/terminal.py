"""An application in a pseudo-terminal, measured from outside by the bytes that it draws."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

QUIET = 0.08
"""Seconds without output after which a frame is complete."""
UNANSWERED = 2.0
STUCK = 60.0
"""Seconds until a start has failed."""
UNSEEN = 10.0
"""Seconds until a key has had no effect."""
ORPHANED = 15.0
"""Seconds that processes have to end by themselves after the application was killed."""


class UnseenError(Exception):
    """What a key should show was not drawn in time; the text is what was drawn instead."""


class Terminal:
    """An application in a pseudo-terminal."""

    def __init__(
        self,
        command: Sequence[str],
        mark: str,
        *,
        environment: Mapping[str, str] = os.environ,
        settled: bool = True,
    ) -> None:
        """Start it. `mark`: a text of its first frame. `settled`: wait until nothing is drawn."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**environment, **terminal},
            start_new_session=True,
        )
        os.close(follower)
        self.leader = leader
        self.first_paint = self._until(re.escape(mark)) - started
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

    def send(self, keys: str, seconds: float) -> None:
        """Write the keys and take what is drawn for so long, also where something always moves."""
        os.write(self.leader, keys.encode())
        self.draw(seconds)

    def seen_after(self, keys: str, mark: str, *, of_line: str = "") -> float:
        """Seconds from the keys to the frame that shows `mark`, whatever else is drawn.

        `of_line`: a text that stands before it in the same line.
        """
        pattern = re.escape(mark)
        if of_line:
            pattern = rf"{re.escape(of_line)}[^\n]*?{pattern}"
        start = time.perf_counter()
        os.write(self.leader, keys.encode())
        return self._until(pattern, UNSEEN) - start

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
    def memory(self) -> dict[str, float]:
        """MiB at the peak of the application, and of each process that it has started."""
        found = {"application": _peak(self.process.pid)}
        for pid in _children(self.process.pid):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                name = "engine" if "lora_tui.engine" in words else Path(words[0]).name
                found[name] = found.get(name, 0.0) + _peak(pid)
        return found

    def close(self) -> None:
        """Kill it, and wait until all that it has started has ended too."""
        children = _children(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.leader)
        end = time.monotonic() + ORPHANED
        while any(map(_is_running, children)) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in filter(_is_running, children):
            os.kill(pid, signal.SIGKILL)

    def _processor_seconds(self) -> float:
        """What the application has used so far; other programs don't make it longer."""
        fields = _status(self.process.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _until(self, pattern: str, limit: float = STUCK) -> float:
        """The moment when a text that fits is drawn. Raises UnseenError after `limit` seconds."""
        wanted = re.compile(pattern.encode())
        seen = b""
        end = time.perf_counter() + limit
        while not wanted.search(seen):
            left = end - time.perf_counter()
            if left < 0 or self.process.poll() is not None:
                what = "does not draw" if left < 0 else "ended before it drew"
                drawn = re.sub(rb"\x1b[^a-zA-Z]*[a-zA-Z]", b"", seen[-20_000:])
                text = f"the application {what} {pattern!r}: {drawn.decode(errors='replace')}"
                raise UnseenError(text) if left < 0 else SystemExit(text)
            if select.select([self.leader], [], [], left)[0]:
                with suppress(OSError):
                    seen += os.read(self.leader, 1 << 20)
        return time.perf_counter()


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (entry for entry in status.splitlines() if entry.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the parent is the second."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _is_running(pid: int) -> bool:
    try:
        return _status(pid)[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    """All processes below this one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int(_status(int(entry.name))[1])
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return found[1:]
