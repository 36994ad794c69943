"""Resumable uploads go as by TUS at Supabase Storage: chunks, takeovers, expiry."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

import httpx
import pytest

from lora_tui.sandbox import Sandbox
from tests.sandbox.client import Client, clients, tus_metadata

CHUNK = 6 * 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0"}


def begin(client: Client, size: int, name: str = "a/big.bin", **headers: str) -> str:
    answer = client.storage(
        "POST",
        "upload/resumable",
        headers={
            **TUS,
            "Upload-Length": str(size),
            "Upload-Metadata": tus_metadata(
                bucketName="lora-models",
                objectName=name,
                contentType="application/octet-stream",
                cacheControl="3600",
            ),
            **headers,
        },
    )
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].removeprefix(client.sandbox.url)


def append(client: Client, location: str, offset: int, body: bytes) -> tuple[int, str | None]:
    headers = {
        **client.headers,
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
    }
    answer = client.http.patch(location, headers=headers, content=body)
    return answer.status_code, answer.headers.get("upload-offset")


def offset_of(client: Client, location: str) -> tuple[int, str | None]:
    answer = client.http.head(location, headers=client.headers | TUS)
    return answer.status_code, answer.headers.get("upload-offset")


def test_a_large_file_arrives_in_chunks_of_six_mebibytes(service: Client) -> None:
    body = os.urandom(CHUNK + 1234)
    location = begin(service, len(body))
    assert append(service, location, 0, body[:CHUNK]) == (204, str(CHUNK))
    assert service.storage("GET", "object/info/lora-models/a/big.bin").status_code == 400
    assert append(service, location, CHUNK, body[CHUNK:]) == (204, str(len(body)))
    assert service.storage("GET", "object/lora-models/a/big.bin").content == body
    # The answer to the last chunk may be lost: the upload still tells that it is complete.
    assert offset_of(service, location) == (200, str(len(body)))


def test_a_chunk_may_have_any_size(service: Client) -> None:
    location = begin(service, CHUNK * 2)
    assert append(service, location, 0, b"x" * 1000) == (204, "1000")
    assert offset_of(service, location) == (200, "1000")


def test_an_object_of_parts_has_the_etag_of_s3(service: Client) -> None:
    body = os.urandom(CHUNK + 1234)
    location = begin(service, len(body))
    # under 5 MiB s3 takes no part, so the first two chunks become one
    for first, end in ((0, 1000), (1000, CHUNK), (CHUNK, len(body))):
        assert append(service, location, first, body[first:end])[0] == 204
    parts = [hashlib.md5(part).digest() for part in (body[:CHUNK], body[CHUNK:])]
    expected = f'"{hashlib.md5(b"".join(parts)).hexdigest()}-2"'
    answer = service.storage("GET", "object/lora-models/a/big.bin")
    assert (answer.headers["etag"], answer.content) == (expected, body)


def test_a_chunk_at_a_wrong_offset_conflicts(service: Client) -> None:
    location = begin(service, 10)
    assert append(service, location, 5, b"12345")[0] == 409
    assert append(service, location, 0, b"x" * 11)[0] == 413


def test_a_broken_upload_resumes_at_its_offset(sandbox: Sandbox, service: Client) -> None:
    body = os.urandom(300_000)
    location = begin(service, len(body))
    sandbox.faults(drop_request_after=100_000)
    with pytest.raises(httpx.TransportError):
        append(service, location, 0, body)
    status, offset = offset_of(service, location)
    assert (status, offset) == (200, "100000")
    assert append(service, location, 100_000, body[100_000:]) == (204, "300000")
    assert service.storage("GET", "object/lora-models/a/big.bin").content == body


@pytest.mark.parametrize("asks_first", [True, False])
def test_a_second_client_takes_an_upload_over(
    sandbox: Sandbox, service: Client, asks_first: bool
) -> None:
    location = begin(service, 2000)
    unfinished = sandbox.directory / "uploads"
    others: list[tuple[int, str | None]] = []

    def body() -> Iterator[bytes]:
        yield b"x" * 1000
        while sum(file.stat().st_size for file in unfinished.iterdir()) < 1000:
            pass
        if asks_first:
            others.append(offset_of(service, location))
        others.append(append(service, location, 1000, b"y" * 1000))
        yield b"x" * 1000

    headers = {
        **service.headers,
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
    }
    answer = service.http.patch(location, headers=headers, content=body())
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, "1000")
    assert others == ([(200, "1000")] if asks_first else []) + [(204, "2000")]
    whole = service.storage("GET", "object/lora-models/a/big.bin").content
    assert whole == b"x" * 1000 + b"y" * 1000


def test_a_chunk_without_a_content_length_is_stored(service: Client) -> None:
    location = begin(service, 10)
    headers = {
        **service.headers,
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
    }
    too_much = service.http.patch(location, headers=headers, content=iter([b"x" * 6, b"y" * 6]))
    assert too_much.status_code == 413
    assert offset_of(service, location) == (200, "0")
    answer = service.http.patch(location, headers=headers, content=iter([b"x" * 6, b"y" * 4]))
    assert (answer.status_code, answer.headers["tus-complete"]) == (204, "1")


def test_an_upload_can_start_with_bytes_or_without_a_length(service: Client) -> None:
    metadata = {"Upload-Metadata": tus_metadata(bucketName="lora-models", objectName="a/b.bin")}
    whole = service.storage(
        "POST",
        "upload/resumable",
        headers={
            **TUS,
            **metadata,
            "Upload-Length": "5",
            "Content-Type": "application/offset+octet-stream",
        },
        content=b"whole",
    )
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, "5")
    assert service.storage("GET", "object/lora-models/a/b.bin").content == b"whole"
    later = service.storage(
        "POST",
        "upload/resumable",
        headers={**TUS, **metadata, "Upload-Defer-Length": "1", "x-upsert": "true"},
    )
    location = later.headers["location"].removeprefix(service.sandbox.url)
    answer = service.http.patch(
        location,
        headers={
            **service.headers,
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": "0",
            "Upload-Length": "5",
            "x-upsert": "true",
        },
        content=b"later",
    )
    assert (answer.status_code, answer.headers["tus-complete"]) == (204, "1")
    assert service.storage("GET", "object/lora-models/a/b.bin").content == b"later"


def test_the_address_of_a_resumable_upload_expires(sandbox: Sandbox, service: Client) -> None:
    location = begin(service, 10)
    sandbox.faults(clock_offset=86_401)
    assert offset_of(service, location) == (410, None)
    assert append(service, location, 0, b"x" * 10)[0] == 410


def test_on_files_the_address_of_an_upload_never_expires() -> None:
    with (
        Sandbox.start(models=0, waiting_jobs=0, storage="file") as sandbox,
        clients(sandbox) as (_, _, service, _),
    ):
        location = begin(service, 10)
        sandbox.faults(clock_offset=86_400 * 30)
        assert append(service, location, 0, b"x" * 10) == (204, "10")


def test_a_resumable_upload_needs_the_protocols_header_and_a_free_name(service: Client) -> None:
    service.storage(
        "POST",
        "object/lora-models/a/taken.bin",
        content=b"x",
        headers={"Content-Type": "application/octet-stream"},
    )
    metadata = tus_metadata(bucketName="lora-models", objectName="a/taken.bin")
    for headers, status in (
        ({"Upload-Length": "1", "Upload-Metadata": metadata}, 412),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": metadata}, 409),
        ({**TUS, "Upload-Length": "1", "Upload-Metadata": metadata, "x-upsert": "true"}, 201),
        ({**TUS, "Upload-Length": "x", "Upload-Metadata": metadata}, 400),
        ({**TUS, "Upload-Length": "1"}, 400),
        (
            {
                **TUS,
                "Upload-Length": str(6 * 1024**3),
                "Upload-Metadata": metadata,
                "x-upsert": "true",
            },
            413,
        ),
    ):
        answer = service.storage("POST", "upload/resumable", headers=headers)
        assert answer.status_code == status, headers
        assert answer.headers["tus-resumable"] == "1.0.0"


def test_a_cancelled_upload_is_removed(service: Client) -> None:
    location = begin(service, 10)
    assert service.http.delete(location, headers=service.headers | TUS).status_code == 204
    assert offset_of(service, location) == (404, None)


def test_metadata_that_is_not_base64_is_refused(service: Client) -> None:
    answer = service.storage(
        "POST",
        "upload/resumable",
        headers={**TUS, "Upload-Length": "1", "Upload-Metadata": "objectName ?"},
    )
    assert answer.status_code == 400
