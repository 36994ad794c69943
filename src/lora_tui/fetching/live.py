"""Fetches the new metric points of all jobs that run, in one request wherever it can.

Of a run without cached points the newest ones come first, those of many runs in one request, so
that each shows its latest state at once. What it logged before follows, a few pages a read, from
the newest to the first point.

Points are only ever added, and have no time of change. So each read begins a few points before the
last known one of each job, and leaves out what is known. A transaction that took long commits
points that are older still: once a minute the points of the last minutes are counted, and looked
for where the numbers differ. When a job ends, all of its points are counted.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from lora_tui import clock
from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.live_curves import (
    LiveCurves,
    is_unknown,
    lacks_earlier,
    note_earlier,
    note_points_read,
)
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint, Row
from lora_tui.errors import BackendError, NotFoundError, QueryTimeoutError
from lora_tui.fetching.curves import pull_curve, reread_curve
from lora_tui.fetching.rows import OVERLAP
from lora_tui.gateway.live_points import (
    MOST_IDS,
    Window,
    count_points,
    newest_points,
    read_points,
    requests_of,
    windows_of,
)
from lora_tui.gateway.paging import Cursor, Page, is_uuid
from lora_tui.gateway.rest import Rest
from lora_tui.json_values import identifier

REREAD_POINTS: Final = 5
"""Known points before the last one at which a read begins: a neighbour may be committed later."""
COUNT_SECONDS: Final = 60.0
"""Between two counts of the points of the last minutes."""
_MOST_PAGES: Final = 5
"""Of one read; the next one goes on."""
EARLIER_PAGES: Final = 8
"""Requests of one read for what runs have logged before; then the new points are due again."""
_POINTS_A_PAGE_MORE: Final = 20_000
"""For each so many points of a run one page more is read at once: its curve is drawn anew."""
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
        """The numbers of points at the backend and here, where the last search found none."""
        self._requests = 0
        """Of this read, for what runs have logged before."""
        self._never_cut = 0
        """Pages of at most so many rows are complete: after one of this length nothing came."""

    def read(self, db: sqlite3.Connection, job_ids: Sequence[str]) -> LiveTally:
        """Fetch and write the new points of these jobs. Raises the errors of the gateway."""
        drawn = [job_id for job_id in job_ids if metrics.is_drawn(db, job_id)]
        new = [job for job in job_ids if job not in drawn and job not in self._unreadable]
        points, more = 0, False
        since = {job: _since(db, job) for job in drawn}
        for number, windows in enumerate(requests_of(windows_of(since))):
            if number:
                self._pause()
            found = self._read_windows(db, windows)
            points, more = points + found.points, more or found.more
        if drawn and not more:
            note_points_read(db, self._rest.server_time or clock.now())
        whole = [job_id for job_id in drawn if not lacks_earlier(db, job_id)]
        if whole and self._timer() - self._counted_at >= COUNT_SECONDS:
            self._counted_at = self._timer()
            points += self._find_late(db, whole)
        self._requests = 0
        points += self._read_newest(db, new)
        points += self._read_earlier(db, job_ids)
        waits = [
            job_id
            for job_id in job_ids
            if job_id not in self._unreadable
            and (lacks_earlier(db, job_id) or not metrics.is_drawn(db, job_id))
        ]
        return LiveTally(points, more or bool(waits))

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

    def _read_newest(self, db: sqlite3.Connection, new: Sequence[str]) -> int:
        """Fetch the newest points of jobs without any; how many these were."""
        fresh = [job for job in new if is_uuid(job) and is_unknown(db, job)]
        points, asked = 0, fresh
        recent = (self._rest.server_time or clock.now()) - OVERLAP
        while asked:  # a job that logs fast leaves the page to the others in the next request
            some = asked[:MOST_IDS]
            self._pause()
            try:
                page = newest_points(self._rest, some, since=recent)
            except _JOB_ERRORS:
                break
            points += self._write_newest(db, page.rows, some)
            left = [job for job in some if not metrics.is_drawn(db, job)]
            asked = [*(left if page.full and len(left) < len(some) else ()), *asked[MOST_IDS:]]
        for job_id in new:
            if self._requests >= EARLIER_PAGES or metrics.is_drawn(db, job_id):
                continue
            try:
                points += self._begin(db, job_id, is_fresh=job_id in fresh)
            except _JOB_ERRORS:  # the others' points come all the same
                self._unreadable.add(job_id)
        return points

    def _begin(self, db: sqlite3.Connection, job_id: str, *, is_fresh: bool) -> int:
        """Fetch the newest points of a job that logged none lately; without `is_fresh` all."""
        self._count_request()
        if is_fresh:
            page = newest_points(self._rest, [job_id])
            if page.rows:
                return self._write_newest(db, page.rows, [job_id])
            self._count_request()
        pull_curve(self._rest, db, job_id, pause=self._pause)
        with transaction(db):
            metrics.mark_live(db, job_id)
        return metrics.count_points(db, job_id)

    def _write_newest(
        self, db: sqlite3.Connection, rows: Sequence[Row], asked: Sequence[str]
    ) -> int:
        new = _unknown(db, rows, asked)
        if new:
            with transaction(db, Topic.CURVES):
                self._append(db, new)
                for job_id in new:
                    note_earlier(db, job_id, missing=True)
        return sum(map(len, new.values()))

    def _read_earlier(self, db: sqlite3.Connection, job_ids: Sequence[str]) -> int:
        """Fetch some of what jobs logged before their first cached points; how many points."""
        points = 0
        for job_id in job_ids:
            if self._requests >= EARLIER_PAGES:
                break
            if job_id in self._unreadable or not lacks_earlier(db, job_id):
                continue
            try:
                points += self._read_earlier_of(db, job_id)
            except _JOB_ERRORS:
                self._unreadable.add(job_id)
        return points

    def _read_earlier_of(self, db: sqlite3.Connection, job_id: str) -> int:
        first = metrics.first_point(db, job_id)
        before = None if first is None else Cursor.of({"id": first.id, "at": first.timestamp}, "at")
        if before is None:
            return self._read_whole(db, job_id)
        rows, is_first = list[Row](), False
        most = EARLIER_PAGES + metrics.count_points(db, job_id) // _POINTS_A_PAGE_MORE
        while self._requests < most:
            self._count_request()
            page = newest_points(self._rest, [job_id], before=before)
            rows += page.rows
            moved = Cursor.of(page.rows[-1], "timestamp") if page.rows else None
            is_first = not page.full
            if is_first:
                break
            if moved is None or not before.is_beyond(moved):
                return self._read_whole(db, job_id)
            before = moved
        new = _unknown(db, rows, {job_id})
        with transaction(db, Topic.CURVES):
            self._append(db, new)
            if is_first:
                note_earlier(db, job_id, missing=False)
        return sum(map(len, new.values()))

    def _read_whole(self, db: sqlite3.Connection, job_id: str) -> int:
        """Fetch all points of a job anew, where they can't be read from the end."""
        before = metrics.count_points(db, job_id)
        reread_curve(self._rest, db, job_id, pause=self._pause)
        return metrics.count_points(db, job_id) - before

    def _count_request(self) -> None:
        self._pause()
        self._requests += 1

    def _read_windows(self, db: sqlite3.Connection, windows: Sequence[Window]) -> LiveTally:
        points = length = 0
        for _ in range(_MOST_PAGES):
            page = read_points(self._rest, windows)
            written = self._write(db, page.rows, _jobs(windows))
            points += written
            if not written and not page.full:
                self._never_cut = max(self._never_cut, length)
            length = len(page.rows)
            if not page.full or length <= self._never_cut:
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
        new = _unknown(db, rows, asked)
        if new:
            with transaction(db, Topic.CURVES):
                self._append(db, new)
        return sum(map(len, new.values()))

    def _append(self, db: sqlite3.Connection, new: Mapping[str, Sequence[MetricPoint]]) -> None:
        for job_id, points in new.items():
            self._curves.append(db, job_id, points)

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


def _unknown(
    db: sqlite3.Connection, rows: Sequence[Row], asked: Container[str]
) -> dict[str, list[MetricPoint]]:
    """By job, the points that are not cached yet."""
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
    return new


def _since(db: sqlite3.Connection, job_id: str) -> datetime | None:
    """Where the next read of a job begins: a few known points back; None for its beginning.

    At its first cached point where earlier ones are missing: those are read from the newest on.
    """
    recent = parse_timestamp(metrics.time_of_recent_point(db, job_id, REREAD_POINTS))
    if recent is None and lacks_earlier(db, job_id):
        first = metrics.first_point(db, job_id)
        return None if first is None else parse_timestamp(first.timestamp)
    return recent


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
