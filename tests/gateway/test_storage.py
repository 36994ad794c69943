"""What the bucket promises: links that work, uploads that go on after a break, no key elsewhere."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lora_tui import errors
from lora_tui.gateway import Gateway
from lora_tui.gateway.auth import KeyAuth
from lora_tui.gateway.http import build_client
from lora_tui.gateway.resumable import CHUNK
from lora_tui.gateway.storage import Storage
from lora_tui.gateway.upload_body import content_type_of
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.gateway.conftest import AT_ONCE, Script

URL = "https://backend.example"
SIZE = 2 * CHUNK + 12_345


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(3).randbytes(SIZE)


@pytest.fixture
def storage(sandbox: Sandbox) -> Iterator[Storage]:
    with Storage(sandbox.url, KeyAuth(Secret(sandbox.service_key)), retry=AT_ONCE) as storage:
        yield storage


@pytest.fixture
def path() -> str:
    return f"{uuid.uuid4()}/{uuid.uuid4()}/adapter_model.safetensors"


def scripted(script: Script) -> Storage:
    client = build_client(
        URL, auth=KeyAuth("sb_secret_k"), transport=script.transport, retry=AT_ONCE
    )
    return Storage(URL, KeyAuth("sb_secret_k"), client=client, retry=AT_ONCE)


def fetched(storage: Storage, path: str) -> bytes:
    return httpx.get(storage.sign(path), trust_env=False).content


class Source:
    """A body that can be opened anywhere, and remembers where it was."""

    def __init__(self, content: bytes, piece: int = 1_000_000) -> None:
        self.content = content
        self.opened_at: list[int] = []
        self._piece = piece

    def open_at(self, offset: int) -> Iterator[bytes]:
        self.opened_at.append(offset)
        for start in range(offset, len(self.content), self._piece):
            yield self.content[start : min(start + self._piece, len(self.content))]


# Links


def test_a_link_fetches_the_object_without_a_key(storage: Storage, path: str) -> None:
    storage.upload(path, io.BytesIO(b"weights"), size=7)
    assert fetched(storage, path) == b"weights"


@pytest.mark.parametrize(
    "signed",
    [
        "/object/sign/lora-models/u/a/f?token=t",
        "https://evil.example/object/sign/lora-models/u/a/f?token=t",
        "//evil.example/x?token=t",
        "http://backend.example/storage/v1/object/sign/lora-models/u/other/f?token=t",
    ],
)
def test_host_and_path_of_a_link_are_ours_whatever_the_answer_says(signed: str) -> None:
    script = Script.of(httpx.Response(200, json={"signedURL": signed}))
    link = scripted(script).sign("u/a/f g")
    assert link == f"{URL}/storage/v1/object/sign/lora-models/u/a/f%20g?token=t"


@pytest.mark.parametrize("answer", [{}, [], {"signedURL": None}, {"signedURL": "/no-token"}, 5])
def test_an_answer_without_a_link_is_refused(answer: object) -> None:
    script = Script.of(httpx.Response(200, json=answer))
    with pytest.raises(errors.BackendError, match="holds none"):
        scripted(script).sign("u/a/f")


@pytest.mark.parametrize(
    "name",
    ["epoch=3,step=100.json", "a+b.bin", "a&b=c.bin", "a,b;c.bin", "a:b@c$.bin", "a!b*(c)'.bin"],
)
def test_a_link_fits_the_name_that_it_was_made_for(name: str) -> None:
    """The service makes the token over the URL that it was asked by, decoded as decodeURI does."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.raw_path.decode().partition("/object/sign/")[2].partition("?")[0]
        half_decoded = re.sub(
            "%([0-9A-F]{2})",
            lambda found: (
                found[0] if chr(int(found[1], 16)) in ";/?:@&=+$,#" else chr(int(found[1], 16))
            ),
            asked,
        )
        token = base64.urlsafe_b64encode(half_decoded.encode()).decode()
        return httpx.Response(200, json={"signedURL": f"/object/sign/x?token={token}"})

    link = httpx.URL(scripted(Script(answer)).sign(f"u/a/{name}"))
    assert base64.urlsafe_b64decode(link.params["token"]).decode() == f"lora-models/u/a/{name}"
    assert link.path.endswith(f"/object/sign/lora-models/u/a/{name}")


