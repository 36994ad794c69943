"""The vendor's own client, supabase-py, works on the sandbox as it works on the hosted service."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from postgrest import CountMethod
from postgrest.exceptions import APIError
from postgrest.types import ReturnMethod
from storage3.exceptions import StorageApiError
from supabase import Client, ClientOptions, create_client
from supabase_auth.errors import AuthApiError

from lora_tui.sandbox import Sandbox
from tests.backends.backend import backend_of
from tests.backends.seed import Row, Seed

BUCKET = "lora-models"
WEIGHTS = bytes(range(256)) * 40
BINARY: Any = {"content-type": "application/octet-stream"}

Rows = list[dict[str, Any]]
Connect = Callable[[str], Client]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(models=0, waiting_jobs=0) as running:
        yield running


@pytest.fixture(autouse=True)
def without_faults(sandbox: Sandbox) -> Iterator[None]:
    yield
    sandbox.clear_faults()


@pytest.fixture
def connect(sandbox: Sandbox) -> Iterator[Connect]:
    """Makes a client with one of the project's keys, as its documentation does."""
    with httpx.Client(trust_env=False, timeout=30, verify=False) as http:

        def connected(key: str) -> Client:
            options = ClientOptions(auto_refresh_token=False, httpx_client=http)
            return create_client(sandbox.url, key, options)

        yield connected


@pytest.fixture
def anonymous(sandbox: Sandbox, connect: Connect) -> Client:
    return connect(sandbox.anon_key)


@pytest.fixture
def service(sandbox: Sandbox, connect: Connect) -> Client:
    return connect(sandbox.service_key)


@pytest.fixture
def user(sandbox: Sandbox, anonymous: Client) -> Client:
    """Signed in to the demo account."""
    sign_in(anonymous, sandbox)
    return anonymous


@pytest.fixture
def seed(sandbox: Sandbox) -> Iterator[Seed]:
    with Seed.of(backend_of(sandbox)) as rows:
        yield rows


@pytest.fixture
def folder(sandbox: Sandbox) -> str:
    """A new folder of the demo account."""
    return f"{sandbox.user_id}/{uuid.uuid4()}"


def sign_in(client: Client, sandbox: Sandbox, password: str | None = None) -> Any:
    return client.auth.sign_in_with_password(
        {"email": sandbox.email, "password": password or sandbox.password}
    )


def rows(answer: Any) -> Rows:
    return cast(Rows, answer.data)


def notification(sandbox: Sandbox, **columns: Any) -> dict[str, Any]:
    return {"user_id": sandbox.user_id, "type": "note", "title": "t", "message": "m", **columns}


def of_alice(sandbox: Sandbox) -> Any:
    return backend_of(sandbox).alice


# Sessions


def test_signing_in_gives_a_session_and_its_user(sandbox: Sandbox, anonymous: Client) -> None:
    answer = sign_in(anonymous, sandbox)
    assert answer.user.id == sandbox.user_id
    assert answer.user.email == sandbox.email
    assert [identity.provider for identity in answer.user.identities] == ["email"]
    assert answer.session.token_type == "bearer"
    found = anonymous.auth.get_user()
    assert found is not None
    assert found.user.id == sandbox.user_id


def test_a_wrong_password_is_an_error_with_its_code(sandbox: Sandbox, anonymous: Client) -> None:
    with pytest.raises(AuthApiError, match="Invalid login credentials") as refused:
        sign_in(anonymous, sandbox, "not the password")
    assert (refused.value.status, refused.value.code) == (400, "invalid_credentials")
    with pytest.raises(AuthApiError) as refused:
        anonymous.auth.refresh_session("no refresh token")
    assert (refused.value.status, refused.value.code) == (400, "validation_failed")


