"""A large file is read by several connections, and is whole and of one version, or is refused."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from httpx_retries import Retry

from lora_tui.errors import IntegrityError
from lora_tui.harvest import download, range_readers
from lora_tui.harvest.failures import RefusedResultError
from lora_tui.harvest.source import SourceFiles
from lora_tui.harvest.spool import Contents, Spool
from tests.raw_server import RawServer, head, whole

MEGABYTE = 1 << 20
BODY = b"".join(number.to_bytes(8, "big") for number in range(MEGABYTE // 2))
ETAG = 'ETag: "one"'
WHOLE = Contents(len(BODY), hashlib.sha256(BODY).hexdigest())
Ranges = Callable[[int, int, int], list[bytes]]
"""Answers the request number n for a part (from 0 on): its start and its end."""


class Host:
    """A storage that sends the first answer haltingly until so many parts were requested."""

    def __init__(self, ranges: Ranges, parts: int) -> None:
        self.asked: list[tuple[int, int]] = []
        self._ranges = ranges
        self._parts = parts
        self._enough = threading.Event()
        self._lock = threading.Lock()

    def answer(self, request: str) -> Iterator[bytes]:
        span = re.search(r"(?im)^range: bytes=(\d+)-(\d*)", request)
        if span is None:
            yield head(ETAG, f"Content-Length: {len(BODY)}")
            yield BODY[: MEGABYTE // 2]
            self._enough.wait(20)
            yield BODY[MEGABYTE // 2 :]
            return
        assert re.search(r'(?im)^if-range: "one"', request)
        start, end = int(span[1]), int(span[2] or len(BODY) - 1) + 1
        with self._lock:
            number = len(self.asked)
            self.asked.append((start, end))
            if number + 1 >= self._parts:
                self._enough.set()
        yield from self._ranges(number, start, end)


def part(start: int, end: int, *, etag: str = ETAG, body: bytes = BODY) -> list[bytes]:
    span = f"Content-Range: bytes {start}-{end - 1}/{len(BODY)}"
    length = f"Content-Length: {end - start}"
    return [head(etag, span, length, status="206 Partial Content") + body[start:end]]


@pytest.fixture
def fetched(
    new_worker: Callable[[object], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Host], Contents]]:
    """What arrives of the file of such a host; failed attempts are repeated at once."""
    monkeypatch.setattr(Retry, "sleep", lambda _policy, _answer: None)
    monkeypatch.setattr(download, "LEAST_BYTES", MEGABYTE)
    monkeypatch.setattr(range_readers, "SMALLEST_PART", 256 << 10)
    monkeypatch.setattr(range_readers, "LISTEN_SECONDS", 0.0)
    monkeypatch.setattr(range_readers, "WAIT_SECONDS", 0.01)
    servers: list[RawServer] = []

    def fetch(host: Host) -> Contents:
        servers.append(RawServer(host.answer))
        files = {"w.bin": f"{servers[-1].url}/f"}
        worker = new_worker({"status": "COMPLETED", "output": {"model_files": files}})
        with Spool(tmp_path) as spool:
            SourceFiles(worker, "job", allow_private_urls=True).download("w.bin", spool)  # type: ignore[arg-type]
            contents = spool.wait_for_end()
            assert b"".join(spool.read_from(0)) == BODY
            return contents

    yield fetch
    for server in servers:
        server.close()


def test_parts_of_a_large_file_are_read_at_once_and_checked_in_order(
    fetched: Callable[[Host], Contents],
) -> None:
    host = Host(lambda _number, start, end: part(start, end), parts=4)
    assert fetched(host) == WHOLE
    assert len(host.asked) >= 4


def test_a_host_that_sends_the_whole_file_for_a_part_is_read_by_one_connection(
    fetched: Callable[[Host], Contents],
) -> None:
    host = Host(lambda _number, _start, _end: [whole(BODY, ETAG)], parts=1)
    assert fetched(host) == WHOLE


def test_a_part_of_another_version_is_never_mixed_in(fetched: Callable[[Host], Contents]) -> None:
    other = 'ETag: "two"'
    host = Host(lambda _number, start, end: part(start, end, etag=other), parts=1)
    with pytest.raises(IntegrityError, match="changed while"):
        fetched(host)


def test_a_host_that_limits_connections_gets_no_more_of_them(
    fetched: Callable[[Host], Contents],
) -> None:
    busy = whole(b"", status="503 Service Unavailable")
    host = Host(lambda number, start, end: [busy] if number == 1 else part(start, end), parts=2)
    assert fetched(host) == WHOLE


def test_a_part_that_breaks_off_is_read_by_another_connection(
    fetched: Callable[[Host], Contents],
) -> None:
    def broken(number: int, start: int, end: int) -> list[bytes]:
        answer = part(start, end)
        return [answer[0][:-1000]] if number == 0 else answer

    assert fetched(Host(broken, parts=1)) == WHOLE


def test_a_part_that_redirects_to_a_private_address_ends_the_download(
    fetched: Callable[[Host], Contents],
) -> None:
    away = head("Location: ftp://10.0.0.1/f", "Content-Length: 0", status="302 Found")
    with pytest.raises(RefusedResultError):
        fetched(Host(lambda _number, _start, _end: [away], parts=1))


def test_after_all_connections_broke_another_version_does_not_fill_the_gaps(
    fetched: Callable[[Host], Contents],
) -> None:
    """Parts lie in the spool beyond the first gap; the next attempt finds a new version."""
    known = 64 << 10
    other = BODY[:known] + BODY[known:][::-1]

    class Changed(Host):
        def answer(self, request: str) -> Iterator[bytes]:
            newer = re.search(r'(?is)range: bytes=(\d+)-(\d+).*if-range: "two"', request)
            if newer is not None:
                start, end = int(newer[1]), int(newer[2]) + 1
                yield from part(start, end, etag='ETag: "two"', body=other)
            elif re.search(r"(?im)^range: bytes=\d+-\r?$", request):
                yield whole(other, 'ETag: "two"')
            elif re.search(r"(?im)^range:", request):
                yield from super().answer(request)
            else:
                yield head(ETAG, f"Content-Length: {len(BODY)}") + BODY[:known]
                self._enough.wait(20)

    busy = whole(b"", status="503 Service Unavailable")
    host = Changed(lambda n, start, end: part(start, end) if n == 0 else [busy], parts=2)
    with pytest.raises(IntegrityError, match="changed while"):
        fetched(host)