def test_a_name_with_a_question_mark_is_signed_where_it_stands_in_the_body() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        [path] = json.loads(request.content)["paths"]
        row = {"path": path, "signedURL": "/object/sign/x?token=t", "error": None}
        return httpx.Response(200, json=[row])

    script = Script(answer)
    link = scripted(script).sign("u/a/q?.json")
    assert script.requests[0].url.path == "/storage/v1/object/sign/lora-models"
    assert httpx.URL(link).raw_path.endswith(b"/u/a/q%3F.json?token=t")


def test_each_segment_of_a_path_is_encoded(storage: Storage) -> None:
    for name in ("a b.json", "epoch=3,step=100.json", "a+b&c.json", "it's (1)!*$@:;.json"):
        path = f"{uuid.uuid4()}/a/{name}"
        storage.upload(path, io.BytesIO(b"{}"), size=2)
        assert fetched(storage, path) == b"{}"
        assert storage.info(path).path == path


@pytest.mark.parametrize("path", ["", "/u/a", "u//a", "u/../other/f", "u/./f", "u/a/"])
def test_a_path_with_dots_is_never_requested(path: str) -> None:
    script = Script.of(httpx.Response(200, json={"signedURL": "/x?token=t"}))
    storage = scripted(script)
    for act in (
        storage.sign,
        storage.info,
        lambda p: storage.delete([p]),
        lambda p: storage.upload(p, io.BytesIO(b"x"), size=1),
    ):
        with pytest.raises(errors.NotFoundError, match="is not valid"):
            act(path)
    assert script.requests == []


def test_of_many_links_each_has_its_own_answer(storage: Storage, path: str) -> None:
    storage.upload(path, io.BytesIO(b"weights"), size=7)
    missing = f"{path}.missing"
    links = storage.sign_many([missing, path])
    assert list(links) == [missing, path]
    assert isinstance(links[missing], errors.NotFoundError)
    assert httpx.get(str(links[path]), trust_env=False).content == b"weights"


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(500, json={"message": "no batch"}),
        httpx.Response(400, json={"statusCode": "404", "error": "not_found"}),
        httpx.Response(200, json={"odd": True}),
        httpx.Response(200, json=["x", {"path": 5}, {"path": "u/a/9"}]),
    ],
)
def test_links_are_made_one_by_one_where_the_batch_fails_whole(refusal: httpx.Response) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/lora-models"):
            return httpx.Response(refusal.status_code, content=refusal.content)
        if request.url.path.endswith("/2"):
            return httpx.Response(400, json={"statusCode": "404", "error": "not_found"})
        return httpx.Response(200, json={"signedURL": f"{request.url.path}?token=t"})

    links = scripted(Script(answer)).sign_many(["u/a/1", "u/a/2", "u/a/3"])
    assert str(links["u/a/1"]).endswith("/u/a/1?token=t")
    assert isinstance(links["u/a/2"], errors.NotFoundError)
    assert str(links["u/a/3"]).endswith("/u/a/3?token=t")


@pytest.mark.parametrize(
    ("status", "expected"), [(401, errors.AuthenticationError), (503, errors.UnreachableError)]
)
def test_an_error_of_all_links_is_reported_once(
    status: int, expected: type[errors.LoraTuiError]
) -> None:
    script = Script.of(httpx.Response(status))
    with pytest.raises(expected):
        scripted(script).sign_many([f"u/a/{number}" for number in range(100)])
    assert len(script.requests) <= 10


def test_a_user_gets_links_to_own_files_only(
    sandbox: Sandbox, user: Gateway, service: Gateway
) -> None:
    theirs = service.rest.page("model_artifacts", sandbox.other_user_id, after=None).rows[0]
    path = next(iter(theirs["artifacts"].values()))
    assert service.storage.info(path).size
    with pytest.raises(errors.NotFoundError):
        user.storage.sign(path)


# What is stored


def test_an_object_is_described(storage: Storage, path: str) -> None:
    storage.upload(path, io.BytesIO(b"weights"), size=7)
    info = storage.info(path)
    assert (info.path, info.size, info.content_type) == (path, 7, "application/octet-stream")
    assert info.etag
    with pytest.raises(errors.NotFoundError):
        storage.info(f"{path}.missing")


def test_an_object_is_described_by_the_list_where_that_call_is_absent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(404, json={"message": "Route not found"})
        assert json.loads(request.content)["prefix"] == "u/a"
        entry = {"id": "1", "name": "f.bin", "metadata": {"size": 7, "eTag": '"e"'}}
        return httpx.Response(200, json=[{"id": None, "name": "folder"}, entry])

    info = scripted(Script(answer)).info("u/a/f.bin")
    assert (info.path, info.size, info.etag) == ("u/a/f.bin", 7, '"e"')


