"""The pieces of a file, its note, the limit of the rate, the number of connections."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.config.kinds import bytes_of
from lora_tui.errors import InUseError
from lora_tui.transfers.part import Version, open_part, part_of
from lora_tui.transfers.pieces import Piece, Pieces
from lora_tui.transfers.rate import RateLimit
from lora_tui.transfers.remote_file import ConnectionScaling
from tests.transfers.file_server import World


@given(
    st.integers(1, 64 << 20), st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), max_size=60)
)
def test_every_byte_is_fetched_in_any_order_of_the_readers(
    total: int, steps: list[tuple[int, float]]
) -> None:
    pieces = Pieces(total)
    taken: list[Piece] = []
    fetched: list[tuple[int, int]] = []

    def advance(piece: Piece, count: int) -> None:
        fetched.append((piece.at, piece.at + count))
        pieces.advance(piece, count)

    for action, share in steps:
        if action <= 1:
            piece = pieces.take(None if action else 4 << 20)
            if piece is not None:
                assert piece not in taken
                taken.append(piece)
        elif taken:
            piece = taken[int(share * (len(taken) - 1))]
            if action == 2:
                pieces.release(piece)
                taken.remove(piece)
            elif piece.missing:
                advance(piece, max(1, int(share * piece.missing)))
        gaps = pieces.gaps()
        assert gaps == sorted(gaps)
        assert pieces.done == total - sum(end - at for at, end in gaps)
        taken = [piece for piece in taken if piece.missing]
    for piece in taken:
        pieces.release(piece)
    while (piece := pieces.take(None)) is not None:  # type: ignore[assignment]
        advance(piece, piece.missing)
    assert pieces.complete
    at = 0
    for start, end in sorted(fetched):
        assert start <= at, "a hole"
        at = max(at, end)
    assert at == total


def test_a_filled_piece_is_extended_as_far_as_its_response_reaches() -> None:
    pieces = Pieces(100 << 20)
    first = pieces.take()
    assert first is not None
    shared = pieces.take(10 << 20)
    assert shared is not None
    assert shared.at == first.end
    pieces.advance(first, first.missing)
    assert not pieces.extend(first, 100 << 20)  # somebody else is at it
    pieces.release(shared)
    assert pieces.extend(first, 60 << 20)
    assert first.end == 60 << 20
    pieces.advance(first, first.missing)
    rest = pieces.take()
    assert rest is not None
    assert (rest.at, rest.end) == (60 << 20, 100 << 20)
    pieces.advance(rest, rest.missing)
    assert pieces.complete


def test_a_part_is_resumed_from_its_note_alone(tmp_path: Path) -> None:
    version = Version('"one"', 10)
    with open_part(tmp_path / "x") as part:
        part.write(memoryview(b"abcdef"), 0)
        part.note(version, [(6, 10)])
    with open_part(tmp_path / "x") as part:
        resumed = part.resume()
        assert resumed is not None
        assert resumed[0] == version
        assert resumed[1].gaps() == [(6, 10)]


@pytest.mark.parametrize(
    "note",
    [
        None,
        "",
        "[]",
        '{"etag": "\\"a\\"", "total": 10}',
        '{"etag": null, "total": 10, "missing": []}',
        '{"etag": "\\"a\\"", "total": 10, "missing": [[5, 3]]}',
        '{"etag": "\\"a\\"", "total": 10, "missing": [[0, 11]]}',
        '{"etag": "\\"a\\"", "total": 10, "missing": [[7, 8], [2, 3]]}',
        '{"etag": "\\"a\\"", "total": 10, "missing": []}',  # the file is shorter than that
        "[" * 50_000,
    ],
)
def test_an_impossible_note_is_ignored(tmp_path: Path, note: str | None) -> None:
    part_of(tmp_path / "x").write_bytes(b"abcdef")
    if note is not None:
        (tmp_path / "x.part.json").write_text(note)
    with open_part(tmp_path / "x") as part:
        assert part.resume() is None


def test_a_part_has_one_writer(tmp_path: Path) -> None:
    with (
        open_part(tmp_path / "x"),
        pytest.raises(InUseError, match="Another"),
        open_part(tmp_path / "x"),
    ):
        raise AssertionError("two writers")


def test_an_attempt_without_a_byte_leaves_nothing(tmp_path: Path) -> None:
    with open_part(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_limit_holds_over_any_stretch_of_time() -> None:
    now = [0.0]
    limit = RateLimit(1000, now=lambda: now[0])
    passed = 0
    for _ in range(200):
        count, seconds = limit.take(64)
        assert count <= limit.burst
        now[0] += seconds
        passed += count
    assert passed <= 1000 * now[0] + limit.burst
    assert passed >= 1000 * now[0] - limit.burst


@pytest.mark.parametrize(
    ("text", "value"), [("800K", 800 << 10), ("5m", 5 << 20), ("1.5G", 1.5 * (1 << 30)), ("77", 77)]
)
def test_a_rate_is_written_as_for_curl(text: str, value: float) -> None:
    assert bytes_of(text) == value


@pytest.mark.parametrize("text", ["", "0", "fast", "-1", "5T", "1e3"])
def test_an_invalid_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        bytes_of(text)


def run_scaling(rate: object, *, size: float = 1e9, seconds: float = 4.0) -> ConnectionScaling:
    """Let time pass; `rate` says how fast so many connections are."""
    scaling, done, now = ConnectionScaling(8), 1.0, 0.0
    while done < size and now < seconds:
        scaling.observe(now, int(done), int(size - done), scaling.allowed)
        done += rate(scaling.allowed) * 0.05  # type: ignore[operator]
        now += 0.05
    return scaling


def test_a_server_that_limits_each_connection_gets_several() -> None:
    assert run_scaling(lambda connections: connections * 2e6).allowed == 8


def test_a_line_that_one_connection_fills_keeps_one() -> None:
    scaling = run_scaling(lambda connections: 5e6)
    assert scaling.allowed == 1
    assert scaling.chunk(1 << 30) is None


def test_a_connection_as_fast_as_the_machine_is_kept_alone() -> None:
    assert run_scaling(lambda connections: connections * 300e6, size=1e12).allowed == 1


def test_a_server_that_slows_down_after_a_fast_start_gets_several_connections() -> None:
    scaling, done = ConnectionScaling(8), 1
    for tick in range(60):
        scaling.observe(tick * 0.05, done, 1 << 40, scaling.allowed)
        done += int((300e6 if tick < 20 else scaling.allowed * 10e6) * 0.05)
    assert scaling.allowed == 8


class SimulatedServer:
    """A server in made-up time: seconds to the first byte of each answer, then so many bytes."""

    def __init__(
        self,
        total: int,
        first_byte: Callable[[int], float],
        rate: Callable[[int], float],
    ) -> None:
        """Both are asked with how many connections there are."""
        self.scaling, self.pieces, self.total = ConnectionScaling(8), Pieces(total), total
        self.requests = self.most = 0
        self.now = 0.0
        self._first_byte, self.rate = first_byte, rate
        self._hands: list[tuple[Piece, float]] = []

    def run(self, *, step: float = 0.05) -> None:
        """Fetch all of it, as the readers do."""
        scaling, pieces = self.scaling, self.pieces
        while not pieces.complete:
            receiving = sum(self.now >= at for _, at in self._hands)
            allowed = scaling.observe(self.now, pieces.done, pieces.missing, receiving)
            for piece, at in sorted(self._hands, key=lambda hand: self.now < hand[1])[allowed:]:
                self._hands.remove((piece, at))
                pieces.release(piece)
            while len(self._hands) < allowed and self._ask():
                pass
            self.most = max(self.most, len(self._hands))
            self.now += step
            for hand in list(self._hands):
                piece, at = hand
                if self.now >= at:
                    count = min(piece.missing, int(self.rate(len(self._hands)) * step))
                    pieces.advance(piece, count)
                    one = scaling.allowed == 1
                    if not piece.missing and not (one and pieces.extend(piece, self.total)):
                        self._hands.remove(hand)

    def _ask(self) -> bool:
        piece = self.pieces.take(self.scaling.chunk(self.pieces.missing))
        if piece is not None:
            self.requests += 1
            self._hands.append((piece, self.now + self._first_byte(len(self._hands) + 1)))
        return piece is not None


def test_a_server_that_takes_longer_the_more_it_is_asked_is_left_with_one_connection() -> None:
    """The storage on a disk reads the whole object before it sends the first byte of a part."""
    line = SimulatedServer(400 << 20, lambda connections: 2.0 * connections, lambda n: 12e6)
    line.run()
    alone = 2.0 + (400 << 20) / 12e6
    assert line.scaling.allowed == 1
    assert line.requests < 30
    assert line.now < 1.3 * alone


def test_a_file_that_arrives_before_a_second_response_would_start_keeps_one_connection() -> None:
    line = SimulatedServer(30 << 20, lambda _: 2.0, lambda _: 5e6)
    line.run()
    assert (line.requests, line.most) == (1, 1)


def test_several_connections_are_kept_where_they_bring_more_though_each_waits() -> None:
    line = SimulatedServer(400 << 20, lambda _: 0.5, lambda _: 5e6)
    line.run()
    assert line.scaling.allowed == 8
    assert line.now < 0.3 * (400 << 20) / 5e6


def test_connections_that_are_not_faster_become_fewer() -> None:
    line = SimulatedServer(400 << 20, lambda _: 0.1, lambda _: 0.0)
    line.rate = lambda n: 5e6 if line.now < 4 else 5e6 / n
    line.run()
    assert line.scaling.allowed < 8


def test_what_a_resume_finds_on_the_disk_is_not_the_rate_of_the_line() -> None:
    scaling = ConnectionScaling(8)
    for tick in range(40):
        assert scaling.observe(tick * 0.05, 1 << 30, 1 << 30, 1) == 1


@pytest.mark.parametrize(
    "speeds", [[32.0] * 8, [32.0] * 7 + [4.0], [2.0, 40.0, 8.0, 30.0, 1.0, 25.0, 32.0, 32.0]]
)
def test_all_connections_end_together_and_the_checksum_is_not_far_behind(
    speeds: list[float],
) -> None:
    """Connections of so many MiB a second share half a gigabyte."""
    total = 512 << 20
    scaling, pieces = ConnectionScaling(8), Pieces(total)
    scaling.observe(0.0, 0, total, 1)
    scaling.observe(0.0, 1, total, 1)
    for tick in (1, 2, 3):
        scaling.observe(tick * 0.1, int(tick * 0.1 * 32 * 2**20), total, 1)
    assert scaling.allowed == 8
    hands: list[Piece | None] = [pieces.take(scaling.chunk(total)) for _ in speeds]
    tick, step = 0, 0.01
    idle = lag = 0.0
    while not pieces.complete:
        tick += 1
        lag = pieces.done - pieces.frontier
        for number, speed in enumerate(speeds):
            budget = int(speed * 2**20 * step)
            while budget > 0:
                piece = hands[number]
                if piece is None or not piece.missing:
                    piece = hands[number] = pieces.take(scaling.chunk(pieces.missing))
                if piece is None:
                    idle += step
                    break
                count = min(budget, piece.missing)
                pieces.advance(piece, count)
                budget -= count
    assert tick * step < 1.1 * total / (sum(speeds) * 2**20)
    assert idle < 0.1 * tick * step * len(speeds)
    assert lag < total / 20


def test_a_small_file_keeps_one_connection() -> None:
    assert run_scaling(lambda connections: 2e6, size=1.5e6).allowed == 1


def test_the_note_of_a_part_holds_no_address(tmp_path: Path) -> None:
    with open_part(tmp_path / "x") as part:
        part.write(memoryview(b"a"), 0)
        part.note(Version('"one"', 2), [(1, 2)])
    assert set(json.loads((tmp_path / "x.part.json").read_text())) == {"etag", "total", "missing"}


def test_a_file_is_flushed_before_it_gets_its_final_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's way to see it: which files were synced, and renamed, in which order."""
    steps: list[tuple[str, str]] = []
    temporary: dict[str, str] = {}

    def watch(name: str) -> None:
        real = getattr(os, name)

        def call(descriptor: int) -> None:
            steps.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
            real(descriptor)

        monkeypatch.setattr(os, name, call)

    def replace(source: Path, target: Path) -> None:
        steps.append(("rename", Path(source).name))
        temporary[Path(target).name] = Path(source).name
        rename(source, target)

    rename = os.replace
    for name in ("fsync", "fdatasync"):
        watch(name)
    monkeypatch.setattr(os, "replace", replace)
    world.download()
    part = f"{world.name}.part"
    record = temporary["lora-tui.json"]
    assert steps.index(("sync", part)) < steps.index(("rename", part))
    assert steps.index(("sync", record)) < steps.index(("rename", record))
    assert steps.index(("rename", record)) < steps.index(("rename", part))
    assert steps[-1] == ("sync", world.directory.name)


def test_files_are_written_to_a_file_system_that_can_not_sync_directories(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SMB and FUSE refuse it, when the file has its name already."""
    sync = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    assert world.download().done == (world.name,)


def test_a_note_is_written_after_its_bytes_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "weights.bin.part.json"
    synced_before_the_note: list[bool] = []
    monkeypatch.setattr(
        "lora_tui.transfers.part.flush_to_disk",
        lambda _: synced_before_the_note.append(note.exists()),
    )
    with open_part(tmp_path / "weights.bin") as part:
        part.write(memoryview(b"bytes"), 0)
        part.note(Version('"a"', 10), [(5, 10)])
        assert note.exists()
    assert synced_before_the_note == [False]
