"""The tables, over PostgREST: keyset pages, and what the harvest writes.

Rows come and go as plain dictionaries. Every query about a user's rows also filters by owner,
because the deployed policies do not hide others' rows everywhere. Raises the error family.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final

import httpx

from lora_tui.clock import parse_timestamp
from lora_tui.errors import BackendError, ConflictError, QueryTimeoutError
from lora_tui.gateway.http import ClientOwner, build_client
from lora_tui.gateway.paging import (
    FIRST_ID,
    ROWS_A_PAGE,
    Cursor,
    Page,
    PageSize,
    Row,
    RowLimit,
    is_uuid,
    next_cursor,
    walk_by_id,
)
from lora_tui.gateway.responses import check, error_body, is_from_service, read_json
from lora_tui.gateway.vendor import tables_client
from lora_tui.json_values import parse_json_leniently

_WITH_DELETED_AT: Final = ("datasets", "model_artifacts")
_IDS_A_QUERY: Final = 80  # 39 bytes each in the URL: below 4 KB with all the rest
_MOST_WAITING: Final = 100_000
_QUEUE_COLUMNS: Final = "id,user_id,dataset_id,external_job_id,completed_at"
POINT_COLUMNS: Final = (
    "id,timestamp,epoch,step,training_loss,validation_loss,"
    "learning_rate,gradient_norm,throughput,gpu_utilization"
)


class Rest(ClientOwner):
    """The Data API of one project. Safe to use from several threads; close it at the end."""

    server_time: datetime | None = None
    """The server's time in its last response, in whole seconds; None if it sends none."""
    widest: int = 0
    """The most rows of any answer so far."""

    def __init__(self, url: str, auth: httpx.Auth, *, client: httpx.Client | None = None) -> None:
        super().__init__(client or build_client(url, auth=auth))
        self.uncounted = set[str]()
        """Tables whose rows take too long to count together with a page."""
        self._seen = threading.Lock()  # of `widest` and `_counts_beyond`
        self._counts = True
        """Whether requests for pages of points also ask for the number of points."""
        self._counts_beyond = False
        """Whether a count was ever larger than its page; else it may be that of the page."""
        self._tables = tables_client(url, self._client)

    def select(self, table: str, columns: str, *, count: Any = None) -> Any:
        """The vendor's builder of a query without a filter by owner.

        For checks of privacy, and for points, whose owner is that of their job.
        """
        return self._tables.from_(table).select(columns, count=count)

    def update(self, table: str, values: Mapping[str, Any]) -> Any:
        """The vendor's builder of a change without a filter: the caller adds those it needs."""
        return self._tables.from_(table).update(dict(values))

    def rows(self, query: Any, what: str) -> list[Row]:
        """The rows of a query of the builder. Raises the errors of `check` and `read_json`."""
        return rows_of(self.send(query), what)[0]

    def send(self, query: Any) -> httpx.Response:
        """Send a query of the builder; the response, whatever its status. Raises UnreachableError.

        The query's own `execute` drops the status of a refusal and accepts any text as rows.
        """
        response: httpx.Response = query.request.send(httpx.Headers())
        self.server_time = server_time_of(response) or self.server_time
        return response

    def call(self, function: str, parameters: Mapping[str, Any], what: str) -> Any:
        """The result of a function of the project; None where the project lacks it."""
        response = self.send(self._tables.rpc(function, dict(parameters)))
        missing = response.status_code == 404 and is_from_service(response)
        if missing or error_body(response).get("code") == "PGRST202":
            return None
        return read_json(check(response, what), what)

    # What the sync reads ----------------------------------------------------------------------

    def page(
        self,
        table: str,
        user_id: str,
        *,
        after: Cursor | None,
        limit: int = ROWS_A_PAGE,
        key: str = "updated_at",
        columns: str = "*",
        counted: bool = False,
        newest_first: bool = False,
    ) -> Page:
        """The next rows of a user after a cursor, by (key, id); tells whether more may follow.

        A page shorter than `limit` is not the end: the project may allow fewer rows an answer.
        With `counted` it has their `total`, and times out where counting them takes too long.
        """
        query = self._tables.from_(table).select(columns, count=exact() if counted else None)
        query = query.eq("user_id", user_id)
        if after is not None:
            query = query.or_(after.condition(key))
        query = query.order(key, desc=newest_first).order("id", desc=newest_first)
        return self.page_of(query.limit(limit), table, limit)

    def ids(self, table: str, user_id: str) -> Iterator[str]:
        """The ids of all rows of a user but those marked as deleted."""
        size = PageSize()

        def ask(after: Cursor | None, limit: int) -> Page:
            query = self._tables.from_(table).select("id").eq("user_id", user_id)
            if after is not None:
                query = query.gt("id", after.id)
            return self.page_of(_not_deleted(query, table).order("id").limit(limit), table, limit)

        bound = RowLimit(table, lambda: self.try_count(table, user_id, deleted=True))
        for rows in walk_by_id(lambda after: size.read(partial(ask, after)), table):
            bound.add(len(rows))
            yield from (row["id"] for row in rows if isinstance(row.get("id"), str))

    def count(self, table: str, user_id: str, *, deleted: bool = False) -> int:
        """How many rows the user has in a table; those marked as deleted only with `deleted`."""
        return self._count(table, user_id, deleted=deleted) or 0

    def try_count(self, table: str, user_id: str, *, deleted: bool = False) -> int | None:
        """Like `count`; None where the server can't say it, or not in time."""
        try:
            return self._count(table, user_id, deleted=deleted)
        except (BackendError, QueryTimeoutError):
            return None

    def rows_by_id(
        self, table: str, user_id: str, ids: Iterable[str], *, columns: str = "*"
    ) -> list[Row]:
        """The rows with these ids that exist and belong to the user, in any order."""
        wanted = list(dict.fromkeys(ids))
        rows: list[Row] = []
        size = PageSize(_IDS_A_QUERY)
        while wanted:
            page = size.read(partial(self._some_by_id, table, user_id, columns, wanted))
            asked, wanted = wanted[: size.limit], wanted[size.limit :]
            there = {str(row.get("id")): row for row in page.rows}
            rows += [there[row_id] for row_id in asked if row_id in there]
            missing = [row_id for row_id in asked if row_id not in there]
            if page.full and len(missing) < len(asked):
                wanted = missing + wanted  # the project may allow fewer rows an answer
        return rows

    def metric_points(
        self, job_id: str, *, after: tuple[str, str] | None = None
    ) -> Iterator[list[Row]]:
        """All metric points of a job in the order of (timestamp, id), page by page.

        `after` is the timestamp, as it was sent, and the id of the last point that is known.
        Where the timestamps don't advance, all points follow again in the order of their ids.
        Raises BackendError where the server sends points without end.
        """
        cursor = None if after is None else Cursor(*after)
        bound = RowLimit("the metric points", partial(self.count_points, job_id))
        size = PageSize()
        while True:
            page = size.read(partial(self._points, job_id, "timestamp", cursor))
            if page.rows:
                yield page.rows
            if not page.rows or page.last:
                return
            bound.add(len(page.rows))
            cursor = next_cursor(page.rows, "timestamp", cursor)
            if cursor is None:
                break
        if page.full:
            by_id = walk_by_id(
                lambda after: size.read(partial(self._points, job_id, "id", after)),
                "the metric points",
            )
            for rows in by_id:
                yield rows
                bound.add(len(rows))

    def count_points(self, job_id: str) -> int | None:
        """How many metric points a job has; None where the server does not say so in time."""
        query = self._tables.from_("metrics_points").select("id", count=exact())
        try:
            _, total = self.counted(query.eq("job_id", job_id).limit(1), "count the metric points")
        except (BackendError, QueryTimeoutError):
            return None
        return total

    # What the harvest reads and writes --------------------------------------------------------

    def jobs_to_harvest(self, *, limit: int) -> list[Row]:
        """Completed jobs of all users without an artifact, the longest waiting first.

        Each has its dataset's name embedded as `dataset`.
        """
        return self.jobs_in_full([str(job["id"]) for job in self.waiting_jobs()[:limit]])

    def jobs_in_full(self, wanted: Sequence[str]) -> list[Row]:
        """The rows of these jobs, in this order, each with its dataset's name as `dataset`.

        Those that wait no longer are left out.
        """
        jobs: dict[str, Row] = {}
        for start in range(0, len(wanted), _IDS_A_QUERY):
            missing = wanted[start : start + _IDS_A_QUERY]
            while missing:  # a project may allow fewer rows an answer
                query = self._waiting("*,dataset:datasets!dataset_id(name)").in_("id", missing)
                rows = self.rows(query, "read the completed jobs")
                jobs |= {str(row.get("id")): row for row in rows}
                before, missing = missing, [name for name in missing if name not in jobs]
                if len(missing) == len(before):
                    break
        return [jobs[name] for name in wanted if name in jobs]

    def waiting_jobs(self) -> list[Row]:
        """All completed jobs of all users without an artifact, the longest waiting first.

        Only their ids, owners and times. They are read in the order of their ids, so that none is
        skipped when others leave or join the queue between two pages.
        """
        jobs: dict[str, Row] = {}
        after = FIRST_ID
        while len(jobs) < _MOST_WAITING:
            query = self._waiting(_QUEUE_COLUMNS).gt("id", after).order("id").limit(ROWS_A_PAGE)
            rows = self.rows(query, "read the completed jobs")
            new = {str(row["id"]): row for row in rows if row.get("id")}
            if not new.keys() - jobs.keys():  # the end, or a server that repeats itself
                break
            jobs |= new
            after = max(new)
        return sorted(jobs.values(), key=_longest_waiting)

    def _waiting(self, columns: str) -> Any:
        return (
            self._tables.from_("training_jobs")
            .select(columns)
            .eq("status", "completed")
            .not_.is_("external_job_id", None)
            .is_("artifact_id", None)
        )

    def job(self, user_id: str, job_id: str) -> Row | None:
        """A job of a user by its id or the worker's, its dataset's name embedded as `dataset`."""
        column = "id" if is_uuid(job_id) else "external_job_id"
        query = (
            self._tables.from_("training_jobs")
            .select("*,dataset:datasets!dataset_id(name)")
            .eq("user_id", user_id)
            .eq(column, job_id)
            .limit(1)
        )
        return next(iter(self.rows(query, "read the job")), None)

    def insert_job(self, row: Mapping[str, Any]) -> Row:
        """Write a job. Raises ConflictError where its id is there already."""
        return self._insert("training_jobs", row, "write the job")

    def insert_metric_points(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metric points; those whose ids are there already stay as they are."""
        query = self._tables.from_("metrics_points").upsert(
            [dict(row) for row in rows], ignore_duplicates=True, on_conflict="id"
        )
        self.rows(query, "write the metric points")

    def replace_metric_points(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write metric points; those whose ids are there already get the new values."""
        query = self._tables.from_("metrics_points").upsert(
            [dict(row) for row in rows], on_conflict="id"
        )
        self.rows(query, "write the metric points")

    def delete_metric_points(self, job_id: str, ids: Sequence[str]) -> None:
        """Delete metric points of a job. Missing ones are no error."""
        for start in range(0, len(ids), _IDS_A_QUERY):
            query = self._tables.from_("metrics_points").delete().eq("job_id", job_id)
            some = list(ids[start : start + _IDS_A_QUERY])
            self.rows(query.in_("id", some), "remove metric points")

    def update_job(self, user_id: str, job_id: str, values: Mapping[str, Any]) -> bool:
        """Change columns of a user's job; False if it does not exist."""
        query = self._tables.from_("training_jobs").update(dict(values))
        rows = self.rows(query.eq("user_id", user_id).eq("id", job_id), "change the job")
        return bool(rows)

    def artifact_by_job(self, job_id: str) -> Row | None:
        """The artifact of a job, where one was written."""
        query = self._tables.from_("model_artifacts").select("*").eq("job_id", job_id).limit(1)
        return next(iter(self.rows(query, "read the artifact")), None)

    def artifacts_with_file(self, user_id: str, name: str, sha256: str) -> list[Row]:
        """A user's artifacts, deleted ones too, whose rows record a file of this checksum.

        At most 50, the newest first.
        """
        recorded = {"files": {name: {"sha256": sha256}}}
        query = self._tables.from_("model_artifacts").select("*").eq("user_id", user_id)
        query = query.contains("configuration", recorded).order("created_at", desc=True).limit(50)
        return self.rows(query, "look for these weights")

    def update_artifact(
        self, user_id: str, artifact_id: str, values: Mapping[str, Any]
    ) -> Row | None:
        """Change columns of a user's artifact; None if it does not exist, or was deleted."""
        query = self._tables.from_("model_artifacts").update(dict(values))
        query = query.eq("user_id", user_id).eq("id", artifact_id).is_("deleted_at", None)
        return next(iter(self.rows(query, "change the artifact")), None)

    def change_model(
        self, user_id: str, model_id: str, values: Mapping[str, Any], *, seen: str | None = None
    ) -> Row | None:
        """Change columns of a user's model, deleted or not; None where no row has changed.

        With `seen` only while its `updated_at` is that.
        """
        query = self._tables.from_("model_artifacts").update(dict(values))
        query = query.eq("user_id", user_id).eq("id", model_id)
        query = query.eq("updated_at", seen) if seen else query
        return next(iter(self.rows(query, "change the model")), None)

    def insert_artifact(self, row: Mapping[str, Any]) -> Row:
        """Write an artifact. Raises ConflictError where the id or the job has one already."""
        return self._insert("model_artifacts", row, "write the artifact")

    def link_job(self, job_id: str, artifact_id: str) -> bool:
        """Set a job's artifact where it has none; True if this call has set it."""
        query = (
            self._tables.from_("training_jobs")
            .update({"artifact_id": artifact_id})
            .eq("id", job_id)
            .is_("artifact_id", None)
        )
        return bool(self.rows(query, "link the job"))

    def insert_notification(self, row: Mapping[str, Any]) -> Row:
        """Write a notification once: where its id is there already, that one is returned."""
        try:
            return self._insert("notifications", row, "write the notification")
        except ConflictError:
            query = self._tables.from_("notifications").select("*").eq("id", row["id"]).limit(1)
            there = self.rows(query, "read the notification")
            if not there:
                raise
            return there[0]

    def mark_notification_read(
        self, notification_id: str, read: bool = True, *, user_id: str | None = None
    ) -> bool:
        """Mark it; False if it does not exist, or a policy forbids the change."""
        query = self._tables.from_("notifications").update({"read": read}).eq("id", notification_id)
        if user_id is not None:
            query = query.eq("user_id", user_id)
        return bool(self.rows(query, "mark the notification"))

    def claim_lease(self, job_id: str, holder: str, seconds: int) -> bool | None:
        """Claim a job; False if another has it, None without leases in the project."""
        return self._lease("claim", p_job_id=job_id, p_holder=holder, p_seconds=seconds)

    def renew_lease(self, job_id: str, holder: str, seconds: int) -> bool | None:
        """Renew a lease; False if it was lost, None without leases in the project."""
        return self._lease("renew", p_job_id=job_id, p_holder=holder, p_seconds=seconds)

    def release_lease(self, job_id: str, holder: str) -> bool | None:
        """Release a lease; False if there was none, None without leases in the project."""
        return self._lease("release", p_job_id=job_id, p_holder=holder)

    # ------------------------------------------------------------------------------------------

    def _lease(self, act: str, **parameters: Any) -> bool | None:
        what = f"{act} the harvest lease"
        answer = self.call(f"{act}_harvest_lease", parameters, what)
        if not isinstance(answer, bool | None):
            raise BackendError(f"Could not {what}: the answer is neither yes nor no")
        return answer

    def _count(self, table: str, user_id: str, *, deleted: bool) -> int | None:
        query = self._tables.from_(table).select("id", count=exact()).eq("user_id", user_id)
        query = query if deleted else _not_deleted(query, table)
        return self.counted(query.limit(1), f"count {table}")[1]

    def _some_by_id(
        self, table: str, user_id: str, columns: str, ids: Sequence[str], limit: int
    ) -> Page:
        query = self._tables.from_(table).select(columns).eq("user_id", user_id)
        return self.page_of(query.in_("id", ids[:limit]).limit(limit), table, limit)

    def _points(self, job_id: str, key: str, after: Cursor | None, limit: int) -> Page:
        query = self._tables.from_("metrics_points").select(
            POINT_COLUMNS, count=exact() if self._counts else None
        )
        query = query.eq("job_id", job_id)
        if after is not None:
            query = query.or_(after.condition(key))
        query = query.order(key).order("id") if key != "id" else query.order("id")
        try:
            return self.page_of(query.limit(limit), "metrics_points", limit)
        except QueryTimeoutError:
            if not self._counts:
                raise
            self._counts = False  # the points may be had without counting them
            return self._points(job_id, key, after, limit)

    def page_of(self, query: Any, table: str, limit: int) -> Page:
        """The rows of a query of the builder, which asks for at most `limit` of them."""
        return self._page(query, f"read {table}", limit)

    def _insert(self, table: str, row: Mapping[str, Any], what: str) -> Row:
        rows = self.rows(self._tables.from_(table).insert(dict(row)), what)
        if not rows:
            raise BackendError(f"Could not {what}: the server did not return it")
        return rows[0]

    def counted(self, query: Any, what: str) -> tuple[list[Row], int | None]:
        """The rows, and how many there are without limit and offset."""
        return (page := self._page(query, what, 1)).rows, page.total

    def _page(self, query: Any, what: str, limit: int) -> Page:
        response = self.send(query)
        total, time = total_of(response), server_time_of(response)
        if response.status_code == 416:  # the page lies beyond the last row
            return Page([], full=False, total=total or 0, server_time=time)
        rows, others = rows_of(response, what)
        length = len(rows) + others
        with self._seen:
            self.widest = max(self.widest, length)
            self._counts_beyond |= total is not None and total > length
            is_full = bool(length) and length >= min(limit, self.widest)
            is_last = total == length and self._counts_beyond
        return Page(rows, is_full, is_last, total, others, time)


def server_time_of(response: httpx.Response) -> datetime | None:
    """The Date header; None where it is missing or not a date."""
    try:
        return parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def rows_of(response: httpx.Response, what: str) -> tuple[list[Row], int]:
    """The rows, and how many items of the list are not rows (JSON objects)."""
    try:
        answer = parse_json_leniently(check(response, what).content)
    except ValueError:
        answer = read_json(response, what)  # which says what is wrong with it
    if not isinstance(answer, list):
        raise BackendError(f"Could not {what}: the answer is not a list of rows")
    rows = [row for row in answer if isinstance(row, dict)]
    return rows, len(answer) - len(rows)


def total_of(response: httpx.Response) -> int | None:
    """How many rows there are without limit and offset, where the server says so."""
    match = re.search(r"/(\d{1,18})$", response.headers.get("content-range", ""), re.ASCII)
    return int(match[1]) if match else None


def _longest_waiting(job: Row) -> tuple[bool, datetime, str]:
    """A sort key: the longest waiting job first, jobs without a time last."""
    completed = parse_timestamp(job.get("completed_at"))
    return completed is None, completed or datetime.min.replace(tzinfo=UTC), str(job["id"])


def _not_deleted(query: Any, table: str) -> Any:
    return query.is_("deleted_at", None) if table in _WITH_DELETED_AT else query


def exact() -> Any:
    """What asks the vendor's builder for the number of all rows."""
    from postgrest.types import CountMethod

    return CountMethod.exact


__all__: Sequence[str] = ("ROWS_A_PAGE", "Cursor", "Rest", "Row")
