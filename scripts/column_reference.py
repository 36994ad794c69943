"""Writes the table of docs/conditions.md; `make reference` runs it."""

from __future__ import annotations

import re
from pathlib import Path

from lora_tui.cache.model_columns import MODEL_COLUMNS, SYNONYMS

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "conditions.md"

_MARKED = re.compile(
    r"(<!-- table: columns, by `make reference` -->\n).*?(<!-- end -->)", re.DOTALL
)


def reference() -> str:
    """The page with its table written anew; the text around it stays."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return _MARKED.sub(lambda m: f"{m[1]}\n{_table()}\n{m[2]}", text)


def _table() -> str:
    lines = ["| column | kind | what it is |", "|---|---|---|"]
    for column in MODEL_COLUMNS:
        others = [f"`{name}`" for name, meant in SYNONYMS.items() if meant == column.name]
        also = f"; also {', '.join(others)}" if others else ""
        lines.append(f"| `{column.name}` | {column.kind.value} | {column.meaning}{also} |")
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    print(DOCUMENT)
