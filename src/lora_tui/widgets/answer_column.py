"""One of several answers that stand side by side: who, how fast, how far, and the text."""

from __future__ import annotations

from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from lora_tui.domain.answers import MOST_MODELS, Answer, Progress, measures, shown_lines, state_text
from lora_tui.widgets.cells import fit, fit_ends, normalize_width

LEAST_WIDTH: Final = 38
"""Cells of a column in which an answer can be read."""
_STYLES: Final = {
    Progress.WAITING: "$secondary",
    Progress.STREAMING: "$primary",
    Progress.DONE: "$text-success",
    Progress.CANCELLED: "$text-warning",
    Progress.FAILED: "$text-error",
}


class AnswerText(VerticalScroll, can_focus=False):
    """The text, which scrolls by the screen's keys."""


class AnswerColumn(Vertical):
    """Call `show`; it draws only what has changed."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only
        self._drawn: object = None
        self._told: object = None
        self._who = ""
        self._letter = ""
        self._answer: Answer | None = None
        self._is_winner = False

    def compose(self) -> ComposeResult:
        """Heading, two lines of figures, text."""
        yield Static(classes="answer-head", markup=False)
        with AnswerText():
            yield Static(classes="answer-text", markup=False)

    @property
    def scrolled(self) -> AnswerText:
        """The part that scrolls."""
        return self.query_one(AnswerText)

    def show(
        self, letter: str, name: str, answer: Answer | None, *, is_winner: bool = False
    ) -> None:
        """Show an answer, as far as it came; None before anything was asked.

        `name` is empty where it must not be known, and then no times are shown, and no errors:
        they would tell which model it is.
        """
        self._letter, self._who, self._answer = letter, name, answer
        self._is_winner = is_winner
        self._draw()

    def on_resize(self) -> None:
        """Fit the heading into the new width."""
        self._draw()

    def _draw(self) -> None:
        wanted = (self._letter, self._who, self._answer, self._is_winner, self.size.width)
        if wanted == self._drawn or not self.is_mounted:
            return
        self._drawn = wanted
        self.query_one(".answer-head", Static).update(self._head())
        text = (self._answer and (self._answer.text, self._answer.error), self._who)
        if text != self._told:
            self._told = text
            self.query_one(".answer-text", Static).update(self._body())
        self.set_class(self._is_winner, "-winner")

    def _head(self) -> Content:
        width, ascii_only = max(1, self.size.width - 1), self._ascii_only
        star = ("* " if ascii_only else "★ ") if self._is_winner else ""
        name = self._who or "hidden until you choose"
        room = width - len(star) - len(self._letter) - 2
        parts: list[tuple[str, str]] = [
            (f"{star}{self._letter}  ", "bold $primary"),
            (
                fit_ends(name, max(0, room), ascii_only=ascii_only).rstrip(),
                "bold $foreground" if self._who else "$secondary",
            ),
        ]
        answer = self._answer
        if answer is None:
            return Content.assemble(*parts, "\n\n")
        between = " - " if ascii_only else " · "
        timed = bool(self._who)
        figures = list(measures(answer, timed=timed))
        counted = figures.pop() if answer.tokens else ""
        state = between.join(filter(None, (state_text(answer), counted)))
        parts += [
            ("\n" + fit(state, width, ascii_only=ascii_only).rstrip(), _STYLES[answer.progress]),
            (
                "\n" + fit(between.join(figures), width, ascii_only=ascii_only).rstrip(),
                "$secondary",
            ),
        ]
        return Content.assemble(*parts)

    def _body(self) -> Content:
        answer = self._answer
        if answer is None:
            return Content("")
        lines = [
            normalize_width(line, ascii_only=self._ascii_only) for line in shown_lines(answer.text)
        ]
        parts: list[tuple[str, str]] = [("\n".join(lines), "$foreground")]
        if answer.error:
            told = answer.error if self._who else "No answer; the reason is shown with the names."
            told = normalize_width(told, ascii_only=self._ascii_only)
            parts.append((f"{chr(10) * 2 if lines else ''}{told}", "$text-error"))
        elif not lines and answer.progress is Progress.DONE:
            parts.append(("The answer is empty.", "$secondary"))
        return Content.assemble(*parts)


class AnswerColumns(Horizontal):
    """The columns, side by side; they scroll together."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__(*(AnswerColumn(ascii_only=ascii_only) for _ in range(MOST_MODELS)))

    def scroll_lines(self, lines: int) -> None:
        """Scroll all by so many lines."""
        for column in self.query(AnswerColumn):
            column.scrolled.scroll_relative(y=lines, animate=False)

    def scroll_pages(self, pages: int) -> None:
        """Scroll all by so many pages."""
        for column in self.query(AnswerColumn):
            part = column.scrolled
            part.scroll_relative(y=pages * max(1, part.size.height - 1), animate=False)

    def scroll_to_edge(self, *, end: bool) -> None:
        """Scroll all to the top or to the end."""
        for column in self.query(AnswerColumn):
            if end:
                column.scrolled.scroll_end(animate=False)
            else:
                column.scrolled.scroll_home(animate=False)
