"""Tables by supabase-py: queries, writes, errors and functions."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from postgrest import CountMethod
from postgrest.exceptions import APIError
from postgrest.types import ReturnMethod
from supabase import Client

from lora_tui.sandbox import Sandbox
from tests.backends.seed import Row, Seed
from tests.contract.vendor.client import (
    notification,
    of_alice,
    rows,
)


@pytest.fixture
def models(sandbox: Sandbox, seed: Seed) -> list[Row]:
    """Three models of the demo account."""
    dataset = seed.dataset(of_alice(sandbox), name="Answers")
    return [
        seed.artifact(
            of_alice(sandbox),
            seed.job(of_alice(sandbox), dataset),
            name=f"Model {score}",
            quality_metrics={"overall_score": score, "tags": ["a", "b"]},
        )
        for score in (1, 3, 5)
    ]


def test_rows_are_selected_with_filters_order_embeds_and_a_count(
    user: Client, models: list[Row]
) -> None:
    ids = [row["id"] for row in models]
    answer = (
        user.table("model_artifacts")
        .select(
            "id, name, dataset:datasets!dataset_id(name), job:training_jobs!job_id(status)",
            count=CountMethod.exact,
        )
        .in_("id", ids)
        .is_("deleted_at", "null")
        .gte("quality_metrics->overall_score", 3)
        .order("quality_metrics->overall_score", desc=True)
        .range(0, 0)
        .execute()
    )
    assert answer.count == 2
    assert rows(answer) == [
        {
            "id": ids[2],
            "name": "Model 5",
            "dataset": {"name": "Answers"},
            "job": {"status": "completed"},
        }
    ]


def test_rows_are_filtered_by_the_presence_of_an_embed(
    sandbox: Sandbox, user: Client, models: list[Row], seed: Seed
) -> None:
    waiting, done = seed.job(of_alice(sandbox))["id"], models[0]["job_id"]
    query = user.table("training_jobs").select("id, model:model_artifacts!job_id(name)")
    without = query.in_("id", [waiting, done]).is_("model", "null").execute()
    assert rows(without) == [{"id": waiting, "model": None}]
    query = user.table("training_jobs").select("id, model:model_artifacts!job_id(name)")
    others = query.in_("id", [waiting, done]).not_.is_("model", "null").execute()
    assert rows(others) == [{"id": done, "model": {"name": "Model 1"}}]


def test_an_embed_is_spread_over_its_row(user: Client, models: list[Row]) -> None:
    one, dataset = models[0]["id"], models[0]["dataset_id"]
    table = user.table("model_artifacts")
    up = table.select("id, ...datasets!dataset_id(dataset:name)").eq("id", one).execute()
    assert rows(up) == [{"id": one, "dataset": "Answers"}]
    down = user.table("datasets").select("...training_jobs!dataset_id(status)").eq("id", dataset)
    assert rows(down.execute()) == [{"status": ["completed"] * 3}]


@pytest.mark.parametrize(
    ("narrow", "found"),
    [
        (lambda query: query.eq("name", "Model 3"), "3"),
        (lambda query: query.neq("name", "Model 3"), "15"),
        (lambda query: query.like("name", "Model%").gt("name", "Model 1"), "35"),
        (lambda query: query.ilike("name", "MODEL 1"), "1"),
        (lambda query: query.not_.in_("name", ["Model 1", "Model 5"]), "3"),
        (lambda query: query.or_("name.eq.Model 1,and(name.gt.Model 3,status.eq.stored)"), "15"),
        (lambda query: query.eq("datasets.name", "Answers"), "135"),
        (lambda query: query.match({"name": "Model 5", "status": "stored"}), "5"),
        (lambda query: query.like_any_of("name", "%1,%5"), "15"),
        (lambda query: query.ilike_all_of("name", "model%,%3"), "3"),
        (lambda query: query.contains("quality_metrics", {"overall_score": 5}), "5"),
        (lambda query: query.contains("quality_metrics", {"tags": ["b"]}), "135"),
        (lambda query: query.contains("quality_metrics", {"tags": ["c"]}), ""),
        (
            lambda query: query.contained_by(
                "quality_metrics", {"overall_score": 3, "tags": ["b", "a", "c"], "more": 1}
            ),
            "3",
        ),
        (lambda query: query.filter("name", "match", "^Model [13]$"), "13"),
        (lambda query: query.filter("name", "imatch", "^model 5$"), "5"),
        (lambda query: query.filter("name", "eq(any)", "{Model 1,Model 3}"), "13"),
    ],
)
def test_every_filter_of_the_client_is_understood(
    user: Client, models: list[Row], narrow: Callable[[Any], Any], found: str
) -> None:
    query = user.table("model_artifacts").select("name, datasets!dataset_id!inner(name)")
    query = narrow(query.in_("id", [row["id"] for row in models]))
    names = [row["name"] for row in rows(query.order("name").execute())]
    assert names == [f"Model {score}" for score in found]


def test_a_count_alone_brings_no_rows(user: Client, models: list[Row]) -> None:
    ids = [row["id"] for row in models]
    query = user.table("model_artifacts").select("*", count=CountMethod.exact, head=True)
    answer = query.in_("id", ids).execute()
    assert (answer.count, answer.data) == (3, [])


def test_one_row_and_perhaps_one_row(user: Client, models: list[Row]) -> None:
    table = user.table("model_artifacts")
    one = table.select("name").eq("id", models[0]["id"]).single().execute()
    assert one.data == {"name": "Model 1"}
    with pytest.raises(APIError) as refused:
        table.select("name").eq("id", str(uuid.uuid4())).single().execute()
    assert refused.value.code == "PGRST116"
    assert table.select("name").eq("id", str(uuid.uuid4())).maybe_single().execute() is None


def test_rows_come_as_csv_and_without_nulls_where_that_is_asked_for(
    user: Client, models: list[Row]
) -> None:
    table, one = user.table("model_artifacts"), models[0]["id"]
    text = table.select("name,deployed_at,quality_metrics->overall_score").eq("id", one)
    csv = text.csv().execute().data
    assert csv == 'name,deployed_at,overall_score\n"Model 1",,1'
    short = table.select("name,deployed_at").eq("id", one)
    assert short.strip_nulls().execute().data == [{"name": "Model 1"}]


def test_an_error_in_a_query_is_named(user: Client) -> None:
    for query, code in (
        (user.table("no_such_table").select("*"), "PGRST205"),
        (user.table("datasets").select("no_such_column"), "42703"),
        (user.table("datasets").select("*, notifications(*)"), "PGRST200"),
        (user.table("datasets").select("*").eq("id", "no uuid"), "22P02"),
        (user.schema("secret").table("datasets").select("*"), "PGRST106"),
        (user.table("datasets").select("count()"), "PGRST123"),
        (user.table("cost_records").select("job_id, amount.sum()"), "PGRST123"),
    ):
        with pytest.raises(APIError) as refused:
            query.execute()
        assert refused.value.code == code


def test_rows_are_inserted_updated_upserted_and_deleted(sandbox: Sandbox, service: Client) -> None:
    table = service.table("notifications")
    written = rows(table.insert(notification(sandbox)).execute())
    assert written[0]["priority"] == "medium"
    key = written[0]["id"]

    changed = table.update({"read": True}, count=CountMethod.exact).eq("id", key).execute()
    assert (changed.count, rows(changed)[0]["read"]) == (1, True)

    same = notification(sandbox, id=key, title="changed")
    assert rows(table.upsert(same).execute())[0]["title"] == "changed"
    kept = table.upsert({**same, "title": "not this"}, ignore_duplicates=True).execute()
    assert rows(kept) == []
    assert rows(table.select("title").eq("id", key).execute()) == [{"title": "changed"}]

    gone = table.delete(count=CountMethod.exact).eq("id", key).execute()
    assert (gone.count, rows(gone)[0]["id"]) == (1, key)
    assert rows(table.select("id").eq("id", key).execute()) == []


def test_many_rows_are_inserted_at_once_with_nulls_or_with_defaults(
    sandbox: Sandbox, service: Client
) -> None:
    table = service.table("notifications")
    some = [notification(sandbox), notification(sandbox, priority="high")]
    nulls = rows(table.insert(some).execute())
    assert [row["priority"] for row in nulls] == [None, "high"]
    defaults = rows(table.insert(some, default_to_null=False).execute())
    assert [row["priority"] for row in defaults] == ["medium", "high"]
    quiet = table.insert(some, returning=ReturnMethod.minimal, count=CountMethod.exact).execute()
    assert (quiet.data, quiet.count) == ([], 2)


def test_an_update_of_more_rows_than_allowed_changes_none(
    sandbox: Sandbox, service: Client
) -> None:
    table = service.table("notifications")
    made = rows(table.insert([notification(sandbox), notification(sandbox)]).execute())
    ids = [row["id"] for row in made]
    with pytest.raises(APIError) as refused:
        table.update({"title": "new"}).in_("id", ids).max_affected(1).execute()
    assert refused.value.code == "PGRST124"
    found = rows(table.select("title").in_("id", ids).execute())
    assert [row["title"] for row in found] == ["t", "t"]


def test_refused_writes_name_the_reason(
    sandbox: Sandbox, user: Client, service: Client, models: list[Row]
) -> None:
    model = models[0]
    copy = {name: model[name] for name in model if name not in ("id", "created_at", "updated_at")}
    for query, code in (
        (user.table("notifications").insert(notification(sandbox)), "42501"),
        (service.table("model_artifacts").insert(copy), "23505"),
        (service.table("notifications").insert({"type": "note"}), "23502"),
        (service.table("notifications").insert(notification(sandbox, priority="x")), "23514"),
        (service.table("notifications").insert(notification(sandbox, odd=1)), "PGRST204"),
        (service.table("datasets").delete().eq("id", model["dataset_id"]), "23503"),
    ):
        with pytest.raises(APIError) as refused:
            query.execute()
        assert refused.value.code == code


def test_functions_are_called(sandbox: Sandbox, service: Client, user: Client, seed: Seed) -> None:
    job = seed.job(of_alice(sandbox))
    lease = {"p_job_id": job["id"], "p_holder": "one", "p_seconds": 60}
    assert service.rpc("claim_harvest_lease", lease).execute().data is True
    assert service.rpc("claim_harvest_lease", lease | {"p_holder": "two"}).execute().data is False
    with pytest.raises(APIError) as denied:
        user.rpc("claim_harvest_lease", lease).execute()
    assert denied.value.code == "42501"
    with pytest.raises(APIError) as reading:
        service.rpc("claim_harvest_lease", lease, get=True).execute()
    assert reading.value.code == "25006"
    with pytest.raises(APIError) as missing:
        service.rpc("no_such_function", {}).execute()
    assert missing.value.code == "PGRST202"
