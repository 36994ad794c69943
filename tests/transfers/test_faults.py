"""Whatever goes wrong, a download ends as the right file or as a clear failure.

LORA_TUI_TEST_KILLS sets how often the campaign kills a download (12 by default; the longer one
that is run before a release has 50 or more).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.errors import BackendError, DiskError, IntegrityError, NotFoundError, UnreachableError
from lora_tui.transfers.part import part_of
from tests.transfers.child import Child
from tests.transfers.child import child as fork
from tests.transfers.conftest import MakeWorld
from tests.transfers.file_server import FileServer, World, leftovers, made_up

KILLS = int(os.environ.get("LORA_TUI_TEST_KILLS", "12"))


def test_a_range_that_was_not_requested_is_refused(world: World, server: FileServer) -> None:
    server.behaviour.shift = 1_000
    server.behaviour.drop = lambda: 900_000 if server.drops == 0 else None
    with pytest.raises(BackendError, match="different part"):
        world.download()
    assert not world.target.exists()


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_file_that_does_not_match_its_name_is_refused_without_a_checksum(
    server: FileServer, tmp_path: Path, name: str
) -> None:
    world = World(tmp_path / "world", server, name=name)
    with pytest.raises(IntegrityError):
        world.download()
    assert list(world.directory.iterdir()) == []


def test_a_connection_dropped_200_times_at_random_bytes(world: World, server: FileServer) -> None:
    chance = random.Random(3)
    server.behaviour.drop = lambda: chance.randrange(1, 18_000) if server.drops < 200 else None
    world.download()
    assert server.drops == 200
    assert world.target.read_bytes() == server.behaviour.content
    assert leftovers(world.directory) == []


def test_several_connections_that_drop_again_and_again(world: World, server: FileServer) -> None:
    chance = random.Random(4)
    server.behaviour.content = made_up(8_000_000)
    server.behaviour.rate = 2_000_000
    server.behaviour.drop = lambda: chance.randrange(50_000, 900_000) if server.drops < 40 else None
    world.download()
    assert server.drops > 5
    assert world.target.read_bytes() == server.behaviour.content


def child(
    world: World, *, limit: int = 0, cache: Path | None = None
) -> AbstractContextManager[Child]:
    """A download of this world's file in another process."""
    return fork(world.home, world.server.sign(), limit=limit, cache=cache or world.cache_path)


def test_killed_at_random_moments_it_goes_on_and_never_shows_a_wrong_file(
    make_world: MakeWorld, server: FileServer
) -> None:
    server.behaviour.content = made_up(2_000_000)
    server.behaviour.rate = 8_000_000
    known = make_world()
    unknown = make_world(sha256=None, size=None)
    chance = random.Random(5)
    finished = resumed = 0
    for number in range(KILLS):
        world = known if number % 2 else unknown
        before, requests = server.sent, len(server.requests)
        moment = chance.randrange(0, 2_600_000)
        late = chance.random() * 0.1 if moment > 2_000_000 else 0.0  # while it verifies, renames
        at, reached = before + min(moment, 2_000_000), threading.Event()
        # a busy machine kills late: by then nothing more has come
        server.behaviour.hold_at = None if late else at
        server.behaviour.on_sent = lambda sent, at=at, event=reached: (
            event.set() if sent >= at else None
        )
        with child(world) as process:
            while not reached.wait(0.002) and process.is_alive():
                pass
            threading.Event().wait(late)
            process.kill()
        resumed += any("If-Range" in request for request in server.requests[requests:])
        if world.target.exists():
            assert world.target.read_bytes() == server.behaviour.content
            world.target.unlink()
            finished += 1
    server.behaviour.on_sent = lambda _sent: None
    server.behaviour.hold_at = None
    with child(unknown) as process:
        assert process.answer()["done"]
    assert unknown.target.read_bytes() == server.behaviour.content
    assert leftovers(unknown.directory) == []
    assert resumed >= KILLS // 4
    assert finished < KILLS


@pytest.mark.parametrize("refusal", [400, 401, 403, 500])
def test_a_link_that_expires_midway_is_signed_again_and_the_file_resumed(
    world: World, server: FileServer, refusal: int
) -> None:
    server.behaviour.token_bytes, server.behaviour.refusal = 300_000, refusal
    world.download()
    assert world.target.read_bytes() == server.behaviour.content
    assert server.signed >= 7
    assert server.sent < 2 * len(server.behaviour.content)


