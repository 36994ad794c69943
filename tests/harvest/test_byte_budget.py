"""What all jobs have in hand stays within the budget, and nothing waits for ever."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.config.load import load_profile
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.harvester import connect


class StopError(Exception):
    pass


def stop() -> None:
    raise StopError


def never() -> None:
    return


def test_a_file_waits_until_its_bytes_fit() -> None:
    budget = ByteBudget(100)
    first, second = budget.enter("a", 1, never), budget.enter("b", 2, never)
    first.reserve(60, never)
    with pytest.raises(StopError):
        second.reserve(60, stop)
    fits = threading.Thread(target=second.reserve, args=(60, never))
    fits.start()
    first.close()
    fits.join(20)
    assert budget.bytes_in_hand == 60


def test_a_file_larger_than_the_budget_goes_alone() -> None:
    budget = ByteBudget(100)
    large, small = budget.enter("a", 1, never), budget.enter("b", 2, never)
    large.reserve(500, never)
    with pytest.raises(StopError):
        small.reserve(1, stop)


def test_the_job_that_began_first_goes_first() -> None:
    budget = ByteBudget(100)
    shares = [budget.enter(str(turn), turn, never) for turn in range(3)]
    shares[0].reserve(90, never)
    waits = threading.Thread(target=shares[1].reserve, args=(50, never))
    waits.start()
    while not budget.files_waiting:
        pass
    with pytest.raises(StopError):
        shares[2].reserve(5, stop)
    shares[0].close()
    waits.join(20)
    assert budget.bytes_in_hand == 50


def test_a_file_that_others_wait_for_waits_for_no_bytes() -> None:
    budget = ByteBudget(100)
    budget.enter("a", 1, never).reserve(100, never)
    budget.enter("a", 1, never, waits=False).reserve(50, stop)


def test_only_so_many_files_are_in_hand_at_once() -> None:
    budget = ByteBudget(most_files=1)
    share = budget.enter("a", 1, never)
    with pytest.raises(StopError):
        budget.enter("b", 2, stop)
    share.close()
    budget.enter("b", 2, stop)


def test_a_slow_job_makes_room_for_the_others() -> None:
    budget = ByteBudget(100, most_files=1)
    budget.enter("slow", 1, never).reserve(100, never)
    budget.stop_counting("slow")
    budget.enter("b", 2, stop).reserve(100, stop)
    assert budget.bytes_in_hand == 100


def test_the_next_files_of_a_slow_job_take_no_places_until_it_is_slow_no_longer() -> None:
    budget = ByteBudget(100, most_files=1)
    first = budget.enter("slow", 1, never)
    budget.stop_counting("slow")
    first.close()
    second = budget.enter("slow", 1, never)
    second.reserve(100, never)
    other = budget.enter("b", 2, stop)
    other.reserve(100, stop)
    assert budget.bytes_in_hand == 100
    other.close()
    second.close()
    budget.count_again("slow")
    budget.enter("slow", 1, never).reserve(80, never)
    assert budget.bytes_in_hand == 80


@pytest.mark.parametrize(
    ("written", "variable", "limit"),
    [
        ("", "", 4 << 30),
        ('spool_limit = "500M"', "", 500 << 20),
        ('spool_limit = "1G"', "2G", 2 << 30),
    ],
)
def test_the_profile_says_how_much_every_harvest_has_in_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, variable: str, limit: int
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[profiles.default]\n{written}\n")
    keys = {"SUPABASE_URL": "http://127.0.0.1:9", "GPU_CLUSTER_API_URL": "http://127.0.0.1:9"}
    keys |= dict.fromkeys(
        ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY", "GPU_CLUSTER_API_KEY"), "key"
    )
    for name, value in {**keys, "LORA_TUI_SPOOL_LIMIT": variable}.items():
        monkeypatch.setenv(name, value)
    with closing(connect(load_profile(config_file=file))) as harvester:
        assert harvester.budget.limit == limit
