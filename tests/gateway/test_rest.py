"""What reading and writing tables promises: nothing cut off, nobody else's rows, nothing twice."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lora_tui import errors
from lora_tui.gateway import Gateway
from lora_tui.gateway.http import build_client
from lora_tui.gateway.rest import Cursor, Rest, Row
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.gateway.conftest import AT_ONCE, Script


def all_pages(gateway: Gateway, table: str, user_id: str, limit: int) -> list[Row]:
    rows: list[Row] = []
    after = None
    while page := gateway.rest.page(table, user_id, after=after, limit=limit).rows:
        rows += page
        after = Cursor(page[-1]["updated_at"], page[-1]["id"])
    return rows


@pytest.mark.parametrize("plain_timestamps", [False, True])
@pytest.mark.parametrize("limit", [1, 4, 1000])
def test_pages_show_each_row_once_in_order(
    sandbox: Sandbox, user: Gateway, limit: int, plain_timestamps: bool
) -> None:
    sandbox.faults(plain_timestamps=plain_timestamps)
    rows = all_pages(user, "model_artifacts", sandbox.user_id, limit)
    places = [(row["updated_at"], row["id"]) for row in rows]
    assert places == sorted(set(places))
    living = [row["id"] for row in rows if row["deleted_at"] is None]
    assert len(living) == user.rest.count("model_artifacts", sandbox.user_id) == 15
    assert sorted(living) == list(user.rest.ids("model_artifacts", sandbox.user_id))


def test_a_lower_row_limit_of_the_project_cuts_nothing_off(sandbox: Sandbox, user: Gateway) -> None:
    full = all_pages(user, "training_jobs", sandbox.user_id, 1000)
    ids = list(user.rest.ids("training_jobs", sandbox.user_id))
    sandbox.faults(max_rows=3)
    assert all_pages(user, "training_jobs", sandbox.user_id, 1000) == full
    assert list(user.rest.ids("training_jobs", sandbox.user_id)) == ids


def test_a_page_starts_after_a_moment(sandbox: Sandbox, user: Gateway) -> None:
    rows = user.rest.page("model_artifacts", sandbox.user_id, after=None).rows
    moment = rows[5]["updated_at"]
    later = user.rest.page("model_artifacts", sandbox.user_id, after=Cursor.at(moment)).rows
    assert later == [row for row in rows if row["updated_at"] >= moment]


def test_others_rows_are_left_out_even_where_the_backend_shows_them(
    sandbox: Sandbox, service: Gateway
) -> None:
    rest = service.rest
    for table in ("datasets", "training_jobs", "model_artifacts"):
        mine = rest.page(table, sandbox.user_id, after=None).rows
        theirs = rest.page(table, sandbox.other_user_id, after=None).rows
        assert mine
        assert theirs
        assert {row["user_id"] for row in mine} == {sandbox.user_id}
        assert rest.rows_by_id(table, sandbox.user_id, [row["id"] for row in theirs]) == []
        assert not set(rest.ids(table, sandbox.user_id)) & {row["id"] for row in theirs}


def test_many_ids_fit_into_short_addresses(sandbox: Sandbox, user: Gateway) -> None:
    wanted = list(user.rest.ids("training_jobs", sandbox.user_id))
    sandbox.forget_requests()
    rows = user.rest.rows_by_id(
        "training_jobs", sandbox.user_id, [*(str(uuid.uuid4()) for _ in range(300)), *wanted]
    )
    assert sorted(row["id"] for row in rows) == wanted
    assert all(len(r["path"]) + len(r["query"]) < 4000 for r in sandbox.requests())


def test_all_metric_points_come_in_order_beyond_the_row_limit(
    sandbox: Sandbox, user: Gateway
) -> None:
    curves: dict[str, list[Any]] = {}
    for job in user.rest.page("training_jobs", sandbox.user_id, after=None).rows:
        points = [p for page in user.rest.metric_points(job["id"]) for p in page]
        curves[job["id"]] = points
    job_id, longest = max(curves.items(), key=lambda item: len(item[1]))
    assert len(longest) > 1000
    assert longest == sorted(longest, key=lambda point: (point["timestamp"], point["id"]))
    sandbox.faults(max_rows=700)
    assert [p for page in user.rest.metric_points(job_id) for p in page] == longest
    known = longest[-3]
    new = list(user.rest.metric_points(job_id, after=(known["timestamp"], known["id"])))
    assert new == [longest[-2:]]


def test_a_job_without_points_has_no_pages(user: Gateway) -> None:
    assert list(user.rest.metric_points(str(uuid.uuid4()))) == []


def test_rows_are_counted_where_the_server_refuses_the_page_itself() -> None:
    refusal = httpx.Response(416, headers={"Content-Range": "*/15"}, json={"code": "PGRST103"})
    rest = Rest(
        "https://b.example",
        httpx.Auth(),
        client=build_client("https://b.example", transport=Script.of(refusal).transport),
    )
    assert rest.count("datasets", "u") == 15


@pytest.mark.parametrize("answer", [b"<html>", b"{}", b'"rows"', b""])
def test_an_answer_that_is_no_list_of_rows_is_refused(answer: bytes) -> None:
    script = Script.of(httpx.Response(200, content=answer))
    client = build_client("https://b.example", transport=script.transport, retry=AT_ONCE)
    with pytest.raises((errors.BackendError, errors.InterceptedError)):
        Rest("https://b.example", httpx.Auth(), client=client).page("datasets", "u", after=None)


def test_what_is_no_row_is_counted_and_left_out() -> None:
    script = Script.of(httpx.Response(200, content=b'[1, {"id": "a"}, null]'))
    client = build_client("https://b.example", transport=script.transport, retry=AT_ONCE)
    rest = Rest("https://b.example", httpx.Auth(), client=client)
    page = rest.page("datasets", "u", after=None)
    assert (page.rows, page.unreadable) == ([{"id": "a"}], 2)


# The harvest writes into a sandbox of its own


@pytest.fixture
def harvest() -> Iterator[Gateway]:
    with (
        Sandbox.start(models=1, waiting_jobs=3) as sandbox,
        Gateway.for_service(sandbox.url, Secret(sandbox.service_key)) as gateway,
    ):
        yield gateway


def artifact(job: Row) -> Row:
    artifact_id = str(uuid.uuid5(uuid.NAMESPACE_OID, job["id"]))
    return {
        "id": artifact_id,
        "user_id": job["user_id"],
        "job_id": job["id"],
        "dataset_id": job["dataset_id"],
        "name": "A model",
        "quality_metrics": {"overall_score": 3},
        "training_summary": {},
        "configuration": {},
        "artifacts": {"adapter_config.json": f"{job['user_id']}/{artifact_id}/x.json"},
    }


def test_jobs_to_harvest_are_those_that_wait_longest_first(harvest: Gateway) -> None:
    jobs = harvest.rest.jobs_to_harvest(limit=100)
    assert len(jobs) == 3
    assert all(job["status"] == "completed" and job["artifact_id"] is None for job in jobs)
    assert all(job["external_job_id"] and job["dataset"]["name"] for job in jobs)
    times = [job["completed_at"] for job in jobs]
    assert times == sorted(times)
    assert harvest.rest.jobs_to_harvest(limit=2) == jobs[:2]


def test_a_job_gets_one_artifact(harvest: Gateway) -> None:
    job = harvest.rest.jobs_to_harvest(limit=1)[0]
    assert harvest.rest.artifact_by_job(job["id"]) is None
    stored = harvest.rest.insert_artifact(artifact(job))
    assert stored["version"] == "1.0.0"
    assert harvest.rest.artifact_by_job(job["id"]) == stored
    for repeated in (artifact(job), {**artifact(job), "id": str(uuid.uuid4())}):
        with pytest.raises(errors.ConflictError):
            harvest.rest.insert_artifact(repeated)


def test_a_job_is_linked_by_one_winner(harvest: Gateway) -> None:
    job, other = harvest.rest.jobs_to_harvest(limit=2)
    ours = harvest.rest.insert_artifact(artifact(job))["id"]
    theirs = harvest.rest.insert_artifact(artifact(other))["id"]
    assert harvest.rest.link_job(job["id"], ours) is True
    assert harvest.rest.link_job(job["id"], theirs) is False
    assert harvest.rest.link_job(job["id"], ours) is False
    assert job["id"] not in [left["id"] for left in harvest.rest.jobs_to_harvest(limit=9)]


def test_a_notification_is_written_once_and_marked_by_its_owner(harvest: Gateway) -> None:
    job = harvest.rest.jobs_to_harvest(limit=1)[0]
    before = harvest.rest.count("notifications", job["user_id"])
    row = {
        "id": str(uuid.uuid4()),
        "user_id": job["user_id"],
        "type": "artifact_ready",
        "title": "Model Ready for Download",
        "message": "Ready",
        "priority": "high",
        "metadata": {"job_id": job["id"]},
    }
    first = harvest.rest.insert_notification(row)
    assert harvest.rest.mark_notification_read(row["id"]) is True
    assert harvest.rest.insert_notification(row) == {**first, "read": True}
    assert harvest.rest.count("notifications", job["user_id"]) == before + 1
    stranger = str(uuid.uuid4())
    assert harvest.rest.mark_notification_read(row["id"], False, user_id=stranger) is False
    assert harvest.rest.mark_notification_read(str(uuid.uuid4())) is False


def test_a_refused_notification_is_not_taken_for_a_repeated_one(harvest: Gateway) -> None:
    with pytest.raises(errors.BackendError):
        harvest.rest.insert_notification({"id": str(uuid.uuid4()), "title": "Nobody's"})


def test_one_harvester_at_a_time_has_a_job(harvest: Gateway) -> None:
    job_id = harvest.rest.jobs_to_harvest(limit=1)[0]["id"]
    assert harvest.rest.claim_lease(job_id, "one", 60) is True
    assert harvest.rest.claim_lease(job_id, "two", 60) is False
    assert harvest.rest.renew_lease(job_id, "one", 60) is True
    assert harvest.rest.renew_lease(job_id, "two", 60) is False
    assert harvest.rest.release_lease(job_id, "two") is False
    assert harvest.rest.release_lease(job_id, "one") is True
    assert harvest.rest.claim_lease(job_id, "two", 60) is True


def test_a_project_without_our_migration_has_no_leases() -> None:
    with (
        Sandbox.start(models=0, waiting_jobs=1, migrated=False) as sandbox,
        Gateway.for_service(sandbox.url, Secret(sandbox.service_key)) as gateway,
    ):
        job_id = gateway.rest.jobs_to_harvest(limit=1)[0]["id"]
        assert gateway.rest.claim_lease(job_id, "one", 60) is None
        assert gateway.rest.renew_lease(job_id, "one", 60) is None
        assert gateway.rest.release_lease(job_id, "one") is None
