"""The dialog that selects which files of a model to download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui import formats
from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.domain import ArtifactFile
from lora_tui.screens.list_form import ListForm
from lora_tui.tui.base_screen import FORM_STYLES
from lora_tui.widgets.bindings import bound
from lora_tui.widgets.cells import fit
from lora_tui.widgets.forms import Dialog

_NAME: Final = 32
_SIZE: Final = 11
_DOWNLOADED: Final = "  downloaded"


class ChooseFilesScreen(ListForm[tuple[str, ...] | None]):
    """Returns the names of the selected files; None to download nothing.

    Files that are not on this disk yet are selected at first.
    """

    CSS_PATH = [FORM_STYLES, "choose_files.tcss"]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("files.download", "accept", "Download", show=False, priority=True),
        bound("dialog.choose", "switch", "Choose", show=False),
        bound("dialog.close", "dismiss(None)", "Close", show=False),
        bound("files.all", "choose(True)", "All", show=False),
        bound("files.none", "choose(False)", "None", show=False),
        bound("list.down", "cursor(1)", "Next", show=False),
        bound("list.up", "cursor(-1)", "Previous", show=False),
    ]

    def __init__(
        self,
        files: tuple[ArtifactFile, ...],
        transfers: Sequence[Transfer],
        *,
        ascii_only: bool = False,
    ) -> None:
        """`transfers`: the downloads of these files, finished or not."""
        super().__init__()
        self._files, self._ascii_only = files, ascii_only
        self._transfers = {transfer.file: transfer for transfer in transfers}
        self._chosen = {n for n, file in enumerate(files) if not self._is_downloaded(file)}

    def compose(self) -> ComposeResult:
        """One line a file."""
        yield Dialog(
            OptionList(*(Option(self._line(n)) for n in range(len(self._files))), markup=False),
            title="Download files",
            keys=[
                ("dialog.choose", "selects"),
                ("files.all", "all"),
                ("files.none", "none"),
                ("files.download", "downloads"),
            ],
        )

    def on_mount(self) -> None:
        """Start at the first file."""
        self.query_one(OptionList).highlighted = 0

    def action_accept(self) -> None:
        """Download the selected files."""
        names = tuple(self._files[number].name for number in sorted(self._chosen))
        if not names:
            self.notify("No file is selected", timeout=4)
        self.dismiss(names or None)

    def action_switch(self) -> None:
        """Select or deselect the highlighted file."""
        number = self.query_one(OptionList).highlighted
        if number is not None:
            self._choose(self._chosen ^ {number})

    def action_choose(self, everything: bool) -> None:
        """Select all files, or none."""
        self._choose(set(range(len(self._files))) if everything else set())

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self._choose(self._chosen ^ {event.option_index})

    def _choose(self, chosen: set[int]) -> None:
        changed, self._chosen = self._chosen ^ chosen, chosen
        files = self.query_one(OptionList)
        for number in changed:
            files.replace_option_prompt_at_index(number, self._line(number))

    def _line(self, number: int) -> Content:
        file = self._files[number]
        box = "[x]" if number in self._chosen else "[ ]"
        name = fit(file.label, _NAME, ascii_only=self._ascii_only)
        size = fit(
            formats.size(self._bytes_of(file)), _SIZE, right=True, ascii_only=self._ascii_only
        )
        state = _DOWNLOADED if self._is_downloaded(file) else " " * len(_DOWNLOADED)
        return Content.assemble(
            (box, "$accent"), f" {name}", (size, "$secondary"), (state, "$success")
        )

    def _is_downloaded(self, file: ArtifactFile) -> bool:
        transfer = self._transfers.get(file.name)
        return transfer is not None and transfer.state is TransferState.DONE

    def _bytes_of(self, file: ArtifactFile) -> int | None:
        """The size in the manifest, else the one that the download found."""
        transfer = self._transfers.get(file.name)
        return transfer.bytes_total if file.size is None and transfer is not None else file.size
