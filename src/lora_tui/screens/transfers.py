"""Transfers: every download, how far each is, and what one can do to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from lora_tui.bindings import bound, key_of
from lora_tui.cache.changes import Topic
from lora_tui.cache.models import names_of
from lora_tui.cache.transfers import ACTIVE, IN_HAND, STOPPED, Transfer, TransferState, queue_of
from lora_tui.screens.cache_screen import CacheScreen
from lora_tui.transfers.control import Control
from lora_tui.transfers.rate import RateMeter, seconds_left
from lora_tui.widgets.drawn_lines import Line
from lora_tui.widgets.key_bar import KeyBar
from lora_tui.widgets.states import StatePanel
from lora_tui.widgets.status_bar import StatusBar
from lora_tui.widgets.title_bar import TitleBar
from lora_tui.widgets.transfer_bar import progress_line
from lora_tui.widgets.transfer_line import heading, transfer_lines

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


class TransferList(OptionList, inherit_bindings=False):
    """The list; its keys stand in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Model", tooltip="Open the model"),
        bound("list.down", "cursor_down", "Next", show=False),
        bound("list.up", "cursor_up", "Previous", show=False),
        bound("list.page_down", "page_down", "Next page", show=False),
        bound("list.page_up", "page_up", "Previous page", show=False),
        bound("list.first", "first", "First", show=False),
        bound("list.last", "last", "Last", show=False),
    ]


class TransfersScreen(CacheScreen):
    """Unfinished downloads in the order of the queue, then those that are done."""

    CSS_PATH = "transfers.tcss"
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
        self._keys: list[int | None] = []
        """What each line of the list is: the number of a file, or None for a heading."""
        self._meter = RateMeter()

    def compose(self) -> ComposeResult:
        """The list, or that there is nothing."""
        yield TitleBar("Transfers", ascii_only=self.ascii_only)
        yield Static(id="total", markup=False)
        yield TransferList(id="transfers", markup=False)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=self.ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the list."""
        self.refresh_list()
        self.query_one(OptionList).focus()

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show what the writers wrote."""
        if topics & {Topic.TRANSFERS, Topic.MODELS}:
            self.refresh_list()
        self.query_one(StatusBar).refresh()

    def refresh_list(self) -> None:
        """Read the list anew; the cursor stays on its file."""
        listing = self.query_one(OptionList)
        chosen = self._chosen
        self._rows = queue_of(self.db)
        self._meter.observe(self._rows)
        prompts = self._prompts()
        if [key for key, _ in prompts] == self._keys:
            for index, (_, prompt) in enumerate(prompts):
                listing.replace_option_prompt_at_index(index, prompt)
        else:
            self._keys = [key for key, _ in prompts]
            listing.clear_options()
            listing.add_options([Option(prompt, disabled=key is None) for key, prompt in prompts])
            listing.highlighted = self._place_of(chosen)
        ids = [row.id for row in self._rows]
        listing.display = bool(ids)
        panel = self.query_one(StatePanel)
        panel.display = not ids
        if not ids:
            panel.say(
                "No downloads",
                f"{key_of(self.app, 'models.download')} downloads the model that you are at",
            )
        self._show_total()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies to the chosen file is offered."""
        if action not in ("control", "all"):
            return True
        rows = self._rows if action == "all" else [row for row in [self._chosen] if row]
        return any(_applies(Control(str(parameters[0])), row) for row in rows)

    def action_back(self) -> None:
        """To where one came from."""
        self.dismiss()

    def action_control(self, what: str) -> None:
        """Do it to the chosen file."""
        if self._chosen is not None:
            self._ask(Control(what), [self._chosen])

    def action_all(self, what: str) -> None:
        """Do it to every file that it applies to."""
        self._ask(Control(what), self._rows)

    def on_resize(self, event: Resize) -> None:  # noqa: ARG002 - as Textual calls it
        """The lines are as wide as the list."""
        self.call_after_refresh(self.refresh_list)

    @property
    def _chosen(self) -> Transfer | None:
        return self._row_at(self.query_one(OptionList).highlighted if self.is_mounted else None)

    def _row_at(self, index: int | None) -> Transfer | None:
        if index is None or index >= len(self._keys):
            return None
        return next((row for row in self._rows if row.id == self._keys[index]), None)

    def _place_of(self, chosen: Transfer | None) -> int | None:
        """Where that file is in the list now; else the first one."""
        if chosen is not None and chosen.id in self._keys:
            return self._keys.index(chosen.id)
        return next((index for index, key in enumerate(self._keys) if key is not None), None)

    def _ask(self, what: Control, rows: Sequence[Transfer]) -> None:
        ids = [row.id for row in rows if _applies(what, row)]
        self.lora.ask(partial(self.lora.writers.control_downloads, what, ids))

    @on(OptionList.OptionHighlighted)
    def _moved(self) -> None:
        self.refresh_bindings()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        row = self._row_at(event.option_index)
        if row is None:
            return
        if names_of(self.db, [row.model_id]):
            self.lora.open_model(row.model_id)
        else:
            key = key_of(self.app, "app.sync")
            self.notify(f"That model is not in the cache; {key} syncs", severity="warning")

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
            self._width,
            rate=rate,
            left=seconds_left(active, rate),
            ascii_only=self.ascii_only,
            longest=self._width,
        )
        total.update(_styled([line]))

    @property
    def _width(self) -> int:
        return max(40, self.size.width - 4)

    def _prompts(self) -> list[tuple[int | None, Content]]:
        """What the list shows: a heading (None) wherever the model changes, and the files."""
        names = names_of(self.db, list({row.model_id for row in self._rows}))
        prompts: list[tuple[int | None, Content]] = []
        before: tuple[str, Path] | None = None
        for row in self._rows:
            group = (row.model_id, row.target.parent)
            if group != before:
                name = names.get(row.model_id, row.model_id)
                line = heading(name, group[1], self._width, ascii_only=self.ascii_only)
                gap: list[Line] = [[("", "muted")]] if before is not None else []
                prompts.append((None, _styled([*gap, line])))
                before = group
            rate = self._meter.rate(row) if row.state is TransferState.RUNNING else None
            lines = transfer_lines(row, self._width, rate=rate, ascii_only=self.ascii_only)
            prompts.append((row.id, _styled(lines)))
        return prompts


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
