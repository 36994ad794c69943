"""Parses the command line into one call.

Imports nothing heavy, and builds only the parser of the command that was given: building those of
all commands takes longer than `list` itself.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace

from lora_tui import __version__
from lora_tui.cli.call import APPLICATION, COMMON_DEFAULTS
from lora_tui.cli.command import Command
from lora_tui.cli.command_table import COMMANDS
from lora_tui.cli.options import FREE_TEXTS, days, positive, size
from lora_tui.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any, NoReturn


def parse(argv: Sequence[str] | None) -> SimpleNamespace:
    """Parse the command line; `run` of the result is the `module:function` to call.

    Raises UsageError.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    common = _common()
    arguments = SimpleNamespace(**COMMON_DEFAULTS)
    before = _flags_before(words, common)
    for command in COMMANDS:
        if words[before : before + 1] == [command.name]:
            if before:
                common.parse_args(words[:before], arguments)
            arguments.command = command.name
            _parser_of(command).parse_args(words[before + 1 :], arguments)
            _check_options(command, arguments)
            return arguments
    if before == len(words):  # no command, and nothing of the harvest
        common.parse_args(words, arguments)
        arguments.command, arguments.run = None, APPLICATION
        return arguments
    _check_command(words[before:])
    build_parser().parse_args(words, arguments)
    if arguments.command is None:
        harvest = _harvest_options()
        if not arguments.harvest and any(map(harvest.has_option, words)):
            raise UsageError("This option is for the harvest", remedy="add --harvest")
        arguments.run = "harvest:run" if arguments.harvest else APPLICATION
    elif arguments.harvest:
        raise UsageError("--harvest takes no command", remedy=f"leave out `{arguments.command}`")
    return arguments


def _check_options(command: Command, arguments: SimpleNamespace) -> None:
    """Raise UsageError for options that would be ignored."""
    if arguments.json:
        for form in ("csv", "jsonl", "markdown"):
            if getattr(arguments, form, False):
                raise UsageError(
                    f"--json and --{form} can't be used together", remedy="leave one out"
                )
    action = getattr(arguments, "action", None)
    if not (command.run and command.inner and action):
        return
    for option in _parser_of(command)._actions:
        name = option.option_strings[-1] if option.option_strings else ""
        given = getattr(arguments, option.dest, option.default)
        if name and given != option.default and option.dest not in COMMON_DEFAULTS:
            raise UsageError(
                f"{name} is not for `lora-tui {command.name} {action}`", remedy="leave it out"
            )


def _check_command(words: Sequence[str]) -> None:
    """Raise UsageError if the first word is no option and no command."""
    if not words or words[0].startswith("-"):
        return
    from difflib import get_close_matches

    near = get_close_matches(words[0], [command.name for command in COMMANDS], n=1)
    raise UsageError(
        f"There is no command {words[0]!r}",
        remedy=f"did you mean `lora-tui {near[0]}`? `lora-tui --help` lists the commands"
        if near
        else "see `lora-tui --help`",
    )


def _flags_before(words: Sequence[str], common: _Parser) -> int:
    """Count the words at the start that are options of every command, and their values."""
    options = common._option_string_actions
    place = 0
    while place < len(words):
        name, equals, _ = words[place].partition("=")
        action = options.get("-v" if name == "-vv" else name)
        if action is None or (equals and action.nargs == 0):
            break
        place += 2 if action.nargs is None and not equals else 1
    return place


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    common = _common()
    parser = _Parser(
        prog="lora-tui",
        description="Harvest, browse and download LoRA adapters kept in Supabase.",
        epilog="examples:\n"
        "  lora-tui demo                      try it; no account needed\n"
        "  lora-tui                           open the application\n"
        "  lora-tui list --sort rating        list the best models\n"
        "  lora-tui download 3f2a9c1e         download the model with this id in the list\n"
        "  lora-tui --harvest --once          turn completed jobs into models, for cron",
        formatter_class=_Formatter,
        parents=[common, _harvest_options()],
    )
    parser.add_argument(
        "--version", action="version", version=f"lora-tui {__version__}", help="print the version"
    )
    inner = parser.add_subparsers(
        dest="command", metavar="COMMAND", prog="lora-tui", parser_class=_Parser
    )
    _add_commands(inner, COMMANDS)
    return parser


