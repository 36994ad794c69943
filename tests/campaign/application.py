"""The application in a campaign: the real program on a terminal, typed at and killed."""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Final

from lora_tui.errors import ExitCode
from tests.campaign.episode import Act, Sitting
from tests.campaign.processes import Ended, Suspendable
from tests.campaign.sittings import ESCAPE
from tests.pseudo_terminal import ESCAPES, open_terminal, put_back
from tests.running_processes import all_processes, engines_among, engines_of, environment_of

_COMMAND: Final = (sys.executable, "-m", "lora_tui")
_TAKEN: Final = b"\x1b[?1049h"
"""Written when it takes the terminal, and the other when it gives it back."""
_GIVEN_BACK: Final = b"\x1b[?1049l"
_SIZE: Final = (120, 36)
_START: Final = 60.0
"""Seconds until it must have drawn or ended."""
_SETTLE: Final = 60.0
"""Seconds until a start without failures must have done what was left to do."""
_ENGINE: Final = 10.0
"""Seconds to wait for an engine that is to be killed; one that is given up does not come."""
_END: Final = 40.0
"""Seconds that it may take to end: its engine has 12, and it may be suspended for 12."""
ORPHANED: Final = 20.0
"""Seconds that an engine may outlive its application: it takes 8, on a busy machine more."""
_SIGNALS: Final = {"SIGTERM": signal.SIGTERM, "ctrl+c": signal.SIGINT, "hang up": signal.SIGHUP}


