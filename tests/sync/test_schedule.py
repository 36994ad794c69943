"""The application syncs by itself: regularly, and ever less often while that fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.errors import AuthenticationError, LoraTuiError, SessionEndedError, UnreachableError
from lora_tui.tui.sync_schedule import INTERVAL, JITTER, LONGEST, SyncSchedule

OFFLINE = UnreachableError("no network")


def delays(schedule: SyncSchedule) -> tuple[float, float, float]:
    """The shortest, the middle and the longest that chance allows."""
    found = [schedule.delay(chance) for chance in (0.0, 0.5, 1.0)]
    assert all(delay is not None for delay in found)
    return tuple(found)  # type: ignore[return-value]


def test_it_comes_about_once_an_interval() -> None:
    shortest, middle, longest = delays(SyncSchedule().after(None))
    assert middle == pytest.approx(INTERVAL)
    assert shortest == pytest.approx(INTERVAL * (1 - JITTER))
    assert longest == pytest.approx(INTERVAL * (1 + JITTER))


def test_it_backs_off_while_there_is_no_network_and_comes_back_at_once() -> None:
    schedule = SyncSchedule()
    middles = []
    for _ in range(6):
        schedule = schedule.after(OFFLINE)
        middles.append(delays(schedule)[1])
    assert middles[:3] == pytest.approx([INTERVAL * 2, INTERVAL * 4, INTERVAL * 8])
    assert middles[-1] == LONGEST
    assert schedule.after(None) == SyncSchedule()


def test_one_refusal_of_the_login_is_tried_again_and_several_in_a_row_hold() -> None:
    schedule = SyncSchedule().after(AuthenticationError("not accepted"))
    assert not schedule.refused
    assert not schedule.after(OFFLINE).after(AuthenticationError("not accepted")).refused
    for _ in range(2):
        schedule = schedule.after(AuthenticationError("not accepted"))
    assert schedule.refused
    assert schedule.after(None) == SyncSchedule()


def test_a_session_that_has_ended_is_said_at_once_and_looked_at_now_and_then() -> None:
    """Somebody may sign in by `lora-tui login` in another terminal."""
    schedule = SyncSchedule().after(SessionEndedError("ended"))
    assert schedule.refused
    assert schedule.after(OFFLINE).refused
    assert delays(schedule)[1] == pytest.approx(INTERVAL * 2)
    assert not schedule.after(None).refused


@given(
    outcomes=st.lists(st.sampled_from([None, OFFLINE, LoraTuiError("odd")]), max_size=2000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_no_delay_is_shorter_than_most_of_an_interval_or_longer_than_the_longest(
    outcomes: list[LoraTuiError | None], chance: float
) -> None:
    schedule = SyncSchedule()
    for outcome in outcomes:
        schedule = schedule.after(outcome)
    delay = schedule.delay(chance)
    assert delay is not None
    assert INTERVAL * (1 - JITTER) <= delay <= LONGEST
