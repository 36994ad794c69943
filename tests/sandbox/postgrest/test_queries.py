"""The tables are read and written as through PostgREST."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import pytest

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client, clients

MODELS = "model_artifacts?deleted_at=is.null"


def test_embeds_bring_the_dataset_and_the_job_of_each_model(reader: Client) -> None:
    rows = reader.rows(
        f"{MODELS}&select=id,dataset_id,dataset:datasets!dataset_id(name),"
        "job:training_jobs!job_id(preset_id,created_at)"
    )
    assert len(rows) == 36
    names = {row["id"]: row["name"] for row in reader.rows("datasets?select=id,name")}
    assert all(row["dataset"] == {"name": names[row["dataset_id"]]} for row in rows)
    assert all(set(row["job"]) == {"preset_id", "created_at"} for row in rows)


def test_an_embed_that_could_mean_two_keys_is_refused(reader: Client) -> None:
    answer = reader.rest("GET", "model_artifacts?select=id,training_jobs(id)")
    assert (answer.status_code, answer.json()["code"]) == (300, "PGRST201")
    assert len(answer.json()["details"]) == 2


def test_an_embed_without_a_relationship_is_refused(reader: Client) -> None:
    answer = reader.rest("GET", "notifications?select=id,datasets(id)")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST200")


def test_an_embed_from_the_other_end_is_a_list(reader: Client) -> None:
    rows = reader.rows("datasets?select=id,model_artifacts(id,dataset_id)")
    assert sum(len(row["model_artifacts"]) for row in rows) == 37
    assert all(model["dataset_id"] == row["id"] for row in rows for model in row["model_artifacts"])


def test_an_inner_embed_filters_the_rows_around_it(reader: Client) -> None:
    rows = reader.rows(
        "model_artifacts?select=dataset:datasets!inner(name)&dataset.name=eq.SQL Assistant"
    )
    assert rows
    assert {row["dataset"]["name"] for row in rows} == {"SQL Assistant"}


def test_json_order_puts_the_best_first_and_the_unrated_last(reader: Client) -> None:
    rows = reader.rows(
        f"{MODELS}&select=score:quality_metrics->overall_score"
        "&order=quality_metrics->overall_score.desc.nullslast,created_at.desc"
    )
    scores = [row["score"] for row in rows]
    numbers = [score for score in scores if isinstance(score, int)]
    assert numbers == sorted(numbers, reverse=True)
    assert scores[: len(numbers)] == numbers
    # A number kept as text sorts below the numbers, and what is not there comes last.
    assert [type(score).__name__ for score in scores[len(numbers) :]] == [
        "str",
        *["NoneType"] * 3,
    ]


def test_a_descending_order_puts_nulls_first_unless_told_otherwise(reader: Client) -> None:
    first = reader.rows("model_artifacts?select=deployed_at&order=deployed_at.desc")
    last = reader.rows("model_artifacts?select=deployed_at&order=deployed_at.desc.nullslast")
    assert first[0]["deployed_at"] is None
    assert last[0]["deployed_at"] is not None


def test_a_json_field_as_text_is_filtered_and_shown(reader: Client) -> None:
    rows = reader.rows(
        f"{MODELS}&select=quality_metrics->>convergence_quality"
        "&quality_metrics->>convergence_quality=in.(overfit,poor)"
    )
    assert {row["convergence_quality"] for row in rows} == {"overfit", "poor"}


def test_a_json_field_is_compared_as_json(reader: Client) -> None:
    rows = reader.rows(
        f"{MODELS}&select=score:quality_metrics->overall_score&quality_metrics->overall_score=gte.4"
    )
    assert {row["score"] for row in rows} == {4, 5}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("total_training_pairs=eq.9730", {"Radiology Reports"}),
        ("total_training_pairs=gt.40000", {"SQL Assistant", "Product Descriptions"}),
        ("total_training_pairs=lte.6215", {"Legal Clause Review", "Incident Postmortems"}),
        ("name=like.*Re*", {"Radiology Reports", "Legal Clause Review", "Python Code Review"}),
        ("name=like.*RE*", set()),
        ("name=ilike.%sql%", {"SQL Assistant"}),
        ('name=in.("SQL Assistant","a,b")', {"SQL Assistant"}),
        ("name=eq.Meeting Minutes", {"Meeting Minutes"}),
        (
            "or=(name.eq.SQL Assistant,total_training_pairs.lt.4000)",
            {"SQL Assistant", "Incident Postmortems"},
        ),
        (
            'or=(name.eq."Meeting Minutes",and(name.like.*Code*,total_training_pairs.gt.1))',
            {"Meeting Minutes", "Python Code Review"},
        ),
        ("and=(name.like.*R*,name.not.like.*Review)", {"Radiology Reports"}),
        ("not.or=(total_training_pairs.gt.7000,name.like.Legal*)", {"Incident Postmortems"}),
        ("name=not.ilike.*e*&deleted_at=is.null", {"SQL Assistant"}),
        ("deleted_at=not.is.null", set()),
    ],
)
def test_filters_choose_the_rows(reader: Client, condition: str, expected: set[str]) -> None:
    found = {row["name"] for row in reader.rows(f"datasets?select=name&{condition}")}
    assert found == expected


def test_a_keyset_walks_through_all_rows_once(reader: Client) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = reader.rows(
            f"model_artifacts?select=id,updated_at&order=updated_at,id&limit=7{after}"
        )
        seen += [row["id"] for row in page]
        if len(page) < 7:
            break
        moment, last = quote(f'"{page[-1]["updated_at"]}"'), page[-1]["id"]
        after = f"&or=(updated_at.gt.{moment},and(updated_at.eq.{moment},id.gt.{last}))"
    assert len(seen) == len(set(seen)) == 37


def test_no_answer_has_more_than_a_thousand_rows(reader: Client) -> None:
    answer = reader.rest("GET", "metrics_points?select=id", headers={"Prefer": "count=exact"})
    total = int(answer.headers["content-range"].partition("/")[2])
    assert len(answer.json()) == 1000 < total
    assert answer.status_code == 206
    silent = reader.rest("GET", "metrics_points?select=id&limit=5000")
    assert (len(silent.json()), silent.status_code) == (1000, 200)
    assert silent.headers["content-range"] == "0-999/*"


@pytest.mark.parametrize("kind", ["exact", "planned", "estimated"])
def test_the_count_is_in_content_range(reader: Client, kind: str) -> None:
    answer = reader.rest(
        "GET", f"{MODELS}&select=id&limit=12&offset=24", headers={"Prefer": f"count={kind}"}
    )
    assert answer.headers["content-range"] == "24-35/36"


def test_a_head_request_counts_without_rows(reader: Client) -> None:
    answer = reader.rest("HEAD", f"{MODELS}&select=id", headers={"Prefer": "count=exact"})
    assert answer.headers["content-range"] == "0-35/36"
    assert answer.content == b""


def test_a_range_header_is_a_window(reader: Client) -> None:
    answer = reader.rest(
        "GET", f"{MODELS}&select=id&order=id", headers={"Range-Unit": "items", "Range": "5-9"}
    )
    assert answer.headers["content-range"] == "5-9/*"
    assert answer.json() == reader.rows(f"{MODELS}&select=id&order=id&offset=5&limit=5")


def test_an_offset_beyond_the_end_cannot_be_satisfied(reader: Client) -> None:
    answer = reader.rest("GET", f"{MODELS}&offset=100", headers={"Prefer": "count=exact"})
    assert (answer.status_code, answer.json()["code"]) == (416, "PGRST103")


def test_a_single_row_comes_as_an_object_and_none_is_an_error(reader: Client) -> None:
    single = {"Accept": "application/vnd.pgrst.object+json"}
    found = reader.rest("GET", f"{MODELS}&select=id&limit=1", headers=single)
    assert set(found.json()) == {"id"}
    missing = reader.rest("GET", f"model_artifacts?id=eq.{uuid.uuid4()}", headers=single)
    assert (missing.status_code, missing.json()["code"]) == (406, "PGRST116")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("nothing", 404, "PGRST205"),
        ("auth_users", 404, "PGRST205"),
        ("datasets?select=nothing", 400, "42703"),
        ("datasets?nothing=eq.1", 400, "42703"),
        ("datasets?order=nothing", 400, "42703"),
        ("datasets?id=eq.not-a-uuid", 400, "22P02"),
        ("datasets?total_tokens=eq.many", 400, "22P02"),
        ("datasets?created_at=gt.yesterday-ish", 400, "22007"),
        ("datasets?name=equals.x", 400, "PGRST100"),
        ("datasets?or=(name.eq.x", 400, "PGRST100"),
        ("datasets?select=id,(", 400, "PGRST100"),
        ("datasets?limit=some", 400, "PGRST100"),
        ("datasets?id=ilike.*a*", 404, "42883"),
        ("datasets?total_tokens=eq.99999999999999999999999", 400, "22003"),
    ],
)
def test_a_wrong_query_gets_postgrests_error(
    reader: Client, path: str, status: int, code: str
) -> None:
    answer = reader.rest("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert set(answer.json()) == {"code", "message", "details", "hint"}


def test_timestamps_have_postgrests_form(reader: Client) -> None:
    moment = reader.rows("model_artifacts?select=created_at&limit=1")[0]["created_at"]
    assert moment[10] == "T"
    assert moment.endswith("+00:00")


def test_numbers_can_come_as_strings(sandbox: Sandbox, user: Client) -> None:
    query = "training_jobs?select=final_cost,total_steps&final_cost=not.is.null&limit=1"
    assert isinstance(user.rows(query)[0]["final_cost"], (int, float))
    sandbox.faults(numerics_as_strings=True)
    row = user.rows(query)[0]
    assert isinstance(row["final_cost"], str)
    assert isinstance(row["total_steps"], int)


def test_nobody_sees_rows_of_another_account(reader: Client, other_reader: Client) -> None:
    for table in ("datasets", "training_jobs", "model_artifacts", "notifications", "cost_records"):
        for client, owner in (
            (reader, reader.sandbox.user_id),
            (other_reader, reader.sandbox.other_user_id),
        ):
            owners = {row["user_id"] for row in client.rows(f"{table}?select=user_id")}
            assert owners == {owner}, table
    jobs = {row["id"] for row in other_reader.rows("training_jobs?select=id")}
    points = {row["job_id"] for row in other_reader.rows("metrics_points?select=job_id")}
    assert points <= jobs


def test_an_embed_does_not_leak_another_accounts_rows(
    sandbox: Sandbox, user: Client, service: Client
) -> None:
    model = user.rows("model_artifacts?select=id&limit=1")[0]["id"]
    foreign = service.rows(f"datasets?select=id&user_id=eq.{sandbox.other_user_id}")[0]["id"]
    service.rest("PATCH", f"model_artifacts?id=eq.{model}", json={"dataset_id": foreign})
    row = user.rows(f"model_artifacts?select=id,dataset:datasets!dataset_id(name)&id=eq.{model}")[0]
    assert row["dataset"] is None


def test_without_a_session_no_row_is_visible(stranger: Client) -> None:
    for table in ("datasets", "training_jobs", "model_artifacts", "metrics_points"):
        assert stranger.rows(table) == []


def test_before_the_migration_three_tables_are_open_to_everybody() -> None:
    with (
        Sandbox.start(models=2, waiting_jobs=0, migrated=False) as sandbox,
        clients(sandbox) as (_, other, *_rest),
    ):
        for table in ("notifications", "cost_records"):
            owners = {row["user_id"] for row in other.rows(f"{table}?select=user_id")}
            assert owners == {sandbox.user_id, sandbox.other_user_id}
        own = ",".join(row["id"] for row in other.rows("training_jobs?select=id"))
        assert other.rows(f"metrics_points?select=job_id&job_id=not.in.({own})")
        assert {row["user_id"] for row in other.rows("model_artifacts")} == {sandbox.other_user_id}
