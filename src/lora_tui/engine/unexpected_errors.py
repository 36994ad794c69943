"""An error that nobody foresaw: as text for a log or a report, and as an error for the screen.

The text holds where it was raised and its message. It holds no local variable and no secret.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from lora_tui.errors import LoraTuiError, unexpected_error
from lora_tui.text import printable, without_secrets

_PACKAGE: Final = f"{Path(__file__).parents[1]}/"
_FIRST_FRAMES: Final = 15
_LAST_FRAMES: Final = 45
"""Of a longer traceback, such as that of a RecursionError, the middle is left out."""
_MOST_ERRORS: Final = 6
"""So many errors are shown of a chain."""
_MOST_NOTES: Final = 3
_MESSAGE: Final = 1_000
_SOURCE: Final = 200
_REPORT: Final = "please report this; `lora-tui doctor` names the log file"
_CAUSED: Final = "The above exception was the direct cause of the following exception:"
_WHILE_HANDLED: Final = "During handling of the above exception, another exception occurred:"


def unexpected(error: BaseException, *, remedy: str = _REPORT) -> LoraTuiError:
    """The error that is shown for one that nobody foresaw, with its place."""
    return unexpected_error(error, place=place_of(error), remedy=remedy)


def traceback_text(error: BaseException) -> str:
    """The traceback of an error and of its causes, in lines; at most some 40 kB."""
    lines = []
    for one, relation in _chain(error):
        frames = list(_frames(one.__traceback__))
        if frames:
            lines.append("Traceback (most recent call last):")
        lines += frames
        lines += [f"{type(one).__name__}: {_message(one)}".removesuffix(": "), *_notes(one)]
        if relation:
            lines += ["", relation, ""]
    return printable("\n".join(lines)) + "\n"


def place_of(error: BaseException) -> str | None:
    """Where our code raised it, or called what raised it: `lora_tui/app.py, line 12`."""
    found = None
    ours = False
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        is_ours = file.startswith(_PACKAGE)
        if is_ours or not ours:
            found, ours = f"{_shortened(file)}, line {line}", is_ours
    return found


def _chain(error: BaseException) -> list[tuple[BaseException, str]]:
    """The error and its causes, first causes first, each with how it led to the next one."""
    chain = [(error, "")]
    while len(chain) < _MOST_ERRORS:
        last = chain[-1][0]
        cause, relation = last.__cause__, _CAUSED
        if cause is None and not last.__suppress_context__:
            cause, relation = last.__context__, _WHILE_HANDLED
        if cause is None or any(cause is seen for seen, _ in chain):
            break
        chain.append((cause, relation))
    return chain[::-1]


def _frames(start: TracebackType | None) -> Iterator[str]:
    frames = list(traceback.walk_tb(start))
    left_out = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    if left_out > 0:
        del frames[_FIRST_FRAMES : _FIRST_FRAMES + left_out]
    for number, found in enumerate(traceback.StackSummary.extract(iter(frames))):
        if left_out > 0 and number == _FIRST_FRAMES:
            yield f"  … {left_out} more …"
        yield f'  File "{_shortened(found.filename)}", line {found.lineno}, in {found.name}'
        if found.line:
            yield f"    {without_secrets(found.line, limit=_SOURCE)}"


def _message(error: BaseException) -> str:
    try:
        return without_secrets(str(error), limit=_MESSAGE)
    except Exception:  # it is the error's own `__str__` that fails
        return "(its message can't be read)"


def _notes(error: BaseException) -> Iterator[str]:
    notes = getattr(error, "__notes__", None)
    for note in notes[:_MOST_NOTES] if isinstance(notes, list) else ():
        yield without_secrets(note)


def _shortened(file: str) -> str:
    """The path of a source file without the part that is different on each machine."""
    if file.startswith(_PACKAGE):
        return f"lora_tui/{file.removeprefix(_PACKAGE)}"
    _, found, below = file.rpartition("/site-packages/")
    if found:
        return below
    try:
        home = f"{Path.home()}/"
    except RuntimeError:
        return file
    return f"~/{file.removeprefix(home)}" if file.startswith(home) else file
