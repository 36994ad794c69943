"""Where a job's files come from: redirects, TLS, proxies, slow and overloaded storage, restarts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from httpx_retries import Retry

from lora_tui.config.paths import Paths
from lora_tui.errors import BackendError, DiskError, LoraTuiError
from lora_tui.gateway import limits
from lora_tui.gateway.resumable import CHUNK
from lora_tui.gateway.storage import Storage
from lora_tui.harvest import download as download_module
from lora_tui.harvest.artifact_rows import StoredFile, artifact_id_of
from lora_tui.harvest.events import Event, FileStored
from lora_tui.harvest.failures import RefusedResultError, SourceUnreachableError
from lora_tui.harvest.receipts import Receipts
from lora_tui.harvest.source import SourceFiles
from lora_tui.harvest.spool import Contents, Spool, SpoolClosedError
from lora_tui.harvest.store import store_file
from tests.certificates import server_side
from tests.harvest.mortal import CrashError
from tests.harvest.world import World
from tests.raw_server import Answer as RawAnswer
from tests.raw_server import RawServer, chunked, for_ever, head, whole

BODY = b"weights" * 10_000
CHUNKED = "Transfer-Encoding: chunked"
Answer = Callable[[BaseHTTPRequestHandler], None]
NewWorker = Callable[[Any], Any]


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on loopback that answers every GET, and every CONNECT, like this; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_CONNECT = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes = BODY, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def redirect(handler: BaseHTTPRequestHandler, target: str) -> None:
    handler.send_response(302)
    handler.send_header("Location", target)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def fetch(url: str, new_worker: NewWorker, directory: Path) -> Contents:
    worker = new_worker({"status": "COMPLETED", "output": {"model_files": {"weights.bin": url}}})
    files = SourceFiles(worker, "job", allow_private_urls=True)
    with Spool(directory) as spool:
        files.download("weights.bin", spool)
        return spool.wait_for_end()


RawWorker = Callable[[RawAnswer], Contents]


@pytest.fixture
def raw_worker(
    new_worker: NewWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RawWorker]:
    """Fetches a file whose host answers like this; a failed attempt is repeated at once."""
    monkeypatch.setattr(Retry, "sleep", lambda _policy, _answer: None)
    servers: list[RawServer] = []

    def fetched(answer: RawAnswer) -> Contents:
        servers.append(RawServer(answer))
        return fetch(f"{servers[-1].url}/f", new_worker, tmp_path)

    yield fetched
    for server in servers:
        server.close()


def is_whole(contents: Contents) -> bool:
    return contents == Contents(len(BODY), hashlib.sha256(BODY).hexdigest())


def test_a_redirect_is_followed_and_no_key_of_ours_goes_along(
    new_worker: NewWorker, tmp_path: Path
) -> None:
    asked: list[dict[str, str]] = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        asked.append({name.lower(): value for name, value in handler.headers.items()})
        send(handler)

    with (
        serving(note) as there,
        serving(lambda h: redirect(h, f"http://127.0.0.1:{there}/f?key=1")) as here,
    ):
        assert is_whole(fetch(f"http://127.0.0.1:{here}/f", new_worker, tmp_path))
    assert "authorization" not in asked[0]
    assert "apikey" not in asked[0]


def test_redirects_in_circles_come_to_an_end(new_worker: NewWorker, tmp_path: Path) -> None:
    asked: list[str] = []

    def again(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        redirect(handler, "/f")

    with serving(again) as port, pytest.raises(RefusedResultError):
        fetch(f"http://127.0.0.1:{port}/f", new_worker, tmp_path)
    assert len(asked) <= 5


def test_a_redirect_into_our_own_network_is_refused(
    new_worker: NewWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address passes for a public one; where it leads to does not."""
    asked: list[str] = []

    def secret(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler)

    with ExitStack() as stack:
        inside = stack.enter_context(serving(secret))
        outside = stack.enter_context(
            serving(lambda h: redirect(h, f"http://127.0.0.1:{inside}/meta-data"))
        )
        # `localhost` stands for a host out there: the first answer leads from it to a number
        monkeypatch.setattr(
            "lora_tui.harvest.source_connection.resolve",
            lambda host, _port: ["127.0.0.2"] if host == "files.example" else [host],
        )
        monkeypatch.setattr(
            "lora_tui.harvest.source_connection.is_public", lambda text: text == "127.0.0.2"
        )
        monkeypatch.setattr(
            "lora_tui.gateway.limits.socket.create_connection",
            lambda address, timeout: _connected("127.0.0.1", address[1], timeout),
        )
        url = f"http://files.example:{outside}/f"
        worker = new_worker({"status": "COMPLETED", "output": {"model_files": {"w.bin": url}}})
        files = SourceFiles(worker, "job", allow_private_urls=False)
        with Spool(tmp_path) as spool, pytest.raises(RefusedResultError, match="private"):
            files.download("w.bin", spool)
    assert asked == []


