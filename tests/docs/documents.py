"""The documents for users, taken apart: their blocks, what they say in passing, their pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
USER_DOCUMENTS: Final = [document for document in DOCUMENTS if document.stem != "CHANGELOG"]

_BLOCK: Final = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>[^>]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE: Final = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block; `sh` is what a reader may type as it stands."""

    language: str
    text: str
    line: int
    reason: str | None
    """Why it is not run, where the document says so."""


def blocks(document: Path) -> list[Block]:
    """All fenced blocks of a document, from the top."""
    source = document.read_text()
    return [
        Block(
            found["language"],
            found["text"],
            source.count("\n", 0, found.start("text")) + 1,
            found["reason"],
        )
        for found in _BLOCK.finditer(source)
    ]


def inline_code(document: Path) -> Iterator[str]:
    """What stands between backticks outside of blocks."""
    yield from _INLINE.findall(_BLOCK.sub("", document.read_text()))


def name(document: Path) -> str:
    """As a person calls it."""
    return str(document.relative_to(ROOT))
