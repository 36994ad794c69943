"""Dates are shown and asked for in one zone: the machine's, or UTC with --utc."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import Callable, Iterator

import pytest

from lora_tui.cache import models
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.config.table import Profile
from lora_tui.sandbox import Sandbox
from tests.conftest import Run

Zone = Callable[[str], None]
LATE = "2026-06-30T23:30:00.000000+00:00"
"""Already the first of July east of Greenwich."""


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """Sets the zone of the machine."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def late(configured: Sandbox, run: Run, profile: Profile) -> str:
    """The id of a model that was made half an hour before midnight UTC."""
    run("sync")
    [path] = profile.paths.cache_dir.glob("*.sqlite3")
    db = open_cache(path)
    [(model_id,)] = db.execute("SELECT max(id) FROM models").fetchall()
    row = models.get_row(db, model_id)
    assert row is not None
    with transaction(db, Topic.MODELS):
        models.put_models(db, [row | {"created_at": LATE}])
    db.close()
    return str(model_id)


def listed(run: Run, *words: str) -> dict[str, str]:
    """The short ids that `list` prints, with the day shown beside each."""
    lines = run("list", "--limit", "99", *words).out.splitlines()[1:]
    return {line[:8]: re.findall(r" (\d{4}-\d\d-\d\d) ", line)[-1] for line in lines}


@pytest.mark.parametrize(
    ("name", "words", "day"),
    [
        ("Europe/Berlin", (), "2026-07-01"),
        ("America/Los_Angeles", (), "2026-06-30"),
        ("Europe/Berlin", ("--utc",), "2026-06-30"),
        ("Pacific/Kiritimati", ("--utc",), "2026-06-30"),
    ],
)
def test_the_day_that_is_shown_is_the_day_that_finds_it(
    late: str, run: Run, zone: Zone, name: str, words: tuple[str, ...], day: str
) -> None:
    zone(name)
    assert listed(run, *words)[late[:8]] == day
    assert listed(run, *words, "--since", day, "--until", day) == {late[:8]: day}
    other = {"2026-07-01": "2026-06-30", "2026-06-30": "2026-07-01"}[day]
    assert late[:8] not in listed(run, *words, "--since", other, "--until", other)
    assert day in run("show", late, *words).out


def test_a_moment_is_read_in_the_same_zone_unless_it_names_one(
    late: str, run: Run, zone: Zone
) -> None:
    zone("Europe/Berlin")  # two hours ahead in summer
    assert late[:8] in listed(run, "--since", "2026-07-01 01:30", "--until", "2026-07-01 01:31")
    assert late[:8] not in listed(run, "--since", "2026-07-01 01:31")
    assert late[:8] in listed(run, "--since", "2026-06-30T23:30Z", "--until", "2026-06-30T23:31Z")
    utc = ("--utc", "--since", "2026-06-30 23:30", "--until", "2026-06-30 23:31")
    assert listed(run, *utc) == {late[:8]: "2026-06-30"}


def test_the_ends_of_time_are_days_too(late: str, run: Run, zone: Zone) -> None:
    zone("America/Los_Angeles")
    everything = listed(run)
    for words in (("--until", "9999-12-31"), ("--since", "0001-01-01"), ("--utc",)):
        assert listed(run, *words).keys() == everything.keys()


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("wrong", ["2026-02-30", "yesterday", "26-1-1", "", " "])
def test_what_is_no_date_is_a_usage_error(
    configured: Sandbox, run: Run, option: str, wrong: str
) -> None:
    run("sync")
    ran = run("list", option, wrong)
    assert (ran.code, ran.out) == (2, "")
    assert "2026-11-23T15:54" in ran.err


def test_what_a_program_reads_names_its_zone(late: str, run: Run, zone: Zone) -> None:
    zone("Europe/Berlin")
    rows = csv.DictReader(io.StringIO(run("list", "--limit", "99", "--csv").out))
    assert all(row["created_at"].endswith("+00:00") for row in rows)


def test_a_search_finds_ids_by_their_beginning(late: str, run: Run) -> None:
    for word in (late, late.upper(), late[:8], late[:4], f"  {late[:13]} "):
        assert late[:8] in listed(run, "--search", word)
    bare = late.replace("-", "")
    for word in (bare, bare.upper(), bare[:9], bare[:13], bare[:20], bare[:-1], f"{{{late}}}"):
        assert list(listed(run, "--search", word)) == [late[:8]]
    for word in (f"{{{bare}}}", f"{{{late[:20]}", f"{late[:8]}{late[9:]}", f"{{{late[:4]}"):
        assert late[:8] in listed(run, "--search", word)
    for reference in (bare, bare[:13].upper(), f"{{{late}}}"):
        assert run("show", reference, "--json").data["id"] == late
    assert listed(run, "--search", f"{bare}0") == {}
    assert listed(run, "--search", f"{bare[:-1]}g") == {}
    name = re.findall(r"\w+", run("show", late, "--json").data["dataset"]["name"])[0]
    assert list(listed(run, "--search", f"{late[:8]} {name}")) == [late[:8]]
    assert listed(run, "--search", f"{late[:8]} {'0' * 12}") == {}
    assert listed(run, "--search", f"{late[:-4]}zzzz") == {}
    assert run("list", "--search", " ".join(f"{number:04x}" for number in range(2_000))).code == 0
