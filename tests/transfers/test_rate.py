"""How fast a download is said to be, and how long it is said to take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lora_tui.cache.transfer_queue import Transfer, TransferState
from lora_tui.transfers.rate import RateMeter, seconds_left

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def at(
    second: float,
    done: int,
    *,
    total: int | None = 1_000,
    state: TransferState = TransferState.RUNNING,
) -> Transfer:
    return Transfer(
        id=1,
        model_id="m",
        file="f",
        object_path="m/f",
        target=Path("/data/f"),
        state=state,
        bytes_done=done,
        bytes_total=total,
        attempts=0,
        sha256=None,
        error=None,
        updated_at=START + timedelta(seconds=second),
    )


def rate_after(*readings: Transfer) -> float | None:
    meter = RateMeter()
    for reading in readings:
        meter.observe([reading])
    return meter.rate(readings[-1])


def test_the_rate_is_bytes_over_time() -> None:
    assert rate_after(at(0, 100), at(1, 150), at(2, 300)) == pytest.approx(100)


def test_a_single_reading_says_nothing_about_the_rate() -> None:
    assert rate_after(at(0, 100)) is None
    assert rate_after(at(0, 100), at(0, 100)) is None


def test_what_a_resume_finds_on_the_disk_does_not_count_as_fetched() -> None:
    assert rate_after(at(0, 0), at(1, 800), at(2, 810)) == pytest.approx(10)


def test_only_the_last_seconds_count() -> None:
    fast_then_slow = [at(second, 1_000 + second * 500) for second in range(10)]
    fast_then_slow += [at(10 + second, 5_500 + second * 10) for second in range(10)]
    assert rate_after(*fast_then_slow) == pytest.approx(10)


def test_the_rate_of_a_restarted_file_is_measured_again() -> None:
    assert rate_after(at(0, 500), at(1, 900), at(2, 20), at(3, 50)) == pytest.approx(30)


def test_a_file_that_does_not_run_has_no_rate() -> None:
    assert rate_after(at(0, 100), at(1, 200), at(2, 200, state=TransferState.DONE)) is None


def test_the_time_left_is_what_is_missing_of_all_files_over_the_rate() -> None:
    assert seconds_left([at(0, 400), at(0, 0)], 100) == pytest.approx(16)


@pytest.mark.parametrize("rate", [None, 0.0])
def test_without_a_rate_no_time_is_promised(rate: float | None) -> None:
    assert seconds_left([at(0, 400)], rate) is None


def test_without_a_size_no_time_is_promised() -> None:
    assert seconds_left([at(0, 400, total=None)], 100) is None
