"""`jobs --watch`: follows the jobs until ctrl+c.

The cache is watched, whoever changes it; a thread brings it up to the backend meanwhile. On a
terminal the table is drawn in place, on the alternate screen; elsewhere each change is a line.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from lora_tui import clock
from lora_tui.cache import jobs, metadata, metrics
from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache
from lora_tui.cache.job_query import JobQuery
from lora_tui.cache.jobs import JobList
from lora_tui.commands import job_columns
from lora_tui.commands import jobs as command
from lora_tui.commands.context import Context
from lora_tui.commands.output import Output
from lora_tui.commands.style import style_of
from lora_tui.commands.table import terminal_size
from lora_tui.domain.job_statuses import ACTIVE
from lora_tui.errors import (
    AuthenticationError,
    CacheError,
    CancelledError,
    ConfigError,
    HangupError,
    LoraTuiError,
    TerminatedError,
    UsageError,
)
from lora_tui.json_values import json_text
from lora_tui.text import fit, printable

if TYPE_CHECKING:
    from lora_tui.commands.job_columns import JobColumn, JobLine
    from lora_tui.config.table import Profile
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.fetching.live import LivePoints

_LOOK_SECONDS: Final = 0.25
"""So often the cache and the size of the terminal are looked at."""
_REDRAW_SECONDS: Final = 1.0
"""So often times and ages are drawn anew."""
_LONGEST_PAUSE: Final = 300.0
"""Seconds between two syncs while they fail."""
_REQUEST_SECONDS: Final = 0.5
"""Between two requests for the points of running jobs."""
_TOPICS: Final = frozenset({Topic.JOBS, Topic.CURVES, Topic.DATASETS, Topic.SYNC})


def watch(context: Context, columns: Sequence[JobColumn]) -> None:
    """Follow the jobs; ends only by a signal or an error.

    Raises KeyboardInterrupt, TerminatedError, HangupError; UsageError; what a sync raises, where
    time does not help.
    """
    if context.arguments.csv:
        raise UsageError("--watch prints no CSV", remedy="use --json: one object for each change")
    seconds = float(context.arguments.watch)
    if not context.arguments.offline:
        context.require_network()
    in_place = context.out.isatty() and not context.json and not _has_no_screen()
    with _ends_by_signals(), context.cache() as db:
        query = command.query_of(context, db)
        with _syncs(context, seconds) as syncs:
            if in_place:
                _draw_in_place(context, db, query, columns, syncs)
            else:
                _print_changes(context, db, query, syncs)


class _Syncs:
    """Brings the cache up to the backend every so many seconds, in a thread."""

    def __init__(self, profile: Profile, seconds: float) -> None:
        self._profile = profile
        self._seconds = seconds
        self._ends = threading.Event()
        self._error: LoraTuiError | None = None
        self.failure: str | None = None
        """Why the last sync failed; None if it succeeded, or none has ended yet."""
        threading.Thread(target=self._run, name="sync", daemon=True).start()

    def check(self) -> None:
        """Raise the error that ended the syncs, if one did."""
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Start no more."""
        self._ends.set()

    def _run(self) -> None:
        from lora_tui.engine.online import OnlineWriters

        pause = self._seconds
        while not self._ends.is_set():
            try:
                with closing(OnlineWriters(self._profile)) as online:
                    for _ in self._rounds(online):
                        self.failure, pause = None, self._seconds
            except CancelledError:
                return
            except (AuthenticationError, CacheError, ConfigError) as error:
                self._error = error  # time does not help
                return
            except LoraTuiError as error:
                self.failure = str(error)
                self._ends.wait(pause)
                pause = min(pause * 2, max(self._seconds, _LONGEST_PAUSE))

    def _rounds(self, online: OnlineWriters) -> Iterator[None]:
        """Sync, and read the points of running jobs, again and again; yields after each."""
        from lora_tui.cache.cache_file import leader_lock
        from lora_tui.fetching.live import LivePoints

        points = LivePoints(online.rest, pause=self._pause)
        while not self._ends.is_set():
            online.sync()
            # an open application reads the points of running jobs itself
            with leader_lock(online.cache_path) as leads:
                if leads:
                    self._read_points(online, points)
            yield
            self._ends.wait(self._seconds)

    def _read_points(self, online: OnlineWriters, points: LivePoints) -> None:
        with closing(open_cache(online.cache_path, online.cache_owner)) as db:
            ends = time.monotonic() + self._seconds
            while points.read(db, jobs.running_jobs(db)).more and time.monotonic() < ends:
                self._pause()
            for job_id in metrics.unfinished_jobs(db):
                points.finish(db, job_id)

    def _pause(self) -> None:
        """Between two requests. Raises CancelledError at the end."""
        if self._ends.wait(_REQUEST_SECONDS):
            raise CancelledError("It ends")


