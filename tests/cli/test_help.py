"""`--help` teaches: every command shows examples, and they can be typed as they stand."""

from __future__ import annotations

import argparse
import shlex

import pytest

from lora_tui.cli.command_table import COMMANDS
from lora_tui.cli.grammar import build_parser, parse
from tests.conftest import Run

EXAMPLES = [
    line for command in COMMANDS for one in (command, *command.inner) for line, _ in one.examples
]


def commands(parser: argparse.ArgumentParser, *before: str) -> list[tuple[str, ...]]:
    """Every command of the grammar that runs something."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = action.choices.items()
            return [found for name, sub in inner for found in commands(sub, *before, name)]
    return [before]


@pytest.mark.parametrize("command", commands(build_parser()), ids=" ".join)
def test_every_command_shows_an_example(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([*command, "--help"])
    assert ended.value.code == 0
    assert f"lora-tui {command[0]}" in capsys.readouterr().out.partition("examples:")[2]


@pytest.mark.parametrize("command", commands(build_parser()), ids=" ".join)
def test_a_command_alone_helps_as_the_whole_grammar_does(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    helped = []
    for read in (build_parser().parse_args, parse):
        with pytest.raises(SystemExit):
            read([*command, "--help"])
        helped.append(capsys.readouterr().out)
    assert helped[0] == helped[1]


@pytest.mark.parametrize("line", EXAMPLES)
def test_a_command_alone_is_read_as_the_whole_grammar_reads_it(line: str) -> None:
    alone = vars(parse(shlex.split(line)))
    whole = vars(parse(["--no-color", *shlex.split(line)]))  # a flag first: all is built
    assert {**alone, "no_color": True}.items() <= whole.items()


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_a_command_line_that_is_taken(line: str) -> None:
    assert parse(shlex.split(line)).run


def actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All arguments and options of a command, but not its subcommands."""
    return [a for a in parser._actions if not isinstance(a, argparse._SubParsersAction)]


def parser_of(command: tuple[str, ...]) -> argparse.ArgumentParser:
    parser = build_parser()
    for word in command:
        [inner] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        parser = inner.choices[word]
    return parser


@pytest.mark.parametrize("command", [(), *commands(build_parser())], ids=" ".join)
def test_help_has_a_text_for_every_option_and_argument(command: tuple[str, ...]) -> None:
    without = [
        action.option_strings or action.dest
        for action in actions(parser_of(command))
        if not (action.help or "").strip()
    ]
    assert without == []


def test_help_has_a_summary_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])
    helped = capsys.readouterr().out
    for command in COMMANDS:
        assert command.summary[:1].isupper(), command.name
        assert not command.summary.endswith("."), command.name
        assert command.summary.split()[0] in helped


def test_doctor_documents_its_exit_codes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["doctor", "--help"])
    assert "7 if a check failed" in capsys.readouterr().out
