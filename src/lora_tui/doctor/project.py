"""Checks of the project and the GPU worker, over the network; they change nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from lora_tui import clock, formats
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
from lora_tui.errors import AuthenticationError, DeniedError, NotFoundError
from lora_tui.gateway.auth import KeyAuth, SessionAuth, fetch_user
from lora_tui.gateway.deleted_models import count_deleted_models
from lora_tui.gateway.gpu import ResultGoneError, Worker
from lora_tui.gateway.http import ClientOwner, build_client
from lora_tui.gateway.responses import check, is_from_service, read_json
from lora_tui.gateway.rest import Rest, Row
from lora_tui.gateway.retry import RETRY, RetryPolicy
from lora_tui.gateway.storage import BUCKET, Storage
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
_NO_ID = "00000000-0000-0000-0000-000000000000"
_NO_JOB: Final = "lora-tui-doctor"


class ProjectView(ClientOwner):
    """A project as one role sees it, with queries that do not filter by owner. To be closed."""

    def __init__(self, url: str, auth: httpx.Auth) -> None:
        super().__init__(build_client(url, auth=auth))
        self.rest = Rest(url, auth, client=self._client)
        self.storage = Storage(url, auth, client=self._client)

    def sample(self, table: str) -> None:
        """Read one row of any owner. Raises the error of the request."""
        self._first(table, self.rest.select(table, "id"))

    def has_any(self, table: str) -> bool:
        """Return whether the role sees any row."""
        return bool(self._first(table, self.rest.select(table, "id")))

    def has_foreign(self, table: str, user_id: str) -> bool:
        """Return whether the role sees a row of another user."""
        return bool(self._first(table, self.rest.select(table, "id").neq("user_id", user_id)))

    def jobs_with_metrics(self) -> Iterator[str]:
        """Yield the ids of the jobs whose metrics the role sees; one request each."""
        last = _NO_ID
        while True:
            query = self.rest.select("metrics_points", "job_id").gt("job_id", last)
            rows = self._first("metrics_points", query.order("job_id"))
            if not rows:
                return
            last = str(rows[0].get("job_id"))
            yield last

    def object_paths(self, user_id: str, *, limit: int) -> list[str]:
        """Return the path of one file of each of the user's newest models."""
        query = self.rest.select("model_artifacts", "artifacts").eq("user_id", user_id)
        query = query.is_("deleted_at", None).order("created_at", desc=True)
        rows = self._first("model_artifacts", query, limit)
        artifacts = [row.get("artifacts") for row in rows]
        firsts = [next(iter(a.values()), None) for a in artifacts if isinstance(a, dict)]
        return [path for path in firsts if isinstance(path, str) and path]

    def guards_models(self) -> bool:
        """Return whether the role may change some columns of models only.

        Asks for a change of another column of no row: PostgreSQL refuses it by the privileges.
        """
        try:
            self.rest.change_model(_NO_ID, _NO_ID, {"version": "0"})
        except DeniedError:
            return True
        return False

    def _first(self, table: str, query: Any, limit: int = 1) -> list[Row]:
        return self.rest.rows(query.limit(limit), f"read {table}")


def check_network(profile: Profile) -> Iterator[Finding]:
    """Check that the project responds, accepts its key, and agrees with this machine's clock."""
    with build_client(profile.url, auth=KeyAuth(profile.anon_key), retry=_ONCE_MORE) as client:
        start = time.monotonic()
        response: httpx.Response | None = None

        def reach() -> Finding:
            nonlocal response
            response = client.get("/auth/v1/health")
            host, took = response.request.url.host, time.monotonic() - start
            if response.status_code in (401, 403) and is_from_service(response):
                return failed(
                    "network",
                    f"{host} responds, but does not accept the project's key",
                    f"check that {profile.source('url')} and {profile.source('anon_key')}"
                    " belong to the same project",
                )
            check(response, "reach the project")
            return ok("network", f"{host} responded in {took * 1000:,.0f} ms")

        yield attempt("network", reach)
        if response is not None:
            yield _clock_skew(response)


