"""Checks of the project and the GPU worker, over the network; nothing there is changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from lora_tui import clock
from lora_tui.account import sessions
from lora_tui.account.sessions import Session
from lora_tui.config.table import Profile
from lora_tui.doctor.findings import (
    TABLE_REMEDY,
    Finding,
    attempt,
    failed,
    ok,
    skipped,
    warning,
)
from lora_tui.doctor.view import View
from lora_tui.errors import AuthenticationError, DeniedError, NotFoundError
from lora_tui.gateway.auth import KeyAuth, SessionAuth, fetch_user
from lora_tui.gateway.gpu import ResultGoneError, Worker
from lora_tui.gateway.http import RETRY, RetryPolicy, build_client
from lora_tui.gateway.responses import check, is_own_word, read_json
from lora_tui.gateway.storage import BUCKET
from lora_tui.text import terminal_safe

TABLES: Final = (
    "datasets",
    "training_jobs",
    "metrics_points",
    "model_artifacts",
    "notifications",
    "cost_records",
)

_SKEW_FAILS: Final = timedelta(seconds=60)
_SKEW_WARNS: Final = timedelta(seconds=5)
_ONCE_MORE: Final = RetryPolicy(total=1, status_forcelist=RETRY.status_forcelist)
_NO_JOB: Final = "lora-tui-doctor"


def check_network(profile: Profile) -> Iterator[Finding]:
    """Whether the project answers at all, accepts its key, and has our time of day."""
    with build_client(profile.url, auth=KeyAuth(profile.anon_key), retry=_ONCE_MORE) as client:
        start = time.monotonic()
        response: httpx.Response | None = None

        def reach() -> Finding:
            nonlocal response
            response = client.get("/auth/v1/health")
            host, took = response.request.url.host, time.monotonic() - start
            if response.status_code in (401, 403) and is_own_word(response):
                return failed(
                    "network",
                    f"{host} answers, but does not accept the project's key",
                    "check SUPABASE_URL and SUPABASE_ANON_KEY; both are of one project",
                )
            check(response, "reach the project")
            return ok("network", f"{host} answers in {took * 1000:,.0f} ms")

        yield attempt("network", reach)
        if response is not None:
            yield _clock_skew(response)


def check_account(profile: Profile, auth: SessionAuth) -> Finding:
    """Whether the backend takes the session for the user whose it is."""
    session: Session = auth.session
    with build_client(profile.url, auth=auth) as client:
        user_id, email = fetch_user(
            profile.url, profile.anon_key, session.access_token, client=client
        )
    if user_id != session.user_id:
        return failed("auth", "the session is another user's", "run `lora-tui login`")
    place = "given" if profile.access_token else f"kept in a {sessions.kept_in(profile)}"
    return ok("auth", f"signed in as {terminal_safe(email or user_id)}; the session is {place}")


def check_tables(user: View, user_id: str) -> Iterator[Finding]:
    """Whether each table that we read can be read."""
    for table in TABLES:
        name = f"table {table}"

        def read(table: str = table, name: str = name) -> Finding:
            if table == "metrics_points":  # it has no owner of its own
                user.sample(table)
                return ok(name, "it can be read")
            return ok(name, f"{user.rest.count(table, user_id):,} rows are yours")

        yield attempt(name, read, TABLE_REMEDY)


def check_bucket(profile: Profile) -> Finding:
    """Whether the bucket is there and private; only the service role may look."""
    if profile.service_key is None:
        return skipped("bucket", "only the service role key can tell, and none is set")
    with build_client(profile.url, auth=KeyAuth(profile.service_key)) as client:
        response = client.get(f"/storage/v1/bucket/{BUCKET}")
        try:
            body = read_json(check(response, "look up the bucket"), "look up the bucket")
        except NotFoundError as error:
            if isinstance(error, DeniedError):
                raise
            return failed(
                "bucket",
                f"there is no bucket {BUCKET}",
                f"make a private bucket named {BUCKET} in the project's storage",
            )
    if isinstance(body, dict) and body.get("public") is True:
        return failed(
            "bucket",
            f"{BUCKET} is public: whoever guesses a path can read every adapter",
            f"make {BUCKET} private in the project's storage settings",
        )
    return ok("bucket", f"{BUCKET} is there, and private")


def check_service_key(service: View | None) -> Finding:
    """Whether the key that the harvest needs is one of this project."""
    if service is None:
        return skipped("service key", "none is set; only --harvest needs it")
    try:
        waiting = len(service.rest.waiting_jobs())
    except AuthenticationError as error:
        return failed(
            "service key", str(error), "check SUPABASE_SERVICE_ROLE_KEY; it is of this project"
        )
    return ok("service key", f"it is accepted; {waiting} jobs wait to be harvested")


def check_worker(profile: Profile) -> Finding:
    """Whether the GPU worker answers and takes the key: it is asked for a job that is none."""
    if not profile.gpu_url or not profile.gpu_key:
        missing = "GPU_CLUSTER_API_KEY" if profile.gpu_url else "GPU_CLUSTER_API_URL"
        return skipped("worker", f"{missing} is not set; only --harvest needs it")
    try:
        with Worker(profile.gpu_url, profile.gpu_key) as worker:
            worker.result(_NO_JOB)
    except ResultGoneError:
        return ok("worker", "it answers, and accepts the key")
    except AuthenticationError:
        return failed(
            "worker", "it does not accept the key", "check GPU_CLUSTER_API_KEY and its endpoint"
        )
    return warning(
        "worker",
        "it answers, but knows a job that was never given to it",
        "check GPU_CLUSTER_API_URL; it ends with the endpoint's id",
    )


def _clock_skew(response: httpx.Response) -> Finding:
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", ""))
        skew = clock.now() - theirs
    except (ValueError, TypeError):
        return skipped("clock", "the server does not tell its time")
    direction = "ahead of" if skew > timedelta() else "behind"
    seen = f"this machine's clock is {abs(skew).total_seconds():,.0f} s {direction} the server's"
    remedy = "set the clock of this machine (`timedatectl set-ntp true`)"
    if abs(skew) > _SKEW_FAILS:
        return failed("clock", seen, remedy)
    if abs(skew) > _SKEW_WARNS:
        return warning("clock", seen, remedy)
    return ok("clock", seen)
