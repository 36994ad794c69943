"""The file of one's own marks: nothing is lost, whoever writes it and whatever is in it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.domain.own_marks import (
    LONGEST_NOTE,
    MOST_TAGS,
    AliasMove,
    Marks,
    ModelMarks,
    note_of,
    sorted_tags,
    tag_of,
)
from lora_tui.errors import DiskError, UsageError
from lora_tui.marks.changes import change_tags, move_alias, remove_alias, set_favorite, set_note
from lora_tui.marks.document import marks_text, parse_marks
from lora_tui.marks.file import SETTLES_SECONDS, MarksFile
from lora_tui.marks.merge import merge
from lora_tui.text import terminal_safe

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)
WRITER = """
import sys
from pathlib import Path
from lora_tui.marks.changes import set_note
from lora_tui.marks.file import MarksFile
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    with MarksFile(path, print).changing() as marks:
        set_note(marks, f"{name}-{number}", "a name", "a note " * 40)
    print(number, flush=True)
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, said: list[str]) -> MarksFile:
    return MarksFile(tmp_path / "marks" / "mine.json", said.append)


def writer(file: MarksFile, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file.path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


def write(file: MarksFile, text: str) -> None:
    """As another program wrote it some time ago."""
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_text(text)
    before = file.path.stat().st_mtime - SETTLES_SECONDS - 1
    os.utime(file.path, (before, before))


def test_two_processes_that_write_at_once_lose_nothing(file: MarksFile) -> None:
    writers = [writer(file, name, 40) for name in ("a", "b")]
    assert [each.wait(120) for each in writers] == [0, 0]
    marks = file.read().marks
    assert marks.models.keys() == {f"{name}-{n}" for name in ("a", "b") for n in range(40)}
    for each in writers:
        assert each.stdout is not None
        each.stdout.close()


def test_a_writer_that_is_killed_leaves_a_whole_file_with_all_that_it_told_of(
    file: MarksFile,
) -> None:
    chance = random.Random(19)
    told: set[str] = set()
    for turn in range(5):
        each = writer(file, f"turn{turn}", 1_000_000)
        assert each.stdout is not None
        for _ in range(chance.randrange(1, 12)):
            told.add(f"turn{turn}-{each.stdout.readline().strip()}")
        each.send_signal(signal.SIGKILL)
        each.wait(60)
        each.stdout.close()
        assert told <= file.read().marks.models.keys()
    with file.changing() as marks:  # the lock is free, and what was half-written is removed
        set_favorite(marks, {"m1": "Model"}, wanted=True)
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"lora_tui_marks": "1"}', "\x00\xff", "[" * 9999]
)
def test_a_damaged_file_is_kept_aside_and_begun_anew(
    file: MarksFile, said: list[str], text: str
) -> None:
    write(file, text)
    with file.changing() as marks:
        set_favorite(marks, {"m1": "Model"}, wanted=True)
    (kept,) = file.path.parent.glob("*.damaged-*")
    assert kept.read_text() == text
    assert len(said) == 1
    assert str(kept) in said[0]
    assert file.read().marks.models.keys() == {"m1"}


def test_a_file_that_another_program_is_writing_is_not_taken_for_damaged(
    file: MarksFile, said: list[str]
) -> None:
    with file.changing() as marks:
        set_favorite(marks, {"m1": "Model"}, wanted=True)
    whole = file.path.read_text()
    file.path.write_text(whole[:20])
    half = subprocess.Popen(
        [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])",
         str(file.path), whole]
    )  # fmt: skip
    assert file.read().marks.models.keys() == {"m1"}
    assert half.wait(60) == 0
    assert said == []


@pytest.mark.parametrize(
    "text", ['{"lora_tui_marks": 2, "marks": []}', '{\n<<<<<<< HEAD\n "lora_tui_marks": 1\n}']
)
def test_a_file_of_a_newer_version_or_with_a_conflict_is_never_overwritten(
    file: MarksFile, text: str
) -> None:
    write(file, text)
    with pytest.raises(UsageError) as refused, file.changing() as marks:
        set_favorite(marks, {"m1": "Model"}, wanted=True)
    assert refused.value.remedy
    assert file.path.read_text() == text
    assert len(list(file.path.parent.iterdir())) == 1


