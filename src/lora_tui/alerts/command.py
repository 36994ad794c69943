"""Runs the user's command for an alert: the JSON on its stdin, a time limit, and no secrets."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from lora_tui.config.kinds import expanded
from lora_tui.errors import ConfigError, LoraTuiError
from lora_tui.processes import plain_environment
from lora_tui.text import terminal_safe

SECONDS: Final = 30.0
"""A command that takes longer is ended, with what it has started."""


class AlertCommandError(LoraTuiError):
    """The command can't be run; no alert can be sent."""


class CommandFailedError(AlertCommandError):
    """The command failed for this alert, which is sent again later."""


def words_of(command: str) -> list[str]:
    """The program and its arguments; `~` stands for the home directory. Raises ConfigError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(
            "alert_command is not a command line", details=str(error), remedy="close its quotes"
        ) from None
    if not words or not words[0]:
        raise ConfigError("alert_command is empty", remedy="name a program")
    program = words[0]
    if program.startswith("~"):
        program = str(expanded(program, "alert_command"))
    return [program, *words[1:]]


def run_command(command: str, body: bytes, *, environment: Mapping[str, str] = os.environ) -> None:
    """Run the command with `body` on its stdin, without a shell.

    Raises ConfigError where it is no command, AlertCommandError where it can't be started,
    CommandFailedError where it fails or is too slow.
    """
    words = words_of(command)
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own configuration
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=plain_environment(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise AlertCommandError(
            "The alert's command can't be started",
            details=f"{terminal_safe(words[0], limit=100)}: {error.strerror}",
            remedy="correct alert_command; `lora-tui alerts test` tries it",
        ) from None
    try:
        process.communicate(body, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise CommandFailedError(
            f"The alert's command was ended: it took longer than {SECONDS:g} s",
            details=terminal_safe(words[0], limit=100),
        ) from None
    finally:
        _end(process)
    if process.returncode != 0:
        raise CommandFailedError(
            "The alert's command failed",
            details=f"{terminal_safe(words[0], limit=100)}: exit code {process.returncode}",
            remedy="`lora-tui alerts test` tries it again",
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs of a command that is over time."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