def test_a_folder_of_several_pages_is_listed_completely(storage: Storage) -> None:
    folder = str(uuid.uuid4())
    paths = sorted(f"{folder}/{number:03}.json" for number in range(105))
    for path in [*paths, f"{folder}/inner/x.json"]:
        storage.upload(path, io.BytesIO(b"{}"), size=2)
    assert [found.path for found in storage.list(folder)] == paths
    assert [found.path for found in storage.list(f"{folder}/inner/")] == [f"{folder}/inner/x.json"]
    assert len(storage.delete([*paths, f"{folder}/nothing"])) == 105
    assert list(storage.list(folder)) == []


def test_full_paths_in_a_list_are_understood() -> None:
    entries = [{"id": "1", "name": "u/a/f.bin"}, {"id": "2", "name": "u/a/inner/g.bin"}]
    storage = scripted(Script.of(httpx.Response(200, json=entries)))
    assert [found.path for found in storage.list("u/a")] == ["u/a/f.bin"]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_list_that_repeats_its_page_ends(monkeypatch: pytest.MonkeyPatch, fresh: bool) -> None:
    monkeypatch.setattr("lora_tui.gateway.storage.MOST_OBJECTS", 1000)
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["offset"] if fresh else 0)
        entries = [{"id": "1", "name": f"{asked[-1] + number}"} for number in range(100)]
        return httpx.Response(200, json=entries)

    listed = scripted(Script(answer)).list("u/a")
    if fresh:
        with pytest.raises(errors.BackendError, match="without end"):
            list(listed)
        assert len(asked) == 11
    else:
        assert len(list(listed)) == 100
        assert len(asked) == 2


# Uploads


def test_a_stored_object_is_replaced_only_on_purpose(storage: Storage, path: str) -> None:
    storage.upload(path, io.BytesIO(b"one"), size=3)
    with pytest.raises(errors.ConflictError, match="already there"):
        storage.upload(path, io.BytesIO(b"two"), size=3)
    assert fetched(storage, path) == b"one"
    storage.upload(path, iter([b"t", b"wo"]), size=3, upsert=True)
    assert fetched(storage, path) == b"two"


def test_a_file_is_streamed_from_the_disk(storage: Storage, path: str, tmp_path: Path) -> None:
    file = tmp_path / "adapter"
    file.write_bytes(b"x" * 3_000_000)
    with file.open("rb") as body:
        storage.upload(path, body, size=3_000_000)
    assert storage.info(path).size == 3_000_000


@pytest.mark.parametrize("body", [b"short", b"much too long"])
def test_a_body_of_another_size_than_announced_is_not_stored(
    storage: Storage, path: str, body: bytes
) -> None:
    with pytest.raises(errors.IntegrityError):
        storage.upload(path, io.BytesIO(body), size=8)
    with pytest.raises(errors.IntegrityError):
        storage.upload_resumable(path, Source(body).open_at, size=8)
    with pytest.raises(errors.NotFoundError):
        storage.info(path)


def test_an_upload_is_not_repeated_by_itself(sandbox: Sandbox, storage: Storage, path: str) -> None:
    sandbox.faults(fail_next=1, path="/storage/v1/object/lora-models")
    with pytest.raises(errors.UnreachableError):
        storage.upload(path, io.BytesIO(b"one"), size=3)
    storage.upload(path, io.BytesIO(b"one"), size=3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adapter_config.json", "application/json"),
        ("checkpoint.TAR", "application/x-tar"),
        ("adapter_model.safetensors", "application/octet-stream"),
        ("README.md", "application/octet-stream"),
    ],
)
def test_only_types_that_the_bucket_takes_are_used(
    storage: Storage, name: str, expected: str
) -> None:
    assert content_type_of(name) == expected
    path = f"{uuid.uuid4()}/{name}"
    storage.upload(path, io.BytesIO(b"{}"), size=2)
    assert storage.info(path).content_type == expected
    with pytest.raises(ValueError, match="text/html"):
        storage.upload(path, io.BytesIO(b"{}"), size=2, content_type="text/html")


def test_a_resumable_upload_stores_all_bytes_and_tells_how_far_it_is(
    storage: Storage, path: str, content: bytes
) -> None:
    told: list[int] = []
    addresses: list[str] = []
    source = Source(content)
    storage.upload_resumable(
        path,
        source.open_at,
        size=SIZE,
        on_created=addresses.append,
        on_progress=told.append,
    )
    assert told == [0, CHUNK, 2 * CHUNK, SIZE]
    assert source.opened_at == [0]
    assert len(addresses) == 1
    assert hashlib.sha256(fetched(storage, path)).digest() == hashlib.sha256(content).digest()


