"""Stands for `lora-tui` where documented commands are run: a reader who types, looks, and leaves.

What opens a screen gets a terminal and `q` once the list is there; what serves or works for ever
gets SIGINT when it has shown that it does; everything else is simply run.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

_PATIENCE_SECONDS = 60.0
_SCREEN = re.compile("★".encode())


def main(words: list[str]) -> int:
    command = [sys.executable, "-m", "lora_tui", *words]
    if not words or words == ["demo"] or (words[0] == "--profile" and len(words) == 2):
        return _look_and_leave(command)
    if words[0] == "--harvest" and not {"--once", "--dry-run"} & set(words):
        return _interrupt(command, after=b"waiting|cycle|harvested")
    if "--serve-only" in words or words[0] == "serve":
        return _interrupt(command, after=b"http://")
    return os.execv(command[0], command)


def _look_and_leave(command: list[str]) -> int:
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        return os.execv(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    seen, left = b"", False
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other side has closed it
            read = b""
        if not read:
            return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        seen += read
        if not left and _SCREEN.search(seen):
            os.write(terminal, b"q")
            left = True
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    sys.stderr.write(seen.decode(errors="replace")[-4000:])
    return 124


def _interrupt(command: list[str], *, after: bytes) -> int:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            if re.search(after, line):
                process.send_signal(signal.SIGINT)
                break
        sys.stdout.buffer.write(process.stdout.read())
        return process.wait(timeout=_PATIENCE_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
