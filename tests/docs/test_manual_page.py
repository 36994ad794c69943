"""`man lora-tui` knows every command and every flag."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Iterator

from lora_tui.cli.grammar import build_parser
from tests.docs.documents import ROOT

PAGE = (ROOT / "docs" / "lora-tui.1").read_text()


def test_the_page_is_as_the_program_is_now() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "manual_page.py"))["manual_page"]()
    assert made == PAGE, "run `make man`"


def test_every_command_is_in_it_with_each_of_its_flags() -> None:
    for command, parser in leaves(build_parser()):
        heading = f"\n.SS lora-tui {command}\n".replace("serve-", "serve\\-")
        _, found, after = PAGE.partition(heading)
        assert found, command
        section = after.partition("\n.SS ")[0]
        everywhere = PAGE.partition(".SH COMMANDS")[0]
        for flag in parser._option_string_actions:
            if flag not in ("-h", "--help"):
                assert flag.replace("-", "\\-") in section + everywhere, (command, flag)


def leaves(
    parser: argparse.ArgumentParser, before: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not nested or (before and not nested[0].required):
        yield before, parser
    for action in nested:
        for word, inner in action.choices.items():
            yield from leaves(inner, f"{before} {word}".strip())
