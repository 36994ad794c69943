"""Inserts, updates, deletes and leases: who may write what, and what PostgREST answers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from postgrest import SyncPostgrestClient

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client, clients


def a_dataset(user_id: str, **values: Any) -> dict[str, Any]:
    return {"user_id": user_id, "name": "New", "storage_path": str(uuid.uuid4()), **values}


def an_artifact(job: dict[str, Any], **values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {}
    return {
        "user_id": job["user_id"],
        "job_id": job["id"],
        "dataset_id": job["dataset_id"],
        "name": "Harvested",
        "quality_metrics": empty,
        "training_summary": empty,
        "configuration": empty,
        "artifacts": empty,
        **values,
    }


def a_waiting_job(client: Client) -> dict[str, Any]:
    return client.rows("training_jobs?status=eq.completed&artifact_id=is.null&limit=1")[0]


def test_a_user_marks_a_notification_as_read_and_changes_nothing_else(user: Client) -> None:
    unread = user.rows("notifications?select=id&read=is.false&limit=1")[0]["id"]
    path = f"notifications?id=eq.{unread}"
    assert user.rest("PATCH", path, json={"read": True}).status_code == 204
    assert user.rows(f"{path}&select=read") == [{"read": True}]
    refused = user.rest("PATCH", path, json={"title": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (403, "42501")


def test_a_user_cannot_write_without_a_policy(user: Client) -> None:
    insert = user.rest("POST", "datasets", json=a_dataset(user.sandbox.user_id))
    assert (insert.status_code, insert.json()["code"]) == (403, "42501")
    update = user.rest(
        "PATCH",
        "datasets?name=neq.x",
        json={"name": "x"},
        headers={"Prefer": "return=representation"},
    )
    assert (update.status_code, update.json()) == (200, [])
    assert user.rest("DELETE", "datasets?name=neq.x").status_code == 204
    assert len(user.rows("datasets")) == 8


# Writing


def test_an_insert_fills_in_the_defaults(service: Client) -> None:
    answer = service.rest(
        "POST",
        "datasets",
        json=a_dataset(service.sandbox.user_id),
        headers={"Prefer": "return=representation"},
    )
    assert answer.status_code == 201
    row = answer.json()[0]
    assert row["format"] == "brightrun_lora_v4"
    assert uuid.UUID(row["id"])
    assert row["created_at"] == row["updated_at"]


def test_an_insert_without_representation_has_an_empty_answer(service: Client) -> None:
    answer = service.rest("POST", "datasets", json=[a_dataset(service.sandbox.user_id)] * 1)
    assert (answer.status_code, answer.content) == (201, b"")


def test_a_second_artifact_for_a_job_is_a_duplicate(service: Client) -> None:
    job = a_waiting_job(service)
    assert service.rest("POST", "model_artifacts", json=an_artifact(job)).status_code == 201
    answer = service.rest("POST", "model_artifacts", json=an_artifact(job))
    assert (answer.status_code, answer.json()["code"]) == (409, "23505")
    assert answer.json()["details"] == f"Key (job_id)=({job['id']}) already exists."


def test_a_batch_with_one_bad_row_is_not_stored(service: Client) -> None:
    before = len(service.rows("datasets?select=id"))
    good = a_dataset(service.sandbox.user_id)
    answer = service.rest("POST", "datasets", json=[good, {**good, "name": "Same path"}])
    assert answer.status_code == 409
    assert len(service.rows("datasets?select=id")) == before


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"name": None}, 400, "23502"),
        ({"name": "x" * 201}, 400, "22001"),
        ({"status": "lost"}, 400, "23514"),
        ({"dataset_id": str(uuid.UUID(int=1))}, 409, "23503"),
        ({"user_id": str(uuid.UUID(int=1))}, 409, "23503"),
        ({"dataset_id": "x"}, 400, "22P02"),
        ({"colour": "red"}, 400, "PGRST204"),
    ],
)
def test_a_row_that_breaks_a_constraint_is_refused(
    service: Client, change: dict[str, Any], status: int, code: str
) -> None:
    answer = service.rest(
        "POST", "model_artifacts", json=an_artifact(a_waiting_job(service), **change)
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_merging_duplicates_updates_rows_and_ignoring_them_keeps_rows(service: Client) -> None:
    job = a_waiting_job(service)
    service.rest("POST", "model_artifacts", json=an_artifact(job))
    for resolution, name, expected in (
        ("ignore-duplicates", "Second", []),
        ("merge-duplicates", "Third", ["Third"]),
    ):
        answer = service.rest(
            "POST",
            "model_artifacts?on_conflict=job_id&select=name",
            json=an_artifact(job, name=name),
            headers={"Prefer": f"return=representation,resolution={resolution}"},
        )
        assert [row["name"] for row in answer.json()] == expected
    assert service.rows(f"model_artifacts?select=name&job_id=eq.{job['id']}") == [{"name": "Third"}]


def test_a_conditional_update_has_one_winner(service: Client) -> None:
    job = a_waiting_job(service)
    service.rest("POST", "model_artifacts", json=an_artifact(job))
    artifact = service.rows(f"model_artifacts?select=id&job_id=eq.{job['id']}")[0]["id"]
    answers = [
        service.rest(
            "PATCH",
            f"training_jobs?id=eq.{job['id']}&artifact_id=is.null",
            json={"artifact_id": artifact},
            headers={"Prefer": "return=representation"},
        ).json()
        for _ in range(2)
    ]
    assert [len(rows) for rows in answers] == [1, 0]


def test_an_update_moves_updated_at(sandbox: Sandbox, service: Client) -> None:
    before = service.rows("datasets?limit=1")[0]
    sandbox.faults(clock_offset=5)
    service.rest("PATCH", f"datasets?id=eq.{before['id']}", json={"name": "Renamed"})
    after = service.rows(f"datasets?id=eq.{before['id']}")[0]
    assert after["name"] == "Renamed"
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]


def test_the_date_of_an_answer_follows_the_clock_that_dates_rows(
    sandbox: Sandbox, service: Client
) -> None:
    sandbox.faults(clock_offset=-7200)
    date = service.rest("GET", "datasets?limit=1").headers["date"]
    behind = datetime.now(UTC) - parsedate_to_datetime(date)
    assert timedelta(hours=1) < behind < timedelta(hours=3)


def test_an_update_or_delete_of_everything_is_refused(service: Client) -> None:
    for method in ("PATCH", "DELETE"):
        answer = service.rest(method, "datasets", json={"name": "x"})
        assert (answer.status_code, answer.json()["code"]) == (400, "21000")


def test_deleting_returns_the_rows_and_respects_references(service: Client) -> None:
    made = service.rest(
        "POST",
        "datasets",
        json=a_dataset(service.sandbox.user_id),
        headers={"Prefer": "return=representation"},
    ).json()[0]
    gone = service.rest(
        "DELETE", f"datasets?id=eq.{made['id']}", headers={"Prefer": "return=representation"}
    )
    assert gone.json() == [made]
    used = service.rows("model_artifacts?select=dataset_id&limit=1")[0]["dataset_id"]
    refused = service.rest("DELETE", f"datasets?id=eq.{used}")
    assert (refused.status_code, refused.json()["code"]) == (409, "23503")


# The lease of our migration


def lease(client: Client, verb: str, **arguments: Any) -> Any:
    return client.rest("POST", f"rpc/{verb}_harvest_lease", json=arguments).json()


def test_a_lease_has_one_holder_until_it_runs_out(sandbox: Sandbox, service: Client) -> None:
    job = a_waiting_job(service)["id"]
    ours = {"p_job_id": job, "p_holder": "a", "p_seconds": 60}
    theirs = {**ours, "p_holder": "b"}
    assert lease(service, "claim", **ours) is True
    assert lease(service, "claim", **theirs) is False
    assert lease(service, "renew", **ours) is True
    sandbox.faults(clock_offset=61)
    assert lease(service, "renew", **ours) is False
    assert lease(service, "claim", **theirs) is True
    assert lease(service, "release", p_job_id=job, p_holder="a") is False
    assert lease(service, "release", p_job_id=job, p_holder="b") is True


def test_only_the_service_role_may_use_leases(user: Client, service: Client) -> None:
    job = a_waiting_job(service)["id"]
    arguments = {"p_job_id": job, "p_holder": "a", "p_seconds": 60}
    assert lease(user, "claim", **arguments)["code"] == "42501"
    assert user.rest("GET", "harvest_leases").status_code == 403
    assert service.rows("harvest_leases") == []


def test_before_the_migration_there_is_no_lease() -> None:
    with (
        Sandbox.start(models=0, waiting_jobs=1, migrated=False) as sandbox,
        clients(sandbox) as (_, _, service, _),
    ):
        arguments = {"p_job_id": str(uuid.uuid4()), "p_holder": "a", "p_seconds": 60}
        assert lease(service, "claim", **arguments)["code"] == "PGRST202"
        assert service.rest("GET", "harvest_leases").json()["code"] == "PGRST205"


# The vendor's own client


def test_the_vendors_client_reads_and_writes(sandbox: Sandbox, service: Client) -> None:
    client = SyncPostgrestClient(f"{sandbox.url}/rest/v1", headers=dict(service.headers))
    page = (
        client.table("model_artifacts")
        .select("id,name,dataset:datasets!dataset_id(name)", count="exact")  # type: ignore[arg-type]
        .eq("user_id", sandbox.user_id)
        .is_("deleted_at", "null")
        .order("quality_metrics->overall_score", desc=True, nullsfirst=False)
        .order("id")
        .range(1, 2)
        .execute()
    )
    assert page.count == 2
    assert len(page.data) == 1
    either = client.table("datasets").select("name").or_('name.eq."SQL Assistant",name.ilike.*min*')
    assert {row["name"] for row in either.execute().data} == {"SQL Assistant", "Meeting Minutes"}
    job = client.table("training_jobs").select("*").is_("artifact_id", "null").limit(1)
    row: Any = job.eq("status", "completed").single().execute().data
    made = client.table("model_artifacts").upsert(an_artifact(row), on_conflict="job_id").execute()
    artifact: Any = made.data[0]
    updated = (
        client.table("training_jobs")
        .update({"artifact_id": artifact["id"]})
        .eq("id", row["id"])
        .execute()
    )
    assert len(updated.data) == 1
    missing = client.table("datasets").select("*").eq("id", str(uuid.uuid4())).maybe_single()
    assert missing.execute() is None
