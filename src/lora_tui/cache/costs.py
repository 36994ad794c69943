"""What was spent: cost records in the cache, and sums of them and of the costs of jobs.

Two sources tell what a run costs: its job (`final_cost`, before that the cost so far) and the
records that were billed for it. A run that has a record of its own time (`gpu`, say) counts with
its records; the cost of its job is shown beside them, and does not count. Other records (storage,
say) count beside the cost of the job. So nothing counts twice, and the total of each grouping is
the same.

Sums are read from two indexes that hold all that is needed (schema.py): the rows are large.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from lora_tui import clock
from lora_tui.cache.jobs import Fate
from lora_tui.cache.metadata import UNREAD, get_value
from lora_tui.cache.records import delete_records, moment_text, put_rows
from lora_tui.clock import microseconds
from lora_tui.domain.cost_records import CostRecord, micro_dollars
from lora_tui.json_values import row_json
from lora_tui.reports.costs import By, Costs, Group, Period, Sums, combine

if TYPE_CHECKING:
    from lora_tui.domain import Row

_SUMS_OF_JOBS: Final = (
    f"count(*), sum(j.micros), sum(j.micros IS NULL AND j.fate <> {Fate.QUEUED}),"
    f" sum(j.fate = {Fate.FAILED}), sum(CASE j.fate WHEN {Fate.FAILED} THEN j.micros END),"
    f" sum(CASE j.fate WHEN {Fate.RUNNING} THEN j.micros END)"
)
_FROM_JOBS: Final = "jobs j INDEXED BY jobs_costs"
_BILLED: Final = (
    "(SELECT job_id FROM cost_records INDEXED BY cost_records_sums"
    " WHERE job_id IS NOT NULL AND of_the_run = 1 AND micros IS NOT NULL GROUP BY job_id) b"
    f" CROSS JOIN {_FROM_JOBS} ON j.id = b.job_id WHERE 1"
)
"""The jobs whose own time has a record: from the records, which is faster if they are few."""
_BILLED_OF_MANY: Final = (
    f"{_FROM_JOBS} WHERE EXISTS (SELECT 1 FROM cost_records r INDEXED BY cost_records_sums"
    " WHERE r.job_id = j.id AND r.of_the_run = 1 AND r.micros IS NOT NULL)"
)
"""The same, from the jobs."""
MANY_RECORDS: Final = 20_000
"""From this number of records on, `_BILLED_OF_MANY` is faster."""
_COLUMNS: Final = {
    By.DATASET: "dataset_id",
    By.PRESET: "preset_id",
    By.GPU: "gpu",
    By.BASE_MODEL: "base_model",
    By.STATUS: "status",
}
_MOST_MONTHS: Final = 256
"""Of one query: the expression that finds a month grows with their number."""
_ALL: Final = Period()
_BEGINNING: Final = -(1 << 62)


def put_cost_records(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Insert or replace cost records. Call inside a transaction."""
    put_rows(db, "cost_records", [_columns(CostRecord.from_row(row), row) for row in rows])


def delete_costs_of(db: sqlite3.Connection, job_ids: Sequence[str]) -> None:
    """Delete the cost records of these jobs. Call inside a transaction."""
    sql = "SELECT id FROM cost_records WHERE job_id = ?"
    ids = [str(row[0]) for job in job_ids for row in db.execute(sql, [job]).fetchall()]
    if ids:
        delete_records(db, "cost_records", ids)


def read_costs(db: sqlite3.Connection, by: By, period: Period = _ALL) -> Costs:
    """What was spent in a period, in groups: months newest first, others most expensive first."""
    months = _months(db, period) if by is By.MONTH else []
    parts: dict[Group, list[Sums]] = {}
    for key, sums in (*_of_jobs(db, by, period, months), *_of_records(db, by, period, months)):
        parts.setdefault(key, []).append(sums)
    names = _names_of_datasets(db) if by is By.DATASET else {}
    return combine(by, period, parts, names)


def month_spending(db: sqlite3.Connection, now: datetime) -> float:
    """US dollars spent in the current calendar month, in the user's time zone."""
    start = clock.month_start(now)
    costs = read_costs(db, By.STATUS, Period(start, clock.next_month(start)))
    return costs.total.dollars


def why_unread(db: sqlite3.Connection) -> str | None:
    """Why the last sync could not read the project's cost records; None if it could."""
    return get_value(db, f"{UNREAD}cost_records")


class _Month(NamedTuple):
    """A calendar month of the user's zone, in microseconds since 1970."""

    start: int
    before: int
    name: str
    """`2026-11`."""


def _columns(record: CostRecord, row: Row) -> tuple[object, ...]:
    return (
        record.id,
        row_json(row),
        record.job_id,
        record.type,
        micro_dollars(record.amount),
        int(record.is_of_the_run),
        microseconds(record.moment),
        moment_text(row, "recorded_at"),
    )


def _of_jobs(
    db: sqlite3.Connection, by: By, period: Period, months: Sequence[_Month]
) -> Iterator[tuple[Group, Sums]]:
    """What the jobs say, by group; a run belongs to the time when it was queued.

    What does not count, because records say it, is subtracted.
    """
    every = f"SELECT {{key}}, {_SUMS_OF_JOBS} FROM {_FROM_JOBS} WHERE {{time}} GROUP BY 1"
    (records,) = db.execute("SELECT count(*) FROM cost_records").fetchone()
    source = _BILLED if records < MANY_RECORDS else _BILLED_OF_MANY
    billed = f"SELECT {{key}}, {_SUMS_OF_JOBS} FROM {source} AND {{time}} GROUP BY 1"
    for key, time, values in _queries(by, "j.created_at", period, months):
        for row in db.execute(every.format(key=key, time=time), values).fetchall():
            runs, cost, unknown, failed_runs, failed, so_far = (
                int(value or 0) for value in row[1:]
            )
            sums = Sums(
                runs=runs,
                run_cost=cost,
                counted=cost,
                unknown=unknown,
                failed_runs=failed_runs,
                failed=failed,
                so_far=so_far,
            )
            yield Group(_value(row[0], months), has_run=True), sums
        for row in db.execute(billed.format(key=key, time=time), values).fetchall():
            _, cost, unknown, _, failed, so_far = (int(value or 0) for value in row[1:])
            sums = Sums(counted=-cost, unknown=-unknown, failed=-failed, so_far=-so_far)
            yield Group(_value(row[0], months), has_run=True), sums


