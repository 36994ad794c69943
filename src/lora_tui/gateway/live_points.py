"""The query for the newest metric points of several jobs at once, each from a time of its own.

For jobs that log at the same pace it is `job_id=in.(A,B)&timestamp=gte.T`, which the index of the
table serves. A job that has stalled keeps an old time, and a common one would send the others'
points again each time; so it is
`or=(and(job_id.in.(A,B),timestamp.gte.T),and(job_id.eq.C,timestamp.gte.U),job_id.in.(D,E))`, where
D and E have no point yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from lora_tui.clock import timestamp_text
from lora_tui.errors import BackendError, QueryTimeoutError
from lora_tui.gateway.paging import ROWS_A_PAGE, Cursor, Page, PageSize, is_uuid
from lora_tui.gateway.rest import POINT_COLUMNS, Rest, exact

SAME_PACE: Final = timedelta(seconds=10)
"""Jobs whose times are no farther apart share the earliest: few of their points come again."""
MOST_IDS: Final = 80  # 39 bytes each in the URL
_ID_BYTES: Final = 39
_CLAUSE_BYTES: Final = 90
_MOST_BYTES: Final = 4_000

Since = Mapping[str, datetime | None]
"""The time from which on the points of each job are wanted; None for all of them."""


class Window(NamedTuple):
    """Jobs whose points are wanted from one time on."""

    since: datetime | None
    job_ids: tuple[str, ...]

    @property
    def condition(self) -> str:
        """As part of a PostgREST filter."""
        ids = ",".join(self.job_ids)
        jobs = f"job_id.in.({ids})" if len(self.job_ids) > 1 else f"job_id.eq.{ids}"
        if self.since is None:
            return jobs
        return f'and({jobs},timestamp.gte."{timestamp_text(self.since)}")'


def windows_of(since: Since) -> list[Window]:
    """The jobs by their times, the newest first; ids that are no UUIDs are left out."""
    known = [(at, job_id) for job_id, at in since.items() if at is not None and is_uuid(job_id)]
    new = [job_id for job_id, at in since.items() if at is None and is_uuid(job_id)]
    windows = list(_split(None, sorted(new)))
    together: list[tuple[datetime, str]] = []
    for at, job_id in sorted(known, reverse=True):
        if together and together[0][0] - at > SAME_PACE:
            windows += _split(together[-1][0], [name for _, name in together])
            together = []
        together.append((at, job_id))
    if together:
        windows += _split(together[-1][0], [name for _, name in together])
    return windows


def requests_of(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """The windows in groups whose query fits into a URL; one for fifty jobs at the same pace."""
    group: list[Window] = []
    size = 0
    for window in windows:
        length = _CLAUSE_BYTES + _ID_BYTES * len(window.job_ids)
        if group and size + length > _MOST_BYTES:
            yield group
            group, size = [], 0
        group.append(window)
        size += length
    if group:
        yield group


def read_points(rest: Rest, windows: Sequence[Window], *, columns: str = "") -> Page:
    """The first points of these windows in the order of (timestamp, id), with their `job_id`."""
    query = rest.select("metrics_points", columns or f"job_id,{POINT_COLUMNS}")
    query = _limited(query, windows).order("timestamp").order("id").limit(ROWS_A_PAGE)
    return rest.page_of(query, "metrics_points", ROWS_A_PAGE)


def newest_points(
    rest: Rest,
    job_ids: Sequence[str],
    *,
    since: datetime | None = None,
    before: Cursor | None = None,
) -> Page:
    """The last points of these jobs together, the newest first, with their `job_id`.

    `since`: only those of this time and later. `before`: only those before this one.
    """

    def ask(limit: int) -> Page:
        query = rest.select("metrics_points", f"job_id,{POINT_COLUMNS}")
        query = _of_jobs(query, job_ids)
        if since is not None:
            query = query.gte("timestamp", timestamp_text(since))
        if before is not None:
            query = query.or_(before.earlier("timestamp"))
        query = query.order("timestamp", desc=True).order("id", desc=True).limit(limit)
        return rest.page_of(query, "metrics_points", limit)

    return PageSize().read(ask)


def count_points(rest: Rest, windows: Sequence[Window]) -> int | None:
    """How many points these windows have; None where the server does not say so in time."""
    query = _limited(rest.select("metrics_points", "id", count=exact()), windows).limit(1)
    try:
        return rest.counted(query, "count the metric points")[1]
    except (BackendError, QueryTimeoutError):
        return None


def _limited(query: Any, windows: Sequence[Window]) -> Any:
    if len(windows) > 1:
        return query.or_(",".join(window.condition for window in windows))
    (window,) = windows
    query = query.in_("job_id", window.job_ids)
    return query if window.since is None else query.gte("timestamp", timestamp_text(window.since))


def _of_jobs(query: Any, job_ids: Sequence[str]) -> Any:
    return query.eq("job_id", *job_ids) if len(job_ids) == 1 else query.in_("job_id", job_ids)


def _split(since: datetime | None, job_ids: Sequence[str]) -> Iterator[Window]:
    for start in range(0, len(job_ids), MOST_IDS):
        yield Window(since, tuple(job_ids[start : start + MOST_IDS]))
