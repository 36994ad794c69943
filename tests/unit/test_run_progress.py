"""How far a run is: from steps, pace and time, whatever the row holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lora_tui import formats
from lora_tui.domain import Job, age_begins, attempts_of, progress_of, reason_of

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def job(**changes: Any) -> Job:
    row = {
        "id": "j1",
        "status": "running",
        "started_at": (NOW - timedelta(hours=1)).isoformat(),
        "current_step": 600,
        "total_steps": 1_000,
        **changes,
    }
    return Job.from_row(row)


def test_the_time_left_follows_the_pace_of_the_last_minutes() -> None:
    recent = [(NOW - timedelta(seconds=200), 400.0), (NOW, 600.0)]
    found = progress_of(job(), NOW, recent)
    assert (found.share, found.pace, found.left) == (0.6, 1.0, 400.0)


def test_without_points_the_pace_is_that_of_the_whole_run() -> None:
    found = progress_of(job(), NOW)
    assert found.left == 2_400.0
    assert found.elapsed == 3_600.0


def test_newer_points_tell_more_than_the_row() -> None:
    assert progress_of(job(), NOW, [(NOW, 700.0)]).step == 700


def test_a_cost_that_the_row_lacks_is_computed_from_price_and_time() -> None:
    found = progress_of(job(gpu_config={"cost_per_gpu_hour": 2.5, "num_gpus": 2}), NOW)
    assert (found.cost, found.cost_is_computed) == (5.0, True)
    assert progress_of(job(current_cost=4), NOW).cost_is_computed is False


def test_a_run_that_has_ended_has_nothing_left() -> None:
    found = progress_of(job(status="failed", completed_at=NOW.isoformat(), final_cost=3), NOW)
    assert (found.left, found.total_cost, found.elapsed) == (None, 3, 3_600.0)


def test_times_that_no_run_can_have_are_unknown() -> None:
    price = {"cost_per_gpu_hour": 2.5}
    for started in ("2027-06-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00"):
        found = progress_of(job(started_at=started, gpu_config=price), NOW)
        assert (found.elapsed, found.cost, found.pace) == (None, None, None)
    ended = (NOW - timedelta(hours=3)).isoformat()
    assert progress_of(job(status="failed", completed_at=ended), NOW).elapsed is None
    slow = [(NOW - timedelta(seconds=200), 1.0), (NOW, 2.0)]
    assert progress_of(job(total_steps=2**40), NOW, slow).left is None


def test_a_total_or_a_step_that_no_run_can_have_is_unknown() -> None:
    found = progress_of(job(total_steps=0, current_step=-5, progress=12), NOW)
    assert (found.step, found.total_steps, found.share) == (None, None, 0.12)


def test_only_a_whole_run_is_100_percent() -> None:
    found = progress_of(job(current_step=9_999, total_steps=10_000), NOW)
    assert formats.share(found.share) == "99 %"
    assert formats.share(1.0) == "100 %"


def test_why_a_job_ended_and_how_often_it_was_begun_is_one_sentence_everywhere() -> None:
    assert reason_of(job(status="failed", error_message="out of\nmemory")) == "out of memory"
    assert reason_of(job(status="failed")) == "no reason was recorded"
    assert reason_of(job(status="cancelled")) == ""
    assert reason_of(job(status="cancelled", error_message="by its owner")) == "by its owner"
    assert reason_of(job(error_message="of the attempt before")) == ""
    assert attempts_of(job(retry_count=1)) == 2
    assert attempts_of(job(status="queued", retry_count=1)) == 1
    assert attempts_of(job(retry_count=-7)) is None


def test_the_age_of_a_job_counts_from_its_end_its_start_or_its_queueing() -> None:
    times = {
        "queued_at": (NOW - timedelta(hours=2)).isoformat(),
        "completed_at": NOW.isoformat(),
    }
    assert age_begins(job(status="queued", **times)) == NOW - timedelta(hours=2)
    assert age_begins(job(**times)) == NOW - timedelta(hours=1)
    assert age_begins(job(status="failed", **times)) == NOW


@given(
    step=st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=5), st.none()),
    total=st.one_of(st.integers(-5, 2**70), st.none()),
    progress=st.one_of(st.floats(), st.text(max_size=4)),
    hours=st.integers(-900_000, 900_000),
)
def test_absurd_rows_give_shares_between_none_and_all(
    step: object, total: object, progress: object, hours: int
) -> None:
    started = (NOW + timedelta(hours=hours)).isoformat()
    row = job(current_step=step, total_steps=total, progress=progress, started_at=started)
    found = progress_of(row, NOW)
    assert found.share is None or 0 <= found.share <= 1
    assert found.elapsed is None or found.elapsed >= 0
    assert found.left is None or found.left >= 0