def test_a_link_that_expires_with_several_connections_is_signed_again(
    world: World, server: FileServer
) -> None:
    server.behaviour.content = made_up(6_000_000)
    server.behaviour.rate = 1_500_000
    server.behaviour.token_bytes = 2_500_000
    world.download()
    assert server.most_open > 1
    assert server.signed >= 3
    assert world.target.read_bytes() == server.behaviour.content


def test_a_server_that_ignores_ranges_costs_time_but_no_bytes(
    world: World, server: FileServer
) -> None:
    server.behaviour.ignore_range = True
    server.behaviour.drop = lambda: (300_000 * (server.drops + 1)) if server.drops < 5 else None
    world.download()
    assert world.target.read_bytes() == server.behaviour.content


def test_a_server_that_ignores_ranges_gets_one_connection(world: World, server: FileServer) -> None:
    server.behaviour.content = made_up(5_000_000)
    server.behaviour.ignore_range = True
    server.behaviour.rate = 3_000_000
    world.download()
    assert len(server.requests) == 1
    assert world.target.read_bytes() == server.behaviour.content


@pytest.mark.parametrize("etag", ['"one"', None, 'W/"weak"'])
def test_a_file_that_changes_midway_is_never_mixed(
    world: World, server: FileServer, etag: str | None
) -> None:
    old, new = server.behaviour.content, made_up(1_800_000, seed=2)
    server.behaviour.etag = etag

    def change(sent: int) -> None:
        if sent > 700_000 and server.behaviour.content is old:
            server.behaviour.content = new
            server.behaviour.etag = '"two"' if etag == '"one"' else etag

    server.behaviour.on_sent = change
    server.behaviour.drop = lambda: 900_000 if server.drops < 1 else None
    world.download()
    assert world.target.read_bytes() == new


def test_a_file_that_changes_under_several_connections_is_never_mixed(
    world: World, server: FileServer
) -> None:
    old, new = made_up(10_000_000), made_up(10_000_000, seed=2)
    server.behaviour.content, server.behaviour.rate = old, 2_000_000

    def change(sent: int) -> None:
        if sent > 4_000_000 and server.behaviour.content is old:
            server.behaviour.content, server.behaviour.etag = new, '"two"'
            server.behaviour.rate = None

    server.behaviour.on_sent = change
    world.download()
    assert world.target.read_bytes() in (old, new)


def test_a_file_that_changed_between_two_runs_is_fetched_again(
    world: World, server: FileServer
) -> None:
    server.behaviour.drop = lambda: 500_000 if server.drops < 1 else 0
    with pytest.raises(UnreachableError):
        world.download()
    assert 0 < part_of(world.target).stat().st_size <= 500_000
    server.behaviour.content, server.behaviour.etag = made_up(1_000_000, seed=2), '"two"'
    server.behaviour.drop = lambda: None
    world.download()
    assert world.target.read_bytes() == server.behaviour.content


@pytest.mark.parametrize("difference", [-10, 10])
def test_a_length_that_is_not_the_manifests_is_refused(
    make_world: MakeWorld, server: FileServer, difference: int
) -> None:
    world = make_world()
    server.behaviour.content = made_up(2_000_000 + difference)
    with pytest.raises(IntegrityError, match="size"):
        world.download()
    assert not world.target.exists()


def test_a_server_that_announces_more_bytes_than_it_sends_is_given_up(
    world: World, server: FileServer
) -> None:
    server.behaviour.announced = 2_000_010
    with pytest.raises(UnreachableError):
        world.download()
    assert not world.target.exists()


def test_a_flipped_bit_is_refused_and_the_file_removed(
    make_world: MakeWorld, server: FileServer
) -> None:
    world = make_world()
    wrong = bytearray(server.behaviour.content)
    wrong[1_234_567] ^= 0x10
    right, server.behaviour.content = server.behaviour.content, bytes(wrong)
    with pytest.raises(IntegrityError, match="checksum"):
        world.download()
    assert not world.target.exists()
    assert leftovers(world.directory) == []
    server.behaviour.content = right
    world.download()
    assert world.target.read_bytes() == right


def test_a_bit_that_flips_on_the_disk_between_two_runs_is_found_and_fetched_again(
    make_world: MakeWorld, server: FileServer
) -> None:
    world = make_world()
    server.behaviour.drop = lambda: 500_000 if server.drops < 1 else 0
    with pytest.raises(UnreachableError):
        world.download()
    with part_of(world.target).open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))
    server.behaviour.drop = lambda: None
    world.download()
    assert world.target.read_bytes() == server.behaviour.content


