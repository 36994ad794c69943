"""A real program on a real terminal (a pty): its keys, what it draws, its processes, its end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.running_processes import children_of, is_running

ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_].*?\x1b\\|[ -/]*[0-~])", re.S
)
PATIENCE = 60
SWITCHES = {b"1049": b"l", b"25": b"h", b"1000": b"l", b"1003": b"l", b"2004": b"l"}
"""Private modes, and how the program must leave each of them."""
_CONTROLLED = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


@dataclass
class Terminal:
    """What a program wrote, and the keyboard before it."""

    process: subprocess.Popen[bytes]
    master: int
    written: bytearray = field(default_factory=bytearray)
    children: set[int] = field(default_factory=set)
    """The processes that the program had started when its screen was last waited for."""

    def type(self, keys: str) -> None:
        """Type keys."""
        os.write(self.master, keys.encode())

    def wait_for(self, text: str) -> None:
        """Until the text has been written since the last call; the test's time-out is the limit."""
        start = len(self.written)
        while text.encode() not in ESCAPES.sub(b"", bytes(self.written[start:])):
            assert self.read(), f"{text!r} never came: {ESCAPES.sub(b'', bytes(self.written))!r}"
        self.children = children_of(self.process.pid)

    def read(self, seconds: float = PATIENCE) -> bool:
        """More of it; False at the end, or where nothing comes for so long."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other end is closed
            return False
        self.written += data
        return bool(data)

    def end(self) -> int:
        """Read to the end of the program; its exit code."""
        while self.read():
            pass
        return self.process.wait(PATIENCE)

    def wait_for_children_to_end(self) -> None:
        """None may be left of those seen last."""
        deadline = time.monotonic() + PATIENCE
        while left := [pid for pid in self.children if is_running(pid)]:
            assert time.monotonic() < deadline, f"still there: {left}"
            time.sleep(0.01)


def open_terminal(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    size: tuple[int, int] = (80, 24),
    controlling: bool = False,
) -> Terminal:
    """Start a program on a new terminal.

    `controlling`: as under a shell, so that ctrl+c and the end of the terminal are signals to it.
    """
    master, slave = pty.openpty()
    width, height = size
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    if controlling:
        command = [sys.executable, "-S", "-c", _CONTROLLED, *command]
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)  # so that the end of the program is the end of what can be read
    return Terminal(process, master)


def put_back(written: bytes) -> bool:
    """Whether each private mode that was switched was put back."""
    for mode, wanted in SWITCHES.items():
        found = re.findall(rb"\x1b\[\?" + mode + rb"([hl])", written)
        if found and found[-1] != wanted:
            return False
    return True


def left_as_found(written: bytes, line: str = "") -> bool:
    """Whether each private mode was put back, and only `line` and escapes followed the screen."""
    is_quiet = said_at_the_end(written) == line
    return put_back(written) and b"\x1b[?1049l" in written and is_quiet


def said_at_the_end(written: bytes) -> str:
    """What followed the screen, without escapes and surrounding blanks.

    On a busy machine another line says that the end of the engine is waited for: left out.
    """
    _, _, after = written.rpartition(b"\x1b[?1049l")
    lines = ESCAPES.sub(b"", after).decode().splitlines()
    return "\n".join(
        line for line in lines if not line.startswith("Waiting for the engine")
    ).strip()