def test_values_that_cant_be_used_are_left_out_and_the_file_before_is_kept(
    file: MarksFile, said: list[str]
) -> None:
    hostile = {
        "lora_tui_marks": 1,
        "models": {
            "m1": {"name": "\x1b[31mred", "tags": ["ok", "a b", 5, "\u202eevil"], "note": "a\x07b"},
            "m 2": {"favorite": True},
            "m3": {"favorite": "yes", "note": {"deep": []}},
            "m4": {"tags": [f"t{n}" for n in range(MOST_TAGS + 1)]},
            "m5": {"note": "x" * (LONGEST_NOTE + 1)},
        },
        "aliases": {
            "production": [{"at": "2026-01-01T00:00:00Z", "model": "m1", "name": "\x1b]0;x"}],
            "../up": [],
            "late": [{"at": "never", "model": "m1"}],
        },
    }
    write(file, json.dumps(hostile))
    with file.changing() as marks:
        set_favorite(marks, {"m1": ""}, wanted=True)
    kept = next(file.path.parent.glob("*.damaged-*"))
    assert json.loads(kept.read_text()) == hostile
    assert "can't be used" in said[0]
    found = file.read().marks
    assert found.models["m1"] == ModelMarks("[31mred", True, ("ok",), "ab")
    assert found.models.keys() == {"m1", "m4"}
    assert found.aliases.keys() == {"production"}
    text = file.path.read_text()
    assert all(terminal_safe(line.strip()) == line.strip() for line in text.splitlines())


def test_both_sides_of_a_conflict_that_somebody_kept_count(
    file: MarksFile, said: list[str]
) -> None:
    """Two people marked one model: the file has its key twice, and is valid JSON."""
    one = '"m1": {"name": "One", "favorite": true, "tags": ["a"], "note": ["same"]}'
    two = '"m1": {"name": "One", "tags": ["b"], "note": ["same"], "tags": ["c"]}'
    step = '{"at": "2026-01-01T00:00:00Z", "model": "m1"}'
    aliases = f'"aliases": {{"prod": [{step}], "prod": [{step}, {step}]}}'
    write(file, f'{{"lora_tui_marks": 1, "models": {{{one}, {two}}}, {aliases}}}')
    found = file.read().marks
    assert found.models["m1"] == ModelMarks("One", True, ("a", "b", "c"), "same")
    assert len(found.aliases["prod"]) == 1
    assert said == []


def test_what_somebody_added_by_hand_is_kept_aside_before_it_is_lost(
    file: MarksFile, said: list[str]
) -> None:
    step = {"at": "2026-01-01T00:00:00Z", "model": "m1", "why": "faster"}
    document = {
        "lora_tui_marks": 1,
        "owner": "me",
        "models": {"m1": {"favorite": 1, "todo": "ask Ann"}},
        "aliases": {"prod": [step]},
    }
    write(file, json.dumps(document))
    with file.changing() as marks:
        set_favorite(marks, {"m1": ""}, wanted=True)
    (kept,) = file.path.parent.glob("*.damaged-*")
    assert json.loads(kept.read_text()) == document
    assert said[0].startswith("4 values")


def test_marks_that_cant_be_read_are_not_taken_for_none(tmp_path: Path) -> None:
    """A disk that is not mounted, a directory without permission: no new file, no empty copy."""
    link = tmp_path / "marks.json"
    link.symlink_to(tmp_path / "not-mounted" / "team.json")
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    for path in (link, loop, tmp_path):
        with pytest.raises(DiskError):
            MarksFile(path, print).read()
        with (
            pytest.raises(DiskError),
            MarksFile(path, print).changing() as marks,
        ):
            set_favorite(marks, {"m1": "Model"}, wanted=True)
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize("word", ["हिन्दी", "ไทย", "größe", "日本", "v1.2"])
def test_letters_of_every_script_can_be_a_tag(word: str) -> None:
    assert tag_of(word) == word


@pytest.mark.parametrize("word", [".", "..", "../up", "/etc", "-x", "_", "a‮b", "a​b"])
def test_signs_alone_and_hidden_characters_are_no_tag(word: str) -> None:
    with pytest.raises(UsageError):
        tag_of(word)


