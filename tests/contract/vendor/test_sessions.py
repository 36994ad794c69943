"""Sessions and keys: signing in, refreshing, signing out, and which keys are accepted."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from postgrest.exceptions import APIError
from storage3.exceptions import StorageApiError
from supabase import Client
from supabase_auth.errors import AuthApiError

from lora_tui.sandbox import Sandbox
from tests.backends.seed import Seed
from tests.contract.vendor.client import (
    BUCKET,
    Connect,
    of_alice,
    rows,
    sign_in,
)


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
