"""A refusal that passes is not noticed; what is not the service's word ends no session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lora_tui.account.sessions import load_session
from lora_tui.config.load import load_profile
from lora_tui.sandbox import Sandbox
from tests.conftest import Ran, Run, set_environment
from tests.front import HTML, Front
from tests.seeded import short_curves

FUTURE = {"code": "PGRST303", "message": "JWT issued at future", "details": None, "hint": None}
SIGNATURE = {"code": "PGRST301", "message": "JWSError JWSInvalidSignature"}
STORAGE_SIGNATURE = {
    "statusCode": "403",
    "error": "Unauthorized",
    "message": "signature verification failed",
    "code": "AccessDenied",
}
STORAGE_FUTURE = STORAGE_SIGNATURE | {"message": '"nbf" claim timestamp check failed'}
STORAGE_EXPIRED = STORAGE_SIGNATURE | {"message": '"exp" claim timestamp check failed'}
GONE = {
    "code": 400,
    "error_code": "refresh_token_not_found",
    "msg": "Invalid Refresh Token: Refresh Token Not Found",
}
TIMEOUT = {"code": "57014", "message": "canceling statement due to statement timeout"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with short_curves(), Sandbox.start(models=3, waiting_jobs=1) as sandbox:
        yield sandbox


@pytest.fixture
def front(shared: Sandbox, monkeypatch: pytest.MonkeyPatch, run: Run) -> Iterator[Front]:
    """Signed in, by way of something that may answer in the project's place."""
    set_environment(shared, monkeypatch)
    monkeypatch.setattr("httpx_retries.retry.time.sleep", lambda _seconds: None)
    with Front(shared.url) as front:
        monkeypatch.setenv("SUPABASE_URL", front.url)
        assert run("login").code == 0
        yield front


def stored_token() -> str:
    session = load_session(load_profile())
    assert session is not None
    return session.access_token.reveal()


def said(ran: Ran) -> str:
    return (ran.out + ran.err).lower()


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/rest/v1/", 401, FUTURE),
        ("/rest/v1/", 401, SIGNATURE),
        ("/rest/v1/", 401, {"message": "Unauthorized"}),
        ("/rest/v1/", 401, b""),
        ("/rest/v1/model_artifacts", 401, HTML),
        ("/rest/v1/", 500, {"code": "PGRST000", "message": "no"}),
    ],
)
def test_one_refusal_among_many_answers_is_not_noticed(
    front: Front, run: Run, path: str, status: int, body: Any
) -> None:
    front.say(path, status, body, times=1)
    ran = run("sync")
    assert (ran.code, len(front.asked)) == (0, 1), ran


@pytest.mark.parametrize("body", [FUTURE, {"message": "Unauthorized"}])
def test_a_secret_key_bears_a_passing_refusal_too(
    front: Front, run: Run, body: dict[str, Any]
) -> None:
    front.say("/rest/v1/training_jobs", 401, body, times=1)
    ran = run("--harvest", "--once", "--dry-run", "--json")
    assert (ran.code, len(front.asked)) == (0, 1), ran


def test_an_access_token_alone_bears_a_passing_refusal(
    front: Front, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ACCESS_TOKEN", stored_token())
    front.say("/rest/v1/", 401, {"message": "Unauthorized"}, times=1)
    assert run("sync").code == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"message": "Unauthorized"}),
        (400, STORAGE_FUTURE),
        (400, STORAGE_SIGNATURE),
        (400, STORAGE_EXPIRED),
        (401, FUTURE),
    ],
)
def test_a_download_bears_a_passing_refusal(
    front: Front, run: Run, status: int, body: dict[str, Any], tmp_path: Any
) -> None:
    assert run("sync").code == 0
    model = run("list", "--json").data["models"][0]["id"]
    front.say("/storage/v1/object/sign/", status, body, times=1, method="POST")
    ran = run("download", model, "adapter_config.json", "--to", str(tmp_path / "a"))
    assert (ran.code, len(front.asked)) == (0, 1), ran