def test_what_is_written_is_the_same_for_the_same_marks_and_a_change_is_a_small_difference(
    file: MarksFile,
) -> None:
    with file.changing() as marks:
        change_tags(marks, {"m2": "Two", "m1": "One"}, add=["b", "a"])
        set_note(marks, "m1", "One", "first\n  second")
        move_alias(marks, "production", "m1", "One", NOW)
    before = file.path.read_text().splitlines()
    written = file.path.stat().st_mtime_ns
    with file.changing() as marks:
        change_tags(marks, {"m1": "One"}, add=["A"])  # it has it, spelled otherwise
    assert file.path.stat().st_mtime_ns == written
    with file.changing() as marks:
        set_note(marks, "m1", "One", "first\n  changed")
    after = file.path.read_text().splitlines()
    assert [line for line in after if line not in before] == ['    "  changed"']
    assert oct(file.path.stat().st_mode & 0o777) == "0o600"


def test_a_link_stays_one_so_that_the_file_may_lie_in_a_checkout(tmp_path: Path) -> None:
    real = tmp_path / "checkout" / "team.json"
    real.parent.mkdir()
    link = tmp_path / "marks.json"
    link.symlink_to(real)
    with MarksFile(link, print).changing() as marks:
        set_favorite(marks, {"m1": "Model"}, wanted=True)
    assert link.is_symlink()
    assert parse_marks(real.read_bytes()).marks.models["m1"].favorite


def test_an_alias_moves_and_remembers_where_it_was() -> None:
    marks = Marks()
    assert move_alias(marks, "production", "m1", "One", NOW) is None
    assert (
        move_alias(marks, "Production", "m2", "Two", NOW + timedelta(hours=1))
        == (marks.aliases["production"][0])
    )
    back = NOW - timedelta(days=1)  # the clock was set back: the order is that of the moves
    removed = remove_alias(marks, "production", back)
    assert removed is not None
    assert removed.model_id == "m2"
    assert marks.current("production") is None
    assert [move.model_id for move in marks.aliases["production"]] == ["m1", "m2", ""]
    assert parse_marks(marks_text(marks).encode()).marks == marks


def test_a_model_that_would_have_too_many_tags_gets_none() -> None:
    marks = Marks()
    change_tags(marks, {"m1": "One"}, add=[f"t{n}" for n in range(MOST_TAGS)])
    with pytest.raises(UsageError, match="50 tags"):
        change_tags(marks, {"m2": "Two", "m1": "One"}, add=["more"])
    assert marks.models.keys() == {"m1"}


def test_moves_of_the_future_are_not_merged() -> None:
    """They would win over every later move."""
    mine, theirs = Marks(), Marks()
    move_alias(mine, "production", "m1", "One", NOW)
    move_alias(theirs, "production", "evil", "Theirs", NOW + timedelta(days=400))
    merged = merge(mine, theirs, NOW)
    assert mine.current("production") == AliasMove("2026-11-30T06:00:00.000000+00:00", "m1", "One")
    assert merged.kept == ["@production: a move of the future"]


TAG = st.from_regex("[abcABC][abcABC/._]{0,3}", fullmatch=True)
NOTE = st.text(st.characters(codec="utf-8"), max_size=30).map(note_of)
MODELS = st.dictionaries(
    st.sampled_from("mnop"),
    st.builds(
        ModelMarks,
        st.just("name"),
        st.booleans(),
        st.lists(TAG, max_size=4).map(sorted_tags),
        NOTE,
    ).filter(lambda marks: not marks.is_empty),
)
MOVES = st.lists(
    st.builds(
        lambda hours, model: AliasMove(
            (NOW - timedelta(hours=hours)).isoformat(timespec="microseconds"), model, ""
        ),
        st.integers(0, 9),
        st.sampled_from(["", "m", "n"]),
    ),
    min_size=1,
    max_size=4,
).map(lambda moves: tuple(sorted(dict.fromkeys(moves), key=lambda move: move.at)))
MARKS = st.builds(Marks, MODELS, st.dictionaries(st.sampled_from(["prod", "test"]), MOVES))


@given(MARKS, MARKS)
def test_a_merge_loses_nothing_and_a_second_one_changes_nothing(mine: Marks, theirs: Marks) -> None:
    before = parse_marks(marks_text(mine).encode()).marks
    assert before == mine
    merge(mine, theirs, NOW)
    for source in (before, theirs):
        for key, marks in source.models.items():
            found = mine.marks_of(key)
            assert found.favorite >= marks.favorite
            folded = {tag.casefold() for tag in found.tags}
            assert {tag.casefold() for tag in marks.tags} <= folded
            assert marks.note in found.note
        for alias, moves in source.aliases.items():
            assert set(moves) <= set(mine.aliases[alias])
    assert merge(mine, theirs, NOW).changes_nothing