class _Parser(argparse.ArgumentParser):
    """Raises UsageError for a wrong argument, instead of ending the process."""

    examples: tuple[tuple[str, str], ...] = ()
    """Shown at the end of `--help`: command lines, each with what it does."""

    def format_help(self) -> str:
        if self.examples:
            width = max(len(line) for line, _ in self.examples)
            if all(width + len(what) + 13 <= _terminal_width() for _, what in self.examples):
                lines = [f"  lora-tui {line:<{width}}  {what}" for line, what in self.examples]
            else:
                lines = [f"  lora-tui {line}\n      {what}" for line, what in self.examples]
            self.epilog = "\n".join(["examples:", *lines])
        return super().format_help()

    def _print_message(self, message: str, file: Any = None) -> None:
        """Like argparse's, but raises OSError where the text can't be written."""
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        from lora_tui.cli.usage_errors import plain_error

        raise plain_error(message, self.prog)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse the words; argparse calls this for each subcommand too."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args(self._with_dashes(words), namespace)

    def _with_dashes(self, words: Sequence[str]) -> Sequence[str]:
        """The words in a form that argparse reads as meant where a value begins with a dash.

        Raises UsageError for an option that does not exist.
        """
        if not any(map(_begins_with_dash, words)):
            return words
        known = self._option_string_actions
        positionals = [action for action in self._actions if not action.option_strings]
        options: list[str] = []
        others: list[str] = []
        needs_mark = False
        rest = iter(words)
        for word in rest:
            if not _begins_with_dash(word):
                others.append(word)
                if self._subparsers is not None:  # the rest is the subcommand's
                    return [*options, *others, *rest]
                continue
            if word == "--":
                others += rest
                needs_mark = True
                break
            action = self._option_of(word)
            if action is None:
                place = min(len(others), len(positionals) - 1)
                if not positionals or positionals[place].metavar not in FREE_TEXTS:
                    self._refuse(word)
                self._refuse(word, only_similar=True)
                others.append(word)
                needs_mark = True
                continue
            options.append(word)
            if action.nargs is None and "=" not in word:
                value = next(rest, None)
                if value is None:
                    break
                if _begins_with_dash(value) and value.partition("=")[0] in known:
                    self.error(f"argument {word}: expected one argument")
                options[-1:] = [f"{word}={value}"] if word.startswith("--") else [word, value]
        return [*options, *(("--",) if needs_mark else ()), *others]

    def has_option(self, word: str) -> bool:
        """Whether a word names or begins one of its options."""
        return _begins_with_dash(word) and word != "--" and self._option_of(word) is not None

    def _option_of(self, word: str) -> argparse.Action | None:
        """The option that a word names or begins, also as one of several letters (-vv)."""
        known = self._option_string_actions
        name = word.partition("=")[0]
        if name in known:
            return known[name]
        if not name.startswith("--"):
            return known.get(name[:2])
        return next((known[option] for option in known if option.startswith(name)), None)

    def _refuse(self, word: str, *, only_similar: bool = False) -> None:
        """Raise the error for an unknown option; `only_similar`: if it resembles a known one."""
        from lora_tui.cli.usage_errors import similar_option, unknown_option

        known = list(self._option_string_actions)
        if only_similar and similar_option(word.partition("=")[0], known) is None:
            return
        has_names = any(not action.option_strings for action in self._actions)
        raise unknown_option(word, known, self.prog, has_names=has_names)


