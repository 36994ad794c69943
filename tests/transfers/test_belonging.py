"""What lies in a directory belongs to one model in one version, or it is not "already here"."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lora_tui.cache import transfer_queue as queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import transaction
from lora_tui.cache.downloaded import downloaded_to
from lora_tui.cache.transfer_queue import Checked, TransferState
from lora_tui.errors import DiskError, IntegrityError, InUseError, LoraTuiError
from lora_tui.filenames import same_file_key
from lora_tui.library.contents import FileState, examine
from lora_tui.locks.presence import Presence
from lora_tui.processes import LockHolder
from lora_tui.sandbox import Sandbox
from lora_tui.transfers.download import plan_files
from lora_tui.transfers.model_directory import model_directory, read_record, record_file
from lora_tui.transfers.part import part_of
from lora_tui.transfers.runner import Runner
from tests.conftest import Run
from tests.transfers.conftest import MakeWorld
from tests.transfers.file_server import MODEL, FileServer, World, made_up
from tests.tui.library import set_transfer

OTHER = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
def other(world: World, server: FileServer) -> World:
    """Another model, with a file of the same name, to be put into the same directory."""
    return World(world.home.parent / "other", server, model_id=OTHER, place=world.directory)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("manifest", [True, False])
def test_two_models_in_one_directory_are_never_taken_for_each_other(
    world: World, server: FileServer, manifest: bool
) -> None:
    first, second = server.behaviour.content, made_up(2_000_000, seed=2)
    world.download()
    facts = {"sha256": sha256(second), "size": len(second)} if manifest else {}
    other = World(
        world.home.parent / "other", server, model_id=OTHER, place=world.directory, **facts
    )
    server.behaviour.content, server.behaviour.etag = second, '"two"'
    with pytest.raises(DiskError, match="another model"):
        other.download()
    assert world.target.read_bytes() == first
    assert world.download().done == (world.name,), "the first one's is still known for its own"
    outcome = other.download(force=True)
    assert world.target.read_bytes() == second
    assert outcome.done == (world.name,)
    assert json.loads((world.directory / "lora-tui.json").read_text())["id"] == OTHER
    with pytest.raises(DiskError, match="another model"):
        world.download()


def test_two_models_of_one_cache_and_one_directory(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    models = run("list", "--json", "--sort", "quality").data["models"]
    a, b = [model for model in models if len(model["artifacts"]) == 6][:2]
    to = ("adapter_config.json", "--to", str(tmp_path / "x"))
    assert run("download", a["id"], *to).code == 0
    before = (tmp_path / "x" / "adapter_config.json").read_bytes()
    ran = run("download", b["id"], *to, "--json")
    assert ran.code == 1
    assert a["name"] in ran.error["details"]
    assert "--to" in ran.error["details"]
    assert (tmp_path / "x" / "adapter_config.json").read_bytes() == before
    assert run("download", b["id"], *to, "--force", "--json").data["checked"] == {
        "adapter_config.json": "etag-md5"
    }
    (listed,) = run("library", "--json").data["adapters"]
    assert listed["model_id"] == b["id"]
    assert run("list", "--downloaded", "--json").data["models"] == []
    adapter = run("verify", str(tmp_path / "x"), "--json").data["adapters"][0]
    assert adapter["model_id"] == b["id"]


def test_a_forced_download_that_fails_leaves_the_other_model_as_it_was(
    world: World, other: World, server: FileServer
) -> None:
    world.download()
    server.behaviour.content = b"<!DOCTYPE html><html>Bad gateway</html>"
    with pytest.raises(IntegrityError):
        other.download(force=True)
    assert {file.state for file in examine(world.directory, thorough=True).files} == {FileState.OK}
    assert world.download().done == (world.name,)


def test_a_download_does_not_reclaim_a_directory_that_another_model_claimed(
    world: World, other: World, server: FileServer
) -> None:
    taken = []

    def take_over(sent: int) -> None:
        if not taken and sent > 500_000:
            taken.append(sent)
            facts: dict[str, Any] = {"sha256": "0", "size": 1, "remote_name": "y", "etag": None}
            checked = Checked.LENGTH
            (world.directory / "y").touch()
            record_file(world.directory, other.model(), "y", checked=checked, force=True, **facts)

    server.behaviour.on_sent = take_over
    with pytest.raises(DiskError, match="another model"):
        world.download()
    assert not world.target.exists()
    assert read_record(world.directory)["id"] == OTHER


def test_a_file_of_another_model_is_replaced_only_with_force(world: World) -> None:
    world.directory.mkdir(parents=True)
    world.target.write_bytes(b"mine")
    with pytest.raises(DiskError, match="Another file of that name"):
        world.download()
    assert world.target.read_bytes() == b"mine"
    assert [path.name for path in world.directory.iterdir()] == [world.name]
    world.download(force=True)
    assert world.target.read_bytes() == world.server.behaviour.content


def test_a_record_of_another_program_is_not_replaced(world: World) -> None:
    world.directory.mkdir(parents=True)
    (world.directory / "lora-tui.json").write_text('{"mine": true}')
    with pytest.raises(DiskError, match="not written by lora-tui"):
        world.download()
    assert (world.directory / "lora-tui.json").read_text() == '{"mine": true}'


def test_a_new_version_is_not_taken_as_downloaded(
    make_world: MakeWorld, server: FileServer
) -> None:
    world = make_world()
    world.download()
    second = made_up(2_000_000, seed=2)
    world.sha256 = sha256(second)
    world.put_model()
    server.behaviour.content, server.behaviour.etag = second, '"two"'
    with pytest.raises(DiskError, match="earlier version"):
        world.download()
    world.download(force=True)
    assert world.target.read_bytes() == second


def test_a_new_version_gets_a_directory_of_its_own_unless_the_old_one_is_to_be_replaced(
    make_world: MakeWorld, server: FileServer, tmp_path: Path
) -> None:
    world = make_world()
    first = world.place = model_directory(world.model(), tmp_path / "downloads")
    world.download()
    old = world.target.read_bytes()
    content = made_up(2_000_000, seed=2)
    world.sha256 = sha256(content)
    world.put_model()
    server.behaviour.content, server.behaviour.etag = content, '"two"'
    assert model_directory(world.model(), tmp_path / "downloads", replace=True) == first
    second = world.place = model_directory(world.model(), tmp_path / "downloads")
    assert second != first
    world.download()
    assert world.target.read_bytes() == content
    assert (first / world.name).read_bytes() == old
    assert model_directory(world.model(), tmp_path / "downloads") == second
    with world.cache() as db:
        assert downloaded_to(db, MODEL) == second


@pytest.mark.parametrize(
    ("etag", "updated_at", "here"),
    [
        ('"one"', "2026-11-21T00:00:00+00:00", True),  # another name, say; the object is the same
        ('"two"', "2026-11-20T10:00:00+00:00", False),
        (None, "2026-11-20T10:00:00+00:00", True),
        (None, "2026-11-21T00:00:00+00:00", False),
        (hashlib.md5(made_up(2_000_000)).hexdigest(), "2026-11-21T00:00:00+00:00", True),
        (hashlib.md5(b"others").hexdigest(), "2026-11-20T10:00:00+00:00", False),
    ],
)
def test_without_a_manifest_the_etag_of_today_or_the_time_of_the_row_tells_the_version(
    world: World, server: FileServer, etag: str | None, updated_at: str, here: bool
) -> None:
    world.download()
    world.put_model(updated_at)
    server.requests.clear()
    if here:
        assert world.download(etag_of=lambda _: etag).done == (world.name,)
        assert server.requests == []
        return
    with pytest.raises(DiskError, match="earlier version"):
        world.download(etag_of=lambda _: etag)


def test_a_file_that_was_edited_is_called_changed(world: World) -> None:
    world.download()
    world.target.write_bytes(world.target.read_bytes()[::-1])
    with pytest.raises(DiskError, match="was changed"):
        world.download()


def test_models_of_one_name_and_one_short_id_have_directories_of_their_own(
    world: World, server: FileServer
) -> None:
    downloads = world.home / "downloads"
    worlds = []
    for model_id in (MODEL, OTHER):
        made = World(world.home, server, model_id=model_id)
        made.place = model_directory(made.model(), downloads)
        made.download()
        worlds.append(made)
    assert worlds[0].directory != worlds[1].directory
    assert [model_directory(made.model(), downloads) for made in worlds] == [
        made.directory for made in worlds
    ]


def test_a_link_where_a_model_is_to_be_put_is_not_followed(
    world: World, server: FileServer, tmp_path: Path
) -> None:
    downloads = world.home / "downloads"
    named = model_directory(world.model(), downloads)
    (tmp_path / "elsewhere").mkdir()
    downloads.mkdir(exist_ok=True)
    named.symlink_to(tmp_path / "elsewhere")
    assert model_directory(world.model(), downloads) != named
    world.download()
    target = world.target
    target.unlink()
    world.directory.rename(tmp_path / "moved")
    world.directory.symlink_to(tmp_path / "elsewhere")
    with world.cache() as db, transaction(db, Topic.TRANSFERS):
        set_transfer(db, world.row().id, TransferState.QUEUED)
    with closing(Runner(world.cache_path, world.tools())) as running:
        running.start()
        rows = running.wait_for([world.row().id])
    assert rows[0].state is TransferState.FAILED
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_that_the_user_names_is_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    world.place = tmp_path / "link"
    outcome = world.download()
    assert outcome.directory == tmp_path / "link"
    assert (tmp_path / "disk" / world.name).exists()


def test_a_file_that_another_download_holds_is_not_waited_for(
    world: World, server: FileServer
) -> None:
    second = World(world.home, server, model_id=OTHER)
    with world.cache() as db, transaction(db, Topic.TRANSFERS):
        (number,) = queue.enqueue(db, MODEL, plan_files(world.model(), world.directory))
        queue.claim(db, "somebody", [number])
    with pytest.raises(InUseError, match="Another model's file"):
        second.download()


def test_a_failed_download_without_bytes_leaves_no_file(world: World, server: FileServer) -> None:
    server.behaviour.content = b"<!DOCTYPE html><html>Bad gateway</html>"
    with pytest.raises(LoraTuiError):
        world.download()
    assert list(world.directory.iterdir()) == []


@pytest.fixture
def suspended() -> Iterator[int]:
    """A process that was stopped; its number."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    yield process.pid
    process.kill()
    process.communicate()


