"""Checks the ways to send large files: the storage's own host, and S3. They change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from lora_tui.config.table import Profile
from lora_tui.doctor.findings import Finding, attempt, ok, skipped, warning
from lora_tui.gateway.s3 import S3Uploads
from lora_tui.gateway.storage import BUCKET
from lora_tui.harvest.harvester import connect_service, large_files_url, s3_keys
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe


def check_large_files(profile: Profile) -> Iterator[Finding]:
    """Check the host for large files, and the S3 keys, for those who have the service role key."""
    if profile.service_key is not None:
        yield _check_host(profile, profile.service_key)
        yield attempt("s3", lambda: _check_s3(profile))


def _check_host(profile: Profile, service_key: Secret) -> Finding:
    check = "storage host"
    url = large_files_url(profile)
    if url is None:
        return skipped(check, "large files go to the project's own address")
    host = terminal_safe(urlsplit(url).hostname or "", limit=100)

    def examine() -> Finding:
        without_s3 = profile._replace(s3_access_key_id=None, s3_secret_access_key=None)
        with connect_service(without_s3, service_key) as gateway:
            if gateway.storage.host_for_large_files() == url:
                return ok(check, f"large files go to {host}")
        return warning(
            check,
            f"{host} does not show the bucket to the service role key,"
            " so large files go to the project's own address",
            "allow it in the firewall or the proxy, or set storage_url",
        )

    return attempt(check, examine)


def _check_s3(profile: Profile) -> Finding:
    keys = s3_keys(profile)
    if keys is None:
        return skipped(
            "s3",
            "no S3 keys: large files go in one request",
            "for faster uploads make keys in the project's settings, under Storage, and set"
            " LORA_TUI_S3_ACCESS_KEY_ID and LORA_TUI_S3_SECRET_ACCESS_KEY",
        )
    with closing(S3Uploads(lambda: profile.url, keys, BUCKET)) as s3:
        s3.check_bucket()
    return ok("s3", f"the keys are accepted, and see {BUCKET}")
