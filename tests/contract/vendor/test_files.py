"""Storage by supabase-py: uploads, downloads, links, removal."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import cast

import httpx
import pytest
from storage3.exceptions import StorageApiError
from supabase import Client

from lora_tui.sandbox import Sandbox
from tests.contract.vendor.client import (
    BINARY,
    BUCKET,
    WEIGHTS,
)


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
