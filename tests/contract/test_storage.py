"""The bucket: stored files, what is known about them, and links that open them for a while."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest

from lora_tui.errors import ConflictError, IntegrityError, NotFoundError
from lora_tui.gateway import Gateway
from lora_tui.gateway.storage import BUCKET
from tests.backends.backend import Backend
from tests.backends.seed import Seed
from tests.contract.conftest import Person

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def folder(backend: Backend) -> str:
    """A new folder of Alice's, as that of a model."""
    return f"{backend.alice.user_id}/{uuid.uuid4()}"


def fetch(url: str, **headers: str) -> httpx.Response:
    """The answer to the link alone, without a key or session."""
    return httpx.get(url, headers=headers, trust_env=False, timeout=30)


def test_the_bucket_is_private_and_takes_three_kinds_of_file(
    backend: Backend, service: Gateway, folder: str
) -> None:
    answer = httpx.get(
        f"{backend.url}/storage/v1/bucket/{BUCKET}",
        headers={"apikey": backend.service_key},
        trust_env=False,
    )
    bucket = answer.json()
    assert bucket["public"] is False
    assert bucket["file_size_limit"] == 5 * 1024**3
    assert set(bucket["allowed_mime_types"]) == {
        "application/octet-stream",
        "application/x-tar",
        "application/json",
    }


@pytest.mark.parametrize(
    "name",
    [
        "adapter_model.safetensors",
        "adapter_config.json",
        "with space & plus+.bin",
        "epoch=3,step=100.bin",
    ],
)
def test_what_is_stored_is_what_its_owner_gets_by_a_signed_link(
    backend: Backend, alice: Person, service: Gateway, folder: str, name: str
) -> None:
    path = f"{folder}/{name}"
    service.storage.upload(path, iter([WEIGHTS[:1000], WEIGHTS[1000:]]), size=len(WEIGHTS))
    link = alice.gateway.storage.sign(path)
    assert link.startswith(f"{backend.url}/storage/v1/object/sign/{BUCKET}/{folder}/")
    answer = fetch(link)
    assert answer.status_code == 200
    assert answer.content == WEIGHTS
    assert answer.headers["content-length"] == str(len(WEIGHTS))
    assert answer.headers["etag"]
    info = service.storage.info(path)
    assert (info.path, info.size) == (path, len(WEIGHTS))
    assert info.etag


def test_an_empty_file_is_a_file(
    backend: Backend, alice: Person, service: Gateway, folder: str
) -> None:
    path = f"{folder}/empty.bin"
    service.storage.upload(path, iter([]), size=0)
    assert service.storage.info(path).size == 0
    assert fetch(alice.gateway.storage.sign(path)).content == b""


def test_a_stored_file_is_not_overwritten_unless_that_is_asked_for(
    backend: Backend, service: Gateway, folder: str
) -> None:
    path = f"{folder}/adapter_model.bin"
    service.storage.upload(path, iter([b"first"]), size=5)
    with pytest.raises(ConflictError):
        service.storage.upload(path, iter([b"second"]), size=6)
    assert fetch(service.storage.sign(path)).content == b"first"
    service.storage.upload(path, iter([b"second"]), size=6, upsert=True)
    assert fetch(service.storage.sign(path)).content == b"second"
    assert service.storage.info(path).size == 6


def test_a_file_that_is_shorter_than_announced_is_not_stored(
    backend: Backend, service: Gateway, folder: str
) -> None:
    path = f"{folder}/adapter_model.bin"
    with pytest.raises(IntegrityError):
        service.storage.upload(path, iter([b"only this"]), size=100)
    with pytest.raises(NotFoundError):
        service.storage.info(path)


def test_a_kind_of_file_that_the_bucket_does_not_take_is_refused(
    backend: Backend, folder: str
) -> None:
    answer = httpx.post(
        f"{backend.url}/storage/v1/object/{BUCKET}/{folder}/page.html",
        content=b"<p>",
        headers={"apikey": backend.service_key, "Content-Type": "text/html"},
        trust_env=False,
    )
    assert answer.is_client_error


def test_links_for_many_files_come_with_the_reason_where_there_is_none(
    backend: Backend, alice: Person, seed: Seed, folder: str
) -> None:
    there = [seed.stored(f"{folder}/{name}.bin", name.encode()) for name in ("one", "two")]
    missing = f"{folder}/three.bin"
    links = alice.gateway.storage.sign_many([there[0], missing, there[1]])
    assert list(links) == [there[0], missing, there[1]]
    assert isinstance(links[missing], NotFoundError)
    for path, content in zip(there, (b"one", b"two"), strict=True):
        link = links[path]
        assert isinstance(link, str)
        assert fetch(link).content == content


