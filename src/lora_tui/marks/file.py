"""The marks file of an account: the only place that reads and writes it.

A change is read, made and written within the lock of the directory, so that two applications lose
nothing. A file that is damaged is kept aside and begun anew.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.domain.own_marks import Marks
from lora_tui.errors import DiskError, UsageError
from lora_tui.files import (
    PRIVATE_MODE,
    disk_error,
    file_stamp,
    make_private_directory,
    read_regular_file,
    remove_abandoned_files,
    translate_disk_errors,
    write_file,
)
from lora_tui.locks.file_lock import locked_directory
from lora_tui.marks.document import (
    MOST_BYTES,
    DamagedMarksError,
    Parsed,
    marks_text,
    parse_marks,
)
from lora_tui.text import terminal_safe

SETTLES_SECONDS: Final = 2.0
"""A file that can't be read and is younger may be one that another program is just writing."""
_PAUSE: Final = 0.05
_CANT_READ: Final = "Your marks can't be read"
_CANT_WRITE: Final = "Your marks can't be written"

Say = Callable[[str], None]
"""Takes a sentence for the user."""


class ReadMarks(NamedTuple):
    """The marks of a file."""

    marks: Marks
    stamp: str
    """`file_stamp` of what was read."""


class MarksFile:
    """The file at `path`, or at what a link of this name points to: it may lie in a git checkout.

    Every method raises DiskError where the file system refuses, InUseError where another process
    keeps the lock, and UsageError for a file that must not be touched: one of a newer version, or
    with a merge conflict.
    """

    def __init__(self, path: Path, say: Say) -> None:
        """`say` is told in a sentence of a damaged file, and of values that can't be used."""
        self.path = Path(os.path.realpath(path))
        self._is_link = path.is_symlink()
        self._say = say

    def read(self) -> ReadMarks:
        """What is in the file; without a file no marks. A damaged one is kept aside."""
        try:
            content, stamp = self._settled()
        except DamagedMarksError:
            with self._locked():
                content, stamp = self._readable()
        return ReadMarks(content.marks, stamp)

    def read_now(self) -> ReadMarks:
        """Like `read`, but raises DamagedMarksError, and waits for nobody."""
        content, stamp = self._parse()
        return ReadMarks(content.marks, stamp)

    @contextmanager
    def changing(self) -> Iterator[Marks]:
        """Read the marks, and write them as they are when the block ends without an error.

        Nothing is written where they are the same as before.
        """
        with self._locked():
            content, _ = self._readable()
            before = marks_text(content.marks)
            yield content.marks
            after = marks_text(content.marks)
            if after == before:
                return
            if content.left_out:
                kept = self.keep_copy("damaged")
                self._say(f"{content.left_out_sentence}; the file before is now {kept}")
            self._write(after)

    def keep_copy(self, why: str) -> str:
        """Write a copy `NAME.WHY-DATE` of the file, for an undo; its name. Call while `changing`.

        Empty where there is no file.
        """
        with translate_disk_errors(_CANT_WRITE, self.path):
            if not self.path.exists():
                return ""
            kept = self._aside(why)
            write_file(kept, self._bytes().decode("utf-8", "replace"))
        return terminal_safe(kept, limit=500)

    def _check_link(self) -> None:
        """Raise DiskError where the file is a link into a directory that is missing.

        A checkout that was moved, or a disk that is not mounted: no new file is begun there.
        """
        if self._is_link and not self.path.parent.exists():
            raise DiskError(
                f"{_CANT_READ}: the link leads into a directory that is missing",
                details=str(self.path),
                remedy="bring the directory back, or remove the link",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._check_link()
        with ExitStack() as stack:
            with translate_disk_errors(_CANT_WRITE, self.path):
                make_private_directory(self.path.parent)
                stack.enter_context(locked_directory(self.path.parent))
            yield

    def _readable(self) -> tuple[Parsed, str]:
        """The marks of the file, which is renamed if it is damaged. Call within the lock."""
        try:
            return self._settled()
        except DamagedMarksError as error:
            kept = self._aside("damaged")
            with translate_disk_errors(_CANT_WRITE, self.path):
                self.path.rename(kept)
            self._say(
                f"The file of your marks was damaged ({error.details}) and begun anew;"
                f" the old file is now {terminal_safe(kept, limit=500)}"
            )
            return Parsed(Marks()), ""

    def _settled(self) -> tuple[Parsed, str]:
        """Like `_parse`, once nobody has written the file for SETTLES_SECONDS."""
        began = time.monotonic()
        while True:
            try:
                return self._parse()
            except DamagedMarksError:
                if not self._is_fresh() or time.monotonic() - began > SETTLES_SECONDS:
                    raise
            time.sleep(_PAUSE)

    def _parse(self) -> tuple[Parsed, str]:
        stamp = file_stamp(self.path)  # first: what is changed meanwhile has another one
        try:
            content = self._bytes()
        except FileNotFoundError:
            self._check_link()
            return Parsed(Marks()), ""
        try:
            return parse_marks(content), stamp
        except UsageError as error:
            error.details = error.details or str(self.path)
            raise

    def _bytes(self) -> bytes:
        """What is in the file. Raises FileNotFoundError, and DiskError where it can't be read."""
        try:
            return read_regular_file(self.path, MOST_BYTES + 1)
        except FileNotFoundError:
            raise
        except OSError as error:  # not the same as no file: the marks are there
            raise disk_error(error, _CANT_READ, self.path) from error

    def _is_fresh(self) -> bool:
        try:
            age = clock.now().timestamp() - self.path.stat().st_mtime
        except OSError:
            return False
        return 0 <= age < SETTLES_SECONDS

    def _write(self, text: str) -> None:
        with translate_disk_errors(_CANT_WRITE, self.path):
            remove_abandoned_files(self.path.parent)
            mode = PRIVATE_MODE
            with suppress(FileNotFoundError):  # a shared checkout keeps its permissions
                mode = stat.S_IMODE(self.path.stat().st_mode)
            write_file(self.path, text, mode=mode, durable=True)

    def _aside(self, why: str) -> Path:
        """An unused name beside the file."""
        moment = clock.now().strftime("%Y-%m-%d-%H%M%S")
        for number in range(1, 1_000):
            ending = f"-{number}" if number > 1 else ""
            path = self.path.with_name(f"{self.path.name}.{why}-{moment}{ending}")
            if not os.path.lexists(path):
                return path
        raise DiskError("There are too many damaged marks files", details=str(self.path.parent))