def _connected(host: str, port: int, timeout: float) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(timeout)
    connection.connect((host, port))
    return connection


def test_files_come_over_tls_and_only_from_a_host_that_proves_itself(
    new_worker: NewWorker,
    tmp_path: Path,
    certificate: Path,
    trust: Callable[[Path], None],
) -> None:
    with serving(send, server_side(certificate)) as port:
        with pytest.raises(SourceUnreachableError):
            fetch(f"https://localhost:{port}/f", new_worker, tmp_path)
        trust(certificate)
        assert is_whole(fetch(f"https://localhost:{port}/f", new_worker, tmp_path))
        with pytest.raises(SourceUnreachableError):
            fetch(f"https://127.0.0.1:{port}/f", new_worker, tmp_path)


def test_a_redirect_from_https_to_http_is_refused(
    new_worker: NewWorker, tmp_path: Path, certificate: Path, trust: Callable[[Path], None]
) -> None:
    trust(certificate)
    with (
        serving(send) as plain,
        serving(
            lambda h: redirect(h, f"http://127.0.0.1:{plain}/f"), server_side(certificate)
        ) as port,
        pytest.raises(RefusedResultError, match="unencrypted"),
    ):
        fetch(f"https://localhost:{port}/f", new_worker, tmp_path)


def test_the_pause_that_an_overloaded_host_asks_for_is_made(
    new_worker: NewWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[Any] = []
    monkeypatch.setattr(Retry, "sleep", lambda _policy, answer: paused.append(answer))

    def busy_once(handler: BaseHTTPRequestHandler) -> None:
        if paused:
            send(handler)
            return
        handler.send_response(429)
        handler.send_header("Retry-After", "7")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with serving(busy_once) as port:
        assert is_whole(fetch(f"http://127.0.0.1:{port}/f", new_worker, tmp_path))
    assert [answer.headers["Retry-After"] for answer in paused] == ["7"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (head(CHUNKED) + chunked(BODY)[:-2], SourceUnreachableError),
        (head(CHUNKED) + chunked(BODY)[:-5], SourceUnreachableError),
        (head(CHUNKED) + b"7\r\nweights\r\n0", SourceUnreachableError),
        (head(CHUNKED) + chunked(BODY)[:100], SourceUnreachableError),
        (head(CHUNKED) + b"7\r\nweights\r\n-7\r\n", SourceUnreachableError),
        (head("Content-Length: 9") + b"weights", SourceUnreachableError),
        (head("Content-Length: 9", "Content-Length: 7") + b"weights", BackendError),
        (head("Transfer-Encoding: gzip, chunked") + chunked(BODY), BackendError),
        (head() + b"weights", BackendError),
        (whole(BODY, "Content-Encoding: gzip"), BackendError),
        (whole(BODY, "Content-Encoding: br"), BackendError),
    ],
    ids=range(11),
)
def test_a_file_without_a_certain_end_is_never_taken_for_whole(
    raw_worker: RawWorker, answer: bytes, error: type[LoraTuiError]
) -> None:
    with pytest.raises(error):
        raw_worker(lambda _: [answer])


