"""Writes docs/lora-tui.1 from the grammar of the command line; `make man` runs it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from lora_tui import __version__
from lora_tui.cli.grammar import build_parser

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "lora-tui.1"

_CHANGED = "2026-11-28"
"""The date of the last change, as man(7) wants it."""
_EXIT_CODES = (
    ("0", "success"),
    ("1", "unexpected error"),
    ("2", "wrong usage or configuration"),
    ("3", "not found, or denied"),
    ("4", "nobody is signed in, or the credentials are wrong"),
    ("5", "the backend can't be reached"),
    ("6", "a file is damaged or not the expected one"),
    ("7", "partly failed"),
    ("129, 130, 143", "ended by SIGHUP, SIGINT (ctrl+c) or SIGTERM"),
)
_ENVIRONMENT = (
    ("SUPABASE_URL, SUPABASE_ANON_KEY", "the project, instead of the configuration file"),
    ("SUPABASE_SERVICE_ROLE_KEY", "for the harvest and for push"),
    ("GPU_CLUSTER_API_URL, GPU_CLUSTER_API_KEY", "the GPU worker, for the harvest"),
    ("LORA_TUI_EMAIL, LORA_TUI_PASSWORD, LORA_TUI_ACCESS_TOKEN", "who signs in"),
    ("LORA_TUI_PROFILE", "the profile to use"),
    ("LORA_TUI_HOME", "one directory for all files of lora-tui"),
    ("NO_COLOR, LORA_TUI_ASCII", "no colours; only ASCII characters"),
)


def manual_page() -> str:
    """The whole page."""
    parser = build_parser()
    lines = [
        f'.TH LORA-TUI 1 {_CHANGED} "lora-tui {__version__}"',
        ".SH NAME",
        "lora-tui \\- harvest, browse and download LoRA adapters kept in Supabase",
        ".SH SYNOPSIS",
        ".B lora-tui",
        "[COMMAND] [OPTION ...]",
        ".SH DESCRIPTION",
        "Without a command it opens the application. Data goes to stdout, messages go to stderr.",
        ".SH OPTIONS",
        *_options(parser, everywhere=True),
        ".SH COMMANDS",
        *_commands(parser, ""),
        ".SH EXIT STATUS",
        *_terms(_EXIT_CODES),
        ".SH ENVIRONMENT",
        "A secret can also be read from a file: NAME_FILE is its path.",
        *_terms(_ENVIRONMENT),
    ]
    return "\n".join(lines) + "\n"


def _commands(parser: argparse.ArgumentParser, before: str) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for word, inner in action.choices.items():
            name = f"{before}{word}"
            nested = [a for a in inner._actions if isinstance(a, argparse._SubParsersAction)]
            if nested and nested[0].required:
                yield from _commands(inner, f"{name} ")
                continue
            yield f".SS lora-tui {_text(name)}"
            summary = inner.description or ""
            yield _text(f"{summary[:1].upper()}{summary[1:]}.")
            yield from _options(inner, everywhere=False)
            for line, what in getattr(inner, "examples", ()):
                yield from (".PP", _text(f"{what}:"), ".RS", ".nf")
                yield from (_text(f"lora-tui {line}"), ".fi", ".RE")
            yield from _commands(inner, f"{name} ")


def _options(parser: argparse.ArgumentParser, *, everywhere: bool) -> Iterator[str]:
    for group in parser._action_groups:
        if group.title == "for every command" and not everywhere:
            continue
        for action in group._group_actions:
            if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
                continue
            value = action.metavar or (
                "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
            )
            names = ", ".join(action.option_strings)
            takes = action.nargs is None or not names
            term = f"{names} {value}" if names and takes else names or str(value)
            yield from _terms([(term, action.help or "")])


def _terms(pairs: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> Iterator[str]:
    for term, text in pairs:
        yield from (".TP", f".B {_text(term)}", _text(text) or "\\&")


def _text(text: str) -> str:
    """Roff that shows this text: no escape, no request, no hyphen that turns into a dash."""
    escaped = text.replace("%%", "%").replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = escaped.replace("…", "...").replace("–", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "\\(aq")) else escaped


if __name__ == "__main__":
    DOCUMENT.write_text(manual_page(), encoding="utf-8")
    print(DOCUMENT)