@contextmanager
def _syncs(context: Context, seconds: float) -> Iterator[_Syncs | None]:
    """None with --offline."""
    if context.arguments.offline:
        yield None
        return
    syncs = _Syncs(context.profile, seconds)
    try:
        yield syncs
    finally:
        syncs.end()


def _looks(db: sqlite3.Connection, syncs: _Syncs | None) -> Iterator[bool]:
    """Forever, several times a second: whether the cache has changed. The first one is true."""
    feed = ChangeFeed(db)
    changed = True
    while True:
        yield changed
        time.sleep(_LOOK_SECONDS)
        if syncs is not None:
            syncs.check()
        changed = bool(feed.poll() & _TOPICS)


def _draw_in_place(
    context: Context,
    db: sqlite3.Connection,
    query: JobQuery,
    columns: Sequence[JobColumn],
    syncs: _Syncs | None,
) -> None:
    """Draw the table on the alternate screen; it is printed once more at the end."""
    descriptor, style = context.out.stream.fileno(), style_of(context)
    table: list[str] = []
    remark = ""
    try:
        with _Screen(context.out) as screen:
            drawn_at, drawn_size = 0.0, (0, 0)
            for changed in _looks(db, syncs):
                size = terminal_size(descriptor)
                is_due = time.monotonic() - drawn_at >= _REDRAW_SECONDS
                if not (changed or is_due or size != drawn_size or screen.is_lost):
                    continue
                drawn_at, drawn_size = time.monotonic(), size
                lines, remark = _read(context, db, query, syncs)
                table = command.text_of(context, lines, columns, style)
                screen.draw(table, remark, size)
    finally:
        with suppress(OSError):  # the terminal may be gone
            context.out.writelines(f"{line}\n" for line in table)
            context.out.flush()
            if remark:
                context.say(remark)


def _read(
    context: Context, db: sqlite3.Connection, query: JobQuery, syncs: _Syncs | None
) -> tuple[list[JobLine], str]:
    """The jobs to show, and what to say below them."""
    found = JobList(db, query)
    now = clock.now()
    lines = command.job_lines(db, found.window(0, context.arguments.limit), now)
    synced = metadata.get_sync_state(db).last_success
    said = command.remark(len(lines), found.total, jobs.count_active(db), synced=synced, now=now)
    if syncs is not None and syncs.failure:
        said += f"; {syncs.failure}"
    return lines, said