@pytest.mark.parametrize("command", ["login", "sync", "urls"])
def test_a_page_before_the_service_is_told_as_that_and_ends_no_session(
    front: Front, run: Run, command: str
) -> None:
    arguments = [command]
    if command == "urls":
        run("sync")
        arguments.append(run("list", "--json").data["models"][0]["id"])
    before = stored_token()
    for status in (302, 400, 401, 403, 404, 407, 502):
        front.rules.clear()
        front.say("/", status, HTML)
        ran = run(*arguments)
        assert ran.code == 5, (status, ran)
        assert "instead of the service" in said(ran) or "another address" in said(ran)
        for word in ("wrong", "not found", "does not exist", "not allowed", "denied"):
            assert word not in said(ran)
        assert stored_token() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Forbidden",
        b"[]",
        b'{"error": "blocked by policy"}',
        {"type": "https://cdn.example/errors", "title": "Denied", "status": 403},
        b'{"statusCode"',
    ],
)
def test_only_json_of_the_service_itself_counts_as_its_answer(
    front: Front, run: Run, body: Any
) -> None:
    before = stored_token()
    for status, command in ((400, "login"), (403, "login"), (404, "login"), (403, "sync")):
        front.rules.clear()
        front.say("/", status, body)
        ran = run(command)
        assert ran.code == 5, ran
        assert "instead of the service" in said(ran)
    assert stored_token() == before


def test_a_page_with_200_is_told_as_a_page(front: Front, run: Run) -> None:
    front.say("/", 200, HTML)
    assert (run("sync").code, run("login").code) == (5, 5)


def test_a_page_in_place_of_the_renewal_ends_no_session(
    front: Front, run: Run, shared: Sandbox
) -> None:
    shared.faults(clock_offset=7200)
    try:
        before = stored_token()
        for status in (400, 403, 404, 200):
            front.rules.clear()
            front.say("/auth/v1/token", status, HTML)
            assert run("sync").code == 5
        assert stored_token() == before
        front.rules.clear()
        assert run("sync").code == 0
    finally:
        shared.clear_faults()


def test_a_refresh_token_that_is_refused_once_ends_no_session(
    front: Front, run: Run, shared: Sandbox
) -> None:
    shared.faults(clock_offset=7200)
    try:
        front.say("/auth/v1/token", 400, GONE, times=1)
        assert run("sync").code == 0
    finally:
        shared.clear_faults()


def test_a_refresh_token_that_is_refused_again_and_again_asks_for_a_login(
    front: Front, run: Run, shared: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORA_TUI_PASSWORD", raising=False)  # it would sign in again
    shared.faults(clock_offset=7200)
    try:
        front.say("/auth/v1/token", 400, GONE)
        ran = run("sync")
        assert ran.code == 4
        assert "The session has ended" in ran.err
        assert "lora-tui login" in ran.err
        assert len(front.asked) <= 5
    finally:
        shared.clear_faults()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (STORAGE_SIGNATURE, "jwt secret has changed"),
        (STORAGE_FUTURE, "not valid yet"),
        (STORAGE_EXPIRED, "does not accept the login"),
    ],
)
def test_a_session_that_the_storage_refuses_for_good_is_named(
    front: Front, run: Run, body: dict[str, Any], words: str, tmp_path: Any
) -> None:
    run("sync")
    model = run("list", "--json").data["models"][0]["id"]
    front.say("/storage/v1/object/sign/", 400, body, method="POST")
    for arguments in (
        ("urls", model),
        ("download", model, "adapter_config.json", "--to", str(tmp_path)),
    ):
        ran = run(*arguments)
        assert ran.code == 4, ran
        assert words in said(ran)
        assert "lora-tui login" in said(ran)


def test_a_session_that_the_tables_refuse_for_good_is_named(front: Front, run: Run) -> None:
    front.say("/rest/v1/", 401, SIGNATURE)
    ran = run("sync")
    assert ran.code == 4
    assert "JWT secret has changed" in ran.err
    assert "lora-tui login" in ran.err


def test_a_query_that_takes_too_long_is_not_the_networks_fault(front: Front, run: Run) -> None:
    front.say("/rest/v1/datasets", 500, TIMEOUT)
    ran = run("sync")
    assert "took too long at the database" in ran.err
    assert "network" not in ran.err
    assert ran.code == 5
    # without the count, then for fewer and fewer rows, but never the same again
    paths = [path for _, path in front.asked]
    assert paths[0] == paths[1]
    assert len(paths[1:]) == len(set(paths)) == 3


def test_a_page_before_the_gpu_worker_loses_no_result(
    front: Front, run: Run, shared: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Front(shared.url) as worker:
        monkeypatch.setenv(
            "GPU_CLUSTER_API_URL", worker.url + shared.gpu_url.removeprefix(shared.url)
        )
        worker.say("/v2/", 404, HTML)
        ran = run("--harvest", "--once", "--json")
        assert '"job_failed"' in ran.out
        assert "instead of the service" in ran.out
        assert "lost" not in ran.out
        assert "no longer has" not in ran.out
