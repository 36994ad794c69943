"""Removes the files of models that were deleted days ago; the rows stay, marked as deleted.

For each model: list the objects in its folder, read its row and the rows that changed since once
more, note in its row that the removal begins, remove, list again, note that the files are removed.
The first note is written only if the row is still deleted, and the database decides that in the
same step: whoever restores the model later sees the note. A process that dies between two steps
leaves a model that the next pass begins anew. Missing objects are no error, so two harvesters may
work on one model.

Only objects below `{user_id}/{artifact_id}/` of the row are removed, and none that another row
names, of whatever owner. A path in the row that leads elsewhere is never removed: a harvest stores
nothing there, so its row can't say whose it is.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import unquote

from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain.rows import FILES_REMOVED_AT, REMOVAL_BEGAN_AT
from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    DeniedError,
    LoraTuiError,
    UnreachableError,
    unexpected_error,
)
from lora_tui.gateway.deleted_models import (
    deleted_models,
    model_row,
    named_files,
    note_removal,
    server_now,
)
from lora_tui.gateway.paging import is_uuid
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import ObjectInfo, Storage
from lora_tui.harvest.events import Event, ObjectsRemoved, RemovalFailed, RemovalFinished
from lora_tui.json_values import Row, mapping

MODELS_A_PASS: Final = 100
"""The most models whose files are removed in one pass; failed ones don't count."""
SECONDS_BETWEEN: Final = 3600.0
"""The least time between two passes of a process."""
_MOST_READ: Final = 10_000
_OVERLAP: Final = timedelta(minutes=5)
"""Transactions that took so long before they ended are seen too."""
_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_FOLDER: Final = re.compile(f"{_UUID}/+{_UUID}", re.ASCII)

Emit = Callable[[Event], None]