def test_a_dropped_upload_goes_on_from_what_arrived(
    sandbox: Sandbox, storage: Storage, path: str, content: bytes
) -> None:
    sandbox.faults(drop_request_after=2_000_000, drop_next=2, path="/storage/v1/upload/resumable/")
    source = Source(content)
    told: list[int] = []
    storage.upload_resumable(path, source.open_at, size=SIZE, on_progress=told.append)
    assert source.opened_at == [0, 2_000_000, 4_000_000]
    assert told == sorted(told)
    assert fetched(storage, path) == content


def test_an_upload_goes_on_in_the_next_run(
    sandbox: Sandbox, storage: Storage, path: str, content: bytes
) -> None:
    addresses: list[str] = []

    def dies_after_one_chunk(offset: int) -> Iterator[bytes]:
        yield content[: CHUNK + 10]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.upload_resumable(path, dies_after_one_chunk, size=SIZE, on_created=addresses.append)
    sandbox.forget_requests()
    source = Source(content)
    storage.upload_resumable(
        path,
        source.open_at,
        size=SIZE,
        upload_url=addresses[0],
        on_created=addresses.append,
    )
    assert source.opened_at == [CHUNK]
    assert len(addresses) == 1
    assert fetched(storage, path) == content


def test_an_upload_that_is_complete_is_not_sent_again(
    storage: Storage, path: str, content: bytes
) -> None:
    addresses: list[str] = []
    storage.upload_resumable(path, Source(content).open_at, size=SIZE, on_created=addresses.append)
    source = Source(content)
    storage.upload_resumable(path, source.open_at, size=SIZE, upload_url=addresses[0])
    assert source.opened_at == []


def test_an_upload_that_expired_between_two_runs_starts_again(
    sandbox: Sandbox, storage: Storage, path: str, content: bytes
) -> None:
    addresses: list[str] = []

    def dies(_offset: int) -> Iterator[bytes]:
        yield content[:CHUNK]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.upload_resumable(path, dies, size=SIZE, on_created=addresses.append)
    sandbox.faults(clock_offset=25 * 3600)
    storage.upload_resumable(
        path,
        Source(content).open_at,
        size=SIZE,
        upload_url=addresses[0],
        on_created=addresses.append,
    )
    assert len(set(addresses)) == 2
    assert fetched(storage, path) == content


def test_an_upload_that_expires_midway_starts_again(
    sandbox: Sandbox, storage: Storage, path: str, content: bytes
) -> None:
    addresses: list[str] = []
    told: list[int] = []

    def slow(offset: int) -> Iterator[bytes]:
        yield content[offset : offset + CHUNK]
        if len(addresses) == 1:
            sandbox.faults(clock_offset=25 * 3600)
        yield content[offset + CHUNK :]

    storage.upload_resumable(
        path, slow, size=SIZE, on_created=addresses.append, on_progress=told.append
    )
    assert len(set(addresses)) == 2
    assert told == [0, CHUNK, 0, CHUNK, 2 * CHUNK, SIZE]
    assert fetched(storage, path) == content


@pytest.mark.parametrize("status", [423, 429, 500, 503])
def test_an_upload_retries_a_temporary_refusal(
    sandbox: Sandbox, storage: Storage, path: str, content: bytes, status: int
) -> None:
    sandbox.faults(fail_next=3, status=status, path="/storage/v1/upload/resumable/", method="PATCH")
    storage.upload_resumable(path, Source(content).open_at, size=SIZE)
    assert fetched(storage, path) == content


def test_an_upload_gives_up_when_nothing_arrives_any_more(
    sandbox: Sandbox, storage: Storage, path: str, content: bytes
) -> None:
    sandbox.faults(fail_next=-1, status=503, path="/storage/v1/upload/resumable/", method="PATCH")
    with pytest.raises(errors.UnreachableError):
        storage.upload_resumable(path, Source(content).open_at, size=SIZE)
    assert sum(r["method"] == "PATCH" for r in sandbox.requests()) == 5


