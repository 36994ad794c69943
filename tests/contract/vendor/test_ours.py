"""lora-tui's own calls, and the vendor's client as its documentation uses it: the same requests.

Both run over our HTTP client, which holds the key or the session; `supabase.Client` knows only the
public key.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from postgrest.exceptions import APIError
from storage3.exceptions import StorageApiError
from supabase import Client, ClientOptions
from supabase_auth.errors import AuthApiError

from lora_tui.account.sessions import Session
from lora_tui.errors import AuthenticationError, ConflictError, NotFoundError, SessionEndedError
from lora_tui.gateway import Gateway
from lora_tui.gateway import auth as ours
from lora_tui.gateway.auth import KeyAuth, SessionAuth
from lora_tui.gateway.http import build_client
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.backends.seed import Seed
from tests.contract.vendor.client import BUCKET, of_alice

SENT = ("method", "path", "query", "apikey", "bearer", "status")


@contextmanager
def vendor_over_ours(sandbox: Sandbox, auth: httpx.Auth) -> Iterator[Client]:
    """The vendor's client with the public key, over our HTTP client."""
    with build_client(sandbox.url, auth=auth) as http:
        options = ClientOptions(auto_refresh_token=False, httpx_client=http)
        yield Client(sandbox.url, sandbox.anon_key, options)


def sent(sandbox: Sandbox, act: Callable[[], Any]) -> tuple[Any, list[dict[str, Any]]]:
    """What a call gives, and the requests that it sent."""
    sandbox.forget_requests()
    result = act()
    return result, [{name: one[name] for name in SENT} for one in sandbox.requests()]


@pytest.fixture
def session(sandbox: Sandbox) -> Session:
    return ours.sign_in(sandbox.url, sandbox.anon_key, sandbox.email, Secret(sandbox.password))


@pytest.fixture
def mine(sandbox: Sandbox, session: Session) -> Iterator[Gateway]:
    auth = SessionAuth(sandbox.url, sandbox.anon_key, session)
    with Gateway.of(sandbox.url, auth) as gateway:
        yield gateway


@pytest.fixture
def theirs(sandbox: Sandbox, session: Session) -> Iterator[Client]:
    auth = SessionAuth(sandbox.url, sandbox.anon_key, session)
    with vendor_over_ours(sandbox, auth) as client:
        yield client


@pytest.fixture
def key_only(sandbox: Sandbox) -> Iterator[Client]:
    with vendor_over_ours(sandbox, KeyAuth(sandbox.anon_key)) as client:
        yield client


@pytest.fixture
def files(sandbox: Sandbox, seed: Seed, folder: str) -> list[str]:
    return [seed.stored(f"{folder}/{name}", name.encode()) for name in ("a b.bin", "epoch=1.json")]


def test_signing_in_renewing_asking_and_ending_are_the_vendors_requests(
    sandbox: Sandbox, key_only: Client
) -> None:
    url, key = sandbox.url, sandbox.anon_key
    who = {"email": sandbox.email, "password": sandbox.password}
    password = Secret(sandbox.password)
    mine, asked = sent(sandbox, lambda: ours.sign_in(url, key, sandbox.email, password))
    theirs, also = sent(sandbox, lambda: key_only.auth.sign_in_with_password(who))
    assert asked == also
    assert (mine.user_id, mine.email) == (theirs.user.id, theirs.user.email)

    mine, asked = sent(sandbox, lambda: ours.refresh(url, key, mine))
    theirs, also = sent(sandbox, lambda: key_only.auth.refresh_session().session)
    # `supabase.Client` sends the old session with it, which says nothing more
    assert asked == [one | {"bearer": None} for one in also]
    assert mine.user_id == theirs.user.id

    found, asked = sent(sandbox, lambda: ours.fetch_user(url, key, mine.access_token))
    user, also = sent(sandbox, lambda: key_only.auth.get_user().user)
    assert asked == also
    assert found == (user.id, user.email)

    _, asked = sent(sandbox, lambda: ours.sign_out(url, key, mine))
    _, also = sent(sandbox, lambda: key_only.auth.sign_out({"scope": "local"}))
    assert asked == also


def test_tables_are_read_and_written_by_the_vendors_requests(
    sandbox: Sandbox, seed: Seed, mine: Gateway, theirs: Client
) -> None:
    alice = of_alice(sandbox)
    model = seed.artifact(alice)
    note = seed.notification(alice)
    page, asked = sent(sandbox, lambda: mine.rest.page("datasets", alice.user_id, after=None))
    query = theirs.table("datasets").select("*").eq("user_id", alice.user_id)
    query = query.order("updated_at").order("id").limit(1000)
    answer, also = sent(sandbox, query.execute)
    assert asked == also
    assert page.rows == answer.data

    row, asked = sent(sandbox, lambda: mine.rest.artifact_by_job(model["job_id"]))
    one = theirs.table("model_artifacts").select("*").eq("job_id", model["job_id"]).limit(1)
    answer, also = sent(sandbox, one.execute)
    assert asked == also
    assert [row] == answer.data

    done, asked = sent(sandbox, lambda: mine.rest.mark_notification_read(note["id"]))
    change = theirs.table("notifications").update({"read": True}).eq("id", note["id"])
    answer, also = sent(sandbox, change.execute)
    assert asked == also
    assert done is bool(answer.data) is True


