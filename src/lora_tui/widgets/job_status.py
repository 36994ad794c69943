"""The status of a training job as a sign and a word; they differ without colour."""

from __future__ import annotations

from typing import Final

from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.styled_lines import Span

_SIGNS: Final = {
    # status → (sign, its ASCII form, style)
    "queued": ("○", "o", "waiting"),
    "initializing": ("◐", "o", "waiting"),
    "running": ("●", "*", "active"),
    "completed": ("✓", "+", "done"),
    "failed": ("✗", "x", "failed"),
    "cancelled": ("■", "-", "muted"),
}
_UNKNOWN: Final = ("·", ".", "muted")


def status_span(status: str, *, ascii_only: bool = False) -> Span:
    """Sign and word of a status, which may be remote text: `● running`."""
    sign, letter, style = _SIGNS.get(status, _UNKNOWN)
    word = normalize_width(status, ascii_only=ascii_only)
    return f"{letter if ascii_only else sign} {word}", style