@pytest.mark.parametrize("then", [TransferState.RUNNING, TransferState.QUEUED])
def test_a_file_of_a_suspended_process_is_given_up_and_the_process_named(
    world: World, suspended: int, then: TransferState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.transfers.queue_owner.SUSPENDED_SECONDS", 0.1)
    owners = world.cache_path.with_name(f"{world.cache_path.name}.owners")
    token = f"{suspended}-0123abcd"
    presence = Presence(owners, token)
    (owners / token).write_text(str(suspended))
    with world.cache() as db, transaction(db, Topic.TRANSFERS):
        (number,) = queue.enqueue(db, MODEL, plan_files(world.model(), world.directory))
        queue.claim(db, token, [number])
        set_transfer(db, number, then)
    told: list[LockHolder] = []
    with pytest.raises(InUseError) as caught:
        world.download(on_held=lambda _, holder: told.append(holder))
    assert told == [LockHolder(suspended, suspended=True)]
    assert caught.value.exit_code == 1
    assert f"process {suspended}, which is suspended" in str(caught.value.details)
    assert f"kill -CONT {suspended}" in str(caught.value.remedy)
    presence.close()


NAMES = [
    "A.json",
    "a.json",
    "x/é.txt",
    "e\u0301.txt",
    "w",
    "w.part",
    "W.PART.JSON",
    "lora-tui.json",
]


def test_every_file_of_a_model_lies_there_whatever_the_names_and_keeps_its_name(
    world: World, server: FileServer
) -> None:
    server.behaviour.content, server.behaviour.etag = b'{"a": 1}', None
    made = World(world.home, server, name="z", more=NAMES)
    assert set(made.download().done) == {"z", *NAMES}
    record = json.loads((made.directory / "lora-tui.json").read_text())
    local = {remote: facts["name"] for remote, facts in record["model_files"].items()}
    assert local.keys() == {"z", *NAMES}
    on_disk = {path.name for path in made.directory.iterdir()}
    assert on_disk == {"lora-tui.json", *local.values()}
    assert len({same_file_key(name) for name in on_disk}) == len(NAMES) + 2
    # what is added later takes no name that is in use, and moves none
    made.more = ["Z", *NAMES]
    made.put_model()
    later = {file.file: file.target.name for file in plan_files(made.model(), made.directory)}
    assert later == {**local, "Z": later["Z"]}
    assert same_file_key(later["Z"]) not in {same_file_key(name) for name in on_disk}


def test_a_record_with_paths_outside_its_directory_is_not_trusted(world: World) -> None:
    world.directory.mkdir(parents=True)
    for wild in ("../x", "lora-tui.json", "x.part", ".hidden", "", "a" * 400, 5):
        record: dict[str, Any] = {"id": MODEL, "model_files": {world.name: {"name": wild}}}
        (world.directory / "lora-tui.json").write_text(json.dumps(record))
        (wanted,) = plan_files(world.model(), world.directory)
        assert wanted.target == world.target


def test_a_partial_file_of_another_model_is_not_resumed(
    world: World, other: World, server: FileServer
) -> None:
    server.behaviour.drop = lambda: 400_000 if server.drops == 0 else 0
    with pytest.raises(LoraTuiError):
        world.download()
    assert part_of(world.target).exists()
    server.behaviour.drop = lambda: None
    with pytest.raises(DiskError, match="another model"):
        other.download()
    server.behaviour.content = made_up(2_000_000, seed=3)
    server.behaviour.etag = '"three"'
    other.download(force=True)
    assert other.target.read_bytes() == server.behaviour.content