def test_the_bucket_is_used_by_the_vendors_requests(
    sandbox: Sandbox, mine: Gateway, theirs: Client, files: list[str], folder: str
) -> None:
    bucket = theirs.storage.from_(BUCKET)
    for path in files:
        link, asked = sent(sandbox, lambda path=path: mine.storage.sign(path))
        answer, also = sent(sandbox, lambda path=path: bucket.create_signed_url(path, 3600))
        assert asked == also
        assert link.partition("?")[0] == str(answer["signedURL"]).partition("?")[0]

        info, asked = sent(sandbox, lambda path=path: mine.storage.info(path))
        told, also = sent(sandbox, lambda path=path: bucket.info(path))
        assert asked == also
        assert (info.size, info.etag) == (told["size"], told["etag"])

    links, asked = sent(sandbox, lambda: mine.storage.sign_many(files))
    many, also = sent(sandbox, lambda: bucket.create_signed_urls(files, 3600))
    assert asked == also
    assert list(links) == [one["path"] for one in many]

    listed, asked = sent(sandbox, lambda: list(mine.storage.list(folder)))
    entries, also = sent(sandbox, lambda: bucket.list(folder))
    assert asked == also
    assert [one.path for one in listed] == [f"{folder}/{one['name']}" for one in entries]


def test_files_are_removed_by_the_vendors_request(sandbox: Sandbox, files: list[str]) -> None:
    with (
        Gateway.for_service(sandbox.url, Secret(sandbox.service_key)) as service,
        vendor_over_ours(sandbox, KeyAuth(Secret(sandbox.service_key))) as theirs,
    ):
        removed, asked = sent(sandbox, lambda: service.storage.delete(files[:1]))
        answer, also = sent(sandbox, lambda: theirs.storage.from_(BUCKET).remove(files[1:]))
    assert asked == also
    assert len(removed) == len(answer) == 1


def test_what_the_vendors_client_is_refused_we_are_too_in_our_words(
    sandbox: Sandbox, seed: Seed, mine: Gateway, theirs: Client, key_only: Client, folder: str
) -> None:
    url, key = sandbox.url, sandbox.anon_key
    missing = f"{folder}/missing.bin"
    with pytest.raises(StorageApiError):
        theirs.storage.from_(BUCKET).create_signed_url(missing, 60)
    with pytest.raises(NotFoundError):
        mine.storage.sign(missing)
    wrong = {"email": sandbox.email, "password": "wrong"}
    with pytest.raises(AuthApiError):
        key_only.auth.sign_in_with_password(wrong)
    with pytest.raises(AuthenticationError):
        ours.sign_in(url, key, wrong["email"], Secret("wrong"))
    with Gateway.for_service(url, Secret(sandbox.service_key)) as service:
        note = seed.notification(of_alice(sandbox))
        with (
            vendor_over_ours(sandbox, KeyAuth(Secret(sandbox.service_key))) as client,
            pytest.raises(APIError) as refused,
        ):
            client.table("notifications").insert(note).execute()
        assert refused.value.code == "23505"
        model = seed.artifact(of_alice(sandbox))
        with pytest.raises(ConflictError):
            service.rest.insert_artifact(model)
    session = ours.sign_in(url, key, sandbox.email, Secret(sandbox.password))
    ours.sign_out(url, key, session)
    with pytest.raises(SessionEndedError):
        ours.refresh(url, key, session)
    with pytest.raises(AuthApiError):
        key_only.auth.refresh_session(session.refresh_token.reveal())


@pytest.mark.parametrize("service", ["tables", "bucket"])
def test_the_vendors_client_renews_our_session_over_our_connections(
    sandbox: Sandbox, session: Session, files: list[str], service: str
) -> None:
    """It sets `Authorization` itself, and then leaves out what an HTTP client has as `auth`."""
    sandbox.faults(clock_offset=7200)
    sandbox.forget_requests()
    renewed: list[Session] = []
    auth = SessionAuth(sandbox.url, sandbox.anon_key, session, on_refresh=renewed.append)
    with vendor_over_ours(sandbox, auth) as client:
        if service == "tables":
            answer = client.table("datasets").select("id").limit(1).execute()
            assert isinstance(answer.data, list)
        else:
            assert client.storage.from_(BUCKET).create_signed_url(files[0], 60)["signedURL"]
    assert len(renewed) == 1
    assert {one["bearer"] for one in sandbox.requests() if "/auth/" not in one["path"]} == {"user"}


def test_a_project_key_that_is_no_jwt_is_not_sent_as_a_bearer(sandbox: Sandbox) -> None:
    sandbox.forget_requests()
    with vendor_over_ours(sandbox, KeyAuth(sandbox.anon_key)) as client:
        assert sandbox.anon_key.startswith("sb_publishable_")
        client.table("datasets").select("id").limit(1).execute()
        with pytest.raises(StorageApiError):
            client.storage.from_(BUCKET).info(f"{uuid.uuid4()}/a.bin")
    assert {one["bearer"] for one in sandbox.requests()} == {None}
