"""Changes one's own marks for the screens, and notices changes of other programs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from lora_tui import clock
from lora_tui.domain.own_marks import Marks, alias_of
from lora_tui.engine.protocol import CACHE, MARKS
from lora_tui.errors import CacheError, LoraTuiError
from lora_tui.files import file_stamp
from lora_tui.marks import changes
from lora_tui.marks.copy import refresh_copy
from lora_tui.marks.file import MarksFile
from lora_tui.text import terminal_safe

_SECONDS: Final = 2.0
"""Between two looks at the file."""
_log: Final = logging.getLogger("lora_tui.engine")


class MarksWriter:
    """What the engine does with marks. The requests are the methods of `calls`."""

    def __init__(
        self,
        path: Callable[[], Path],
        cache: Callable[[], AbstractContextManager[Connection]],
        tell: Callable[[str, Any], None],
    ) -> None:
        """`path` is that of the marks file, and `cache` opens the cache; both raise LoraTuiError.

        `tell` sends an event: MARKS with a sentence for the user.
        """
        self._path, self._cache, self._tell = path, cache, tell
        self._stopped = threading.Event()
        self._seen: str | None = None
        """The stamp of the file whose marks the cache has."""

    @property
    def calls(self) -> tuple[Callable[..., Any], ...]:
        """The requests."""
        return (
            self.toggle_favorite,
            self.change_tags,
            self.set_note,
            self.move_alias,
            self.remove_alias,
        )

    def watch(self) -> None:
        """Bring the copy in the cache up to the file, now and whenever it changes, in a thread."""
        threading.Thread(target=self._watch, name="marks", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def toggle_favorite(self, *, models: Mapping[str, str]) -> tuple[bool, int]:
        """See `changes.toggle_favorite`."""
        with self._changing() as marks:
            return changes.toggle_favorite(marks, models)

    def change_tags(
        self, *, models: Mapping[str, str], add: Sequence[str], remove: Sequence[str]
    ) -> None:
        """See `changes.change_tags`."""
        with self._changing() as marks:
            changes.change_tags(marks, models, add=add, remove=remove)

    def set_note(self, *, model_id: str, name: str, text: str, before: str) -> None:
        """See `changes.set_note`. Raises CacheError where the note is no longer `before`."""
        with self._changing() as marks:
            if marks.marks_of(model_id).note != before:
                raise CacheError(
                    "The note was changed by another program meanwhile",
                    remedy="copy your text, close the form, and open it again",
                )
            changes.set_note(marks, model_id, name, text)

    def move_alias(self, *, alias: str, model_id: str, name: str, before: str) -> None:
        """See `changes.move_alias`. Raises CacheError where it no longer names the model `before`.

        An empty `before` is no model.
        """
        with self._changing() as marks:
            alias = alias_of(alias)
            _check_named(marks, alias, before)
            changes.move_alias(marks, alias, model_id, name, clock.now())

    def remove_alias(self, *, alias: str, before: str) -> None:
        """See `changes.remove_alias`. Raises CacheError where it no longer names `before`."""
        with self._changing() as marks:
            alias = alias_of(alias)
            _check_named(marks, alias, before)
            changes.remove_alias(marks, alias, clock.now())

    @contextmanager
    def _changing(self) -> Iterator[Marks]:
        file = self._file()
        with file.changing() as marks:
            yield marks
        with self._cache() as db:
            refresh_copy(db, file)
        self._tell(CACHE, None)

    def _file(self) -> MarksFile:
        return MarksFile(self._path(), lambda sentence: self._tell(MARKS, sentence))

    def _watch(self) -> None:
        told = ""
        while not self._stopped.is_set():
            try:
                self.look()
                told = ""
            except LoraTuiError as error:
                if str(error) != told:  # once, not with each look
                    told = str(error)
                    details = (
                        f"\n{terminal_safe(error.details, limit=500)}" if error.details else ""
                    )
                    remedy = f"\n→ {error.remedy}" if error.remedy else ""
                    self._tell(MARKS, f"{error}{details}{remedy}")
            except Exception:
                _log.exception("the marks could not be read")
            self._stopped.wait(_SECONDS)

    def look(self) -> None:
        """Bring the copy up to the file, if that has changed. Raises like `refresh_copy`."""
        file = self._file()
        stamp = file_stamp(file.path)
        if stamp != self._seen:
            with self._cache() as db:
                refresh_copy(db, file)
            self._seen = stamp


def _check_named(marks: Marks, alias: str, before: str) -> None:
    """The user was told what the alias names, and must not move it from another model unasked."""
    move = marks.current(marks.alias_named(alias) or alias)
    if (move.model_id if move else "") != before:
        now = f"names {move.name or move.model_id}" if move else "was removed"
        raise CacheError(
            f"@{alias} was changed by another program meanwhile: it {now}",
            remedy="open the form again to change it",
        )
