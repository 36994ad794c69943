"""Shows the progress of a download: state, bar, size, rate and time left."""

from __future__ import annotations

from typing import Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.widgets.cells import fit
from lora_tui.widgets.styled_lines import Line, Span

_LEAST: Final = 8
_MOST: Final = 40
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
    longest: int = _MOST,
) -> Line:
    """A bar with size, rate and time left; in a narrow terminal the rate is left out first.

    `rate` is in bytes per second, `left` in seconds, `longest` the width limit of the bar.
    """
    amount = (
        share(done, total) if total is None else f"{formats.size(done)} of {formats.size(total)}"
    )
    texts = [amount]
    if rate is not None:
        texts.append(formats.rate(rate))
    if left is not None:
        texts.append(f"{formats.duration(left)} left")
    if retries:
        texts.append(formats.counted(retries, "retry", "retries"))
    while len(texts) > 1 and width - 4 - cell_len("  ".join(texts)) < _LEAST:
        texts.pop(1)
    words = "  ".join(texts)
    room = min(longest, width - 4 - cell_len(words))
    if total is None or room < _LEAST:
        return [(fit("  " + words, width, ascii_only=ascii_only), "muted")]
    full, rest = bar(done, total, room, ascii_only=ascii_only)
    return [("  ", "muted"), (full, "active"), (rest, "faint"), ("  " + words, "muted")]


def bar(done: int, total: int, width: int, *, ascii_only: bool = False) -> tuple[str, str]:
    """The full and the empty part of a bar of `width` cells."""
    part = min(1.0, done / total) if total > 0 else 1.0
    full = int(part * width)
    filled, empty = ("#", "-") if ascii_only else ("━", "─")
    return filled * full, empty * (width - full)


def share(done: int, total: int | None) -> str:
    """`34 %`, or the bytes done where the total is unknown."""
    if total is None:
        return formats.size(done or None)
    return formats.share(1.0 if total <= 0 else min(100, 100 * done // total) / 100)
