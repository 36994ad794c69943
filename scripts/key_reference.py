"""Writes docs/keys.md from the bindings of the screens and widgets; `make reference` runs it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from textual.binding import Binding

import lora_tui.screens
from lora_tui.app import LoraTuiApp
from lora_tui.config.keys import spelled
from lora_tui.tui.base_app import BaseApp

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "keys.md"

_INTRODUCTION = """\
# Keys

In the application `?` shows the keys of the current screen, and `ctrl+p` finds an action by
its name. The mouse works too. This page is generated from the key bindings (`make reference`).

The last column is the name of the action in the table `[keys]` of the configuration
([how to change a key](configuration.md#keys)). A name that appears in several sections is one
action: a new key applies in all of them.
"""
# Widgets with keys of their own, by the module of the screen that they are part of.
_WIDGETS = {
    "models": {
        "Models, in the list": ("model_table", "row_view", "row_table"),
        "Models, as cards": ("card_grid",),
        "Models, while searching": ("search_bar",),
    },
    "try_models": {"Try, in the prompt": ("prompt_line",)},
    "jobs": {"Jobs, in the list": ("job_table", "row_view", "row_table")},
}
# What several screens inherit is shown with each of them.
_BASES = ("chart_screen", "metrics_screen")
_FIRST = ("models", "model", "compare", "jobs", "transfers", "notifications", "harvest", "costs")
_NAMES = {"pagedown": "page down", "pageup": "page up"}


def reference() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, *_section("Everywhere", _bindings(BaseApp, LoraTuiApp))]
    found = [module.name for module in pkgutil.iter_modules(lora_tui.screens.__path__)]
    found = [name for name in found if name not in _BASES]
    for name in sorted(found, key=lambda n: (_FIRST.index(n) if n in _FIRST else len(_FIRST), n)):
        screens = _classes(f"lora_tui.screens.{name}")
        parts += _section(name.replace("_", " ").capitalize(), _bindings(*screens))
        for title, modules in _WIDGETS.get(name, {}).items():
            widgets = [one for module in modules for one in _classes(f"lora_tui.widgets.{module}")]
            parts += _section(title, _bindings(*widgets))
    return "\n".join(parts)


def _classes(module: str) -> list[type]:
    members = vars(importlib.import_module(module)).values()
    return [c for c in members if isinstance(c, type) and c.__module__ == module]


def _bindings(*classes: type) -> Iterator[Binding]:
    """Those of each class, then those it inherits, but for actions that it describes itself."""
    for one in classes:
        described: set[str | None] = set()
        for base in one.__mro__:
            own = [b for b in vars(base).get("BINDINGS", ()) if isinstance(b, Binding)]
            if base.__module__.startswith("lora_tui."):
                yield from (b for b in own if b.description and b.id not in described)
            described.update(binding.id for binding in own)


def _section(title: str, bindings: Iterable[Binding]) -> list[str]:
    rows = {f"| {_keys(b)} | {b.tooltip or b.description} | `{b.id}` |": None for b in bindings}
    head = "| key | what it does | name |\n|---|---|---|"
    return [f"## {title}\n", head, *rows, ""] if rows else []


def _keys(binding: Binding) -> str:
    return ", ".join(f"`{_NAMES.get(key) or spelled(key)}`" for key in binding.key.split(","))


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    print(DOCUMENT)
