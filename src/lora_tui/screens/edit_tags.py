"""The form for the tags of one or several models: a line of words; the tags in use are offered."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, Static

from lora_tui.domain.own_marks import like, tag_of
from lora_tui.errors import UsageError
from lora_tui.text import cell_width
from lora_tui.tui.base_screen import Modal
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.forms import Dialog
from lora_tui.widgets.text_line import TextLine

_OFFERED: Final = 60
"""Tags that are offered at most."""
_LINES: Final = 4


class TagChange(NamedTuple):
    """What to add and what to remove."""

    add: tuple[str, ...]
    remove: tuple[str, ...]


class EditTagsScreen(Modal[TagChange | None]):
    """Answers the change, or None for none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("typing.keep", "keep", "Keep", show=False),
        bound("typing.leave", "dismiss(None)", "Leave", show=False),
        bound("typing.complete", "complete", "Complete the tag", show=False, priority=True),
    ]

    def __init__(self, title: str, tags: Sequence[str], known: Sequence[str], note: str) -> None:
        """`tags`: what all the models have. `known`: all tags in use. `note`: a line above."""
        super().__init__()
        self._title, self._before, self._known, self._note = title, tuple(tags), known, note

    def compose(self) -> ComposeResult:
        """The words; below them the tags in use, or what is wrong."""
        yield Dialog(
            Static(self._note, markup=False, classes="dialog-heading"),
            TextLine(
                "".join(f"{tag} " for tag in self._before),
                placeholder="words: letters, digits, dots and - _ /",
                compact=True,
                select_on_focus=False,
                suggester=_LastWord(self._known),
                classes="mark-input",
            ),
            Static(markup=False, id="mark-hint"),
            title=self._title,
            keys=[
                ("typing.keep", "keeps"),
                ("typing.complete", "completes"),
                ("typing.leave", "leaves"),
            ],
        )

    def on_mount(self) -> None:
        """Type at once, behind the tags that are there."""
        self._input.focus()
        self._input.cursor_position = len(self._input.value)
        end = partial(self._input.scroll_to, x=cell_width(self._input.value), animate=False)
        self.call_after_refresh(self.while_alive(end), force=True)  # where it is too narrow
        self._offer()

    def action_complete(self) -> None:
        """Complete the word that is typed, with a blank after it."""
        if self.focused is self._input and self._input._suggestion:
            self._input.value = f"{self._input._suggestion} "
            self._input.cursor_position = len(self._input.value)

    def action_keep(self) -> None:
        """Answer what is to be added and removed; where a word is no tag, say so."""
        try:
            words = [tag_of(word.removeprefix("#")) for word in self._input.value.split()]
        except UsageError as error:
            self._say(f"{error}: {error.remedy}", "$text-error")
            return
        add = tuple(word for word in words if like(word, self._before) is None)
        remove = tuple(tag for tag in self._before if like(tag, words) is None)
        self.dismiss(TagChange(add, remove) if add or remove else None)

    @property
    def _input(self) -> Input:
        return self.query_one(Input)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_keep()

    @on(Input.Changed)
    def _offer(self) -> None:
        """Show the tags in use that begin with the word, without those that are there."""
        *typed, last = self._input.value.split(" ")
        offered = [
            tag
            for tag in self._known
            if like(tag, typed) is None and tag.casefold().startswith(last.casefold())
        ]
        texts = [normalize_width(tag, ascii_only=self._is_ascii) for tag in offered[:_OFFERED]]
        self._say("  ".join(texts) or " ")

    @property
    def _is_ascii(self) -> bool:
        return self.app.has_class("-ascii")

    def _say(self, text: str, style: str = "$secondary") -> None:
        width = 56 * _LINES
        shown = fit(text, width, ascii_only=self._is_ascii).rstrip()
        self.query_one("#mark-hint", Static).update(Content.styled(shown, style))


class _LastWord(Suggester):
    """Completes the last word of a line to a tag in use."""

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._known = known

    async def get_suggestion(self, value: str) -> str | None:
        """The line with its last word completed; None where no tag begins with it."""
        before, blank, last = value.rpartition(" ")
        if not last:
            return None
        found = next((t for t in self._known if t.startswith(last) and t != last), None)
        return None if found is None else f"{before}{blank}{found}"
