"""When the next background sync is due: regularly, and less often while syncs fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.config.table import SYNC_INTERVAL
from lora_tui.errors import (
    AuthenticationError,
    LoraTuiError,
    NotSignedInError,
    SessionEndedError,
    UnreachableError,
    WrongPasswordError,
)
from lora_tui.tui.sync_schedule import JITTER, LONGEST, SyncSchedule

OFFLINE = UnreachableError("no network")


def delays(schedule: SyncSchedule) -> tuple[float, float, float]:
    """The shortest, the middle and the longest that chance allows."""
    found = [schedule.delay(chance) for chance in (0.0, 0.5, 1.0)]
    assert all(delay is not None for delay in found)
    return tuple(found)  # type: ignore[return-value]


def test_a_sync_is_due_about_once_an_interval() -> None:
    shortest, middle, longest = delays(SyncSchedule().after(None))
    assert middle == pytest.approx(SYNC_INTERVAL)
    assert shortest == pytest.approx(SYNC_INTERVAL * (1 - JITTER))
    assert longest == pytest.approx(SYNC_INTERVAL * (1 + JITTER))


def test_the_interval_grows_without_a_network_and_is_reset_by_a_success() -> None:
    schedule = SyncSchedule()
    middles = []
    for _ in range(6):
        schedule = schedule.after(OFFLINE)
        middles.append(delays(schedule)[1])
    assert middles[:3] == pytest.approx([SYNC_INTERVAL * 2, SYNC_INTERVAL * 4, SYNC_INTERVAL * 8])
    assert middles[-1] == LONGEST
    assert schedule.after(None) == SyncSchedule()


def test_one_refused_login_is_retried_and_several_in_a_row_lengthen_the_interval() -> None:
    schedule = SyncSchedule().after(AuthenticationError("not accepted"))
    assert not schedule.refused
    assert not schedule.after(OFFLINE).after(AuthenticationError("not accepted")).refused
    for _ in range(2):
        schedule = schedule.after(AuthenticationError("not accepted"))
    assert schedule.refused
    assert schedule.after(None) == SyncSchedule()


def test_an_ended_session_is_reported_at_once_and_retried_rarely() -> None:
    """Somebody may sign in by `lora-tui login` in another terminal."""
    schedule = SyncSchedule().after(SessionEndedError("ended"))
    assert schedule.refused
    assert schedule.after(OFFLINE).refused
    assert delays(schedule)[1] == pytest.approx(SYNC_INTERVAL * 2)
    assert not schedule.after(None).refused


@pytest.mark.parametrize("error", [NotSignedInError("Nobody"), WrongPasswordError("Wrong")])
def test_without_a_session_the_user_should_sign_in_after_the_first_attempt(
    error: LoraTuiError,
) -> None:
    assert SyncSchedule().after(error).refused


@given(
    outcomes=st.lists(st.sampled_from([None, OFFLINE, LoraTuiError("odd")]), max_size=2000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_delay_is_within_its_limits(
    outcomes: list[LoraTuiError | None], chance: float
) -> None:
    schedule = SyncSchedule()
    for outcome in outcomes:
        schedule = schedule.after(outcome)
    delay = schedule.delay(chance)
    assert delay is not None
    assert SYNC_INTERVAL * (1 - JITTER) <= delay <= LONGEST
