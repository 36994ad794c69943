"""Fetches the metric points of one job: they are only ever added to."""

from __future__ import annotations

import sqlite3

from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.clock import parse_timestamp, timestamp_text
from lora_tui.domain import MetricPoint
from lora_tui.gateway.rest import Mark, Rest
from lora_tui.sync.pull import OVERLAP


def pull_curve(rest: Rest, db: sqlite3.Connection, job_id: str) -> None:
    """Fetch the points that the cache does not have yet, all pages of them.

    A point with an earlier time may be written late, so the last stretch is read again.
    """
    since = _before(metrics.last_point(db, job_id))
    after = None if since is None else (since, Mark.at(since).id)
    points = [
        MetricPoint.from_row(row)
        for page in rest.metric_points(job_id, after=after)
        for row in page
    ]
    known = set() if since is None else metrics.known_points(db, job_id, since)
    new = [point for point in points if point.id not in known]
    if new or after is None:
        with transaction(db, Topic.CURVES):
            metrics.put_points(db, job_id, new)


def _before(last: tuple[str, str] | None) -> str | None:
    moment = None if last is None else parse_timestamp(last[0])
    return None if moment is None else timestamp_text(moment - OVERLAP)
