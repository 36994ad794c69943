"""One's own marks as lines: on the page of a model and in its preview."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from lora_tui.cache.own_marks import ShownMarks
from lora_tui.widgets.cells import normalize_width, wrap
from lora_tui.widgets.styled_lines import Line, StyledLines, favorite_sign, line_styles

_LABEL: Final = 9
_MOST_LINES: Final = 40
"""Of a note on the page."""


class MarksPanel(StyledLines):
    """Shows the marks of a model; hidden where it has none."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("heading", "label", "value", "strong")

    _marks: ShownMarks | None = None

    def show(self, marks: ShownMarks) -> None:
        """Show these marks."""
        if marks != self._marks:
            self._marks = marks
            self.display = not marks.is_empty
            self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `mark_lines`."""
        if self._marks is None or self._marks.is_empty:
            return ()
        heading: Line = [("Your marks", "heading")]
        return [heading, *mark_lines(self._marks, width, _MOST_LINES, ascii_only=self.ascii_only)]


def mark_lines(marks: ShownMarks, width: int, most: int, *, ascii_only: bool = False) -> list[Line]:
    """Favorite, aliases and tags, then the note; at most `most` lines."""
    lines: list[Line] = []
    if marks.favorite:
        lines.append([(favorite_sign(ascii_only=ascii_only), "strong"), (" favorite", "value")])
    for label, words in (
        ("Aliases", [f"@{alias}" for alias in marks.aliases]),
        ("Tags", [*marks.tags]),
    ):
        text = normalize_width("  ".join(words), ascii_only=ascii_only)
        for place, part in enumerate(wrap(text, max(1, width - _LABEL)) if text else ()):
            name = label if place == 0 else ""
            lines.append([(f"{name:<{_LABEL}}", "label"), (part, "value")])
    for line in marks.note.split("\n") if marks.note else ():
        shown = normalize_width(line, ascii_only=ascii_only)
        indent = shown[: len(shown) - len(shown.lstrip(" "))][: width // 2]
        parts = wrap(shown.strip(), max(1, width - len(indent))) or [""]
        lines += ([(indent + part, "value")] for part in parts)
    if len(lines) <= most:
        return lines
    return [*lines[: max(0, most - 1)], [("..." if ascii_only else "…", "label")]]