def check_account(profile: Profile, auth: SessionAuth) -> Finding:
    """Check that the project accepts the session, as one of the same user."""
    session: Session = auth.session
    with build_client(profile.url, auth=auth) as client:
        user_id, email = fetch_user(
            profile.url, profile.anon_key, session.access_token, client=client
        )
    if user_id != session.user_id:
        return failed("auth", "the session belongs to another user", "run `lora-tui login`")
    place = "given" if profile.access_token else f"kept in a {sessions.kept_in(profile)}"
    return ok("auth", f"signed in as {terminal_safe(email or user_id)}; the session is {place}")


def check_tables(user: ProjectView, user_id: str) -> Iterator[Finding]:
    """Check that each table that lora-tui reads can be read."""
    for table in TABLES:
        name = f"table {table}"

        def read(table: str = table, name: str = name) -> Finding:
            if table == "metrics_points":  # it has no owner column
                user.sample(table)
                return ok(name, "it can be read")
            return ok(name, f"{formats.count(user.rest.count(table, user_id))} rows are yours")

        yield attempt(name, read, TABLE_REMEDY)


def check_bucket(profile: Profile) -> Finding:
    """Check that the bucket exists and is private; this needs the service role key."""
    if profile.service_key is None:
        return skipped("bucket", "this needs the service role key, and none is set")
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
                f"create a private bucket named {BUCKET} in the project's storage",
            )
    if isinstance(body, dict) and body.get("public") is True:
        return failed(
            "bucket",
            f"{BUCKET} is public: anybody who guesses a path can read an adapter",
            f"make {BUCKET} private in the project's storage settings",
        )
    return ok("bucket", f"{BUCKET} exists and is private")


def check_service_key(service: ProjectView | None) -> Finding:
    """Check that the service role key, which the harvest needs, belongs to this project."""
    if service is None:
        return skipped("service key", "none is set; only --harvest needs it")
    try:
        waiting = len(service.rest.waiting_jobs())
    except AuthenticationError as error:
        return failed(
            "service key",
            str(error),
            "check that SUPABASE_SERVICE_ROLE_KEY belongs to this project",
        )
    said = f"it is accepted; {waiting} jobs wait to be harvested"
    deleted = count_deleted_models(service.rest)
    if deleted:
        said += f"; the files of {formats.counted(deleted, 'deleted model')} are in the bucket"
    return ok("service key", said)


def check_worker(profile: Profile) -> Finding:
    """Check that the GPU worker responds and accepts the key; asks for a job that can't exist."""
    if not profile.gpu_url or not profile.gpu_key:
        missing = "GPU_CLUSTER_API_KEY" if profile.gpu_url else "GPU_CLUSTER_API_URL"
        return skipped("worker", f"{missing} is not set; only --harvest needs it")
    try:
        with Worker(profile.gpu_url, profile.gpu_key) as worker:
            worker.result(_NO_JOB)
    except ResultGoneError:
        return ok("worker", "it responds and accepts the key")
    except AuthenticationError:
        return failed(
            "worker",
            "it does not accept the key",
            f"check that {profile.source('gpu_key')} belongs to the endpoint",
        )
    return warning(
        "worker",
        "it responds, but knows a job that was never submitted",
        f"check {profile.source('gpu_url')}; it must end with the endpoint's id",
    )


def _clock_skew(response: httpx.Response) -> Finding:
    try:
        server_time = parsedate_to_datetime(response.headers.get("date", ""))
        skew = clock.now() - server_time
    except (ValueError, TypeError):
        return skipped("clock", "the server sends no date")
    direction = "ahead of" if skew > timedelta() else "behind"
    seen = f"this machine's clock is {abs(skew).total_seconds():,.0f} s {direction} the server's"
    remedy = "set the clock of this machine (`timedatectl set-ntp true`)"
    if abs(skew) > _SKEW_FAILS:
        return failed("clock", seen, remedy)
    if abs(skew) > _SKEW_WARNS:
        return warning("clock", seen, remedy)
    return ok("clock", seen)
