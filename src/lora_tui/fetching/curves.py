"""Fetches the metric points of jobs: the new points of one, or all of them again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.live_curves import lacks_earlier, note_earlier
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.errors import BackendError, LoraTuiError, NotFoundError, QueryTimeoutError
from lora_tui.fetching.rows import OVERLAP
from lora_tui.gateway.paging import Cursor
from lora_tui.gateway.rest import Rest

NEWEST_CURVES: Final = 100
"""A sync fetches the points of this many newest models; others are fetched when they are shown."""
_MOST_FAILURES: Final = 3


def pull_curves(
    rest: Rest, db: sqlite3.Connection, *, reread: bool, on_curve: Callable[[int], None]
) -> list[LoraTuiError]:
    """Fetch the missing points of the newest models; with `reread` also all points of the others.

    `on_curve` is called with the number of curves fetched so far. Returns the errors of jobs that
    could not be read; ends early after several.
    """
    failures: list[LoraTuiError] = []
    again = metrics.jobs_with_points(db) if reread else []
    missing = [job for job in metrics.jobs_to_fetch(db, NEWEST_CURVES) if job not in {*again}]
    fetched = 0
    for pull, job_ids in ((reread_curve, again), (pull_curve, missing)):
        for job_id in job_ids:
            try:
                pull(rest, db, job_id)
            except (BackendError, NotFoundError, QueryTimeoutError) as error:
                failures.append(error)
                if len(failures) == _MOST_FAILURES:
                    return failures
                continue
            fetched += 1
            on_curve(fetched)
    return failures


def pull_curve(
    rest: Rest,
    db: sqlite3.Connection,
    job_id: str,
    *,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Fetch the points of a job that the cache does not have yet, all pages of them.

    Each page is written as it comes, so a curve may have any length; it is drawn at the end. A
    point with an earlier time may be written late, so the last five minutes are read again. Of an
    outdated curve all points are. `pause` is called between two pages.
    """
    if metrics.is_outdated(db, job_id):
        reread_curve(rest, db, job_id, pause=pause)
        return
    since = _overlap_start(metrics.last_point(db, job_id))
    after = None if since is None else (since, Cursor.at(since).id)
    known = set() if since is None else metrics.known_points(db, job_id, since)
    changed = not metrics.is_drawn(db, job_id)
    try:
        for page in rest.metric_points(job_id, after=after):
            points = [MetricPoint.from_row(row) for row in page]
            new = [point for point in points if point.id not in known]
            if new:
                with transaction(db):
                    metrics.add_points(db, job_id, new)
                changed = True
            pause()
    except BackendError:
        _draw(db, job_id)  # keeps what came, so that it is not requested again each time
        raise
    if changed:
        _draw(db, job_id)
    if lacks_earlier(db, job_id):  # the newest came first meanwhile
        with transaction(db):
            note_earlier(db, job_id, missing=False)


def reread_curve(
    rest: Rest,
    db: sqlite3.Connection,
    job_id: str,
    *,
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Fetch all points of a job, and replace those in the cache.

    Page by page into a temporary table, so a curve may have any length, and one that can't be read
    to its end leaves the cache as it was. `pause` is called between two pages.
    """
    metrics.begin_replacement(db)
    try:
        for page in rest.metric_points(job_id):
            metrics.add_replacement(db, job_id, [MetricPoint.from_row(row) for row in page])
            pause()
        with transaction(db, Topic.CURVES):
            metrics.replace_points(db, job_id)
            note_earlier(db, job_id, missing=False)
    finally:
        metrics.end_replacement(db)


def _draw(db: sqlite3.Connection, job_id: str) -> None:
    if metrics.has_only_stored_curve(db, job_id):
        with transaction(db):
            metrics.keep_stored_curve(db, job_id)
        return
    with transaction(db, Topic.CURVES):
        metrics.draw_curve(db, job_id)


def _overlap_start(last: tuple[str, str] | None) -> str | None:
    moment = None if last is None else parse_timestamp(last[0])
    return None if moment is None else timestamp_text(moment - OVERLAP)
