"""Turns a wrong command line into one sentence with a remedy. Loaded only when there is one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from lora_tui.errors import UsageError

_REMEDIES: Final = {"rate": "write it like this: 800K or 5M"}
"""By the name of an argument's type."""
_CHOOSE: Final = "choose from {}"


def unknown_option(word: str, options: Iterable[str], prog: str, *, has_names: bool) -> UsageError:
    """The error for an option that does not exist.

    `has_names`: whether the command takes other arguments too, which may begin with a dash.
    """
    name = word.partition("=")[0]  # what follows may be a secret
    near = similar_option(name, options)
    remedy = f"see `{prog} --help`"
    if near:
        remedy = f"did you mean {near}? `{prog} --help` lists the options"
    elif has_names:
        remedy += ", or write -- before an argument that begins with a dash"
    return UsageError(f"There is no option {name}", remedy=remedy)


def similar_option(name: str, options: Iterable[str]) -> str | None:
    """The option that a mistyped one resembles most; None where none does."""
    found = get_close_matches(name, list(options), n=1, cutoff=0.7) if len(name) > 2 else []
    return found[0] if found else None


def plain_error(message: str, prog: str) -> UsageError:
    """The error for a message of argparse, which is kept where it has an unknown form."""
    see = f"see `{prog} --help`"
    for pattern, sentence, remedy in _PATTERNS:
        match = re.fullmatch(pattern, message)
        if match:
            words = {key: value.strip("'\"") for key, value in match.groupdict().items()}
            name = words.get("name", "").rpartition("/")[2]  # of -v/--verbose the long one
            words["name"] = name if name.startswith("-") else name.upper()
            choices = words.get("choices", "").replace("'", "")
            remedy = _REMEDIES.get(words.get("kind", ""), remedy or see)
            return UsageError(sentence.format(**words), remedy=remedy.format(choices))
    return UsageError(message, remedy=see)


_PATTERNS: Final = (
    (r"argument (?P<name>.+?): expected (one|at least one) argument", "{name} needs a value", ""),
    (
        r"argument (?P<name>.+?): invalid choice: (?P<value>.*) \(choose from (?P<choices>.*)\)",
        "{name} can't be '{value}'",
        _CHOOSE,
    ),
    (
        r"argument (?P<name>.+?): invalid (?P<kind>.+) value: (?P<value>.*)",
        "{name} must be a {kind}, not '{value}'",
        "",
    ),
    (
        r"argument (?P<name>.+?): not allowed with argument (?P<other>.+)",
        "{name} and {other} can't be used together",
        "leave one out",
    ),
    (r"argument (?P<name>.+?): (?P<what>must be at most .+)", "{name} {what}", ""),
    (r"argument (?P<name>.+?): ignored explicit argument .*", "{name} takes no value", ""),
    (r"the following arguments are required: (?P<what>[^,]+)", "{what} is missing", ""),
    (r"the following arguments are required: (?P<what>.+)", "{what} are missing", ""),
    (r"unrecognized arguments: (?P<what>\S+)", "One argument too many: {what}", ""),
    (r"unrecognized arguments: (?P<what>.+)", "Too many arguments: {what}", ""),
    (
        r"ambiguous option: (?P<name>\S+) could match (?P<choices>.+)",
        "{name} is short for several options",
        "write one of {}",
    ),
)
"""Message of argparse, sentence, remedy ("": see the help)."""
