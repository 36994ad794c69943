"""The grammar of the command line: from words to one call.

It imports nothing heavy, and builds no more of the grammar than a command line needs: making the
parsers of all commands takes longer than `list` itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from lora_tui import __version__
from lora_tui.cli.command_table import COMMANDS, Command, positive
from lora_tui.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, NoReturn

_EVERYWHERE = {
    "profile": None,
    "config": None,
    "offline": False,
    "json": False,
    "verbose": 0,
    "no_color": False,
    "utc": False,
}
_HARVEST_ALONE = frozenset(
    ("--once", "--interval", "--limit", "--concurrency", "--dry-run", "--health-file")
)
_SWITCHES = ("--offline", "--json", "-v", "-vv", "--verbose", "--no-color", "--utc")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line's words as a call: `run` says of what. Raises UsageError."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = argparse.Namespace(**_EVERYWHERE)
    before = _flags_before(words)
    for command in COMMANDS:
        if words[before : before + 1] == [command.name]:
            if before:
                _common().parse_args(words[:before], arguments)
            arguments.command = command.name
            return _parser_of(command).parse_args(words[before + 1 :], arguments)
    _check_command(words[before:])
    build_parser().parse_args(words, arguments)
    if arguments.command is None:
        if not arguments.harvest and _HARVEST_ALONE & {word.partition("=")[0] for word in words}:
            raise UsageError("This belongs to the harvest", remedy="add --harvest")
        arguments.run = "harvest:run" if arguments.harvest else "interactive:open_application"
    elif arguments.harvest:
        raise UsageError("--harvest stands alone", remedy=f"leave out `{arguments.command}`")
    return arguments


def _check_command(words: Sequence[str]) -> None:
    """Raises UsageError where the first word would be a command and is none."""
    if not words or words[0].startswith("-"):
        return
    from difflib import get_close_matches

    near = get_close_matches(words[0], [command.name for command in COMMANDS], n=1)
    raise UsageError(
        f"There is no command {words[0]!r}",
        remedy=f"did you mean `lora-tui {near[0]}`? `lora-tui --help` lists all"
        if near
        else "see `lora-tui --help`",
    )


def _flags_before(words: Sequence[str]) -> int:
    """How many words, from the first on, are flags that may stand before any command."""
    place = 0
    while place < len(words):
        word = words[place]
        if word in ("--profile", "--config"):
            place += 2
        elif word in _SWITCHES or word.startswith(("--profile=", "--config=")):
            place += 1
        else:
            break
    return place


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    common = _common()
    parser = _Parser(
        prog="lora-tui",
        description="Harvest, browse and download LoRA adapters kept in Supabase.",
        epilog="examples:\n"
        "  lora-tui demo                      look around, no account needed\n"
        "  lora-tui                           open the application\n"
        "  lora-tui list --sort quality       the best models, from the cache\n"
        "  lora-tui download 3f2a             fetch a model by the beginning of its id\n"
        "  lora-tui --harvest --once --json   one harvest cycle, for cron",
        formatter_class=_Formatter,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"lora-tui {__version__}")
    harvest = parser.add_argument_group("harvest")
    harvest.add_argument("--harvest", action="store_true", help="run the headless harvest worker")
    harvest.add_argument("--once", action="store_true", help="run one cycle, then exit")
    harvest.add_argument(
        "--interval", type=positive, default=60, metavar="S", help="seconds between cycles (60)"
    )
    harvest.add_argument(
        "--limit", dest="limit_jobs", type=positive, metavar="N", help="jobs a cycle"
    )
    harvest.add_argument(
        "--concurrency", type=positive, default=1, metavar="N", help="jobs at once (1)"
    )
    harvest.add_argument("--dry-run", action="store_true", help="print what would be harvested")
    harvest.add_argument("--health-file", metavar="FILE", help="update this file while running")
    harvest.add_argument(
        "--metrics-port", type=positive, metavar="PORT", help="Prometheus metrics on 127.0.0.1"
    )
    inner = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="lora-tui", parser_class=_Parser
    )
    _add_commands(inner, COMMANDS)
    return parser


class _Parser(argparse.ArgumentParser):
    """Argument errors join the error family instead of ending the process."""

    command = ""
    """Whose examples `--help` shows."""

    def format_help(self) -> str:
        if self.command:
            from lora_tui.cli.examples import epilog  # only who asks pays for it

            self.epilog = epilog(self.command)
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"see `{self.prog} --help`")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as argparse's own; that one loads compression libraries to ask the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_terminal_width() - 2)


def _terminal_width() -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):  # no stdout, a closed one, or no terminal
        return 80


def _parser_of(command: Command) -> _Parser:
    """The parser of one command alone."""
    return _completed(_Parser(prog=f"lora-tui {command.name}", **_looks(command)), command)


def _looks(command: Command) -> dict[str, Any]:
    return {
        "description": command.summary,
        "formatter_class": _Formatter,
        "parents": [] if command.inner else [_common()],
    }


def _completed(parser: _Parser, command: Command) -> _Parser:
    parser.command = command.name
    command.add_arguments(parser)
    if command.inner:
        acts = parser.add_subparsers(
            dest="action", metavar="ACTION", required=True, prog=parser.prog, parser_class=_Parser
        )
        _add_commands(acts, command.inner)
    else:
        parser.set_defaults(run=command.run)
    return parser


def _add_commands(
    parsers: argparse._SubParsersAction[_Parser], commands: Sequence[Command]
) -> None:
    for command in commands:
        _completed(
            parsers.add_parser(command.name, help=command.summary, **_looks(command)), command
        )


def _common() -> _Parser:
    """The flags that may stand before or after the command; SUPPRESS lets either place count."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS, formatter_class=_Formatter)
    group = common.add_argument_group("everywhere")
    group.add_argument("--profile", metavar="NAME", help="the profile to use")
    group.add_argument("--config", type=_path, metavar="FILE", help="another configuration file")
    group.add_argument("--offline", action="store_true", help="never touch the network")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("-v", "--verbose", action="count", help="log more (-vv: everything)")
    group.add_argument("--no-color", action="store_true", help="no colours")
    group.add_argument("--utc", action="store_true", help="show and read dates in UTC")
    return common


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)
