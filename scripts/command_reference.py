"""Writes docs/commands.md from the grammar of the command line; `make reference` runs it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from lora_tui.cli.grammar import build_parser

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "commands.md"

_INTRODUCTION = """\
# Commands

`make reference` writes this page from the program's `--help`. Commands print data on stdout and
messages on stderr. [Troubleshooting](troubleshooting.md) explains the exit codes. MODEL is the id
of a model, the start of one, an exact name, or [an alias](marks.md#aliases) such as `@production`.
Write two hyphens before an argument that begins with a hyphen: `lora-tui show -- -name`.

## Words

These words mean the same in commands, screens and pages.

| word | meaning |
|---|---|
| model | a row of the list: rating, metrics and files |
| adapter | the files of a model, on this disk or in the bucket |
| rating | 0 to 5 stars, stored by the pipeline; `--sort rating`, `--min-stars` |
| convergence | how the loss ended, from excellent to poor, or overfit; `--convergence` |
| second opinion | a check of the whole loss curve, with a suggested rating |
| mark | your favorite, tag, note or alias of a model; `space` marks for comparing |
| view | an order, a search, filters and columns of the list, under a name |
| column | what is known of a model, under a name |
| job | one training run on the GPU worker |
| harvest | turn completed jobs into models |
| cache | the copy of the rows on this machine, one file per account |
| sync | bring the cache up to date |
| profile | a project and its settings in the configuration file |

[Columns and conditions](conditions.md) has the names for `--columns`, `--where` and `--sort`.
`--sort quality` is another name of `--sort rating`, and `--quality` of `--convergence`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_sections(build_parser(), "lora-tui")])


def _sections(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not nested or not nested[0].required or name == "lora-tui":
        yield from _section(parser, name)
    for action in nested:
        for word, inner in action.choices.items():
            yield from _sections(inner, f"{name} {word}")


def _section(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    everywhere = parser.prog != "lora-tui"
    yield f"## {name}\n"
    summary = parser.description or ""
    yield f"{summary[:1].upper()}{summary[1:].rstrip('.')}.\n"
    rows = []
    for group in parser._action_groups:
        if everywhere and group.title == "for every command":
            continue
        for action in group._group_actions:
            if (
                not isinstance(action, argparse._SubParsersAction)
                and "-h" not in action.option_strings
            ):
                rows.append((_called(action), _help(action)))
    if rows:
        yield "| argument | what it does |\n|---|---|"
        yield from (f"| {called} | {text} |" for called, text in rows)
        yield ""
    examples = getattr(parser, "examples", ())
    if examples:
        yield "| example | what it does |\n|---|---|"
        yield from (f"| {_code(f'lora-tui {line}')} | {_cell(what)} |" for line, what in examples)
        yield ""


def _called(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else None
    if action.choices is not None and metavar is None:
        metavar = ", ".join(map(str, action.choices))
    metavar = metavar or action.dest.upper()
    if not action.option_strings:
        return _code(metavar)
    value = "" if action.nargs == 0 else f" [{metavar}]" if action.nargs == "?" else f" {metavar}"
    return ", ".join(_code(f"{option}{value}") for option in action.option_strings)


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    if action.required and action.option_strings:
        text += " (required)"
    return _cell(text.strip())


def _code(text: str) -> str:
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    print(DOCUMENT)
