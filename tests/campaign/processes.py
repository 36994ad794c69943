"""A command of an episode as a process, and how it ended."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from lora_tui.errors import ExitCode

_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a process ended; `code` is negative where a signal ended it."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    hung: bool = False
    may_end_with: frozenset[int] = frozenset(ExitCode)
    engine_kills: int = 0
    """How many of its engines were killed."""
    wrong: tuple[str, ...] = ()
    """What only its own driver could see, as sentences."""

    @property
    def is_application(self) -> bool:
        """Whether it was the application on a terminal."""
        return self.arguments[:1] == ("application",)


class Suspendable:
    """A child that can be suspended for some seconds, as if the machine slept."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._wakes_at: float | None = None

    def suspend(self, seconds: float) -> None:
        """Send SIGSTOP; `wake` ends that."""
        self._child.send_signal(signal.SIGSTOP)
        self._wakes_at = time.monotonic() + seconds

    def wake(self) -> None:
        """Send SIGCONT if it was suspended for long enough."""
        if self._wakes_at is not None and time.monotonic() >= self._wakes_at:
            self._wakes_at = None
            self._child.send_signal(signal.SIGCONT)


class Process(Suspendable, AbstractContextManager["Process"]):
    """A child process whose output goes to files, so that it never blocks."""

    def __init__(self, words: tuple[str, ...], command: list[str], env: dict[str, str]) -> None:
        self._words = words
        self._asked = False
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        super().__init__(
            subprocess.Popen(
                command,
                cwd=_ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
            )
        )

    def __exit__(self, *exception: object) -> None:
        self._child.kill()
        self._child.wait()
        self._out.close()
        self._err.close()

    @property
    def serves(self) -> bool:
        """Whether it runs until somebody ends it."""
        return "--interval" in self._words

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        self.wake()
        return self._child.poll() is None

    def ask_to_end(self) -> None:
        """Send SIGTERM once, as a service manager does."""
        if not self._asked:
            self._asked = True
            self._child.terminate()

    def killed(self, *, hung: bool = False) -> Ended:
        """Kill it if it still runs; its output."""
        hung = hung and self.running
        self._child.kill()
        code = self._child.wait()
        return Ended(self._words, code, _text(self._out), _text(self._err), hung)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")
