"""Shows a finished job in a list: how far its import is, and the reason where that failed."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from textwrap import wrap
from typing import Final

from rich.cells import cell_len
from textual.content import Content

from lora_tui import formats
from lora_tui.config.keys import DEFAULT_KEYS
from lora_tui.harvest.ledger_schema import FileState, JobState, State
from lora_tui.harvest.schedule import EXPIRING_SECONDS, seconds_left
from lora_tui.text import terminal_safe
from lora_tui.widgets.cells import fit
from lora_tui.widgets.styled_lines import Line, Span
from lora_tui.widgets.transfer_line import bar, share

_STATE: Final = 16
_MAX_FILES: Final = 8
_MAX_REASON_LINES: Final = 3
_FILE: Final = 30
_BAR: Final = 30
_MIN_NAME: Final = 24
_SIGNS: Final = {
    # state → (sign, its ASCII form, style)
    State.RUNNING: ("↑", "^", "active"),
    State.FAILED: ("!", "!", "waiting"),
    State.DEAD: ("✗", "x", "failed"),
    State.WAITING: ("·", ".", "waiting"),
    State.DONE: ("✓", "+", "done"),
}
_STYLES: Final = {
    "active": "$primary",
    "waiting": "$text-warning",
    "done": "$text-success",
    "failed": "$text-error",
    "muted": "$secondary",
    "faint": "$secondary 50%",
    "value": "$foreground 90%",
}


def job_entry(
    job: JobState,
    now: datetime,
    width: int,
    *,
    ascii_only: bool = False,
    retry_key: str = DEFAULT_KEYS["harvest.retry"],
) -> Content:
    """One line with state and name, and below it files, the reason of a failure, or the expiry."""
    lines = [_head(job, now, width, ascii_only=ascii_only)]
    room = max(0, width - _STATE)
    for line in _details(job, now, room, retry_key, ascii_only=ascii_only):
        used = sum(cell_len(text) for text, _ in line)
        lines.append([(" " * _STATE, "muted"), *line] if used else [])
    parts: list[tuple[str, str]] = []
    for line in lines:
        if parts:
            parts.append(("\n", _STYLES["muted"]))
        parts += [(text, _STYLES[role]) for text, role in line]
    return Content.assemble(*parts)


def _head(job: JobState, now: datetime, width: int, *, ascii_only: bool) -> Line:
    sign, plain, style = _SIGNS[job.state]
    aside = _aside(job, now, ascii_only=ascii_only)
    room = width - _STATE
    if room - cell_len(aside) - 2 < _MIN_NAME:
        aside = ""
    name = terminal_safe(job.name or job.external_job_id or job.job_id, limit=300)
    name_width = max(0, room - (cell_len(aside) + 2 if aside else 0))
    return [
        (f"{f'{plain if ascii_only else sign} {job.state.label}':<{_STATE}}", style),
        (fit(name, name_width, ascii_only=ascii_only), "value"),
        (f"  {aside}" if aside else "", "muted"),
    ]


def _aside(job: JobState, now: datetime, *, ascii_only: bool) -> str:
    """The text at the right of the name."""
    match job.state:
        case State.RUNNING:
            stored = sum(file.stored for file in job.files)
            return f"{formats.counted(stored, 'file')} stored"
        case State.WAITING:
            return f"completed {formats.age(job.completed_at, now)}"
        case State.DONE:
            rating = formats.stars(job.stars, ascii_only=ascii_only)
            return f"{rating}  {formats.age(job.updated_at, now)}"
        case _:
            return formats.counted(job.attempts, "attempt")


def _details(
    job: JobState, now: datetime, width: int, retry_key: str, *, ascii_only: bool
) -> list[Line]:
    def line(text: str, role: str) -> Line:
        return [(fit(terminal_safe(text, limit=600), width, ascii_only=ascii_only), role)]

    match job.state:
        case State.RUNNING:
            files = job.files[-_MAX_FILES:]
            if not files:
                return [line("Requesting the file list from the worker", "muted")]
            return [_file(file, width, ascii_only=ascii_only) for file in files]
        case State.FAILED | State.DEAD:
            reason = f"{job.reason} ({job.details})" if job.details else str(job.reason)
            words = wrap(terminal_safe(reason, limit=600), max(1, width))
            lines = [line(text, "value") for text in words[:_MAX_REASON_LINES]]
            lines.append(line(_retry_text(job, now, retry_key), "muted"))
            if job.remedy and job.state is State.DEAD:
                lines.append(line(job.remedy, "muted"))
            return lines
        case State.WAITING:
            text, role = _expiry(job, now)
            return [line(text, role)] if text else []
        case _:
            return []


def _file(file: FileState, width: int, *, ascii_only: bool) -> Line:
    """`adapter_model.safetensors  ━━━━━━────  62 %  of 512 MiB`."""
    name_width = min(_FILE, max(10, width // 3))
    name: Span = (fit(file.name, name_width, ascii_only=ascii_only), "muted")
    if file.stored:
        sign = "+" if ascii_only else "✓"
        return [name, (f"  {sign} ", "done"), (formats.size(file.total), "muted")]
    if not file.total:
        return [name, (f"  {formats.size(file.done)}", "value")]
    words = f"  {share(file.done, file.total)} of {formats.size(file.total)}"
    room = min(_BAR, width - name_width - 2 - cell_len(words))
    if room < 8:
        return [name, (words, "value")]
    full, rest = bar(file.done, file.total, room, ascii_only=ascii_only)
    return [name, ("  ", "muted"), (full, "active"), (rest, "faint"), (words, "value")]


def _expiry(job: JobState, now: datetime) -> Span:
    """When the worker deletes the result; it may keep one longer, so a late job is still tried."""
    left = seconds_left(job.completed_at, now)
    if left is None:
        return "", "muted"
    if left <= 0:
        return "The worker may have deleted the result: it keeps it for 30 min", "waiting"
    role = "waiting" if left <= EXPIRING_SECONDS else "muted"
    return f"Result expires in {ceil(left / 60)} min", role


def _retry_text(job: JobState, now: datetime, retry_key: str) -> str:
    if job.next_try is None:
        return f"No automatic retry; {retry_key} retries"
    seconds = (job.next_try - now).total_seconds()
    again = f"Retry in {formats.duration(seconds)}" if seconds > 0 else "Retry next"
    left = seconds_left(job.completed_at, now)
    return f"{again}; result expires in {ceil(left / 60)} min" if left and left > 0 else again
