"""Fetches the metric points of one job: those that are new, or all of them again."""

from __future__ import annotations

import sqlite3

from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.errors import BackendError
from lora_tui.gateway.paging import Cursor
from lora_tui.gateway.rest import Rest
from lora_tui.sync.pull import OVERLAP


def pull_curve(rest: Rest, db: sqlite3.Connection, job_id: str) -> None:
    """Fetch the points that the cache does not have yet, all pages of them.

    Each page is written as it comes, so a curve may have any length; it is drawn at the end. A
    point with an earlier time may be written late, so the last stretch is read again.
    """
    since = _before(metrics.last_point(db, job_id))
    after = None if since is None else (since, Cursor.at(since).id)
    known = set() if since is None else metrics.known_points(db, job_id, since)
    came = not metrics.is_drawn(db, job_id)
    try:
        for page in rest.metric_points(job_id, after=after):
            points = [MetricPoint.from_row(row) for row in page]
            new = [point for point in points if point.id not in known]
            if new:
                with transaction(db):
                    metrics.add_points(db, job_id, new)
                came = True
    except BackendError:
        _draw(db, job_id)  # what came is kept, and is not asked for again and again
        raise
    if came:
        _draw(db, job_id)


def reread_curve(rest: Rest, db: sqlite3.Connection, job_id: str) -> None:
    """Fetch all points again, and put them in the place of those that the cache has.

    Page by page into a table of their own, so a curve may have any length, and one that could not
    be read to its end leaves the cache as it was.
    """
    metrics.begin_replacement(db)
    try:
        for page in rest.metric_points(job_id):
            metrics.add_replacement(db, job_id, [MetricPoint.from_row(row) for row in page])
        with transaction(db, Topic.CURVES):
            metrics.replace_points(db, job_id)
    finally:
        metrics.end_replacement(db)


def _draw(db: sqlite3.Connection, job_id: str) -> None:
    if metrics.has_only_stored_curve(db, job_id):
        return  # the server has no points, but the model came with a curve
    with transaction(db, Topic.CURVES):
        metrics.draw_curve(db, job_id)


def _before(last: tuple[str, str] | None) -> str | None:
    moment = None if last is None else parse_timestamp(last[0])
    return None if moment is None else timestamp_text(moment - OVERLAP)