def test_a_refresh_gives_another_session_of_the_same_user(sandbox: Sandbox, user: Client) -> None:
    first = user.auth.get_session()
    second = user.auth.refresh_session().session
    assert first is not None
    assert second is not None
    assert second.user.id == sandbox.user_id
    assert second.access_token != first.access_token
    assert second.refresh_token != first.refresh_token
    assert rows(user.table("datasets").select("id").limit(1).execute()) == []


def test_tokens_from_elsewhere_become_a_session(
    sandbox: Sandbox, user: Client, connect: Connect
) -> None:
    session = user.auth.get_session()
    assert session is not None
    other = connect(sandbox.anon_key)
    taken = other.auth.set_session(session.access_token, session.refresh_token)
    assert taken.user is not None
    assert taken.user.id == sandbox.user_id


def test_the_claims_of_a_session_can_be_read(sandbox: Sandbox, user: Client) -> None:
    claims = user.auth.get_claims()
    assert claims is not None
    assert claims["claims"]["sub"] == sandbox.user_id
    assert claims["claims"]["role"] == "authenticated"


@pytest.mark.parametrize("scope", ["global", "local", "others"])
def test_signing_out_ends_the_sessions_that_it_names(
    sandbox: Sandbox, connect: Connect, scope: Any
) -> None:
    mine, other = connect(sandbox.anon_key), connect(sandbox.anon_key)
    tokens = [sign_in(client, sandbox).session.refresh_token for client in (mine, other)]
    mine.auth.sign_out({"scope": scope})
    ends = {"global": (True, True), "local": (True, False), "others": (False, True)}[scope]
    for token, ended in zip(tokens, ends, strict=True):
        bare = connect(sandbox.anon_key)
        if ended:
            with pytest.raises(AuthApiError) as refused:
                bare.auth.refresh_session(token)
            assert refused.value.code == "refresh_token_not_found"
        else:
            assert bare.auth.refresh_session(token).session is not None


def test_an_expired_session_is_refused_by_each_service_in_its_own_words(
    sandbox: Sandbox, user: Client, folder: str
) -> None:
    session = user.auth.get_session()
    assert session is not None
    sandbox.faults(clock_offset=3601)
    with pytest.raises(AuthApiError) as refused:
        user.auth.get_user(session.access_token)
    assert (refused.value.status, refused.value.code) == (403, "bad_jwt")
    with pytest.raises(APIError) as denied:
        user.table("datasets").select("id").execute()
    assert denied.value.code == "PGRST303"
    with pytest.raises(StorageApiError) as unsigned:
        user.storage.from_(BUCKET).create_signed_url(f"{folder}/a.bin", 60)
    assert str(unsigned.value.status) in {"400", "403"}
    assert user.auth.refresh_session().session is not None


def test_somebody_without_a_session_has_no_user(sandbox: Sandbox, anonymous: Client) -> None:
    assert anonymous.auth.get_user() is None
    with pytest.raises(AuthApiError) as refused:
        anonymous.auth.get_user(sandbox.anon_key)
    assert (refused.value.status, refused.value.code) == (403, "bad_jwt")


# Keys


def test_a_key_is_accepted_as_bearer_only_with_the_same_apikey(sandbox: Sandbox) -> None:
    keys = {"anon": sandbox.anon_key, "service": sandbox.service_key}
    paths = {
        "/rest/v1/datasets?select=id": 401,
        f"/storage/v1/object/info/{BUCKET}/{sandbox.user_id}/none.bin": 400,
    }
    with httpx.Client(base_url=sandbox.url, trust_env=False, verify=False) as http:
        for path, refusal in paths.items():
            for bearer in keys.values():
                for key in keys.values():
                    headers = {"apikey": key, "Authorization": f"Bearer {bearer}"}
                    answer = http.get(path, headers=headers)
                    plain = http.get(path, headers={"apikey": key})
                    if key == bearer:
                        assert (answer.status_code, answer.text) == (plain.status_code, plain.text)
                    else:
                        assert answer.status_code == refusal
                        assert answer.text != plain.text