def test_a_link_ends_when_its_time_is_over(
    backend: Backend, alice: Person, seed: Seed, folder: str
) -> None:
    link = alice.gateway.storage.sign(seed.stored(f"{folder}/a.bin", b"weights"), expires_in=1)
    deadline = time.monotonic() + 30
    while (answer := fetch(link)).is_success:
        assert time.monotonic() < deadline, "the link never ended"
    # 400 on the hosted service; @supabase/lite fails with 500
    assert answer.status_code == (500 if backend.name == "lite" else 400)
    assert b"weights" not in answer.content


def test_a_link_that_was_tampered_with_opens_nothing(
    backend: Backend, alice: Person, seed: Seed, folder: str
) -> None:
    mine = seed.stored(f"{folder}/mine.bin", b"mine")
    other = seed.stored(f"{folder}/other.bin", b"other")
    address, _, token = alice.gateway.storage.sign(mine).partition("?")
    head, claims, signature = token.split(".")
    for tampered in (
        f"{address}?{head}.{claims}.{signature[::-1]}",
        f"{address}?token=nonsense",
        address,
        f"{backend.url}/storage/v1/object/sign/{BUCKET}/{other}?{token}",
    ):
        answer = fetch(tampered)
        assert answer.is_error, tampered
        assert answer.content not in (b"mine", b"other")


def test_nothing_is_read_without_a_link(backend: Backend, seed: Seed, folder: str) -> None:
    path = seed.stored(f"{folder}/a.bin", b"weights")
    for way in ("public/", "authenticated/", ""):
        answer = fetch(
            f"{backend.url}/storage/v1/object/{way}{BUCKET}/{path}", apikey=backend.anon_key
        )
        assert answer.is_client_error
        assert b"weights" not in answer.content


def test_a_missing_file_is_not_found(
    backend: Backend, alice: Person, service: Gateway, folder: str
) -> None:
    for storage in (alice.gateway.storage, service.storage):
        with pytest.raises(NotFoundError):
            storage.sign(f"{folder}/missing.bin")
        with pytest.raises(NotFoundError):
            storage.info(f"{folder}/missing.bin")


def test_a_folder_lists_its_files_and_not_those_of_its_folders(
    backend: Backend, alice: Person, service: Gateway, seed: Seed, folder: str
) -> None:
    for name in ("b.bin", "a.bin", "deeper/c.bin"):
        seed.stored(f"{folder}/{name}", name.encode())
    for storage in (alice.gateway.storage, service.storage):
        found = list(storage.list(folder))
        assert [(one.path, one.size) for one in found] == [
            (f"{folder}/a.bin", 5),
            (f"{folder}/b.bin", 5),
        ]
    assert list(service.storage.list(f"{folder}/empty")) == []


def test_removed_files_are_gone_and_missing_ones_do_not_count(
    backend: Backend, service: Gateway, seed: Seed, folder: str
) -> None:
    gone = seed.stored(f"{folder}/gone.bin", b"1")
    kept = seed.stored(f"{folder}/kept.bin", b"2")
    assert service.storage.delete([gone, f"{folder}/missing.bin"]) == [gone]
    with pytest.raises(NotFoundError):
        service.storage.info(gone)
    assert service.storage.info(kept).size == 1
    assert service.storage.delete([gone]) == []


def test_a_ranged_fetch_gives_the_range_or_says_that_it_gives_all(
    backend: Backend, alice: Person, seed: Seed, folder: str
) -> None:
    link = alice.gateway.storage.sign(seed.stored(f"{folder}/a.bin", WEIGHTS))
    answer = fetch(link, Range="bytes=1000-1999")
    if backend.supports_range:
        assert answer.status_code == 206
        assert answer.content == WEIGHTS[1000:2000]
        assert answer.headers["content-range"] == f"bytes 1000-1999/{len(WEIGHTS)}"
    else:
        # @supabase/lite offers ranges in its header and ignores them
        assert answer.status_code == 200
        assert answer.content == WEIGHTS


def test_a_large_file_is_stored_in_pieces_where_the_stack_can_do_that(
    backend: Backend, service: Gateway, folder: str
) -> None:
    path, content = f"{folder}/large.bin", WEIGHTS * 700
    stored: list[int] = []

    def send() -> None:
        service.storage.upload_resumable(
            path,
            lambda offset: iter([content[offset:]]),
            size=len(content),
            on_progress=stored.append,
        )

    if backend.supports_tus:
        send()
        assert stored == [0, 6 * 1024**2, len(content)]
        assert fetch(service.storage.sign(path)).content == content
        with pytest.raises(ConflictError):
            send()
    else:
        # @supabase/lite has no resumable uploads, and says so
        with pytest.raises(NotFoundError):
            send()
        with pytest.raises(NotFoundError):
            service.storage.info(path)