def test_a_resumable_upload_does_not_replace_by_mistake(
    storage: Storage, path: str, content: bytes
) -> None:
    storage.upload(path, io.BytesIO(b"one"), size=3)
    with pytest.raises(errors.ConflictError):
        storage.upload_resumable(path, Source(content).open_at, size=SIZE)
    storage.upload_resumable(path, Source(content).open_at, size=SIZE, upsert=True)
    assert fetched(storage, path) == content


def test_the_key_is_sent_to_our_host_only_whatever_address_the_upload_has() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            location = "https://evil.example/storage/v1/upload/resumable/abc"
            return httpx.Response(201, headers={"Location": location})
        sent = int(request.headers["Upload-Offset"]) + len(request.content)
        return httpx.Response(204, headers={"Upload-Offset": str(sent)})

    script = Script(answer)
    scripted(script).upload_resumable("u/a/f", Source(b"weights").open_at, size=7)
    assert [str(r.url) for r in script.requests][1:] == [f"{URL}/storage/v1/upload/resumable/abc"]


@pytest.mark.parametrize("location", ["", "/elsewhere", "/storage/v1/upload/resumable/../x"])
def test_an_upload_without_a_usable_address_is_refused(location: str) -> None:
    script = Script.of(httpx.Response(201, headers={"Location": location}))
    with pytest.raises(errors.BackendError, match="names no upload"):
        scripted(script).upload_resumable("u/a/f", Source(b"x").open_at, size=1)


def test_an_upload_waits_for_the_connection_of_the_run_before_to_end() -> None:
    locked = [423, 409, 423]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "HEAD":
            status = locked.pop() if locked else 200
            return httpx.Response(status, headers={"Upload-Offset": "3"})
        return httpx.Response(204, headers={"Upload-Offset": "7"})

    script = Script(answer)
    upload_url = f"{URL}/storage/v1/upload/resumable/abc"
    scripted(script).upload_resumable(
        "u/a/f", Source(b"weights").open_at, size=7, upload_url=upload_url
    )
    assert [r.method for r in script.requests] == ["HEAD"] * 4 + ["PATCH"]
    locked = [423] * 10
    with pytest.raises(errors.UnreachableError, match="another connection is still sending it"):
        scripted(script).upload_resumable(
            "u/a/f", Source(b"weights").open_at, size=7, upload_url=upload_url
        )


class StrictUploads(Script):
    """Resumable uploads as the real service answers: `x-upsert` is read from every request."""

    def __init__(self, *, there: bool) -> None:
        super().__init__(self._answer_upload)
        self.there = there
        self.uploads: dict[str, bytearray] = {}
        self.length = 0
        self.take: int | None = None
        """Bytes that the next PATCH keeps before it is cancelled by another client."""

    def _answer_upload(self, request: httpx.Request) -> httpx.Response:
        upload_id = request.url.path.rpartition("/upload/resumable")[2].strip("/")
        replaces = request.headers.get("x-upsert") == "true"
        if "/object/list/" in request.url.path:
            return httpx.Response(200, json=[])
        if request.method == "GET":
            if not self.there:
                return httpx.Response(400, json={"statusCode": "404", "error": "not_found"})
            return httpx.Response(200, json={"size": self.length})
        if request.method in ("POST", "PATCH") and self.there and not replaces:
            return httpx.Response(409, text="The resource already exists")
        if request.method == "POST":
            upload_id = str(len(self.uploads))
            self.uploads[upload_id] = bytearray()
            self.length = int(request.headers["Upload-Length"])
            return httpx.Response(201, headers={"Location": f"/upload/resumable/{upload_id}"})
        if upload_id == "nonsense":
            return httpx.Response(400)
        kept = self.uploads.get(upload_id)
        if kept is None:
            return httpx.Response(404)
        if request.method == "PATCH":
            if len(kept) == self.length:
                return httpx.Response(409, text="The resource already exists")
            kept += request.content[: self.take]
            self.take = None
            self.there = self.there or len(kept) == self.length
        return httpx.Response(200, headers={"Upload-Offset": str(len(kept))})


def test_a_large_file_replaces_one_that_is_there() -> None:
    script = StrictUploads(there=True)
    scripted(script).upload_resumable("u/a/f", Source(b"weights").open_at, size=7, upsert=True)
    assert bytes(script.uploads["0"]) == b"weights"
    with pytest.raises(errors.ConflictError):
        scripted(script).upload_resumable("u/a/f", Source(b"weights").open_at, size=7)


