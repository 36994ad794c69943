"""Writes the tables of docs/configuration.md; `make reference` runs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lora_tui.config.table import PROFILE_SETTINGS, UI_SETTINGS, VARIABLES, Setting

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

_TABLES = {"profile": PROFILE_SETTINGS, "ui": UI_SETTINGS, "variables": VARIABLES}
_MARKED = re.compile(r"(<!-- table: (\w+), by `make reference` -->\n).*?(<!-- end -->)", re.DOTALL)


def reference() -> str:
    """The page with its tables written anew; the text around them stays."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return _MARKED.sub(lambda m: f"{m[1]}\n{_table(_TABLES[m[2]])}\n{m[3]}", text)


def _table(settings: Iterable[Setting]) -> str:
    head = ("| in the file | in the environment | default | what |", "|---|---|---|---|")
    return "\n".join([*head, *_rows(settings), ""])


def _rows(settings: Iterable[Setting]) -> Iterator[str]:
    for setting in settings:
        cells = (
            f"`{setting.key}`" if setting.key else "",
            f"`{setting.variable}`" if setting.variable else "",
            _default(setting),
            setting.help + (f"; a flag too: `{setting.flag}`" if setting.flag else ""),
        )
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def _default(setting: Setting) -> str:
    if setting.unset or setting.default in (None, ""):
        return setting.unset
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    is_number = isinstance(setting.default, int | float)
    return f"`{setting.default:g}`" if is_number else f"`{setting.default}`"


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    print(DOCUMENT)