def test_the_schema_is_described_to_the_secret_key_alone(sandbox: Sandbox) -> None:
    for key, status in ((sandbox.service_key, 200), (sandbox.anon_key, 403)):
        address = f"{sandbox.url}/rest/v1/"
        answer = httpx.get(address, headers={"apikey": key}, trust_env=False, verify=False)
        assert (answer.status_code, "datasets" in answer.text) == (status, status == 200)


def test_an_invalid_key_is_refused_as_apikey_and_as_bearer(
    sandbox: Sandbox, connect: Connect
) -> None:
    with pytest.raises(APIError, match="Invalid API key"):
        connect("sb_secret_of_another_project").table("datasets").select("id").execute()


def test_without_a_session_the_key_alone_sees_no_rows_and_the_secret_key_all(
    sandbox: Sandbox, anonymous: Client, service: Client, seed: Seed
) -> None:
    row = seed.dataset(of_alice(sandbox))
    for client, count in ((anonymous, 0), (service, 1)):
        found = client.table("datasets").select("id").eq("id", row["id"]).execute()
        assert len(rows(found)) == count


# Tables


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


# Files


def test_a_file_is_uploaded_described_listed_downloaded_and_removed(
    service: Client, folder: str
) -> None:
    bucket = service.storage.from_(BUCKET)
    path = f"{folder}/adapter model.bin"
    stored = bucket.upload(
        path, WEIGHTS, BINARY | {"metadata": {"epoch": 3}, "cache-control": "60"}
    )
    assert (stored.path, stored.full_path) == (path, f"{BUCKET}/{path}")
    assert bucket.download(path) == WEIGHTS
    info = bucket.info(path)
    assert (info["size"], info["metadata"]) == (len(WEIGHTS), {"epoch": 3})
    assert info["cache_control"] == "max-age=60"
    assert [entry["name"] for entry in bucket.list(folder)] == ["adapter model.bin"]
    assert bucket.list(folder)[0]["metadata"]["size"] == len(WEIGHTS)
    assert bucket.exists(path) is True

    bucket.update(path, b"second", BINARY)
    assert bucket.download(path) == b"second"
    assert [removed["name"] for removed in bucket.remove([path])]
    assert bucket.exists(path) is False
    with pytest.raises(StorageApiError) as missing:
        bucket.download(path)
    assert str(missing.value.status) == "404"


def test_a_file_of_the_disk_is_uploaded_and_no_other_is_overwritten_unasked(
    service: Client, folder: str, tmp_path: Path
) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(WEIGHTS)
    bucket, path = service.storage.from_(BUCKET), f"{folder}/weights.bin"
    bucket.upload(path, file, BINARY)
    with pytest.raises(StorageApiError) as exists:
        bucket.upload(path, b"other", BINARY)
    assert (str(exists.value.status), exists.value.code) == ("409", "Duplicate")
    assert bucket.download(path) == WEIGHTS
    bucket.upload(path, b"other", BINARY | {"upsert": "true"})
    assert bucket.download(path) == b"other"
    with file.open("rb") as opened:
        bucket.update(path, opened, BINARY)
    assert bucket.download(path) == WEIGHTS


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"<p>", "text/html", "415"),
        (b"{}", "application/json; charset=utf-8", "415"),
        (b"x" * 2001, "application/octet-stream", "413"),
        (b"x" * 2**21, "application/octet-stream", "413"),
    ],
    ids=["page", "charset", "too large", "far too large"],
)
def test_an_upload_of_a_wrong_kind_or_size_is_refused_and_leaves_nothing(
    sandbox: Sandbox, service: Client, folder: str, content: bytes, kind: str, status: str
) -> None:
    sandbox.faults(standard_upload_limit=2000)
    bucket, path = service.storage.from_(BUCKET), f"{folder}/x.bin"
    with pytest.raises(StorageApiError) as refused:
        bucket.upload(path, content, {"content-type": kind})
    assert str(refused.value.status) == status
    assert bucket.exists(path) is False