def test_an_upload_that_another_client_took_over_goes_on_from_what_was_kept() -> None:
    script = StrictUploads(there=False)
    script.take = 3
    scripted(script).upload_resumable("u/a/f", Source(b"weights").open_at, size=7)
    assert bytes(script.uploads["0"]) == b"weights"
    assert [r.method for r in script.requests] == ["POST", "PATCH", "HEAD", "PATCH"]


def test_an_upload_whose_file_was_removed_since_is_sent_again() -> None:
    script = StrictUploads(there=False)
    addresses: list[str] = []
    storage = scripted(script)
    sent = Source(b"weights")
    storage.upload_resumable("u/a/f", sent.open_at, size=7, on_created=addresses.append)
    script.there = False
    storage.upload_resumable("u/a/f", sent.open_at, size=7, upload_url=addresses[0])
    assert bytes(script.uploads["1"]) == b"weights"


def test_an_address_that_the_server_can_not_read_begins_a_new_upload() -> None:
    script = StrictUploads(there=False)
    address = f"{URL}/storage/v1/upload/resumable/nonsense"
    storage = scripted(script)
    storage.upload_resumable("u/a/f", Source(b"weights").open_at, size=7, upload_url=address)
    assert bytes(script.uploads["0"]) == b"weights"


def test_an_upload_ends_if_the_server_loses_it_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lora_tui.gateway.resumable.CHUNK", 5)
    script = StrictUploads(there=False)

    def loses(request: httpx.Request) -> httpx.Response:
        answer = script.transport.handler(request)
        assert isinstance(answer, httpx.Response)
        if request.method == "PATCH" and any(script.uploads.values()):
            script.uploads = {str(number): bytearray() for number in range(len(script.uploads))}
        return httpx.Response(410) if request.method == "HEAD" else answer

    with pytest.raises(errors.LoraTuiError, match="Could not store f"):
        scripted(Script(loses)).upload_resumable("u/a/f", Source(b"weights").open_at, size=7)
    assert len(script.requests) < 30


def test_an_upload_ends_if_the_server_forgets_confirmed_bytes() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, headers={"Location": "/storage/v1/upload/resumable/abc"})
        return httpx.Response(
            204 if request.method == "PATCH" else 200, headers={"Upload-Offset": "0"}
        )

    with pytest.raises(errors.BackendError, match="does not keep"):
        scripted(Script(answer)).upload_resumable("u/a/f", Source(b"x").open_at, size=1)


def test_an_upload_with_progress_may_fail_any_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lora_tui.gateway.resumable.CHUNK", 10)
    stored = bytearray()
    patches: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, headers={"Location": "/storage/v1/upload/resumable/abc"})
        if request.method == "PATCH":
            patches.append(int(request.headers["Upload-Offset"]))
            if len(patches) % 2 == 0:
                return httpx.Response(503)
            stored.extend(request.content)
        return httpx.Response(200, headers={"Upload-Offset": str(len(stored))})

    content = bytes(range(200))
    scripted(Script(answer)).upload_resumable("u/a/f", Source(content).open_at, size=200)
    assert bytes(stored) == content


@pytest.mark.parametrize("size", [7, CHUNK + 1], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    ("limit", "named", "place"),
    [
        (5, "limit of the bucket lora-models, 5 bytes", "file_size_limit"),
        (1 << 40, "the project's global upload limit (that of the bucket", "Settings"),
        (None, "the project's global upload limit", "Settings"),
        ("hidden", "the project's global upload limit", "Settings"),
    ],
)
def test_a_file_that_is_too_large_names_the_limit_and_where_it_is_set(
    size: int, limit: object, named: str, place: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            if limit == "hidden":
                body = {"statusCode": "404", "error": "Bucket not found", "message": "no"}
                return httpx.Response(400, json=body)
            return httpx.Response(200, json={"id": "lora-models", "file_size_limit": limit})
        if "/upload/resumable" in request.url.path:
            return httpx.Response(
                413, text="Maximum size exceeded\n", headers={"Tus-Resumable": "1.0.0"}
            )
        body = {
            "statusCode": "413",
            "error": "Payload too large",
            "message": "The object exceeded the maximum allowed size",
            "code": "EntityTooLarge",
        }
        return httpx.Response(400, json=body)

    storage, source = scripted(Script(answer)), Source(bytes(size))
    store = {
        True: lambda: storage.upload_resumable("u/a/f", source.open_at, size=size),
        False: lambda: storage.upload("u/a/f", source.open_at(0), size=size),
    }[size > CHUNK]
    with pytest.raises(errors.TooLargeError) as caught:
        store()
    assert named in str(caught.value)
    assert place in str(caught.value.remedy)
