"""What lies beside a download already: left by an earlier one, by another program, or put there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_tui.errors import DiskError, LoraTuiError
from lora_tui.transfers.model_directory import claim_directory
from lora_tui.transfers.part import part_of
from tests.raw_server import RawServer, head, whole
from tests.transfers.conftest import MakeWorld
from tests.transfers.file_server import FileServer, World, leftovers, made_up

BODY = b"0123456789" * 100
PART = "206 Partial Content"


def leave(world: World, content: bytes, note: dict[str, Any] | str | bytes | None) -> None:
    """What a process that was killed left of the file."""
    claim_directory_of(world)
    part_of(world.target).write_bytes(content)
    if isinstance(note, dict):
        note = json.dumps(note)
    if note is not None:
        data = note if isinstance(note, bytes) else note.encode()
        transfer_note(world).write_bytes(data)


def claim_directory_of(world: World) -> None:
    world.directory.mkdir(parents=True, exist_ok=True)
    claim_directory(world.directory, world.model())


def transfer_note(world: World) -> Path:
    return world.target.with_name(f"{world.name}.part.json")


@pytest.mark.parametrize("known", [False, True])
def test_complete_bytes_of_an_older_object_are_fetched_again(
    make_world: MakeWorld, server: FileServer, known: bool
) -> None:
    world = make_world() if known else make_world(sha256=None, size=None)
    old = made_up(len(server.behaviour.content), seed=2)
    leave(world, old, {"etag": '"zero"', "total": len(old), "missing": []})
    assert world.download().done == (world.name,)
    assert world.target.read_bytes() == server.behaviour.content


def test_bytes_that_were_all_there_are_not_fetched_again_where_the_object_is_the_same(
    world: World, server: FileServer
) -> None:
    content = server.behaviour.content
    leave(world, content, {"etag": '"one"', "total": len(content), "missing": []})
    world.download()
    assert world.target.read_bytes() == content
    assert server.sent == 1


def test_a_note_of_an_empty_file_does_not_complete_it(world: World, server: FileServer) -> None:
    leave(world, b"", {"etag": '"one"', "total": 0, "missing": []})
    world.download()
    assert world.target.read_bytes() == server.behaviour.content


@pytest.mark.parametrize(
    "note",
    [
        {"etag": '"a\r\nX-Evil: 1"', "total": 1000, "missing": [[5, 1000]]},
        {"etag": '"\ud800"', "total": 1000, "missing": [[5, 1000]]},
        {"etag": '"\x00"', "total": 1000, "missing": [[5, 1000]]},
        {"etag": '"a"', "total": -5, "missing": []},
        {"etag": '"a"', "total": 10**30, "missing": [[0, 10**30]]},
        {"etag": '"a"', "total": True, "missing": []},
        '{"etag": "\\"a\\"", "total": Infinity, "missing": [[0, Infinity]]}',
        b"\xff\xfe\x00",
    ],
    ids=range(8),
)
def test_a_damaged_note_is_ignored(world: World, server: FileServer, note: Any) -> None:
    leave(world, b"begun", note)
    world.download()
    assert world.target.read_bytes() == server.behaviour.content
    assert not leftovers(world.directory)


@pytest.mark.parametrize(
    "own",
    [
        {"weights.bin.part": b"my thesis"},
        {"weights.bin.part.json": b"{}"},
        {"weights.bin.part": b"my thesis", "weights.bin.part.json": b"[1]"},
        {"weights.bin.part": b"", "weights.bin.part.json": b"mine"},
    ],
    ids=range(4),
)
def test_a_file_of_another_program_is_replaced_only_with_force(
    world: World, own: dict[str, bytes]
) -> None:
    world.directory.mkdir(parents=True)
    for name, content in own.items():
        (world.directory / name).write_bytes(content)
    with pytest.raises(DiskError, match="Another program's file"):
        world.download()
    assert {p.name: p.read_bytes() for p in world.directory.iterdir()} == own
    assert world.download(force=True).done == (world.name,)


@pytest.mark.parametrize("how", ["link", "file", "gone"])
def test_a_file_that_replaces_the_partial_file_does_not_get_the_final_name(
    make_world: MakeWorld, server: FileServer, tmp_path: Path, how: str
) -> None:
    world = make_world()
    outside = tmp_path / "outside"
    outside.write_bytes(server.behaviour.content)

    def swap(_sent: int) -> None:
        server.behaviour.on_sent = lambda _: None
        part = part_of(world.target)
        part.unlink()
        if how == "link":
            part.symlink_to(outside)
        elif how == "file":
            part.write_bytes(b"mine")

    server.behaviour.on_sent = swap
    with pytest.raises(DiskError, match="replaced or removed"):
        world.download()
    assert not os.path.lexists(world.target)
    assert outside.read_bytes() == server.behaviour.content
    if how == "file":
        assert part_of(world.target).read_bytes() == b"mine"


def test_nothing_is_written_through_a_link_that_replaces_the_directory(
    world: World, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.transfers.fetch_bytes.NOTE_SECONDS", 0.0)
    outside = tmp_path / "outside"
    outside.mkdir()

    def swap(_sent: int) -> None:
        server.behaviour.on_sent = lambda _: None
        world.directory.rename(tmp_path / "moved")
        world.directory.symlink_to(outside)

    server.behaviour.on_sent = swap
    with pytest.raises(DiskError, match="directory was replaced"):
        world.download()
    assert list(outside.iterdir()) == []


Serve = Callable[..., World]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A world whose file lies on a server that answers like this."""
    servers: list[RawServer] = []

    def start(answer: Callable[[str], bytes], **facts: Any) -> World:
        servers.append(RawServer(lambda request: [answer(request)]))
        return World(tmp_path / "world", servers[-1], **facts)  # type: ignore[arg-type]

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("sent", [100, 500])
def test_a_range_of_a_file_of_unknown_length_is_not_the_file(
    serve: Serve, sent: int, length: bool
) -> None:
    told = ("Content-Range: bytes 0-499/*", *(["Content-Length: 500"] if length else []))
    world = serve(lambda _: head(*told, status=PART) + BODY[:sent])
    with pytest.raises(LoraTuiError):
        world.download(delay=lambda _attempt, _after: None)
    assert not world.target.exists()


def test_the_length_is_taken_from_the_whole_file_if_a_range_does_not_tell_it(serve: Serve) -> None:
    def answer(request: str) -> bytes:
        if "range:" in request.lower():
            return whole(BODY[:500], "Content-Range: bytes 0-499/*", status=PART)
        return whole(BODY)

    world = serve(answer)
    world.download()
    assert world.target.read_bytes() == BODY


def test_ranges_need_no_length_if_the_manifest_tells_it(serve: Serve) -> None:
    def answer(request: str) -> bytes:
        span = request.lower().partition("range: bytes=")[2].split("\r\n")[0].split("-")
        start = int(span[0] or 0)
        end = min(start + 300, len(BODY))
        told = (f"Content-Range: bytes {start}-{end - 1}/*", 'ETag: "a"')
        return whole(BODY[start:end], *told, status=PART)

    world = serve(answer, size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())
    world.download()
    assert world.target.read_bytes() == BODY