@pytest.mark.parametrize(
    "flood",
    [
        (b"", head(status="100 Continue")),
        (b"", head(status="103 Early Hints")),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 100),
        (head(CHUNKED) + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["continue", "hints", "lines", "line", "trailers"],
)
def test_a_head_without_end_is_given_up(raw_worker: RawWorker, flood: tuple[bytes, bytes]) -> None:
    def answer(_request: str) -> Iterator[bytes]:
        yield flood[0]
        yield from for_ever(flood[1] * 100)

    with pytest.raises(SourceUnreachableError):
        raw_worker(answer)


def test_endless_chunks_stop_at_the_limit_of_the_bucket(
    raw_worker: RawWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "MOST_BYTES", 1_000_000)

    def answer(_request: str) -> Iterator[bytes]:
        yield head(CHUNKED)
        yield from for_ever(chunked(BODY)[:-5])

    with pytest.raises(RefusedResultError, match="larger than the bucket takes"):
        raw_worker(answer)


def test_a_trickle_is_given_up(raw_worker: RawWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLOW_SECONDS", 0.05)
    pause = threading.Event()

    def answer(_request: str) -> Iterator[bytes]:
        yield head("Content-Length: 1000000")
        for byte in for_ever(b"x"):
            pause.wait(0.01)
            yield byte

    with pytest.raises(SourceUnreachableError, match="almost nothing"):
        raw_worker(answer)


def test_a_pause_of_a_year_is_not_made_but_told(raw_worker: RawWorker) -> None:
    for year in ("31536000", "Sat, 27 Nov 2150 10:00:00 GMT"):
        busy = whole(b"", f"Retry-After: {year}", status="503 Service Unavailable")
        with pytest.raises(SourceUnreachableError) as caught:
            raw_worker(lambda _, busy=busy: [busy])
        assert re.search(r"asks to wait [\d,]+ days, which is too long", str(caught.value.details))


def test_the_proxy_of_the_environment_is_used_with_its_password(
    new_worker: NewWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def proxy(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.path, handler.headers.get("Proxy-Authorization", "")))
        send(handler)

    with serving(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://me:pass@127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert is_whole(fetch("http://files.invalid/f?key=1", new_worker, tmp_path))
    assert asked == [("http://files.invalid/f?key=1", "Basic bWU6cGFzcw==")]


def test_https_goes_through_the_proxy_as_a_tunnel(
    new_worker: NewWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(handler: BaseHTTPRequestHandler) -> None:
        asked.append(f"{handler.command} {handler.path}")
        send(handler, b"", 407)

    with serving(refuse) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(SourceUnreachableError):
            fetch("https://files.invalid/f?key=1", new_worker, tmp_path)
    assert set(asked) == {"CONNECT files.invalid:443"}


class Dying(Storage):
    """Dies when the first piece is stored."""

    def upload_resumable(self, *arguments: Any, **options: Any) -> None:
        def progress(offset: int) -> None:
            if offset:
                raise CrashError

        super().upload_resumable(*arguments, **options, on_progress=progress)


def test_a_large_upload_goes_on_after_a_restart_where_it_was(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    # the older of the two jobs has the file that goes in pieces
    world = new_world(waiting_jobs=2, migrated=False)
    world.sandbox.faults(standard_upload_limit=CHUNK)
    first = world.jobs()[0]
    harvester = world.harvester()
    storage = copy(harvester.storage)
    storage.__class__ = Dying
    with pytest.raises(CrashError):
        world.run(replace(harvester, storage=storage))
    world.sandbox.forget_requests()

    # a second harvester leaves the upload alone while the first one may be at it
    assert (
        Receipts(harvester.spool_dir, artifact_id_of(first["id"]), "h/1/x").upload_of(
            *noted_upload(harvester.spool_dir, first["id"])
        )
        is None
    )
    # and goes on with it once that one is dead
    monkeypatch.setattr("lora_tui.harvest.receipts.is_alive", lambda *_: False)
    assert world.run(limit=1)[0].harvested == 1

    assert world.artifacts().keys() == {first["id"]}
    assert world.requested("POST", "/storage/v1/upload/resumable") == []
    sent = sum(entry["received"] for entry in world.requested("PATCH", "/storage/v1/upload"))
    sizes = world.artifacts()[first["id"]]["configuration"]["files"]
    assert sent == sizes["adapter_model.safetensors"]["size"] - CHUNK
    world.run()
    world.check_complete()


def test_another_machine_finishes_what_one_left_between_a_large_file_and_the_model(
    new_world: Callable[..., World], tmp_path: Path
) -> None:
    """It has no receipts, so it replaces what is there; the model has one copy of each file."""
    world = new_world(waiting_jobs=2)
    first = world.jobs()[0]

    def dies(event: Event) -> None:
        if isinstance(event, FileStored) and event.size > CHUNK:
            raise CrashError

    with pytest.raises(CrashError):
        world.run(emit=dies)
    assert any(path.endswith("adapter_model.safetensors") for path in world.objects())
    assert world.artifacts() == {}
    another = Paths(
        config_file=tmp_path / "config.toml",
        cache_dir=tmp_path / "cache",
        state_dir=tmp_path / "state",
        home=tmp_path,
    )
    result, events = world.run(world.harvester(paths=another), limit=1)
    assert result.harvested == 1, events
    assert world.artifacts().keys() == {first["id"]}
    world.run()
    world.check_complete()


def noted_upload(directory: Path, job_id: str) -> tuple[str, int, str]:
    entries = json.loads((directory / f"{artifact_id_of(job_id)}.json").read_text())
    name, entry = next((name, entry) for name, entry in entries.items() if "upload" in entry)
    return name, entry["size"], entry["version"]


def test_a_file_that_is_stored_and_unchanged_at_its_source_is_not_read_again(world: World) -> None:
    harvester = world.harvester()
    receipts = Receipts(harvester.spool_dir, artifact_id_of("a job"), harvester.holder)

    def store(fill: Callable[[Spool], None]) -> StoredFile:
        return store_file(
            harvester.sender,
            "merges.txt",
            "user/model/merges.txt",
            fill,
            spool_dir=harvester.spool_dir,
            receipts=receipts,
        )

    def send(spool: Spool, version: str = '"one"') -> None:
        spool.announce(len(BODY), version)
        spool.append(memoryview(BODY))
        spool.finish()

    gave_up = threading.Event()

    def send_slowly(spool: Spool) -> None:
        spool.announce(len(BODY), '"one"')
        for _ in range(5_000):  # until nobody reads any more
            try:
                spool.append(memoryview(b""))
            except SpoolClosedError:
                gave_up.set()
                raise
            threading.Event().wait(0.02)
        spool.append(memoryview(BODY))
        spool.finish()

    first = store(send)
    assert (first.sent, first.sha256) == (True, hashlib.sha256(BODY).hexdigest())
    assert store(send_slowly) == replace(first, sent=False)
    assert gave_up.is_set()

    # under another name it is read, and found to be the same
    assert store(lambda spool: send(spool, '"two"')) == replace(first, sent=False)


@pytest.mark.parametrize("coding", ["aws-chunked", "AWS-Chunked", "aws-chunked, identity"])
def test_aws_chunked_counts_as_no_encoding(raw_worker: RawWorker, coding: str) -> None:
    """Storages keep `aws-chunked` as metadata and say it of the plain bytes."""
    assert is_whole(raw_worker(lambda _: [whole(BODY, f"Content-Encoding: {coding}")]))


def test_a_compression_beside_how_it_was_sent_is_one(raw_worker: RawWorker) -> None:
    with pytest.raises(BackendError):
        raw_worker(lambda _: [whole(BODY, "Content-Encoding: aws-chunked,gzip")])


def test_a_file_of_unknown_length_leaves_the_margin_of_the_disk_free(
    raw_worker: RawWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    def nearly_full(place: str | int) -> os.statvfs_result:
        usage = list(real(place))
        usage[0] = usage[1] = 1
        usage[4] = 64 << 20
        return os.statvfs_result(usage)

    monkeypatch.setattr(os, "statvfs", nearly_full)
    with pytest.raises(DiskError, match="not enough space") as caught:
        raw_worker(lambda _: [head(CHUNKED) + chunked(BODY)])
    assert "stays free" in str(caught.value.details)
