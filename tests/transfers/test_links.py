"""Links that somebody put beside a download, or where a file is written, are never followed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_tui import files
from lora_tui.errors import DiskError
from lora_tui.files import remove_abandoned_files, replacing_file, write_file
from lora_tui.harvest.monitoring import HealthFile
from tests.transfers.file_server import World

SECRET = "what must stay as it is"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's own, to which the links lead."""
    path = tmp_path / "victim"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("kind", [os.symlink, os.link])
@pytest.mark.parametrize(
    "name",
    [
        "weights.bin.part",
        "weights.bin.part.json",
        "weights.bin.part.new",
        "lora-tui.json",
        "lora-tui.json.part",
    ],
)
def test_a_link_beside_a_download_is_not_written_through(
    world: World, victim: Path, name: str, kind: Callable[[Path, Path], None]
) -> None:
    world.directory.mkdir(parents=True)
    kind(victim, world.directory / name)
    # slow enough for a note to be written, cut off once so that it is read
    dropped = iter([1_000_000])
    world.server.behaviour.drop = lambda: next(dropped, None)
    in_the_way = ("weights.bin.part.json", "lora-tui.json")
    if name == "weights.bin.part" or (name in in_the_way and kind is os.link):
        with pytest.raises(DiskError):
            world.download()
    else:
        assert world.download().done == (world.name,)
        assert world.target.read_bytes() == world.server.behaviour.content
    assert victim.read_text() == SECRET


def test_a_dangling_link_makes_no_file_elsewhere(world: World, tmp_path: Path) -> None:
    world.directory.mkdir(parents=True)
    for name in ("weights.bin.part", "lora-tui.json"):
        (world.directory / name).symlink_to(tmp_path / "made elsewhere")
    with pytest.raises(DiskError):
        world.download()
    assert not (tmp_path / "made elsewhere").exists()


def test_a_pipe_in_place_of_a_note_or_part_does_not_hang_a_download(world: World) -> None:
    world.directory.mkdir(parents=True)
    os.mkfifo(world.directory / "weights.bin.part.json")
    assert world.download().done == (world.name,)
    world.target.unlink()
    (world.directory / "lora-tui.json").unlink()
    os.mkfifo(world.directory / "lora-tui.json")
    with pytest.raises(DiskError, match="not written by lora-tui"):
        world.download()
    (world.directory / "lora-tui.json").unlink()
    os.mkfifo(world.directory / "weights.bin.part")
    with pytest.raises(DiskError, match="Something else"):
        world.download()


def test_a_link_called_like_the_health_file_is_replaced_and_not_followed(
    tmp_path: Path, victim: Path
) -> None:
    for name in ("health.json", f"health.json.{os.getpid()}.part"):
        (tmp_path / name).symlink_to(victim)
    HealthFile(tmp_path / "health.json").beat()
    assert victim.read_text() == SECRET
    assert not (tmp_path / "health.json").is_symlink()
    assert '"alive_at"' in (tmp_path / "health.json").read_text()


def test_a_file_that_is_being_written_has_an_unpredictable_name(tmp_path: Path) -> None:
    names = set()
    for _ in range(5):
        with replacing_file(tmp_path / "file") as (_, partial):
            names.add(partial.name)
    assert len(names) == 5
    assert all(str(os.getpid()) not in name.split("-")[-1][:6] for name in names)


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / ".lora-tui-0123456789abcdef.tmp").write_text("half")
    with replacing_file(tmp_path / "file") as (file, _):
        file.write("whole")
        remove_abandoned_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "whole"


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "before")
    with pytest.raises(UnicodeEncodeError):
        write_file(tmp_path / "file", "x" * 10_000 + "\ud800")
    assert (tmp_path / "file").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_another_process_takes_for_abandoned_as_it_is_made_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = files.flock, list[tuple[Path, int]]()

    def another_is_first(descriptor: int) -> bool:
        if not taken:
            (path,) = tmp_path.iterdir()
            taken.append((path, os.open(path, os.O_RDONLY)))
            assert lock(taken[0][1])
        return lock(descriptor)

    monkeypatch.setattr(files, "flock", another_is_first)
    with replacing_file(tmp_path / "record.json") as (file, _):
        path, other = taken[0]
        path.unlink()  # it has the lock, so it removes the file
        os.close(other)
        file.write("{}")
    assert (tmp_path / "record.json").read_text() == "{}"
