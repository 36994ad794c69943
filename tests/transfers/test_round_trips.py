"""Many small files do not cost a round trip each: one request for links, and few connections."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lora_tui.cache.transfer_queue import transfers_of
from lora_tui.errors import AuthenticationError, LoraTuiError, NotFoundError
from lora_tui.transfers.download import download
from lora_tui.transfers.kept_connections import KeptConnections
from lora_tui.transfers.links import Links
from lora_tui.transfers.remote_file import ConnectionScaling
from lora_tui.transfers.runner import Runner
from tests.transfers.file_server import FileServer, World
from tests.waiting import until

FILES = tuple(f"file_{number}.json" for number in range(12))


@pytest.fixture
def small(server: FileServer, tmp_path: Path) -> World:
    """A model of twelve small files."""
    server.behaviour.content = b'{"a": 1}'
    return World(tmp_path / "world", server, name=FILES[0], more=FILES[1:])


def test_all_small_files_of_a_model_are_asked_for_at_once_with_links_of_one_request(
    small: World, server: FileServer
) -> None:
    server.behaviour.hold_at = 0
    host = f"http://127.0.0.1:{server.port}"
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(small.download, sign_many=server.sign_many, host=host)
        try:
            until(lambda: server.open_now == len(FILES))
        finally:
            server.behaviour.hold_at = None
        assert set(outcome.result().done) == set(FILES)
    assert server.signed == 1
    assert len(server.requests) == len(FILES)
    assert len({request["path"] for request in server.requests}) == len(FILES)


def test_links_are_asked_for_before_the_files_are_queued(small: World, server: FileServer) -> None:
    asked, queued = threading.Event(), []

    def sign_many(paths: Sequence[str]) -> dict[str, str]:
        asked.set()
        return server.sign_many(paths)

    class Slow(Runner):
        def start(self, ids: Collection[int] | None = None) -> None:
            queued.append(asked.wait(10))
            super().start(ids)

    runner = Slow(small.cache_path, small.tools(sign_many=sign_many))
    try:
        assert set(download(runner, small.model(), small.directory).done) == set(FILES)
    finally:
        runner.close()
    assert queued == [True]
    assert server.signed == 1


def test_files_that_come_one_after_the_other_share_a_connection(
    small: World, server: FileServer
) -> None:
    small.download(files_at_once=1)
    assert len(server.requests) == len(FILES)
    assert server.connections == 1


def test_files_that_are_here_already_need_no_link(small: World, server: FileServer) -> None:
    small.download(etag_of=lambda _path: '"one"')
    signed = server.signed
    small.download(etag_of=lambda _path: '"one"', sign_many=server.sign_many)
    assert server.signed == signed


def test_a_connection_that_the_server_has_closed_meanwhile_costs_no_file(
    small: World, server: FileServer
) -> None:
    server.behaviour.close_after = True
    assert len(small.download(files_at_once=1).done) == len(FILES)
    with small.cache() as db:
        assert sum(row.attempts for row in transfers_of(db, small.model_id)) == 0


def test_bytes_that_nobody_asked_for_are_not_taken_for_the_next_file(
    small: World, server: FileServer
) -> None:
    server.behaviour.trailing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    small.download(files_at_once=1)
    assert {(small.directory / name).read_bytes() for name in FILES} == {b'{"a": 1}'}


def test_small_files_do_not_wait_for_the_large_ones_before_them(
    server: FileServer, tmp_path: Path
) -> None:
    large = [f"large_{number}.safetensors" for number in range(4)]
    world = World(tmp_path / "world", server, name=large[0], more=[*large[1:], *FILES])
    server.behaviour.hold_at = 0
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(world.download, files_at_once=2, sign_many=server.sign_many)
        try:
            until(lambda: server.open_now == 8)
            asked = [request["path"] for request in server.requests]
            assert sum("large" in path for path in asked) == 2
        finally:
            server.behaviour.content = b'{"a": 1}'
            server.behaviour.hold_at = None
            with pytest.raises(LoraTuiError):  # the large ones are no weights
                outcome.result()


class Signer:
    """What `Links` asks; it counts."""

    def __init__(self, answers: Mapping[str, str | LoraTuiError] | LoraTuiError) -> None:
        self.answers = answers
        self.many: list[Sequence[str]] = []
        self.alone: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def sign(self, path: str) -> str:
        self.alone.append(path)
        return f"alone {path}"

    def sign_many(self, paths: Sequence[str]) -> Mapping[str, str | LoraTuiError]:
        self.many.append(paths)
        assert self.may_answer.wait(10)
        if isinstance(self.answers, LoraTuiError):
            raise self.answers
        return self.answers


def links_of(signer: Signer, now: float = 0.0) -> Links:
    return Links(signer.sign, signer.sign_many, now=lambda: now)


def test_a_link_that_one_request_for_all_lacks_is_made_alone() -> None:
    signer = Signer({"a": "link a", "b": NotFoundError("none")})
    links = links_of(signer)
    links.request("a", lambda: ["b", "c"])
    assert [links.get(path) for path in "abc"] == ["link a", "alone b", "alone c"]
    assert len(signer.many) == 1


def test_files_that_wait_for_the_same_request_make_no_other() -> None:
    signer = Signer({"a": "link a", "b": "link b"})
    signer.may_answer.clear()
    links = links_of(signer)
    links.request("a", lambda: ["a", "b"])
    links.request("b", lambda: ["a", "b"])
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(links.get, path) for path in "ab"]
        signer.may_answer.set()
        assert [one.result() for one in found] == ["link a", "link b"]
    assert signer.many == [["a", "b"]]
    assert signer.alone == []


def test_a_request_that_fails_is_the_error_of_its_files_and_is_made_again_later() -> None:
    signer = Signer(AuthenticationError("signed out"))
    links = links_of(signer)
    links.request("a", lambda: ["b"])
    with pytest.raises(AuthenticationError):
        links.get("a")
    signer.answers = {"b": "link b"}
    links.request("b", lambda: [])
    assert links.get("b") == "link b"


def test_a_refused_link_and_one_that_is_about_to_expire_are_replaced() -> None:
    signer = Signer({"a": "link a", "b": "link b"})
    moment = [0.0]
    links = Links(signer.sign, signer.sign_many, now=lambda: moment[0])
    links.request("a", lambda: ["b"])
    assert links.get("a") == "link a"
    links.discard("a")
    assert links.get("a") == "alone a"
    moment[0] = 3500.0
    signer.answers = {"b": "newer b"}
    links.request("b", lambda: [])
    assert links.get("b") == "newer b"


def test_connections_that_a_large_file_will_probably_use_are_made_ahead() -> None:
    scaling = ConnectionScaling(8)
    scaling.observe(0.0, 0, 500_000_000, 0)
    scaling.observe(0.1, 1_000_000, 499_000_000, 1)
    assert not scaling.expects_more
    assert scaling.observe(0.2, 2_000_000, 498_000_000, 1) == 1
    assert scaling.expects_more


def test_a_connection_that_was_made_ahead_is_used_and_the_rest_is_closed(
    server: FileServer,
) -> None:
    kept = KeptConnections(stall_seconds=5)
    kept.open_ahead(f"http://127.0.0.1:{server.port}", 2)
    until(lambda: server.connections == 2)
    until(lambda: kept.count == 2)
    connection = kept.take()
    with connection.request(server.sign(), 0, None, None) as response:
        assert response.has_length
    kept.close()
    assert kept.count == 0
    assert server.connections == 2