def test_a_form_at_the_limit_and_an_empty_file_are_stored(
    sandbox: Sandbox, service: Client, folder: str
) -> None:
    sandbox.faults(standard_upload_limit=2000)
    bucket = service.storage.from_(BUCKET)
    for name, content in (("limit.bin", b"x" * 2000), ("empty.bin", b"")):
        bucket.upload(f"{folder}/{name}", content, BINARY)
        assert bucket.info(f"{folder}/{name}")["size"] == len(content)


def test_a_form_without_a_file_is_refused(sandbox: Sandbox, folder: str) -> None:
    answer = httpx.post(
        f"{sandbox.url}/storage/v1/object/{BUCKET}/{folder}/a.bin",
        content=b"--b\r\nnot a form",
        headers={
            "apikey": sandbox.service_key,
            "Content-Type": "multipart/form-data; boundary=b",
        },
        trust_env=False,
        verify=False,
    )
    assert (answer.status_code, answer.json()["statusCode"]) == (400, "400")


def test_links_are_signed_one_by_one_and_many_at_once(
    service: Client, user: Client, folder: str
) -> None:
    there = [f"{folder}/{name}" for name in ("one.bin", "epoch=3,step=100.json")]
    for path in there:
        service.storage.from_(BUCKET).upload(path, path.encode(), BINARY)
    bucket = user.storage.from_(BUCKET)
    links = [bucket.create_signed_url(path, 60)["signedURL"] for path in there]
    missing = f"{folder}/missing.bin"
    many = bucket.create_signed_urls([*there, missing], 60)
    assert [row["path"] for row in many] == [*there, missing]
    assert many[2]["error"]
    links += [row["signedURL"] for row in many[:2]]
    for link, path in zip(links, [*there, *there], strict=True):
        answer = httpx.get(str(link), trust_env=False, verify=False)
        assert (answer.status_code, answer.text) == (200, path)
    named = bucket.create_signed_url(there[0], 60, {"download": "my file.bin"})["signedURL"]
    answer = httpx.get(str(named), trust_env=False, verify=False)
    assert answer.headers["content-disposition"].startswith("attachment; filename=my%20file.bin;")
    with pytest.raises(StorageApiError) as refused:
        bucket.create_signed_url(missing, 60)
    assert str(refused.value.status) == "404"


def test_a_link_with_a_lifetime_of_zero_is_refused(service: Client, folder: str) -> None:
    bucket, path = service.storage.from_(BUCKET), f"{folder}/a.bin"
    bucket.upload(path, b"weights", BINARY)
    for seconds in (0, -5, cast(int, "soon")):
        with pytest.raises(StorageApiError):
            bucket.create_signed_url(path, seconds)


def test_a_user_reads_only_the_own_folder_and_writes_nowhere(
    sandbox: Sandbox, service: Client, user: Client, folder: str
) -> None:
    other = f"{sandbox.other_user_id}/{uuid.uuid4()}/a.bin"
    for path in (f"{folder}/a.bin", other):
        service.storage.from_(BUCKET).upload(path, b"weights", BINARY)
    bucket = user.storage.from_(BUCKET)
    assert bucket.download(f"{folder}/a.bin") == b"weights"
    with pytest.raises(StorageApiError):
        bucket.download(other)
    assert bucket.exists(other) is False
    with pytest.raises(StorageApiError) as refused:
        bucket.upload(f"{folder}/b.bin", b"x", BINARY)
    assert str(refused.value.status) == "403"
    assert bucket.remove([f"{folder}/a.bin"]) == []
    assert service.storage.from_(BUCKET).exists(f"{folder}/a.bin") is True


def test_the_bucket_is_described_to_the_secret_key(service: Client) -> None:
    assert [bucket.id for bucket in service.storage.list_buckets()] == [BUCKET]
    bucket = service.storage.get_bucket(BUCKET)
    assert bucket.public is False
    assert bucket.file_size_limit == 5 * 1024**3
