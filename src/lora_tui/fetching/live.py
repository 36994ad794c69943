"""Fetches the new metric points of all jobs that run, in one request wherever it can.

Points are only ever added, and have no time of change. So each read begins a few points before the
last known one of each job, and leaves out what is known. A transaction that took long commits
points that are older still: once a minute the points of the last minutes are counted, and looked
for where the numbers differ. When a job ends, all of its points are counted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.live_curves import LiveCurves, note_points_read
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint, Row
from lora_tui.errors import BackendError, NotFoundError, QueryTimeoutError
from lora_tui.fetching.curves import pull_curve, reread_curve
from lora_tui.fetching.rows import OVERLAP
from lora_tui.gateway.live_points import (
    Window,
    count_points,
    read_points,
    requests_of,
    windows_of,
)
from lora_tui.gateway.paging import Page
from lora_tui.gateway.rest import Rest
from lora_tui.json_values import identifier

REREAD_POINTS: Final = 5
"""Known points before the last one at which a read begins: a neighbour may be committed later."""
COUNT_SECONDS: Final = 60.0
"""Between two counts of the points of the last minutes."""
_MOST_PAGES: Final = 5
"""Of one read; the next one goes on."""
_FETCHED_WHOLE: Final = 4
"""Jobs without cached points that one read fetches."""
_JOB_ERRORS: Final = (BackendError, NotFoundError, QueryTimeoutError)


class LiveTally(NamedTuple):
    """What one read found."""

    points: int
    """How many new points."""
    more: bool
    """Whether more wait to be read at once."""


class LivePoints:
    """Keeps the points of running jobs up to date. Only its thread uses it."""

    def __init__(
        self,
        rest: Rest,
        *,
        pause: Callable[[], None] = lambda: None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pause` is called between two requests, so that they don't become too many."""
        self._rest, self._pause, self._timer = rest, pause, timer
        self._curves = LiveCurves()
        self._unreadable: set[str] = set()
        """Jobs whose points could not be fetched whole."""
        self._counted_at = timer()
        self._differed: tuple[int, int] | None = None
        self._whole = 0
        """The longest page of which the next one has proved that the server had not cut it."""

    def read(self, db: sqlite3.Connection, job_ids: Sequence[str]) -> LiveTally:
        """Fetch and write the new points of these jobs. Raises the errors of the gateway."""
        drawn = [job_id for job_id in job_ids if metrics.is_drawn(db, job_id)]
        new = [job for job in job_ids if job not in drawn and job not in self._unreadable]
        points, more = 0, len(new) > _FETCHED_WHOLE
        for windows in requests_of(windows_of({job: _since(db, job) for job in drawn})):
            found = self._read_windows(db, windows)
            points, more = points + found.points, more or found.more
        for job_id in new[:_FETCHED_WHOLE]:
            self._pause()
            try:
                pull_curve(self._rest, db, job_id, pause=self._pause)
            except _JOB_ERRORS:  # the others' points come all the same
                self._unreadable.add(job_id)
            with transaction(db):
                metrics.mark_live(db, job_id)
            points += metrics.count_points(db, job_id)
        if drawn and self._timer() - self._counted_at >= COUNT_SECONDS:
            self._counted_at = self._timer()
            points += self._find_late(db, drawn)
        if drawn and not more:
            note_points_read(db, self._rest.server_time or clock.now())
        return LiveTally(points, more)

    def finish(self, db: sqlite3.Connection, job_id: str) -> None:
        """Fetch the last points of a job that has ended; all of them where any differ.

        Where they can't be read, what is there stays. Raises UnreachableError.
        """
        self._curves.forget([job_id])
        self._unreadable.discard(job_id)
        with suppress(*_JOB_ERRORS):  # then they are fetched when somebody opens the run
            self._read_to_the_end(db, job_id)
        with transaction(db):
            metrics.mark_live(db, job_id, live=False)

    def _read_to_the_end(self, db: sqlite3.Connection, job_id: str) -> None:
        pull_curve(self._rest, db, job_id, pause=self._pause)
        self._pause()
        total = self._rest.count_points(job_id)
        if total is not None and total != metrics.count_points(db, job_id):
            self._pause()
            reread_curve(self._rest, db, job_id, pause=self._pause)
        else:
            with transaction(db, Topic.CURVES):
                metrics.draw_curve(db, job_id)

    def _read_windows(self, db: sqlite3.Connection, windows: Sequence[Window]) -> LiveTally:
        points = length = 0
        for _ in range(_MOST_PAGES):
            page = read_points(self._rest, windows)
            written = self._write(db, page.rows, _jobs(windows))
            points += written
            if not written and not page.full:
                self._whole = max(self._whole, length)
            length = len(page.rows)
            if not page.full or length <= self._whole:
                return LiveTally(points, more=False)
            before, windows = windows, _advanced(windows, page)
            self._pause()
            if windows == before:  # more points at one time than fit into a page
                for job_id in {identifier(row.get("job_id")) for row in page.rows} & _jobs(before):
                    pull_curve(self._rest, db, job_id, pause=self._pause)
                return LiveTally(points, more=False)
        return LiveTally(points, more=True)

    def _write(self, db: sqlite3.Connection, rows: Sequence[Row], asked: set[str]) -> int:
        """Write the points that are not known yet; how many these were."""
        by_job: dict[str, dict[str, MetricPoint]] = {}
        for row in rows:
            job_id = identifier(row.get("job_id"))
            if job_id in asked:
                point = MetricPoint.from_row(row)
                by_job.setdefault(job_id, {})[point.id] = point
        new: dict[str, list[MetricPoint]] = {}
        for job_id, points in by_job.items():
            earliest = min(metrics.place_of(point)[0] for point in points.values())
            known = metrics.known_points(db, job_id, earliest)
            if unknown := [point for point in points.values() if point.id not in known]:
                new[job_id] = unknown
        if new:
            with transaction(db, Topic.CURVES):
                for job_id, unknown in new.items():
                    self._curves.append(db, job_id, unknown)
        return sum(map(len, new.values()))

    def _find_late(self, db: sqlite3.Connection, job_ids: Sequence[str]) -> int:
        """Fetch points that were committed long after others; how many these were."""
        found = 0
        since = {job: _since(db, job) for job in job_ids}
        earlier = {job: at - OVERLAP if at is not None else None for job, at in since.items()}
        for windows in requests_of(windows_of(earlier)):
            self._pause()
            there, here = count_points(self._rest, windows), _known(db, windows)
            if there is None or there == here or (there, here) == self._differed:
                continue
            for job_id in self._jobs_with_unknown(db, windows):
                before = metrics.count_points(db, job_id)
                self._pause()
                pull_curve(self._rest, db, job_id, pause=self._pause)
                found += metrics.count_points(db, job_id) - before
            self._differed = (there, _known(db, windows))
        return found

    def _jobs_with_unknown(self, db: sqlite3.Connection, windows: Sequence[Window]) -> set[str]:
        lacking: set[str] = set()
        while True:
            self._pause()
            page = read_points(self._rest, windows, columns="id,job_id,timestamp")
            rows = [(identifier(row.get("job_id")), identifier(row.get("id"))) for row in page.rows]
            for job_id in _jobs(windows):
                there = {point_id for job, point_id in rows if job == job_id}
                if there - metrics.known_ids(db, job_id, there):
                    lacking.add(job_id)
            before, windows = windows, _advanced(windows, page)
            if not page.full or windows == before:
                return lacking


def _since(db: sqlite3.Connection, job_id: str) -> datetime | None:
    """Where the next read of a job begins: a few known points back; None for its beginning."""
    return parse_timestamp(metrics.time_of_recent_point(db, job_id, REREAD_POINTS))


def _known(db: sqlite3.Connection, windows: Iterable[Window]) -> int:
    return sum(
        metrics.count_points(db, job_id, "" if at is None else timestamp_text(at))
        for at, job_ids in windows
        for job_id in job_ids
    )


def _jobs(windows: Iterable[Window]) -> set[str]:
    return {job_id for window in windows for job_id in window.job_ids}


def _advanced(windows: Sequence[Window], page: Page) -> Sequence[Window]:
    """The windows from the last row of a page on: all points before it have been read."""
    moments = (parse_timestamp(row.get("timestamp")) for row in reversed(page.rows))
    reached = next((moment for moment in moments if moment is not None), None)
    if reached is None:
        return windows
    return windows_of(
        {
            job_id: reached if window.since is None else max(window.since, reached)
            for window in windows
            for job_id in window.job_ids
        }
    )