class Application(Suspendable, AbstractContextManager["Application"]):
    """Runs a sitting in a thread; looks like a process to the campaign.

    `until`: what has to become true before the acts are over.
    """

    serves = False

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        sitting: Sitting,
        *,
        until: Callable[[], bool] | None = None,
    ) -> None:
        self._home, self._sitting, self._until = home, sitting, until
        terminal = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self._terminal = open_terminal(
            _COMMAND, {**environment, **terminal}, size=_SIZE, controlling=True
        )
        super().__init__(self._terminal.process)
        self._line = termios.tcgetattr(self._terminal.master)
        self._pause = threading.Event()
        self._engines_killed = self._asked_from = 0
        self._wrong: list[str] = []
        self._hung = self._was_killed = self._signalled = self._closed = False
        self._thread = threading.Thread(target=self._sit, name="sitting", daemon=True)
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._child.kill()
        self._child.wait()
        self._thread.join()
        self._hang_up()

    @property
    def running(self) -> bool:
        """Whether the sitting goes on."""
        self.wake()
        return self._thread.is_alive()

    def wait(self) -> None:
        """Until the sitting is over."""
        self._thread.join()

    def ask_to_end(self) -> None:
        """It ends by itself."""

    def killed(self, *, hung: bool = False) -> Ended:
        """Kill it if it still runs; how it ended, once its engine has ended too."""
        self._hung |= hung and self.running
        if self.running:
            self._was_killed = True
            self._child.kill()
        self._thread.join()
        code = self._child.wait()
        drawn = bytes(self._terminal.written)
        before, _, rest = drawn.partition(_TAKEN)
        outside = before + rest.rpartition(_GIVEN_BACK)[2] if rest else before
        return Ended(
            ("application", self._sitting.ending),
            code,
            out=_text(drawn),
            err="its terminal was closed" if self._sitting.ending == "hang up" else _text(outside),
            hung=self._hung,
            may_end_with=self._may_end_with(),
            engine_kills=self._engines_killed,
            wrong=tuple(self._wrong),
        )

    def _may_end_with(self) -> frozenset[int]:
        allowed = set(ExitCode)
        ending = self._sitting.ending
        if ending == "kill -9" or self._was_killed:
            allowed.add(-signal.SIGKILL)
        if self._signalled:
            allowed.remove(ExitCode.OK)
        if ending in _SIGNALS and _TAKEN not in self._terminal.written:
            allowed.add(-_SIGNALS[ending])  # type: ignore[arg-type] - before it could handle it
        return frozenset(allowed)

    # The sitting -------------------------------------------------------------------------------

    def _sit(self) -> None:
        try:
            if not self._sitting.at_once:
                self._draw_until(lambda: _TAKEN in self._terminal.written, _START)
            for act in self._sitting.acts:
                self._do(act)
            if self._until is not None and not self._draw_until(self._until, _SETTLE):
                self._wrong.append(f"the application does not get to work:{self._last_text()}")
            self._end()
            if not self._draw_until(lambda: False, _END) and self._runs:
                self._wrong.append(f"the application does not end:{self._last_text()}")
                self._child.kill()
            self._child.wait()
            self._check_terminal()
        except Exception as error:  # else nobody would hear of it
            self._wrong.append(f"the campaign failed: {type(error).__name__}: {error}")
        finally:
            self._look_for_orphans()

    @property
    def _runs(self) -> bool:
        return self._child.poll() is None

    def _draw(self, seconds: float) -> None:
        """Take what is drawn for so long, or until it ends."""
        self._draw_until(lambda: False, seconds)

    def _draw_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Take what is drawn until this holds, it ends, or so long; whether it holds."""
        end = time.monotonic() + seconds
        while self._runs and not condition():
            left = end - time.monotonic()
            if left <= 0:
                return False
            # else the thread would spin: the other end is closed, or our own
            if self._closed or not self._terminal.read(min(left, 0.05)):
                self._pause.wait(0.01)
        while not self._closed and self._terminal.read(0.0):
            pass
        return condition()

    def _do(self, act: Act) -> None:
        if act.kills_engine:
            self._draw_until(lambda: bool(engines_of(self._child.pid)), _ENGINE)
            self._draw(act.after)
            for engine in engines_of(self._child.pid):
                with suppress(ProcessLookupError):
                    os.kill(engine, signal.SIGKILL)
                    self._engines_killed += 1
        else:
            self._draw(act.after)
            self._type(act.keys)

    def _type(self, keys: str) -> None:
        with suppress(OSError):  # it has ended
            self._terminal.type(keys)

    def _end(self) -> None:
        if not self._runs:
            return
        match self._sitting.ending:
            case "quit":
                self._quit()
            case "kill -9":
                self._was_killed = True
                self._child.kill()
            case "hang up":
                self._signalled = True
                self._hang_up()
            case ending:
                self._signalled = True
                self._child.send_signal(_SIGNALS[ending])

    def _quit(self) -> None:
        """Leave every screen, and quit as a user does."""
        end = time.monotonic() + _END
        while self._runs and time.monotonic() < end:
            if self._gave_back:  # it ends, or opens again on another cache
                self._draw_until(lambda: not self._gave_back, 1.0)
                continue
            self._type(ESCAPE * 3)
            self._draw(0.3)
            self._asked_from = len(self._terminal.written)
            self._type("\x11")  # ctrl+q
            self._draw_until(lambda: self._is_asked or self._gave_back, 1.0)
            if self._is_asked and not self._gave_back:
                self._type("y")
                self._draw_until(lambda: self._gave_back, 2.0)

    @property
    def _is_asked(self) -> bool:
        """Whether it has asked if it may interrupt a download."""
        return b"Quit?" in ESCAPES.sub(b"", bytes(self._terminal.written[self._asked_from :]))

    @property
    def _gave_back(self) -> bool:
        written = self._terminal.written
        return written.rfind(_GIVEN_BACK) > written.rfind(_TAKEN)

    def _hang_up(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._terminal.master)

    # What only this can see --------------------------------------------------------------------

    def _look_for_orphans(self) -> None:
        """No engine may be left, within a bound. Those that are left are killed."""
        end = time.monotonic() + ORPHANED
        while (left := self._engines()) and time.monotonic() < end:
            self._pause.wait(0.05)
        for engine in left:
            self._wrong.append(f"an engine has outlived its application by {ORPHANED:.0f} s")
            with suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)

    def _engines(self) -> list[int]:
        """All engines of this home, also those that nobody has seen start."""
        home = f"LORA_TUI_HOME={self._home}".encode()
        return [pid for pid in engines_among(all_processes()) if home in environment_of(pid)]

    def _check_terminal(self) -> None:
        if self._closed or self._child.returncode == -signal.SIGKILL:
            return
        if not put_back(bytes(self._terminal.written)):
            self._wrong.append("the modes of the terminal were not put back")
        if termios.tcgetattr(self._terminal.master) != self._line:
            self._wrong.append("the line discipline of the terminal was not put back")

    def _last_text(self) -> str:
        return _text(bytes(self._terminal.written[-6_000:]))[-800:]


def _text(drawn: bytes) -> str:
    return ESCAPES.sub(b"", drawn).decode(errors="replace")
