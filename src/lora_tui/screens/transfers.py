"""The Transfers screen: every download, its progress, and the actions on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
from lora_tui.cache.transfer_queue import (
    ACTIVE,
    IN_HAND,
    STOPPED,
    Transfer,
    TransferState,
    queue_of,
)
from lora_tui.errors import error_of_kind
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.text import terminal_safe
from lora_tui.transfers.control import Control
from lora_tui.transfers.rate import RateMeter, seconds_left
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.styled_lines import Line
from lora_tui.widgets.transfer_line import group_heading, progress_line, transfer_lines

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
    ("missing", (TransferState.MISSING,)),
    ("changed", (TransferState.CHANGED,)),
    ("done", (TransferState.DONE,)),
)

_AFTERWARDS: Final = {
    Control.PAUSE: TransferState.PAUSED,
    Control.RESUME: TransferState.QUEUED,
    Control.CANCEL: TransferState.CANCELLED,
}
"""The state that an action leaves a file in."""

_Drawing = tuple[Transfer, float | None, int]
"""A file, its rate, and the width that it is drawn in."""


class TransferList(FullList, inherit_bindings=False):
    """The list of files."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open model", tooltip="Open the model of this file"),
        *LIST_KEYS,
    ]


class TransfersScreen(ListScreen[Transfer]):
    """Unfinished downloads in the order of the queue, then finished ones."""

    ABOUT = "All downloads. They continue while you use other screens, and after a restart."
    CSS_PATH = ["list_screen.tcss", "transfers.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Transfers"
    TOPICS = frozenset({Topic.TRANSFERS, Topic.MODELS})
    STARTS_AT_TOP = True  # the running files are there
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.transfers", "back", "Back", show=False),
        bound("transfers.pause", "control('pause')", "Pause", tooltip="Pause this file"),
        bound(
            "transfers.pause", "control('resume')", "Resume", show=False, tooltip="Resume this file"
        ),
        bound(
            "transfers.resume",
            "control('resume')",
            "Resume",
            tooltip="Resume or retry this file",
        ),
        bound(
            "transfers.cancel",
            "control('cancel')",
            "Stop",
            tooltip="Stop this file; the downloaded part is kept",
        ),
        bound("transfers.up", "control('up')", "Up", tooltip="Move up in the queue"),
        bound("transfers.down", "control('down')", "Down", tooltip="Move down in the queue"),
        bound(
            "transfers.forget",
            "control('forget')",
            "Remove",
            tooltip="Remove from the list; a finished file is kept",
        ),
        bound(
            "transfers.pause_all",
            "all('pause')",
            "Pause all",
            show=False,
            tooltip="Pause all files",
        ),
        bound(
            "transfers.resume_all",
            "all('resume')",
            "Resume all",
            show=False,
            tooltip="Resume all files",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Transfer] = []
        self._meter = RateMeter()
        self._headings: list[tuple[int, Line]] = []
        """Headings of models, each with its line in the list, from 0."""
        self._asked: list[tuple[Control, frozenset[int]]] = []
        """What was asked for and not answered yet, with the ids of its files."""
        self._drawn: dict[_Drawing, Content] = {}
        """What the list shows: of a thousand files, few change at once."""

    def compose_list(self) -> ComposeResult:
        """The total progress, and the list."""
        yield Static(id="total", markup=False)
        yield Static(id="group", markup=False)
        yield TransferList(id="transfers", markup=False)

    def on_mount(self) -> None:
        """Read the list, and watch which part of it is visible."""
        super().on_mount()
        self.watch(self.query_one(TransferList), "scroll_y", self._show_group, init=False)

    def identity(self, row: Transfer) -> int:
        """The id of the file in the queue."""
        return row.id

    def refresh_list(self) -> None:
        """Read the list again; the cursor stays on its file."""
        self._rows = queue_of(self.db)
        for what, ids in self._asked:
            self._rows = _expected(self._rows, what, ids)
        self._meter.observe(self._rows)
        self.show_rows(self._with_headings())
        self._show_total()
        self._show_group()

    def say_empty(self, panel: StatePanel) -> None:
        """Say how to start a download."""
        panel.show_message(
            "No downloads",
            f"Press {key_of(self.app, 'models.download')} in the list of models to download one",
        )

    def open_row(self, row: Transfer) -> None:
        """Open the model of the file."""
        self.open_model(row.model_id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what applies to the selected file."""
        if action not in ("control", "all"):
            return True
        rows = self._rows if action == "all" else [row for row in [self.chosen] if row]
        return any(_applies(Control(str(parameters[0])), row) for row in rows)

    def action_control(self, what: str) -> None:
        """Apply an action to the selected file."""
        row = self.chosen
        if row is None:
            return
        self.query_one(TransferList).was_moved = True  # the cursor stays on this file
        if Control(what) is Control.FORGET and row.state in STOPPED and row.bytes_done:
            self._forget_part(row)
        else:
            self._ask(Control(what), [row])

    def _forget_part(self, row: Transfer) -> None:
        """Ask first, as the partial file is deleted."""
        from lora_tui.screens.confirm import ConfirmScreen

        def answered(wanted: bool | None) -> None:
            if wanted:
                self._ask(Control.FORGET, [row])

        name = terminal_safe(row.file, limit=100)
        question = (
            f"Remove {name}? This deletes the {formats.size(row.bytes_done)} downloaded so far."
        )
        self.app.push_screen(ConfirmScreen("Remove", question), self.while_alive(answered))

    def action_all(self, what: str) -> None:
        """Apply an action to every file that it fits."""
        self._ask(Control(what), self._rows)

    def _ask(self, what: Control, rows: Sequence[Transfer]) -> None:
        """Ask the engine, and show at once what will be: a next key may come before its answer."""
        ids = [row.id for row in rows if _applies(what, row)]
        asked = (what, frozenset(ids))

        def ended() -> None:
            self._asked.remove(asked)
            self.refresh_list()

        self._asked.append(asked)
        self.refresh_list()
        self.lora.ask(
            partial(self.lora.writers.control_downloads, what, ids),
            if_failed="Nothing changed",
            ended=self.while_alive(ended),
            in_turn="downloads",
        )

    def _remedy_of(self, row: Transfer) -> str:
        """What to do about a file that has failed, as far as the kind of its error tells."""
        if row.state is not TransferState.FAILED:
            return ""
        return self.lora.remedy_of(error_of_kind(row.error_kind, row.error or ""))

    def _show_total(self) -> None:
        """Show the number of files in each state; bytes, rate and remaining time of active ones."""
        counts = [
            f"{count} {word}"
            for word, states in _COUNTED
            if (count := sum(row.state in states for row in self._rows))
        ]
        title = self.query_one(TitleBar)
        title.detail = ", ".join(counts)
        limit = self.lora.settings.profile.limit_rate if self.lora.settings is not None else None
        title.aside = f"limit {formats.rate(limit)}" if limit else ""
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
        total.update(_styled([line]), layout=False)

    def _show_group(self) -> None:
        """Show the model of the first visible file, where its heading was scrolled off."""
        top = int(self.query_one(TransferList).scroll_y)
        above = [line for first, line in self._headings if first < top]
        self.query_one("#group", Static).update(_styled(above[-1:]), layout=False)

    def _with_headings(self) -> list[tuple[Transfer | None, Content]]:
        """The lines of the list: the files, and a heading (None) for each model."""
        names = names_of(self.db, list({row.model_id for row in self._rows}))
        shown: list[tuple[Transfer | None, Content]] = []
        drawn: dict[_Drawing, Content] = {}
        before: tuple[str, Path] | None = None
        self._headings, height = [], 0
        for row in self._rows:
            group = (row.model_id, row.target.parent)
            if group != before:
                name = names.get(row.model_id, row.model_id)
                line = group_heading(name, group[1], self.line_width, ascii_only=self.ascii_only)
                gap: list[Line] = [[("", "muted")]] if before is not None else []
                shown.append((None, _styled([*gap, line])))
                height += len(gap) + 1
                self._headings.append((height - 1, line))
                before = group
            rate = self._meter.rate(row) if row.state is TransferState.RUNNING else None
            drawing = (row, rate, self.line_width)
            content = self._drawn.get(drawing)
            if content is None:
                content = _styled(
                    transfer_lines(
                        row,
                        self.line_width,
                        rate=rate,
                        remedy=self._remedy_of(row),
                        ascii_only=self.ascii_only,
                    )
                )
            drawn[drawing] = content
            shown.append((row, content))
            height += content.plain.count("\n") + 1
        self._drawn = drawn
        return shown


def _styled(lines: Sequence[Line]) -> Content:
    return Content("\n").join(
        Content.assemble(*((text, _STYLES[role]) for text, role in line)) for line in lines
    )


def _expected(rows: Sequence[Transfer], what: Control, ids: Collection[int]) -> list[Transfer]:
    """The files as they will be; an order that changes is not shown in advance."""
    changed = {row.id for row in rows if row.id in ids and _applies(what, row)}
    if what is Control.FORGET:
        return [row for row in rows if row.id not in changed]
    state = _AFTERWARDS.get(what)
    if state is None:
        return list(rows)
    return [row._replace(state=state) if row.id in changed else row for row in rows]


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
