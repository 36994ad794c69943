"""The second opinion on a model's run: verdict, how it stands to the stars, findings, advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from lora_tui.opinion import Comparison, Opinion, Severity
from lora_tui.widgets.cells import settled
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn, wrapped

_SIGNS: Final = {
    Severity.GOOD: ("✓", "+", "done"),
    Severity.NOTE: ("•", "-", "muted"),
    Severity.WARNING: ("▲", "!", "overfit"),
    Severity.SERIOUS: ("✗", "X", "failed"),
}
_INDENT: Final = 2


class OpinionPanel(DrawnLines):
    """Nothing at all until `show` is called."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "heading", "figure", "value", "muted", "done", "overfit", "failed"
    )

    _shown: tuple[Opinion, Comparison] | None = None

    def show(self, opinion: Opinion | None, comparison: Comparison | None) -> None:
        """Show this opinion, or nothing."""
        self._shown = None if opinion is None or comparison is None else (opinion, comparison)
        self.display = self._shown is not None
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `opinion_lines`."""
        if self._shown is None:
            return ()
        return opinion_lines(*self._shown, width, ascii_only=self.ascii_only)


def opinion_lines(
    opinion: Opinion, comparison: Comparison, width: int, *, ascii_only: bool = False
) -> list[Line]:
    """A sign before each finding says how much it weighs; colour repeats it."""
    worst = max((finding.severity for finding in opinion.findings), default=Severity.NOTE)
    style = "muted" if opinion.stars is None else _SIGNS[worst][2]
    lines: list[Line] = [
        [("Second opinion", "heading"), ("  ", "muted"), (opinion.verdict.value, style)]
    ]
    lines += [[(text, "figure")] for text in wrapped(comparison.sentence, width)]
    for finding in opinion.findings:
        sign, letter, style = _SIGNS[finding.severity]
        lines += _item(letter if ascii_only else sign, style, finding.sentence, width, ascii_only)
    if opinion.recommendation:
        arrow = ">" if ascii_only else "→"
        lines += _item(arrow, "heading", opinion.recommendation, width, ascii_only)
    return lines


def _item(sign: str, style: str, text: str, width: int, ascii_only: bool) -> list[Line]:
    texts = wrapped(settled(text, ascii_only=ascii_only), max(1, width - _INDENT))
    return [
        [(sign if number == 0 else " ", style), (" ", "muted"), (part, "value")]
        for number, part in enumerate(texts)
    ]
