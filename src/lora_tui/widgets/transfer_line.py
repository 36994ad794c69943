"""Shows a file that is downloaded: state, bar, size, rate and time left, and notes below it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.text import terminal_safe
from lora_tui.widgets.cells import fit, fit_path, normalize_width, short_path, wrap
from lora_tui.widgets.styled_lines import Line, Span

_STATE: Final = 12
_INDENT: Final = 1
_RATE: Final = 11
_LEFT: Final = 9
_SHORT: Final = 9
_LONG: Final = 22
_ROOMY: Final = 100
_TIGHT: Final = 70
_LEAST_BAR: Final = 8
_MOST_BAR: Final = 40
_MOST_NAME: Final = 48
_MOST_NOTE: Final = 3
_WITH_A_BAR: Final = (
    TransferState.RUNNING,
    TransferState.VERIFYING,
    TransferState.PAUSED,
    TransferState.QUEUED,
    TransferState.CANCELLED,
    TransferState.FAILED,
)
_MISSING: Final = "File deleted. Download it again."
_CHANGED: Final = "File changed since the download. Move it away and download it again."
_WORDS: Final[dict[TransferState, tuple[str, str, str, str]]] = {
    # state → (sign, its ASCII form, word, style)
    TransferState.QUEUED: ("·", ".", "queued", "waiting"),
    TransferState.RUNNING: ("↓", "v", "", "active"),
    TransferState.PAUSED: ("‖", "=", "paused", "waiting"),
    TransferState.VERIFYING: ("↓", "v", "verifying", "active"),
    TransferState.DONE: ("✓", "+", "verified", "done"),
    TransferState.FAILED: ("✗", "x", "failed", "failed"),
    TransferState.CANCELLED: ("·", ".", "stopped", "waiting"),
    TransferState.MISSING: ("✗", "x", "missing", "failed"),
    TransferState.CHANGED: ("✗", "x", "changed", "failed"),
}


def group_heading(model: str, directory: Path, width: int, *, ascii_only: bool = False) -> Line:
    """The name of the model and its directory, above its files."""
    name = terminal_safe(model, limit=200)
    title = fit(name, max(20, width * 3 // 5), ascii_only=ascii_only).rstrip()
    place = short_path(directory)
    rest = width - cell_len(title) - 2
    return [
        (title, "heading"),
        ("  " + fit_path(place, rest, ascii_only=ascii_only), "faint"),
    ]


def transfer_lines(
    row: Transfer,
    width: int,
    *,
    rate: float | None = None,
    remedy: str = "",
    ascii_only: bool = False,
) -> list[Line]:
    """State, name, bar, size, rate and time left; notes, errors and `remedy` below."""
    roomy = width >= _ROOMY
    size_width = _LONG if roomy else _SHORT
    tight = width < _TIGHT  # the total above shows bar and rate
    rate_width = 0 if tight else _RATE
    rest = width - _INDENT - _STATE - size_width - rate_width - _LEFT - 1
    wanted = rest // 2 if roomy else rest // 4
    bar_width = 0 if tight else max(_LEAST_BAR, min(_MOST_BAR, wanted))
    name_width = max(8, min(_MOST_NAME, rest - bar_width))
    state, style = state_span(row, ascii_only=ascii_only)
    line: Line = [
        (" " * _INDENT, "muted"),
        (fit(state, _STATE, ascii_only=ascii_only), style),
        (fit(terminal_safe(row.file, limit=200), name_width, ascii_only=ascii_only), "value"),
        (" ", "muted"),
        *_bar(row, bar_width, style, ascii_only=ascii_only),
        (fit(_amount(row, roomy=roomy), size_width, right=True, ascii_only=ascii_only), "muted"),
        (fit("" if rate is None else formats.rate(rate), rate_width, right=True), "muted"),
        (fit(_left(row, rate), _LEFT, right=True), "muted"),
    ]
    note = transfer_note(row)
    if not note:
        return [line]
    calm = row.state in (TransferState.RUNNING, TransferState.DONE)
    kind = "muted" if calm else "failed"
    indent = " " * (_INDENT + _STATE)
    text = normalize_width(note, ascii_only=ascii_only)
    more = wrap(text, width - len(indent))[:_MOST_NOTE]
    lines = [line, *([(indent + piece, kind)] for piece in more)]
    if remedy:
        advice = normalize_width(remedy, ascii_only=ascii_only)
        lines += [[(indent + piece, "muted")] for piece in wrap(advice, width - len(indent))]
    return lines


def transfer_note(row: Transfer) -> str:
    """Why a file is missing, or how far it was verified; empty if there is nothing to note."""
    if row.state is TransferState.FAILED:
        return terminal_safe(row.error or "", limit=400)
    if row.state is TransferState.MISSING:
        return _MISSING
    if row.state is TransferState.CHANGED:
        return _CHANGED
    if row.state is TransferState.DONE and row.checked is not None and not row.checked.proven:
        return row.checked.sentence
    if row.state is TransferState.RUNNING and row.attempts:
        return formats.counted(row.attempts, "retry", "retries")
    return ""


def state_span(transfer: Transfer, *, ascii_only: bool = False) -> Span:
    """`↓ 34 %`, `✓ verified`, or `✓ length` where only that was checked."""
    sign, ascii_sign, word, style = _WORDS[transfer.state]
    if transfer.state is TransferState.DONE and transfer.checked is not None:
        word = transfer.checked.word
    if transfer.state is TransferState.RUNNING:
        word = share(transfer.bytes_done, transfer.bytes_total)
    return f"{ascii_sign if ascii_only else sign} {word}", style


def progress_line(
    done: int,
    total: int | None,
    width: int,
    *,
    rate: float | None = None,
    left: float | None = None,
    retries: int = 0,
    ascii_only: bool = False,
    longest: int = _MOST_BAR,
) -> Line:
    """A bar with size, rate and time left; in a narrow terminal the rate is left out first.

    `rate` is in bytes per second, `left` in seconds, `longest` the width limit of the bar.
    """
    texts = [
        downloaded(done) if total is None else f"{formats.size(done)} of {formats.size(total)}"
    ]
    if rate is not None:
        texts.append(formats.rate(rate))
    if left is not None:
        texts.append(f"{formats.duration(left)} left")
    if retries:
        texts.append(formats.counted(retries, "retry", "retries"))
    while len(texts) > 1 and width - 4 - cell_len("  ".join(texts)) < _LEAST_BAR:
        texts.pop(1)
    words = "  ".join(texts)
    room = min(longest, width - 4 - cell_len(words))
    if total is None or room < _LEAST_BAR:
        return [(fit("  " + words, width, ascii_only=ascii_only), "muted")]
    full, rest = bar(done, total, room, ascii_only=ascii_only)
    return [("  ", "muted"), (full, "active"), (rest, "faint"), ("  " + words, "muted")]


def bar(done: int, total: int, width: int, *, ascii_only: bool = False) -> tuple[str, str]:
    """The full and the empty part of a bar of `width` cells."""
    part = min(1.0, done / total) if total > 0 else 1.0
    full = int(part * width)
    filled, empty = ("#", "-") if ascii_only else ("━", "─")
    return filled * full, empty * (width - full)


def downloaded(done: int) -> str:
    """`448 KiB downloaded`, for a download whose size is unknown."""
    return f"{formats.size(done)} downloaded" if done else formats.NO_VALUE


def share(done: int, total: int | None) -> str:
    """`34 %`, or the bytes done where the total is unknown."""
    if total is None:
        return formats.size(done or None)
    return formats.share(1.0 if total <= 0 else min(100, 100 * done // total) / 100)


def _bar(row: Transfer, width: int, style: str, *, ascii_only: bool) -> Line:
    if row.state not in _WITH_A_BAR or row.bytes_total is None or width < _LEAST_BAR:
        return [(" " * max(0, width), "muted")]
    full, rest = bar(row.bytes_done, row.bytes_total, width, ascii_only=ascii_only)
    return [(full, style), (rest, "faint")]


def _amount(row: Transfer, *, roomy: bool) -> str:
    if row.bytes_total is None:
        return share(row.bytes_done, None)
    if not roomy or row.state not in _WITH_A_BAR:
        return formats.size(row.bytes_total)
    return f"{formats.size(row.bytes_done)} of {formats.size(row.bytes_total)}"


def _left(row: Transfer, rate: float | None) -> str:
    from lora_tui.transfers.rate import seconds_left  # late: the status bar needs only the bar

    left = seconds_left([row], rate)
    if left is None:
        return ""
    text = f"in {formats.duration(left)}"
    return text if len(text) < _LEFT else f"in {left / 3600:,.0f} h"