@dataclass
class RemovalClock:
    """When the next pass of this process is due."""

    _next: float = field(default=float("-inf"))

    def due(self) -> bool:
        """Whether a pass is due now; the next one is due an hour later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + SECONDS_BETWEEN
        return True


def remove_deleted(
    rest: Rest,
    storage: Storage,
    *,
    days: int,
    dry_run: bool,
    emit: Emit,
    stop: threading.Event,
    beat: Callable[[], None] = lambda: None,
) -> int:
    """Remove the files of models that were deleted more than `days` days ago.

    Returns how many could not be removed. Each failure is an event, and so are the sums in the end;
    nothing of the error family is raised. A dry run only reads.
    """
    sums = _Sums(dry_run=dry_run)
    try:
        removal = _Pass(rest, storage, days=days, dry_run=dry_run)
        for position, model in enumerate(removal.models):
            if stop.is_set() or sums.models >= MODELS_A_PASS:
                sums.left = len(removal.models) - position
                break
            beat()
            if not _try(removal, model, sums, emit):
                sums.left = len(removal.models) - position - 1
                break
    except LoraTuiError as error:
        sums.fail(emit, "", error)
    emit(sums.event(days))
    return sums.failed


def _try(removal: _Pass, model: _Deleted, sums: _Sums, emit: Emit) -> bool:
    """Whether the next model is worth a try."""
    try:
        sums.add(emit, removal.remove(model))
    except LoraTuiError as error:
        sums.fail(emit, model.id, error)
        return not isinstance(error, UnreachableError | AuthenticationError)
    except OSError:  # the output is closed
        raise
    except Exception as error:
        sums.fail(emit, model.id, unexpected_error(error, place="removal"))
    return True


@dataclass(frozen=True)
class _Deleted:
    """A deleted model, as it was read at the start of the pass."""

    id: str
    user_id: str
    name: str
    deleted_at: str

    @property
    def folder(self) -> str:
        return f"{self.user_id}/{self.id}"


class _Pass:
    """One pass: what may be removed, by the server's clock and by what all rows name."""

    def __init__(self, rest: Rest, storage: Storage, *, days: int, dry_run: bool) -> None:
        """Read the models to remove, and what the others name. Raises the error family."""
        self._rest, self._storage, self._dry_run = rest, storage, dry_run
        self._now = server_now(rest)
        self._before = self._now - timedelta(days=days)
        rows = deleted_models(rest, self._before, most=_MOST_READ)
        found = [_deleted(row) for row in rows]
        self.models: Sequence[_Deleted] = sorted(
            (model for model in found if model is not None), key=lambda model: model.deleted_at
        )
        self._owners = {model.folder: model.id for model in self.models}
        self._named: dict[str, set[str]] = {}
        """Folder → the paths in it that other models name, in lower case."""
        if self.models:
            self._add_named(None)

    def remove(self, model: _Deleted) -> ObjectsRemoved | None:
        """Remove what may be removed of a model; None if it is not to be removed any more.

        Raises the error family.
        """
        there = list(self._storage.list_below(model.folder))
        row = model_row(self._rest, model.id)
        if row is None or not self._is_due(model, row):
            return None
        self._add_named(self._now - _OVERLAP)
        mine = [found for found in there if _is_below(found.path, model.folder)]
        gone = [found for found in mine if not self._is_named(found.path, model.folder)]
        kept = len(mine) - len(gone) + len(_paths_elsewhere(row, model.folder))
        freed: Sequence[ObjectInfo] = gone
        if kept and not gone:  # nothing changes: its files stay because of others
            return _event(model, [], kept, dry_run=self._dry_run)
        if not self._dry_run:
            if not self._begin(model, row):
                return None
            freed = self._remove(model, gone)
            self._end(model)
        return _event(model, freed, kept, dry_run=self._dry_run)

    def _is_due(self, model: _Deleted, row: Row) -> bool:
        """Whether the row, read just now, is still deleted for long enough."""
        deleted_at = parse_timestamp(row.get("deleted_at"))
        return (
            deleted_at is not None
            and deleted_at < self._before
            and row.get("user_id") == model.user_id
            and not mapping(row.get("configuration")).get(FILES_REMOVED_AT)
        )

    def _begin(self, model: _Deleted, row: Row) -> bool:
        """Note that the removal begins; False if the model was restored meanwhile."""
        began = {REMOVAL_BEGAN_AT: timestamp_text(self._now)}
        configuration = began | _configuration(row)
        return note_removal(self._rest, model.id, configuration, deleted_before=self._before)

    def _remove(self, model: _Deleted, gone: Sequence[ObjectInfo]) -> Sequence[ObjectInfo]:
        """Remove the objects; those that the service has removed in this call."""
        wanted = {found.path: found for found in gone}
        removed = self._storage.delete(wanted) if wanted else []
        left = {found.path for found in self._storage.list_below(model.folder)} & wanted.keys()
        if left:  # the service answers as if they had been missing
            raise DeniedError(
                f"{len(left)} of {len(wanted)} files were not removed by the service",
                details=model.folder,
                remedy="check that SUPABASE_SERVICE_ROLE_KEY is the service role key; it is tried"
                " again",
            )
        return [wanted[path] for path in dict.fromkeys(removed) if path in wanted]

    def _end(self, model: _Deleted) -> None:
        """Note that the files are removed, unless new ones were pushed meanwhile."""
        row = model_row(self._rest, model.id)
        configuration = {} if row is None else _configuration(row)
        began = configuration.pop(REMOVAL_BEGAN_AT, None)
        if began is None:
            return  # another harvester has noted it, or the row is gone
        configuration[FILES_REMOVED_AT] = timestamp_text(self._now)
        note_removal(self._rest, model.id, configuration, began=str(began))

    def _add_named(self, since: datetime | None) -> None:
        """Read which files the models name. Raises the error family."""
        for row in named_files(self._rest, since):
            for text in _texts(row.get("artifacts")):
                for folder, path in _places(text):
                    owner = self._owners.get(folder)
                    if owner is not None and owner != row.get("id"):
                        self._named.setdefault(folder, set()).add(path)

    def _is_named(self, path: str, folder: str) -> bool:
        """Whether another model names this object, or a folder that it is in."""
        lower = path.casefold()
        return any(
            lower == named or lower.startswith(f"{named.rstrip('/')}/")
            for named in self._named.get(folder, ())
        )


