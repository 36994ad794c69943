"""What must hold after an episode with the application: nothing crashed, and it starts again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from lora_tui.cache.cache_file import is_sync_running, leader_lock
from lora_tui.cache.connection import open_existing
from lora_tui.cache.metadata import get_sync_state, get_value
from lora_tui.cache.transfer_queue import active_transfers
from lora_tui.engine.crash_reports import crash_reports
from lora_tui.engine.logs import engine_log
from lora_tui.errors import ExitCode, LoraTuiError
from tests.campaign.episode import Act, Sitting
from tests.campaign.world import World

_RESUMES: Final = Sitting((Act(0.3),), "quit")
_RANGE: Final = re.compile(r"bytes=(\d+)-")
_TOKEN: Final = re.compile(r"\beyJ[\w-]{10,}\.[\w-]{10,}\.")
_CLOSED: Final = 3.0
"""Seconds within which the system closes the files of a process that was killed."""
_DOWNLOAD: Final = "/storage/v1/object/sign/"


class Unfinished(NamedTuple):
    """The note of a file of which something is on the disk."""

    object_path: str
    missing: tuple[tuple[int, int], ...]


def broken_by_application(world: World) -> Iterator[str]:
    """The violations, a sentence each. Starts the application once more, without failures."""
    yield from traces(world)
    yield from held_locks(world)
    try:
        yield from _not_resumed(world)
    except LoraTuiError as error:
        yield f"the cache can't be opened: {error}"
    yield from traces(world)


def traces(world: World) -> Iterator[str]:
    """What a log or a report of a crash tells; both are taken away."""
    state = world.home / "state"
    log = engine_log(state)
    for path in (log, log.with_name(f"{log.name}.1")):
        if path.is_file():
            text = path.read_text(errors="replace")
            if "Traceback" in text:
                yield f"there is a traceback in the log: {text[-1_500:]}"
            if _TOKEN.search(text):
                yield "there is a token in the log"
            path.unlink()
    for path in crash_reports(state):
        text = path.read_text(errors="replace")
        yield f"the application crashed: {text[:1_000]} … {text[-1_500:]}"
        if _TOKEN.search(text):
            yield "there is a token in the report of a crash"
        path.unlink()


def held_locks(world: World) -> Iterator[str]:
    """No lock is held once all processes have ended."""
    for cache in world.caches():
        if not _soon(lambda cache=cache: _can_lead(cache)):
            yield "somebody still leads the cache"
        if not _soon(lambda cache=cache: not is_sync_running(cache)):
            yield "somebody still syncs the cache"


def _can_lead(cache: Path) -> bool:
    with leader_lock(cache) as leads:
        return leads


def _soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a moment: a process that was killed has no command line any
    more before the system closes its files."""
    end = time.monotonic() + _CLOSED
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _not_resumed(world: World) -> Iterator[str]:
    """The next start syncs, finishes the downloads from what is there, and ends in order."""
    synced_before = _read(world)[0]
    unfinished = list(_unfinished(world))
    world.remote.sandbox.forget_requests()

    def settled() -> bool:
        synced, online, active = _read(world)
        return online and active == 0 and synced != synced_before

    with world.sit_down(_RESUMES, settled) as application:
        application.wait()
        ended = application.killed()
    yield from (f"the next start: {sentence}" for sentence in ended.wrong)
    if ended.code != ExitCode.OK:
        yield f"the next start ended with {ended.code}: {ended.err[-300:]}"
    if ended.wrong:
        yield f"then it was: {_read(world)}"
    requests = world.remote.sandbox.requests()
    for file in unfinished:
        asked = [r for r in requests if r["method"] == "GET" and _is_for(r, file)]
        if asked and not _continues(asked[0], file):
            yield (
                f"{Path(file.object_path).name} began anew ({asked[0]['range']}),"
                f" where only {file.missing} was missing"
            )


def _read(world: World) -> tuple[str | None, bool, int]:
    """When the cache was synced, whether that went well, and the number of unfinished files."""
    for cache in world.caches():
        try:
            with closing(open_existing(cache)) as db:
                state = get_sync_state(db)
                online = state.online and not state.running
                return get_value(db, "sync.success"), online, len(active_transfers(db))
        except LoraTuiError:  # it is being made
            pass
    return None, False, 0


def _unfinished(world: World) -> Iterator[Unfinished]:
    """The files of the queue that can be continued."""
    for cache in world.caches():
        with closing(open_existing(cache)) as db:
            rows = active_transfers(db)
        for row in rows:
            part = row.target.with_name(f"{row.target.name}.part")
            missing = _missing_in(part)
            if missing:
                yield Unfinished(row.object_path, missing)


def _missing_in(part: Path) -> tuple[tuple[int, int], ...]:
    """The spans that a partial file lacks by its note; none where it holds nothing of use.

    Read here, past our own code, which may be what is wrong.
    """
    try:
        note = json.loads(part.with_name(f"{part.name}.json").read_text())
        size = part.lstat().st_size
    except (OSError, ValueError):
        return ()
    missing = tuple((start, end) for start, end in note["missing"])
    # before a gap that begins beyond the file, bytes were lost
    held = all(start <= size for start, _ in missing)
    return missing if note["etag"] and held and missing[:1] != ((0, note["total"]),) else ()


def _is_for(request: Mapping[str, Any], file: Unfinished) -> bool:
    path = str(request["path"])
    return path.startswith(_DOWNLOAD) and path.endswith(file.object_path)


def _continues(request: Mapping[str, Any], file: Unfinished) -> bool:
    """Whether the request is for something that is missing."""
    found = _RANGE.match(request["range"] or "")
    return found is not None and any(a <= int(found[1]) < b for a, b in file.missing)
