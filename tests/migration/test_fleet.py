"""A fleet of harvesters on PostgreSQL: whatever happens to some, each job gets one model, soon."""

from __future__ import annotations

import signal
from typing import Any, Final

from tests.backends.postgres import Database
from tests.migration.fleet import (
    faults,
    fill,
    fleet,
    kill_half,
    record_leases,
    seconds_until_claimed,
    start,
)
from tests.waiting import until

_ORDERS: Final[dict[str, Any]] = {"way": "claims", "claim": 4, "lease": 1, "poll": 0.1}


def test_all_jobs_of_harvesters_that_were_killed_are_claimed_again(ours: Database) -> None:
    fill(ours, 120)
    record_leases(ours)
    with fleet(ours, 4, work=0.03, **_ORDERS) as members:
        start(members)
        until(lambda: ours.rows("select 1 from public.notifications offset 30"))
        at, jobs = kill_half(ours, members)
        assert all(member.counts().harvested for member in members[1::2])
    assert jobs
    assert len(seconds_until_claimed(ours, at, jobs)) == len(jobs)
    assert faults(ours) == []


def test_one_that_is_suspended_beyond_its_lease_and_then_writes_makes_nothing_twice(
    ours: Database,
) -> None:
    fill(ours, 12)
    record_leases(ours)
    with fleet(ours, 1, name="late", suspends=True, careless=True, **_ORDERS) as [late]:
        start([late])
        assert late.read() == "claimed"
        with fleet(ours, 1, **_ORDERS) as [quick]:
            start([quick])
            assert quick.counts().harvested == 12
        late.send(signal.SIGCONT)
        assert late.counts().harvested == 0
    assert faults(ours) == []
