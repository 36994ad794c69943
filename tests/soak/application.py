"""The application in tmux: types keys, and measures its process."""

from __future__ import annotations

import os
import random
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SIZES: Final = ((80, 24), (120, 36), (200, 50))
_WORDS: Final = ("sql", "customer", "legal", "q1 quick", "zzz")
_WAYS: Final[tuple[tuple[str, ...], ...]] = (
    ("Enter", "Escape"),
    ("Enter", "i", "l", "+", "+", "Right", "m", "Escape"),
    ("Enter", "s", "Right", "Escape", "Escape"),
    ("Enter", "D", "Escape", "Escape"),
    ("Enter", "d", "Escape"),
    ("Space", "j", "Space", "c", "b", "x", "a", "Escape", "Escape"),
    ("t", "p", "A", "Escape"),
    ("n", "j", "Escape"),
    ("h", "j", "Escape"),
    (",", "j", "Escape"),
    ("?", "Escape"),
    ("C-p", "m", "o", "Escape"),
    ("s", "Down", "Escape"),
    ("f", "Tab", "Down", "Space", "Escape"),
    ("C", "j", "Escape"),
    ("v",),
    ("p",),
    ("T",),
    ("r",),
    ("r", "Enter", "Escape"),
    ("L", "Escape"),
    ("j", "j", "k", "G", "g", "PageDown"),
)
"""Keys from the list of models and back to it."""
_FEW: Final = 0.05
_SETTLED: Final = 0.5
"""Seconds for which the list has to stay on the screen."""
_PATIENCE: Final = 20.0
"""Seconds that typed letters may take to be shown."""
_ESCAPE: Final = "\x1b[27u"
"""The escape key in the terminal protocol of kitty: a bare escape and the next key would be one key
with alt to an application that is slow to read them."""


@dataclass(frozen=True)
class Sample:
    """Memory, descriptors and threads of the process at a moment."""

    seconds: float
    megabytes: float
    descriptors: int
    threads: int


class Application:
    """`lora-tui` in a tmux server of its own."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self._socket = home / "tmux.sock"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        words = {**kept, "LANG": "C.UTF-8", "LORA_TUI_HOME": str(home / "lora"), **environment}
        command = shlex.join([sys.executable, "-m", "lora_tui"])
        settings = shlex.join(["env", *(f"{name}={value}" for name, value in words.items())])
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "36"),
            f"exec {settings} {command}",
            *(";", "set-option", "remain-on-exit", "on"),
        )
        self.pid = int(self._tmux("display", "-p", "#{pane_pid}"))
        self._began = time.monotonic()

    def close(self) -> None:
        """End it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False)

    @property
    def is_running(self) -> bool:
        """Whether the process exists and is not a zombie."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names, as fast as a quick typist."""
        for key in keys:
            if key == "Escape":
                self.type(_ESCAPE)
            else:
                self._tmux("send-keys", key)
            time.sleep(_FEW)

    def type(self, text: str) -> None:
        """Type letters."""
        self._tmux("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        """Give the window this size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def text(self) -> str:
        """The text of the screen."""
        return self._tmux("capture-pane", "-p")

    def shows(self, condition: Callable[[str], bool], seconds: float) -> bool:
        """Whether the screen fulfils it within this many seconds."""
        end = time.monotonic() + seconds
        while not condition(self.text()):
            if time.monotonic() > end or not self.is_running:
                return False
            time.sleep(0.1)
        return True

    def sample(self) -> Sample:
        """What it holds now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        return Sample(
            time.monotonic() - self._began,
            int(fields["VmRSS"].split()[0]) / 1024,
            len(list(Path(f"/proc/{self.pid}/fd").iterdir())),
            int(fields["Threads"]),
        )

    def _tmux(self, *words: str) -> str:
        ended = subprocess.run(
            ["tmux", "-S", self._socket, *words], capture_output=True, text=True, check=False
        )
        return ended.stdout.rstrip("\n")


class Typist:
    """Opens all screens in random order, and searches now and then."""

    def __init__(self, application: Application, seed: int) -> None:
        self._application, self._chance = application, random.Random(seed)
        self.looked = 0
        """How many screens were gone to and left."""
        self.interrupted: list[str] = []
        """What was typed into the search and did not arrive there, with the screen instead."""

    def act(self) -> None:
        """Do one thing, and come back to the list."""
        chance = self._chance.random()
        if chance < 0.2:
            self._search(self._chance.choice(_WORDS))
        elif chance < 0.3:
            self._application.resize(*self._chance.choice(SIZES))
        else:
            self._application.press(*self._chance.choice(_WAYS))
            self.looked += 1
        if not self._is_at_list(0):
            self.back()

    def back(self) -> None:
        """Go back to the list from any screen."""
        for _ in range(8):
            self._application.press("Escape")
            # a slow machine may have keys to read that lead away from the list
            if self._is_at_list(1) and not self._application.shows(_is_elsewhere, _SETTLED):
                return

    def _search(self, word: str) -> None:
        """Type a search; every letter has to arrive."""
        self.back()
        self._application.press("r", "/")
        for letter in word:
            self._application.type(letter)
            time.sleep(self._chance.uniform(0.05, 0.4))
        if not self._application.shows(lambda text: word in text, _PATIENCE) and (
            self._application.is_running
        ):
            self.interrupted.append(f"{word!r}\n{self._application.text()}")
        self.back()

    def _is_at_list(self, seconds: float) -> bool:
        return self._application.shows(_is_list, seconds)


def _is_list(text: str) -> bool:
    first = text.lstrip("\n").partition("\n")[0]
    is_typed = "Keep" in text.rpartition("\n")[2]
    return "Models" in first and not is_typed and "╭" not in text and "+--" not in text


def _is_elsewhere(text: str) -> bool:
    return not _is_list(text)


def is_online(text: str) -> bool:
    """Whether the status line says so."""
    return "online" in text


def growth(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """The highest of each figure in the second quarter, after the warm-up, and in the last."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return {
        "megabytes": (
            statistics.median(sample.megabytes for sample in early),
            statistics.median(sample.megabytes for sample in late),
        ),
        "descriptors": (
            max(sample.descriptors for sample in early),
            max(sample.descriptors for sample in late),
        ),
        "threads": (max(sample.threads for sample in early), max(s.threads for s in late)),
    }
