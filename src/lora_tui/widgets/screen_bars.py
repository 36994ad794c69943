"""The bars of a screen: the title at the top, status and keys at the bottom."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from lora_tui import clock, formats
from lora_tui.cache.metadata import SyncErrorKind, SyncState, get_sync_state
from lora_tui.cache.records import unread_count
from lora_tui.cache.transfer_queue import active_transfers
from lora_tui.widgets.bindings import is_typed
from lora_tui.widgets.cells import fit, normalize_width
from lora_tui.widgets.states import SYNC_ERROR_WORDS
from lora_tui.widgets.transfer_line import bar, downloaded, share


class TitleBar(Widget):
    """Shows title, detail, and `aside` at the right; all of them may be remote text."""

    ALLOW_SELECT = False

    title_text: reactive[str] = reactive("")
    detail: reactive[str] = reactive("")
    aside: reactive[str] = reactive("")

    def __init__(self, title: str, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only
        self.set_reactive(TitleBar.title_text, title)

    def render(self) -> Content:
        """One line; a long detail is cut."""
        width = self.size.width
        title = normalize_width(self.title_text, ascii_only=self._ascii_only)
        aside = normalize_width(self.aside, ascii_only=self._ascii_only)
        if cell_len(title) + cell_len(aside) + 6 > width:
            aside = ""
        gap = "  " if aside else ""
        middle = max(0, width - cell_len(title) - cell_len(gap + aside) - 4)
        return Content.assemble(
            (f" {title}", "bold $primary"),
            ("  " + fit(self.detail, middle, ascii_only=self._ascii_only), "$secondary"),
            (f"{gap}{aside} ", "$secondary"),
        )


_AGE_SECONDS: Final = 15.0
_BAR: Final = 8
_BETWEEN: Final = "  "


class StatusBar(Widget):
    """Shows the profile and the state of the sync from the cache; call `update_from_cache`.

    It changes only then, so that it never says "synced" before the list shows the models.
    """

    DEFAULT_CLASSES = "status-bar"
    ALLOW_SELECT = False

    note: reactive[str] = reactive("")
    """Text of the screen at the right, such as `12 of 37`. Parts are separated by two blanks; in a
    narrow terminal the first parts are left out."""

    starting: reactive[bool] = reactive(False)
    """Whether the engine, which syncs and downloads, is not up yet."""
    stopped: reactive[bool] = reactive(False)
    """Whether it does not run, and is not started again by itself."""
    waits_for_keyring: reactive[bool] = reactive(False)
    """Whether it waits for the keyring, which may ask for its password in a window."""

    def __init__(self, db: sqlite3.Connection, profile: str, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._db = db
        self._profile = profile
        self._ascii_only = ascii_only
        self._read()

    def update_from_cache(self) -> None:
        """Show the current state of the cache."""
        self._read()
        self.refresh()

    def _read(self) -> None:
        self._state = get_sync_state(self._db)
        self._unread = unread_count(self._db)
        self._transfers = active_transfers(self._db)

    def on_mount(self) -> None:
        """Refresh the age of the data regularly."""
        self.set_interval(_AGE_SECONDS, self._refresh_age)

    def _refresh_age(self) -> None:
        if self._state.running:  # its end is no change of a cache on a full disk
            self._read()
        self.refresh()

    def render(self) -> Content:
        """The parts that fit, the most important first."""
        left = [(f" {self._profile}", "bold $primary"), *self._connection(self._state)]
        right = self._right()
        width = self.size.width
        while right and _width(left) + _width(right, _BETWEEN) + 2 > width:
            right.pop(0)
        ends = _BETWEEN.join(text for text, _ in right)
        room = max(1, width - _width(left) - cell_len(ends) - 1)
        parts: list[tuple[str, str]] = [*left, (" " * room, "")]
        for index, (text, style) in enumerate(right):
            parts.append((_BETWEEN if index else "", ""))
            parts.append((text, style))
        return Content.assemble(*parts)

    def _connection(self, state: SyncState) -> list[tuple[str, str]]:
        dot, ring, turn, between = (
            ("*", "o", "~", " - ") if self._ascii_only else ("●", "○", "↻", " · ")
        )
        age = formats.age(state.last_success, clock.now())
        never = "needs a sync" if state.rebuilt else "never synced"
        synced = never if state.last_success is None else f"synced {age}"
        if self.starting:
            return [(f"  {turn} starting", "$primary"), (f"{between}{synced}", "$secondary")]
        if self.stopped:
            return [
                (f"  {ring} not syncing", "$text-warning"),
                (f"{between}{synced}", "$secondary"),
            ]
        if self.waits_for_keyring:
            waits = (f"  {turn} waiting for the keyring", "$primary")
            return [waits, (f"{between}{synced}", "$secondary")]
        if state.running:
            return [(f"  {turn} syncing", "$primary"), (f"{between}{synced}", "$secondary")]
        if state.error is not None:
            words = SYNC_ERROR_WORDS[state.error_kind or SyncErrorKind.UNREACHABLE]
            return [(f"  {ring} {words}", "$text-warning"), (f"{between}{synced}", "$secondary")]
        if state.last_success is not None:
            return [(f"  {dot} online", "$text-success"), (f"{between}{synced}", "$secondary")]
        return [(f"  {ring} {synced}", "$secondary")]

    def _right(self) -> list[tuple[str, str]]:
        parts = []
        if self._unread:
            parts.append((f"{formats.count(self._unread)} unread", "$text-accent"))
        progress = self._progress()
        if progress:
            parts.append((progress, "$primary"))
        parts += [(part, "$secondary") for part in self.note.split(_BETWEEN) if part]
        return parts

    def _progress(self) -> str:
        transfers = self._transfers
        if not transfers:
            return ""
        arrow = "v" if self._ascii_only else "↓"
        done = sum(transfer.bytes_done for transfer in transfers)
        totals = [transfer.bytes_total for transfer in transfers]
        if any(total is None for total in totals):
            return f"{arrow} {downloaded(done)}"
        total = sum(total or 0 for total in totals)
        drawn = "".join(bar(done, total, _BAR, ascii_only=self._ascii_only))
        return f"{arrow} {drawn} {share(done, total)} of {formats.size(total)}"


def _width(parts: list[tuple[str, str]], separator: str = "") -> int:
    texts = sum(cell_len(text) for text, _ in parts)
    return texts + cell_len(separator) * max(0, len(parts) - 1)


_HELP: Final = "help"


@dataclass(frozen=True)
class KeyHint:
    """A key and its action."""

    key: str
    """The key that `App.simulate_key` takes."""
    shown: str
    description: str
    action: str

    @property
    def width(self) -> int:
        """Width in cells, with a blank on each side of the key and after the description."""
        return cell_len(self.shown) + cell_len(self.description) + 3


def fit_hints(hints: list[KeyHint], width: int) -> list[KeyHint]:
    """The first hints that fit, in their order; help is left out last."""
    room = width + 1  # the last blank may be cut off
    needed = [hint for hint in hints if hint.action == _HELP and hint.width <= room]
    room -= sum(hint.width for hint in needed)
    for hint in hints:
        if hint.action != _HELP and hint.width <= room:
            needed.append(hint)
            room -= hint.width
    return [hint for hint in hints if hint in needed]


class KeyBar(Widget):
    """Shows the active bindings of the screen; a click on a key presses it."""

    ALLOW_SELECT = False

    def on_mount(self) -> None:
        """Refresh when the bindings change."""
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def render(self) -> Content:
        """The keys in bold with their descriptions."""
        parts: list[tuple[str, str]] = []
        for hint in self._shown():
            parts.append((f" {hint.shown} ", "bold $footer-key-foreground"))
            parts.append((f"{hint.description} ", "$footer-description-foreground"))
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        """Press the key under the pointer."""
        offset = event.get_content_offset(self)
        at = 0
        for hint in self._shown() if offset is not None else ():
            if offset is not None and at <= offset.x < at + hint.width:
                self.app.simulate_key(hint.key)
            at += hint.width

    def _shown(self) -> list[KeyHint]:
        hints: dict[str, KeyHint] = {}
        ascii_only = self.app.has_class("-ascii")
        for active in self.screen.active_bindings.values():
            binding = active.binding
            applies = binding.show and active.enabled and not is_typed(self.screen, binding.key)
            if applies and binding.action not in hints:
                shown = normalize_width(self.app.get_key_display(binding), ascii_only=ascii_only)
                hints[binding.action] = KeyHint(
                    binding.key, shown, binding.description, binding.action
                )
        return fit_hints(list(hints.values()), self.size.width)

    def _changed(self, _screen: Screen[object]) -> None:
        self.refresh()