def test_a_silent_connection_is_given_up_and_retried(world: World, server: FileServer) -> None:
    server.behaviour.stall_after = lambda: 100_000 if len(server.requests) < 3 else None
    world.download(stall_seconds=0.2)
    assert len(server.requests) >= 3
    assert world.target.read_bytes() == server.behaviour.content


@contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """A file system of 8 MB; False where this user may not mount one."""
    directory.mkdir(parents=True)
    mounted = (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", directory], check=True)


def test_a_disk_that_becomes_full_midway_is_explained_and_the_rest_fetched_later(
    world: World, server: FileServer
) -> None:
    with small_disk(world.directory) as mounted:
        if mounted:
            filler = world.directory / "filler"

            def fill(sent: int) -> None:
                if sent > 400_000 and not filler.exists():
                    with filler.open("wb") as file:
                        file.truncate(0)
                        try:
                            while True:
                                file.write(bytes(4096))
                                file.flush()
                        except OSError:
                            pass

            server.behaviour.on_sent, server.behaviour.rate = fill, 4_000_000
            with pytest.raises(DiskError, match="the disk is full"):
                world.download()
            server.behaviour.on_sent = lambda _sent: None
            assert not world.target.exists()
            filler.unlink()
        else:  # the same refusal by another limit
            with child(world, limit=1_000_000) as process:
                assert process.answer()["kind"] == "DiskError"
            assert not world.target.exists()
        world.download()
        assert world.target.read_bytes() == server.behaviour.content


def test_a_file_larger_than_the_user_may_write_is_explained(
    world: World, server: FileServer
) -> None:
    with child(world, limit=1_500_000) as process:
        answer = process.answer()
    assert answer["kind"] == "DiskError"
    assert "large" in str(answer["error"])
    assert not world.target.exists()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 1_500_000
    world.download()
    assert world.target.read_bytes() == server.behaviour.content


def test_a_download_without_enough_space_does_not_start(
    make_world: MakeWorld, server: FileServer
) -> None:
    world = make_world(size=1 << 60)
    with pytest.raises(DiskError, match="not enough space"):
        world.download()
    assert server.requests == []


DENIED = """
import os, sys
from pathlib import Path
from lora_tui.errors import DiskError
from lora_tui.transfers.part import open_part
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    with open_part(Path(sys.argv[1])):
        print("opened")
except DiskError as error:
    print(error)
"""


def test_a_directory_that_may_not_be_written_is_explained(tmp_path: Path) -> None:
    directory = tmp_path / "closed"
    directory.mkdir()
    directory.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", DENIED, directory / "file"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "The file can't be written: permission denied\n"


def test_two_processes_at_once_share_one_queue(world: World, server: FileServer) -> None:
    server.behaviour.rate = 2_000_000
    with child(world) as one, child(world) as two:
        answers = [one.answer(), two.answer()]
    assert [answer.get("done") for answer in answers] == [["weights.bin"]] * 2
    assert world.target.read_bytes() == server.behaviour.content
    # once; on a busy machine a piece that stalled is asked for again
    assert server.sent < 1.5 * len(server.behaviour.content)


def test_two_queues_never_write_the_same_file(
    world: World, server: FileServer, tmp_path: Path
) -> None:
    other = World(tmp_path / "other", server)
    server.behaviour.rate = 1_000_000
    with child(world) as one, child(world, cache=other.cache_path) as two:
        answers = [one.answer(), two.answer()]
    errors = [str(answer["error"]) for answer in answers if "error" in answer]
    assert len(errors) <= 1
    for error in errors:
        assert error.startswith(("Another lora-tui is downloading", "Another file of that name"))
    assert world.target.read_bytes() == server.behaviour.content


def test_a_file_that_is_gone_says_so(world: World) -> None:
    def sign(_path: str) -> str:
        raise NotFoundError("The file is missing from the bucket")

    with pytest.raises(NotFoundError):
        world.download(sign=sign)
    assert not world.directory.exists() or list(world.directory.iterdir()) == []


def test_an_empty_file_is_a_file(world: World, server: FileServer) -> None:
    server.behaviour.content = b""
    world.download()
    assert world.target.read_bytes() == b""


def test_the_checksum_in_the_record_is_that_of_the_bytes_on_the_disk(
    world: World, server: FileServer
) -> None:
    seen: list[Transfer] = []
    world.download(on_change=seen.append)
    record = json.loads((world.directory / "lora-tui.json").read_text())
    expected = hashlib.sha256(server.behaviour.content).hexdigest()
    assert record["files"]["weights.bin"]["sha256"] == expected
    assert seen[-1].state is TransferState.DONE
    assert seen[-1].sha256 == expected
