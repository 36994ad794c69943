"""The queue of a harvest is read whole, however it moves meanwhile."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from lora_tui.gateway.http import build_client
from lora_tui.gateway.rest import Rest
from tests.gateway.conftest import AT_ONCE, Script

URL = "https://project.example"
START = datetime(2026, 11, 20, tzinfo=UTC)
Row = dict[str, Any]


class Queue:
    """A table of waiting jobs behind PostgREST's filters, in which rows come and go."""

    def __init__(self, count: int, max_rows: int) -> None:
        self.max_rows = max_rows
        self.rows = [job(number) for number in range(count)]
        self.after_page: Callable[[], None] = lambda: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        rows = list(self.rows)
        if ids := re.fullmatch(r"in\.\((.*)\)", query.get("id", "")):
            wanted = {name.strip('"') for name in ids[1].split(",")}
            rows = [row for row in rows if row["id"] in wanted]
        elif query.get("id", "").startswith("gt."):
            rows = [row for row in rows if row["id"] > query["id"].removeprefix("gt.")]
        column = query.get("order", "id").partition(".")[0]
        rows.sort(key=lambda row: (row[column] is None, row[column], row["id"]))
        start = int(query.get("offset", 0))
        most = min(self.max_rows, int(query.get("limit", 1_000_000)))
        page = rows[start : start + most]
        self.after_page()
        return httpx.Response(200, json=page)


def job(number: int) -> Row:
    """The ids of jobs tell nothing about how long they have waited."""
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(number))),
        "external_job_id": f"gpu-{number}",
        "completed_at": (START + timedelta(seconds=number)).isoformat(),
    }


def rest_of(answer: Callable[[httpx.Request], httpx.Response]) -> tuple[Rest, Script]:
    script = Script(answer)
    client = build_client(URL, transport=script.transport, retry=AT_ONCE)
    return Rest(URL, httpx.Auth(), client=client), script


@pytest.mark.parametrize("max_rows", [100, 1000])
def test_no_job_is_skipped_while_others_leave_the_queue(max_rows: int) -> None:
    queue = Queue(2_500, max_rows)
    gone: set[str] = set()

    def harvested_elsewhere() -> None:
        first, queue.rows = queue.rows[:50], queue.rows[50:]
        gone.update(row["id"] for row in first)

    queue.after_page = harvested_elsewhere
    rest, _ = rest_of(queue.answer)
    found = [row["id"] for row in rest.jobs_to_harvest(limit=10_000)]
    assert {row["id"] for row in queue.rows} - set(found) == set()
    assert len(found) == len(set(found))


def test_those_that_wait_longest_come_first_and_those_without_a_time_last() -> None:
    queue = Queue(300, 1000)
    queue.rows[7]["completed_at"] = None
    rest, _ = rest_of(queue.answer)
    found = [row["external_job_id"] for row in rest.jobs_to_harvest(limit=1_000)]
    assert found == [f"gpu-{number}" for number in range(300) if number != 7] + ["gpu-7"]
    assert [row["external_job_id"] for row in rest.jobs_to_harvest(limit=3)] == found[:3]


def test_a_server_that_repeats_a_page_is_asked_a_few_times_and_no_more() -> None:
    page = [job(number) for number in range(1000)]
    rest, script = rest_of(lambda _request: httpx.Response(200, json=page))
    assert len(rest.jobs_to_harvest(limit=10_000)) == 1000
    assert len(script.requests) < 40