def _of_records(
    db: sqlite3.Connection, by: By, period: Period, months: Sequence[_Month]
) -> Iterator[tuple[Group, Sums]]:
    """What the records say, by group of their jobs; a record belongs to its own time."""
    summed = (
        "SELECT job_id, {month} AS month, sum(micros) AS micros, sum(micros IS NULL) AS unknown"
        " FROM cost_records INDEXED BY cost_records_sums WHERE {time} GROUP BY {inner}"
    )
    sql = (
        "SELECT {key}, {has_run}, sum(r.micros), sum(r.unknown),"
        f" sum(CASE j.fate WHEN {Fate.FAILED} THEN r.micros END)"
        f" FROM ({summed}) r LEFT JOIN jobs j INDEXED BY jobs_costs ON j.id = r.job_id"
        " GROUP BY 1, 2"
    )
    is_month = by is By.MONTH
    has_run = "1" if is_month else "j.id IS NOT NULL"
    for key, time, values in _queries(by, "moment", period, months):
        month, outer, inner = (key, "r.month", "1, 2") if is_month else ("0", key, "1")
        query = sql.format(key=outer, has_run=has_run, month=month, inner=inner, time=time)
        for row in db.execute(query, values).fetchall():
            records, unknown, failed = (int(value or 0) for value in row[2:])
            sums = Sums(records=records, counted=records, unknown_records=unknown, failed=failed)
            yield Group(_value(row[0], months), has_run=bool(row[1])), sums


def _value(key: object, months: Sequence[_Month]) -> str | None:
    """The value of a group; the key of a month is its place among them."""
    if key is None:
        return None
    return months[key].name if isinstance(key, int) else str(key)


def _queries(
    by: By, moment: str, period: Period, months: Sequence[_Month]
) -> Iterator[tuple[str, str, list[object]]]:
    """The SQL of a group's key and of the condition on the time, with its values.

    For months one for each part of them, and one for rows without a time.
    """
    if by is not By.MONTH:
        yield f"j.{_COLUMNS[by]}", *_time_condition(moment, period)
        return
    for start in range(0, len(months), _MOST_MONTHS):
        some = months[start : start + _MOST_MONTHS]
        first, last = some[0], some[-1]
        condition, values = _time_condition(moment, period)
        yield (
            _month_of(moment, some, start),
            f"{condition} AND {moment} <> 0 AND {moment} >= ? AND {moment} < ?",
            [*values, first.start, last.before],
        )
    if period == _ALL:
        yield "NULL", f"{moment} = 0", []


def _month_of(moment: str, months: Sequence[_Month], place: int) -> str:
    """SQL: the place of the month of a time, where the first has `place`; a search by halves."""
    if len(months) == 1:
        return str(place)
    half = len(months) // 2
    early, late = (
        _month_of(moment, months[:half], place),
        _month_of(moment, months[half:], place + half),
    )
    return f"CASE WHEN {moment} < {months[half].start} THEN {early} ELSE {late} END"


def _time_condition(moment: str, period: Period) -> tuple[str, list[object]]:
    """SQL: whether a time is in the period; one that is unknown is in none but all time."""
    parts, values = ["1"], list[object]()
    if period.start is not None:
        parts.append(f"{moment} >= ?")
        values.append(microseconds(period.start))
    if period.before is not None:
        parts.append(f"{moment} < ?")
        values.append(microseconds(period.before))
    if values:
        parts.append(f"{moment} <> 0")
    return " AND ".join(parts), values


def _months(db: sqlite3.Connection, period: Period) -> list[_Month]:
    """The months in which there is a job or a record, in order; each is found by an index."""
    earliest = "SELECT min({moment}) AS moment FROM {table} WHERE {condition} AND {moment} >= ?"
    selects, values = [], list[list[object]]()
    for table, moment in (("jobs", "created_at"), ("cost_records", "moment")):
        condition, bounds = _time_condition(moment, period)
        condition = f"{condition} AND {moment} <> 0"
        selects.append(earliest.format(table=table, moment=moment, condition=condition))
        values.append(bounds)
    sql = f"SELECT min(moment) FROM ({' UNION ALL '.join(selects)})"
    found: list[_Month] = []
    at = _BEGINNING
    while True:
        parameters = [value for bounds in values for value in (*bounds, at)]
        (moment,) = db.execute(sql, parameters).fetchone()
        if moment is None:
            return found
        found.append(_month_at(moment))
        at = found[-1].before


def _month_at(moment: int) -> _Month:
    """The month of a time in microseconds since 1970."""
    start = clock.month_start(clock.moment_of(moment) or clock.now())
    before = microseconds(clock.next_month(start))
    return _Month(microseconds(start), max(before, moment + 1), f"{start.year:04}-{start.month:02}")


def _names_of_datasets(db: sqlite3.Connection) -> dict[str, str]:
    return {str(row[0]): str(row[1]) for row in db.execute("SELECT id, name FROM datasets")}