@dataclass
class _Sums:
    """The sums of a pass."""

    dry_run: bool
    models: int = 0
    files: int = 0
    size: int = 0
    failed: int = 0
    kept: int = 0
    left: int = 0

    def add(self, emit: Emit, removed: ObjectsRemoved | None) -> None:
        if removed is None:
            return
        self.kept += removed.kept
        if removed.kept and not removed.files:
            return
        self.models += 1
        self.files += removed.files
        self.size += removed.bytes
        emit(removed)

    def fail(self, emit: Emit, model_id: str, error: LoraTuiError) -> None:
        self.failed += 1
        emit(
            RemovalFailed(
                model_id=model_id, reason=str(error), details=error.details, remedy=error.remedy
            )
        )

    def event(self, days: int) -> RemovalFinished:
        return RemovalFinished(
            models=self.models,
            files=self.files,
            bytes=self.size,
            failed=self.failed,
            kept=self.kept,
            left=self.left,
            days=days,
            dry_run=self.dry_run,
        )


def _event(
    model: _Deleted, freed: Sequence[ObjectInfo], kept: int, *, dry_run: bool
) -> ObjectsRemoved:
    return ObjectsRemoved(
        model_id=model.id,
        name=model.name,
        deleted_at=model.deleted_at,
        files=len(freed),
        bytes=sum(found.size or 0 for found in freed),
        kept=kept,
        dry_run=dry_run,
    )


def _deleted(row: Row) -> _Deleted | None:
    """The model of a row; None where its ids could not name a folder."""
    model_id, user_id = str(row.get("id")), str(row.get("user_id"))
    if not is_uuid(model_id) or not is_uuid(user_id):
        return None
    if (model_id + user_id).lower() != model_id + user_id:
        return None
    return _Deleted(model_id, user_id, str(row.get("name") or ""), str(row.get("deleted_at")))


def _configuration(row: Row) -> dict[str, Any]:
    """The configuration of a row, to which keys may be added. Raises BackendError."""
    configuration = row.get("configuration")
    if configuration is not None and not isinstance(configuration, dict):
        raise BackendError(
            "The removal can't be noted: the configuration of this model is no object",
            remedy="set `configuration` of its row to a JSON object, `{}` for instance",
        )
    return dict(configuration or {})


def _is_below(path: str, folder: str) -> bool:
    """Whether a path is in the folder, without parts such as `..`."""
    inner = path.removeprefix(f"{folder}/")
    parts = inner.replace("\\", "/").split("/")
    return inner != path and not any(part in ("", ".", "..") for part in parts)


def _paths_elsewhere(row: Row, folder: str) -> list[str]:
    """The paths of the model's row that are not in its own folder; they are never removed."""
    return [path for path in _texts(row.get("artifacts")) if not _is_below(path, folder)]


def _texts(value: object) -> Iterator[str]:
    """All texts in a JSON value, however it is nested."""
    values = [value]
    while values:
        found = values.pop()
        if isinstance(found, str):
            yield found
        elif isinstance(found, dict):
            values += found.values()
        elif isinstance(found, list):
            values += found


def _places(text: str) -> Iterator[tuple[str, str]]:
    """Folder and path, in lower case, that a text may name: a path, or a URL of another program."""
    for spelled in {text, unquote(text), text.partition("?")[0]}:
        lower = spelled.casefold()
        for match in _FOLDER.finditer(lower):
            yield re.sub("/+", "/", match[0]), re.sub("/+", "/", lower[match.start() :])
