"""Writes the tables of docs/configuration.md; `make reference` runs it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lora_tui.config.setting import Setting
from lora_tui.config.table import PROFILE_SETTINGS, UI_SETTINGS, VARIABLES

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

_TABLES = {"profile": PROFILE_SETTINGS, "ui": UI_SETTINGS, "variables": VARIABLES}
_MARKED = re.compile(r"(<!-- table: (\w+), by `make reference` -->\n).*?(<!-- end -->)", re.DOTALL)


def reference() -> str:
    """The page with its tables written anew; the text around them stays."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return _MARKED.sub(lambda m: f"{m[1]}\n{_table(_TABLES[m[2]])}\n{m[3]}", text)


def _table(settings: Iterable[Setting]) -> str:
    rows = [("in the file", "in the environment", "default", "what"), *map(_row, settings)]
    columns = range(len(rows[0])) if rows[1][0] else range(1, len(rows[0]))
    lines = [[row[column] for column in columns] for row in rows]
    lines.insert(1, ["---"] * len(columns))
    return "".join(_line(cells) for cells in lines)


def _row(setting: Setting) -> tuple[str, ...]:
    return (
        f"`{setting.key}`" if setting.key else "",
        f"`{setting.variable}`" if setting.variable else "",
        _default(setting),
        setting.help + (f"; also the option `{setting.flag}`" if setting.flag else ""),
    )


def _line(cells: Iterable[str]) -> str:
    text = "".join(f"| {cell} " if cell else "| " for cell in cells)
    return f"{text}|\n"


def _default(setting: Setting) -> str:
    if setting.unset or setting.default in (None, ""):
        return setting.unset
    if isinstance(setting.default, bool):
        return f"`{str(setting.default).lower()}`"
    is_number = isinstance(setting.default, int | float)
    shown = setting.kind.file_text(setting.default) if is_number else setting.default
    return f"`{shown}`"


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    print(DOCUMENT)
