"""What to do about an error, as the application says it: its keys in place of commands.

Commands and screens get the same errors, and their remedies are worded for a command line. This is
the one place that knows what is a key here. A command that only a shell has, such as `lora-tui
doctor`, stays as it is.
"""

from __future__ import annotations

from typing import Any, Final

from textual.app import App

from lora_tui.widgets.bindings import key_of

_IN_SETTINGS: Final = "choose another directory in the settings (%s)"
_IN_KEYS: Final[tuple[tuple[str, str, str | None], ...]] = (
    # a part of a remedy, what is said in its place, and the action whose key that names; a part
    # that contains another one comes first
    ("run `lora-tui login`", "press %s to sign in", "app.login"),
    ("sign in again with `lora-tui login`", "press %s to sign in again", "app.login"),
    ("run `lora-tui sync`", "press %s to sync", "app.sync"),
    ("`lora-tui harvest retry`", "press %s in the harvest", "harvest.retry"),
    ("the cache still answers with `--offline`", "the models in the cache stay available", None),
    (
        "download it elsewhere: `lora-tui download MODEL --to DIR`",
        f"{_IN_SETTINGS}, and download it again",
        "app.settings",
    ),
    (
        ", choose another directory with --to, or use --force",
        f", or {_IN_SETTINGS}",
        "app.settings",
    ),
    (
        ", choose another directory with --to, or replace it with --force",
        f", or {_IN_SETTINGS}",
        "app.settings",
    ),
    (
        "choose another directory with --to, or replace them with --force",
        _IN_SETTINGS,
        "app.settings",
    ),
    ("choose another directory with --to", _IN_SETTINGS, "app.settings"),
    (
        "name the directory itself with --to",
        "name the directory itself in the settings (%s)",
        "app.settings",
    ),
    ("run the same command again", "press %s on the model again", "model.download"),
    ("see `--for peft`", "see the snippet for PEFT", None),
)
_AFTERWARDS: Final = "quit, "
"""How a remedy begins whose commands are for the shell, once the application has ended."""


def in_the_application(app: App[Any], remedy: str) -> str:
    """`remedy` with the keys of `app` in place of commands and options; empty for an empty one."""
    if remedy.startswith(_AFTERWARDS):
        return remedy
    for part, words, action in _IN_KEYS:
        if part in remedy:
            remedy = remedy.replace(part, words if action is None else words % key_of(app, action))
    return remedy