def _begins_with_dash(word: str) -> bool:
    """Whether a word looks like an option; a dash alone and a negative number do not."""
    return word[:1] == "-" and len(word) > 1 and not word[1:].replace(".", "", 1).isdecimal()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as argparse's own, which loads compression libraries to get the width."""

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
    """Build the parser of one command."""
    return _with_arguments(
        _Parser(prog=f"lora-tui {command.name}", **_parser_options(command)), command
    )


def _parser_options(command: Command) -> dict[str, Any]:
    return {
        "description": command.summary,
        "formatter_class": _Formatter,
        "parents": [_common()],
    }


def _with_arguments(parser: _Parser, command: Command) -> _Parser:
    parser.examples = command.examples
    command.add_arguments(parser)
    if command.run:
        parser.set_defaults(run=command.run)
    if command.inner:
        acts = parser.add_subparsers(
            dest="action",
            metavar="ACTION",
            required=not command.run,
            prog=f"lora-tui {command.name}",  # argparse would add the options that may stand before
            parser_class=_Parser,
        )
        _add_commands(acts, command.inner)
    return parser


def _add_commands(
    parsers: argparse._SubParsersAction[_Parser], commands: Sequence[Command]
) -> None:
    for command in commands:
        _with_arguments(
            parsers.add_parser(command.name, help=command.summary, **_parser_options(command)),
            command,
        )


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(text)


_COMMON: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--profile",), {"metavar": "NAME", "help": "the profile to use"}),
    (("--config",), {"type": _path, "metavar": "FILE", "help": "read this configuration file"}),
    (("--offline",), {"action": "store_true", "help": "do not use the network"}),
    (("--json",), {"action": "store_true", "help": "print one JSON document on stdout"}),
    (("-v", "--verbose"), {"action": "count", "help": "log more (-vv: everything)"}),
    (("--no-color",), {"action": "store_true", "help": "do not use colours"}),
    (("--no-pager",), {"action": "store_true", "help": "show long output without a pager"}),
    (("--utc",), {"action": "store_true", "help": "show and read dates in UTC"}),
)
"""The options of every command: names, and the arguments of `add_argument`."""


@cache
def _common() -> _Parser:
    """Build the options of every command; SUPPRESS lets them stand before or after the command."""
    common = _Parser(
        prog="lora-tui",
        add_help=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_Formatter,
    )
    group = common.add_argument_group("for every command")
    for names, options in _COMMON:
        group.add_argument(*names, **options)
    return common


def _harvest_options() -> _Parser:
    """Build the options of `lora-tui --harvest`, which is no command."""
    options = _Parser(prog="lora-tui", add_help=False)
    group = options.add_argument_group("harvest", "with --harvest, instead of a COMMAND")
    group.add_argument(
        "--harvest", action="store_true", help="harvest completed jobs until stopped"
    )
    group.add_argument("--once", action="store_true", help="harvest once, then exit")
    group.add_argument(
        "--interval", type=positive, default=60, metavar="S", help="seconds between cycles (60)"
    )
    group.add_argument(
        "--limit", dest="limit_jobs", type=positive, metavar="N", help="at most N jobs per cycle"
    )
    group.add_argument(
        "--concurrency",
        type=positive,
        default=8,
        metavar="N",
        help="at most N jobs at the same time (8)",
    )
    group.add_argument(
        "--spool-limit",
        type=size,
        metavar="SIZE",
        help="bytes of files in hand of all jobs together, such as 500M (4G)",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print what would be harvested; change nothing"
    )
    group.add_argument(
        "--remove-deleted-after",
        type=days,
        metavar="N",
        help="also remove the files of models deleted more than N days ago",
    )
    group.add_argument(
        "--health-file", metavar="FILE", help="write the state to FILE while running"
    )
    group.add_argument(
        "--metrics-port",
        type=positive,
        metavar="PORT",
        help="serve Prometheus metrics on this port of 127.0.0.1",
    )
    return options
