"""The application as a command: what is said on the terminal once it has ended."""

from __future__ import annotations

import argparse
import io
import sys
import threading
from typing import cast

import pytest

from lora_tui.commands import interactive
from lora_tui.commands.context import Context
from lora_tui.engine.writers import Writers


class Said(io.StringIO):
    """Notes that a line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.has_line = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        self.has_line.set()
        return written


class Slow:
    """Writers whose engine takes long to end: until `said`."""

    def __init__(self, said: Said) -> None:
        self._said = said

    def close(self) -> None:
        self._said.has_line.wait()


def test_an_engine_that_takes_long_to_end_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "SLOW_END_SECONDS", 0.0)
    said = Said()
    monkeypatch.setattr(sys, "stderr", said)
    context = Context(argparse.Namespace(profile=None))
    with interactive.ended_with(context, cast("Writers", Slow(said))):
        pass
    assert said.getvalue() == "Waiting for the engine, which stops downloads and the harvest.\n"
