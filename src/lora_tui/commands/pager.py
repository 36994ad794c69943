"""Shows long output of a command in a pager, where git would: on a terminal that is too short.

The program is that of `LORA_TUI_PAGER` or of the setting `pager`, else of `PAGER`, else `less`. A
pager that can't be started, or fails, is done without.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Final, NamedTuple, TextIO

from lora_tui.commands.context import Context
from lora_tui.commands.output import Output
from lora_tui.commands.table import terminal_size
from lora_tui.errors import ConfigError, ExitCode
from lora_tui.text import cell_width, printable

PAGED: Final = frozenset(
    {
        *("list:list_models", "sql:sql", "costs:show_costs", "show:show_model", "jobs:list_jobs"),
        *("show_job:show_job", "metrics:metrics", "report:report", "compare:compare_models"),
        *(
            "leaderboard:show_leaderboard",
            "library:library",
            "inspect:inspect",
            "effect:show_effect",
        ),
        *(
            "spectrum:spectrum",
            "serve_config:serve_config",
            "harvest:status",
            "config:config",
            "own_marks:tag",
        ),
        *("scripts:schema", "scripts:print_script", "aliases:list_aliases"),
        *("aliases:alias_history", "view:list_views"),
    }
)
"""The functions whose output may be long, and that neither ask, nor follow, nor report progress."""
_NO_PAGER: Final = ("", "cat")
_FOR_A_SHELL: Final = frozenset("|&;<>()$`\\\"' \t\n*?[#~=%")
"""With one of these the user's pager is a command of the shell, as git sees it."""
_CHANGES: Final = ("remove", "set", "clear")


class _Written(NamedTuple):
    """What a command wrote, in its order."""

    is_talk: bool
    text: str


class _Held(Output):
    """Keeps what is written until the command has ended."""

    def __init__(self, stream: TextIO, kept: list[_Written], *, is_talk: bool) -> None:
        super().__init__(stream)
        self._kept, self._is_talk = kept, is_talk

    def write(self, text: str) -> int:
        self._kept.append(_Written(self._is_talk, printable(text)))
        return len(text)

    def flush(self) -> None:
        pass


def pages(arguments: SimpleNamespace) -> bool:
    """Whether this call prints something to be read on a terminal, at once."""
    return (
        arguments.run in PAGED
        and not arguments.no_pager
        and not arguments.json
        and not any(getattr(arguments, form, False) for form in ("csv", "jsonl"))
        and getattr(arguments, "watch", None) is None
        and getattr(arguments, "action", None) not in _CHANGES
    )


def run_paged(context: Context, run: Callable[[], ExitCode]) -> ExitCode:
    """Run a command, then show its output: in a pager where it is longer than the screen.

    Messages are shown after the pager. Returns and raises what `run` does, and KeyboardInterrupt
    where Ctrl+C has ended the pager.
    """
    pager = _pager(context)
    if pager is None:
        return run()
    out, talk = context.out, context.talk
    kept: list[_Written] = []
    context.out = _Held(out.stream, kept, is_talk=False)
    context.talk = _Held(talk.stream, kept, is_talk=True)
    try:
        code = run()
    except KeyboardInterrupt:
        raise
    except BaseException:
        _show(kept, out, talk, pager)
        raise
    finally:
        context.out, context.talk = out, talk
    _show(kept, out, talk, pager)
    return code


def _show(kept: list[_Written], out: Output, talk: Output, pager: str) -> None:
    text = "".join(written.text for written in kept if not written.is_talk)
    is_paged = _is_long(text, out) and _page(text, out, pager)
    for written in kept:
        if written.is_talk:
            out.flush()
            talk.write(written.text)
            talk.flush()
        elif not is_paged:
            out.write(written.text)
    out.flush()


def _is_long(text: str, out: Output) -> bool:
    """Whether the text takes more lines than the terminal has, without one for the prompt."""
    width, height = terminal_size(out.stream.fileno())
    taken = 0
    for line in text.splitlines():
        taken += max(1, -(-cell_width(line.expandtabs()) // width))
        if taken >= height:
            return True
    return False


def _pager(context: Context) -> str | None:
    """The program that shows long output; None for none."""
    from lora_tui.config.load import load_preferences
    from lora_tui.config.paths import find_paths

    if os.environ.get("LORA_TUI_PAGER", "x").strip() in _NO_PAGER:
        return None
    chosen: str | None = None
    with suppress(ConfigError):  # a command that needs the file reports it
        chosen = load_preferences(
            find_paths(config_file=context.arguments.config).config_file
        ).pager
    if chosen is None:
        chosen = os.environ.get("PAGER")
    if chosen is None:
        if os.environ.get("TERM", "dumb") == "dumb" or shutil.which("less") is None:
            return None
        return "less"
    return None if chosen.strip() in _NO_PAGER else chosen.strip()


def _page(text: str, out: Output, pager: str) -> bool:
    """Show the text in the pager. Returns whether that worked. Raises KeyboardInterrupt."""
    words = ["sh", "-c", pager] if _FOR_A_SHELL & set(pager) else [pager]
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    out.flush()
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own pager
            words, stdin=subprocess.PIPE, env=environment
        )
    except (OSError, ValueError):
        return False
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the pager, which goes on
    try:
        assert process.stdin is not None
        with suppress(OSError):  # left before its end
            process.stdin.write(text.encode(out.encoding, errors=out.stream.errors or "replace"))
        with suppress(OSError):
            process.stdin.close()
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if code in (-signal.SIGINT, ExitCode.INTERRUPTED):
        raise KeyboardInterrupt
    return code <= 0
