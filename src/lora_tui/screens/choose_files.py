"""The small form in which one chooses which files of a model to download."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import SelectionList
from textual.widgets.selection_list import Selection

from lora_tui import formats
from lora_tui.domain import ArtifactFile
from lora_tui.widgets.cells import fit
from lora_tui.widgets.dialog import Dialog

_NAME: Final = 36


class ChooseFilesScreen(ModalScreen[tuple[str, ...] | None]):
    """Answers the names of the chosen files; None where nothing is to be downloaded.

    What is not here yet is chosen to begin with.
    """

    CSS_PATH = "choose_files.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "Download", show=False, priority=True),
        Binding("escape,q", "dismiss(None)", "Close", show=False),
        Binding("a", "choose(True)", "All", show=False),
        Binding("n", "choose(False)", "None", show=False),
        Binding("j", "cursor(1)", "Next", show=False),
        Binding("k", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(
        self, files: tuple[ArtifactFile, ...], here: Collection[str], *, ascii_only: bool = False
    ) -> None:
        """`here` are the names of those that were downloaded and verified."""
        super().__init__()
        self._files, self._here, self._ascii_only = files, here, ascii_only

    def compose(self) -> ComposeResult:
        """One line a file."""
        between = " - " if self._ascii_only else " · "
        yield Dialog(
            SelectionList[int](
                *(
                    Selection(self._prompt(file), number, file.name not in self._here)
                    for number, file in enumerate(self._files)
                )
            ),
            title="Download files",
            keys=between.join(("space toggles", "a all", "n none", "enter downloads")),
        )

    def action_accept(self) -> None:
        """Download what is chosen."""
        chosen = set(self.query_one(SelectionList).selected)
        names = tuple(file.name for number, file in enumerate(self._files) if number in chosen)
        self.dismiss(names or None)

    def action_choose(self, everything: bool) -> None:
        """All of them, or none."""
        files = self.query_one(SelectionList)
        if everything:
            files.select_all()
        else:
            files.deselect_all()

    def action_cursor(self, lines: int) -> None:
        """Move by one line."""
        files = self.query_one(SelectionList)
        if lines > 0:
            files.action_cursor_down()
        else:
            files.action_cursor_up()

    def _prompt(self, file: ArtifactFile) -> Content:
        name = fit(file.label, _NAME, ascii_only=self._ascii_only)
        size = fit(formats.size(file.size), 11, right=True, ascii_only=self._ascii_only)
        here = "  here" if file.name in self._here else "      "
        return Content(f"{name}{size}{here}")
