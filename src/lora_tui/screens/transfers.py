"""Transfers: every download, how far each is, and what one can do to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from lora_tui import formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.models import names_of
from lora_tui.cache.transfers import ACTIVE, IN_HAND, STOPPED, Transfer, TransferState, queue_of
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.text import terminal_safe
from lora_tui.transfers.control import Control
from lora_tui.transfers.rate import RateMeter, seconds_left
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.styled_lines import Line
from lora_tui.widgets.transfer_bar import progress_line
from lora_tui.widgets.transfer_line import group_heading, transfer_lines

_STYLES: Final = {
    "active": "$primary",
    "waiting": "$accent",
    "done": "$success",
    "failed": "$error",
    "muted": "$secondary",
    "faint": "$secondary 50%",
    "value": "$foreground 90%",
    "heading": "bold $foreground",
}
_COUNTED: Final = (
    ("running", IN_HAND),
    ("queued", (TransferState.QUEUED,)),
    ("paused", (TransferState.PAUSED,)),
    ("stopped", (TransferState.CANCELLED,)),
    ("failed", (TransferState.FAILED,)),
    ("gone or changed", (TransferState.MISSING, TransferState.CHANGED)),
    ("done", (TransferState.DONE,)),
)


class TransferList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Model", tooltip="Open the model"),
        *LIST_KEYS,
    ]


class TransfersScreen(ListScreen[Transfer]):
    """Unfinished downloads in the order of the queue, then those that are done."""

    ABOUT = "Downloads go on while you look elsewhere, and after a quit at the next start."
    CSS_PATH = ["list_screen.tcss", "transfers.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Transfers"
    TOPICS = frozenset({Topic.TRANSFERS, Topic.MODELS})
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.transfers", "back", "Back", show=False),
        bound("transfers.pause", "control('pause')", "Pause", tooltip="Stop it for now"),
        bound(
            "transfers.pause", "control('resume')", "Resume", show=False, tooltip="Go on with it"
        ),
        bound(
            "transfers.resume",
            "control('resume')",
            "Resume",
            tooltip="Go on with it, or try it again",
        ),
        bound(
            "transfers.cancel",
            "control('cancel')",
            "Stop",
            tooltip="Stop it; what was fetched is kept",
        ),
        bound("transfers.up", "control('up')", "Up", tooltip="Fetch it earlier"),
        bound("transfers.down", "control('down')", "Down", tooltip="Fetch it later"),
        bound(
            "transfers.forget",
            "control('forget')",
            "Remove",
            tooltip="Off the list; a finished file stays",
        ),
        bound(
            "transfers.pause_all",
            "all('pause')",
            "Pause all",
            show=False,
            tooltip="Stop all for now",
        ),
        bound(
            "transfers.resume_all",
            "all('resume')",
            "Resume all",
            show=False,
            tooltip="Go on with all",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Transfer] = []
        self._meter = RateMeter()

    def compose_list(self) -> ComposeResult:
        """The progress of all, and the list."""
        yield Static(id="total", markup=False)
        yield TransferList(id="transfers", markup=False)

    def identity(self, row: Transfer) -> int:
        """Its number in the queue."""
        return row.id

    def refresh_list(self) -> None:
        """Read the list anew; the cursor stays on its file."""
        self._rows = queue_of(self.db)
        self._meter.observe(self._rows)
        self.show_rows(self._with_headings())
        self._show_total()

    def say_empty(self, panel: StatePanel) -> None:
        """How to begin a download."""
        panel.show_message(
            "No downloads",
            f"{key_of(self.app, 'models.download')} downloads the model that you are at",
        )

    def open_row(self, row: Transfer) -> None:
        """Show its model."""
        self.open_model(row.model_id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies to the chosen file is offered."""
        if action not in ("control", "all"):
            return True
        rows = self._rows if action == "all" else [row for row in [self.chosen] if row]
        return any(_applies(Control(str(parameters[0])), row) for row in rows)

    def action_control(self, what: str) -> None:
        """Do it to the chosen file."""
        row = self.chosen
        if row is None:
            return
        if Control(what) is Control.FORGET and row.state in STOPPED and row.bytes_done:
            self._forget_part(row)
        else:
            self._ask(Control(what), [row])

    def _forget_part(self, row: Transfer) -> None:
        """After a question: hours may have gone into what was fetched."""
        from lora_tui.screens.confirm import ConfirmScreen

        def answered(wanted: bool | None) -> None:
            if wanted:
                self._ask(Control.FORGET, [row])

        fetched = f"{formats.size(row.bytes_done)} of {terminal_safe(row.file, limit=100)}"
        question = f"{fetched} were fetched already and leave the disk too. Remove it?"
        self.app.push_screen(ConfirmScreen("Remove", question), self.while_alive(answered))

    def action_all(self, what: str) -> None:
        """Do it to every file that it applies to."""
        self._ask(Control(what), self._rows)

    def _ask(self, what: Control, rows: Sequence[Transfer]) -> None:
        ids = [row.id for row in rows if _applies(what, row)]
        self.lora.ask(partial(self.lora.writers.control_downloads, what, ids))

    def _show_total(self) -> None:
        """How many files are in each state; bytes, rate and time left of those under way."""
        counts = [
            f"{count} {word}"
            for word, states in _COUNTED
            if (count := sum(row.state in states for row in self._rows))
        ]
        self.query_one(TitleBar).detail = ", ".join(counts)
        active = [row for row in self._rows if row.state in ACTIVE]
        total = self.query_one("#total", Static)
        total.display = bool(active)
        if not active:
            return
        rates = [rate for row in active if (rate := self._meter.rate(row)) is not None]
        rate = sum(rates) if rates else None
        totals = [row.bytes_total for row in active]
        known = [size for size in totals if size is not None]
        line = progress_line(
            sum(row.bytes_done for row in active),
            sum(known) if len(known) == len(totals) else None,
            self.line_width,
            rate=rate,
            left=seconds_left(active, rate),
            ascii_only=self.ascii_only,
            longest=self.line_width,
        )
        total.update(_styled([line]))

    def _with_headings(self) -> list[tuple[Transfer | None, Content]]:
        """What the list shows: a heading (None) wherever the model changes, and the files."""
        names = names_of(self.db, list({row.model_id for row in self._rows}))
        shown: list[tuple[Transfer | None, Content]] = []
        before: tuple[str, Path] | None = None
        for row in self._rows:
            group = (row.model_id, row.target.parent)
            if group != before:
                name = names.get(row.model_id, row.model_id)
                line = group_heading(name, group[1], self.line_width, ascii_only=self.ascii_only)
                gap: list[Line] = [[("", "muted")]] if before is not None else []
                shown.append((None, _styled([*gap, line])))
                before = group
            rate = self._meter.rate(row) if row.state is TransferState.RUNNING else None
            lines = transfer_lines(row, self.line_width, rate=rate, ascii_only=self.ascii_only)
            shown.append((row, _styled(lines)))
        return shown


def _styled(lines: Sequence[Line]) -> Content:
    return Content("\n").join(
        Content.assemble(*((text, _STYLES[role]) for text, role in line)) for line in lines
    )


def _applies(what: Control, row: Transfer) -> bool:
    match what:
        case Control.PAUSE:
            return row.state in ACTIVE
        case Control.RESUME:
            return row.state in STOPPED
        case Control.CANCEL:
            return row.state in (*ACTIVE, TransferState.PAUSED)
        case Control.UP | Control.DOWN:
            return row.state in (TransferState.QUEUED, TransferState.PAUSED)
        case Control.FORGET:
            return row.state not in ACTIVE