class _Screen:
    """The alternate screen of a terminal, so that nothing of the shell's is drawn over."""

    _ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
    _LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"

    def __init__(self, out: Output) -> None:
        self._stream = out.stream
        self.is_lost = False
        """Whether the process was suspended since the last `draw`."""

    def __enter__(self) -> _Screen:
        self._before = {
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._suspend),
            signal.SIGCONT: signal.getsignal(signal.SIGCONT),
        }
        self._write(self._ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        with suppress(OSError):  # the terminal may be gone
            self._write(self._LEAVE)

    def draw(self, lines: Sequence[str], remark: str, size: tuple[int, int]) -> None:
        """Draw as many lines as there is room for, the remark below them."""
        width, height = size
        room = height - 2
        shown = list(lines[:room])
        if len(lines) > room:
            remark = f"{len(lines) - room} more below; {remark}"
        shown += ["", fit(remark, width).rstrip()]
        # a line is erased before it is written: after it, the cursor may stand on its last cell
        drawn = "\r\n".join(f"\x1b[K{printable(line)}" for line in shown[:height])
        self._write(f"\x1b[H{drawn}\x1b[J")
        self.is_lost = False

    def _suspend(self, *_: object) -> None:
        """Ctrl+z: leave the terminal to the shell, and take it again."""
        from lora_tui.tui.terminal import can_be_resumed, stop

        if not can_be_resumed():
            return
        self._write(self._LEAVE)
        stop()
        self._write(self._ENTER)
        self.is_lost = True

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _print_changes(
    context: Context, db: sqlite3.Connection, query: JobQuery, syncs: _Syncs | None
) -> None:
    """Print a line for each job of the list, and then one whenever a job changes."""
    known: dict[str, tuple[object, ...]] = {}
    said: str | None = None
    for changed in _looks(db, syncs):
        failure = syncs.failure if syncs is not None else None
        if failure != said:
            said = failure
            if said:
                context.say(f"{said}. The cache is shown; it is tried again.")
        if not changed:
            continue
        lines, gone = _changed(db, query, context.arguments.limit, known)
        for line in lines:
            _print_line(context, db, line)
        for job_id in gone:
            context.say(f"Job {job_id[:8]} is no longer in the project.")
        context.out.flush()


def _changed(
    db: sqlite3.Connection,
    query: JobQuery,
    limit: int,
    known: dict[str, tuple[object, ...]],
) -> tuple[list[JobLine], list[str]]:
    """The jobs that are not as they were in `known`, which is updated, and ids that are gone.

    A job that runs or waits is followed until it has ended, wherever in the list it is then.
    """
    listed = JobList(db, query).window(0, limit)
    there = {summary.job.id for summary in listed}
    others = {job_id: jobs.get_job(db, job_id) for job_id in known if job_id not in there}
    gone = [job_id for job_id, summary in others.items() if summary is None]
    lines = command.job_lines(
        db, [*listed, *(summary for summary in others.values() if summary)], clock.now()
    )
    changed = [line for line in lines if known.get(line.job.id) != _state(line)]
    known.clear()
    known.update(
        (line.job.id, _state(line))
        for line in lines
        if line.job.id in there or line.job.status in ACTIVE
    )
    return changed, gone


def _state(line: JobLine) -> tuple[object, ...]:
    """What a line is printed for if it changes."""
    job = line.job
    return (
        *(job.status, job.stage, line.progress.step, job.progress, job.current_epoch),
        *(job.training_loss, job.validation_loss, job.artifact_id, job.error_message),
        *(job.final_cost, job.retries),
    )


def _print_line(context: Context, db: sqlite3.Connection, line: JobLine) -> None:
    if context.json:
        (row,) = jobs.job_rows(db, [line.job.id]) or [{}]
        context.out.write(json_text(command.as_data(row, line)) + "\n")
        return
    moment = clock.local(line.now).strftime("%Y-%m-%d %H:%M:%S")
    context.out.write(f"{moment}  {job_columns.one_line(line)}\n")


@contextmanager
def _ends_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end it in order, so that the terminal is put back."""

    def ended(number: int, _: object) -> None:
        if number == signal.SIGHUP:
            raise HangupError("Ended by SIGHUP")
        raise TerminatedError("Ended by SIGTERM")

    before = {
        number: signal.signal(number, ended)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_no_screen() -> bool:
    from lora_tui.tui.terminal import has_no_screen

    return has_no_screen()
