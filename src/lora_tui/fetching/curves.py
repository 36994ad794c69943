"""Fetches the metric points of jobs: the new points, or all of them again; of many jobs at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.live_curves import lacks_earlier, note_earlier
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.errors import BackendError, LoraTuiError, NotFoundError, QueryTimeoutError
from lora_tui.fetching.read_ahead import ReadAhead
from lora_tui.fetching.rows import OVERLAP
from lora_tui.gateway.paging import Cursor, Row
from lora_tui.gateway.rest import Rest

NEWEST_CURVES: Final = 100
"""A sync fetches the points of this many newest models; others are fetched when they are shown."""
AT_ONCE: Final = 8
"""The points of so many jobs are requested at once; so many pages wait to be written at most."""
_MOST_FAILURES: Final = 3
_JOB_ERRORS: Final = (BackendError, NotFoundError, QueryTimeoutError)


def pull_curves(
    rest: Rest, db: sqlite3.Connection, *, reread: bool, on_curve: Callable[[int], None]
) -> list[LoraTuiError]:
    """Fetch the missing points of the newest models; with `reread` also all points of the others.

    Those of several jobs are requested at once; this thread writes them as they come. `on_curve` is
    called with the number of curves fetched so far. Returns the errors of jobs that could not be
    read; begins no more jobs after several. After another error of the gateway, which it raises,
    neither; but what was requested before that is written.
    """
    failures: list[LoraTuiError] = []
    broken: LoraTuiError | None = None
    again = metrics.jobs_with_points(db) if reread else []
    missing = [job for job in metrics.jobs_to_fetch(db, NEWEST_CURVES) if job not in {*again}]
    fetched = 0

    def curves() -> Iterator[tuple[_Curve, Iterator[list[Row]]]]:
        for job_id in [*again, *missing]:
            if broken or len(failures) >= _MOST_FAILURES:
                return
            curve = _Curve(db, job_id, whole=job_id in again)
            yield curve, curve.pages(rest)

    with ReadAhead() as ahead:
        for curve, step in ahead.together(curves(), at_once=AT_ONCE):
            if step.value is not None:
                curve.add(step.value)
            elif step.error is None:
                curve.finish()
                fetched += 1
                on_curve(fetched)
            else:
                curve.give_up(step.error)
                if isinstance(step.error, _JOB_ERRORS):
                    failures.append(step.error)
                elif isinstance(step.error, LoraTuiError):
                    broken = broken or step.error
                else:
                    raise step.error
    if broken:
        raise broken
    return failures


def pull_curve(
    rest: Rest,
    db: sqlite3.Connection,
    job_id: str,
    *,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Fetch the points of a job that the cache does not have yet, all pages of them.

    A point with an earlier time may be written late, so the last five minutes are read again. Of an
    outdated curve all points are. `pause` is called between two pages.
    """
    _pull(rest, _Curve(db, job_id), pause)


def reread_curve(
    rest: Rest,
    db: sqlite3.Connection,
    job_id: str,
    *,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Fetch all points of a job, and replace those in the cache.

    `pause` is called between two pages.
    """
    _pull(rest, _Curve(db, job_id, whole=True), pause)


def _pull(rest: Rest, curve: _Curve, pause: Callable[[], None]) -> None:
    try:
        for page in curve.pages(rest):
            curve.add(page)
            pause()
    except BaseException as error:
        curve.give_up(error)
        raise
    curve.finish()


class _Curve:
    """The points of one job on their way into the cache, page by page: it may have any length.

    New points are written page by page, the last one together with the curve. All points (`whole`)
    come into a temporary table first, so that a curve that can't be read to its end leaves the
    cache as it was. Only `pages` runs in another thread.
    """

    def __init__(self, db: sqlite3.Connection, job_id: str, *, whole: bool = False) -> None:
        self._db, self._job_id = db, job_id
        self._whole = whole or metrics.is_outdated(db, job_id)
        if self._whole:
            self._since = None
            metrics.begin_replacement(db, job_id)
        else:
            self._since = _overlap_start(metrics.last_point(db, job_id))
            known = self._since and metrics.known_points(db, job_id, self._since)
            self._known = known or set[str]()
            self._unwritten: list[MetricPoint] = []
            self._changed = not metrics.is_drawn(db, job_id)

    def pages(self, rest: Rest) -> Iterator[list[Row]]:
        after = self._since and (self._since, Cursor.at(self._since).id)
        return rest.metric_points(self._job_id, after=after or None)

    def add(self, page: Sequence[Row]) -> None:
        points = MetricPoint.from_rows(page)
        if self._whole:
            metrics.add_replacement(self._db, self._job_id, points)
        elif new := [point for point in points if point.id not in self._known]:
            self._write()
            self._unwritten, self._changed = new, True

    def finish(self) -> None:
        """Draw it: all of its points have come."""
        db, job_id = self._db, self._job_id
        if self._whole:
            try:
                with transaction(db, Topic.CURVES):
                    metrics.replace_points(db, job_id)
                    note_earlier(db, job_id, missing=False)
            finally:
                metrics.end_replacement(db, job_id)
            return
        if self._changed:
            self._draw()
        if lacks_earlier(db, job_id):  # the newest came first meanwhile
            with transaction(db):
                note_earlier(db, job_id, missing=False)

    def give_up(self, error: BaseException) -> None:
        """After an error: keep what may be kept."""
        if self._whole:
            metrics.end_replacement(self._db, self._job_id)
        elif isinstance(error, BackendError):
            self._draw()  # keeps what came, so that it is not requested again each time
        else:
            self._write()

    def _write(self) -> None:
        if self._unwritten:
            with transaction(self._db):
                metrics.add_points(self._db, self._job_id, self._unwritten)

    def _draw(self) -> None:
        if not self._unwritten and metrics.has_only_stored_curve(self._db, self._job_id):
            with transaction(self._db):
                metrics.keep_stored_curve(self._db, self._job_id)
            return
        with transaction(self._db, Topic.CURVES):
            metrics.add_points(self._db, self._job_id, self._unwritten)
            metrics.draw_curve(self._db, self._job_id)


def _overlap_start(last: tuple[str, str] | None) -> str | None:
    moment = None if last is None else parse_timestamp(last[0])
    return None if moment is None else timestamp_text(moment - OVERLAP)
