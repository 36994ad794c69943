"""How far a training run is, how fast it goes, how long it still takes, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lora_tui.domain.job_statuses import RUNNING
from lora_tui.domain.rows import Job

RECENT_SECONDS: Final = 300.0
"""The pace is that of the points of so many seconds before the last one."""
_CLOCKS_DIFFER: Final = timedelta(minutes=2)
"""A time that is further in the future is no accident of two clocks."""
_LONGEST: Final = 10 * 365 * 86_400.0
"""Seconds; a longer time comes from nonsense in the row."""
_LEAST_SHARE: Final = 0.02
"""Before this share of a run its whole cost is not extrapolated."""


@dataclass(frozen=True)
class RunProgress:
    """How far one job is at one moment."""

    share: float | None
    """From 0 to 1; None if unknown."""
    step: int | None
    total_steps: int | None
    elapsed: float | None
    """Seconds since the start, until the end of the run if it has ended; None if a time is unknown
    or is one that no run can have."""
    left: float | None
    """Estimated seconds until the end; None if it does not run, or its pace is unknown."""
    pace: float | None
    """Steps a second of the last minutes; None if unknown."""
    cost: float | None
    """US dollars so far: as the backend says, else from the GPUs' price and the time."""
    cost_is_computed: bool
    total_cost: float | None
    """US dollars of the whole run: final, else estimated; None if unknown."""


def progress_of(
    job: Job, now: datetime, recent: Sequence[tuple[datetime, float]] = ()
) -> RunProgress:
    """How far a job is. `recent`: time and step of its points of the last minutes, in order."""
    runs = job.status in RUNNING
    step, total = _known(job.current_step, least=0), _known(job.total_steps, least=1)
    if recent:
        step = max(step or 0, int(recent[-1][1]))
    elapsed = _elapsed(job, now, runs=runs)
    share = _share(job, step, total)
    pace = _pace(recent)
    if pace is None and runs and step is not None and step > 0 and elapsed:
        pace = step / elapsed
    left = None
    if runs and pace and step is not None and total and step < total:
        left = _sensible((total - step) / pace)
    cost, rate = job.cost, job.gpu.cost_per_hour
    is_computed = cost is None and rate is not None and rate > 0 and elapsed is not None
    if is_computed and rate is not None and elapsed is not None:
        cost = _finite(rate * max(1, job.gpu.count or 1) * elapsed / 3600)
    return RunProgress(
        share=share,
        step=step,
        total_steps=total,
        elapsed=elapsed,
        left=left,
        pace=pace,
        cost=cost,
        cost_is_computed=is_computed,
        total_cost=_total_cost(job, cost, share, runs=runs),
    )


def _known(value: int | None, *, least: int) -> int | None:
    """The value; None where a row has one that no run can have."""
    return value if value is not None and value >= least else None


def _elapsed(job: Job, now: datetime, *, runs: bool) -> float | None:
    end = now if runs else job.completed_at
    if job.started_at is None or end is None or job.started_at - end > _CLOCKS_DIFFER:
        return None
    return _sensible(max(0.0, (end - job.started_at).total_seconds()))


def _sensible(seconds: float) -> float | None:
    return seconds if seconds <= _LONGEST else None


def _share(job: Job, step: int | None, total: int | None) -> float | None:
    """By steps where they are known: `progress` is written more rarely."""
    if job.status == "completed":
        return 1.0
    if step is not None and total:
        share = step / total
    elif job.progress is not None:
        share = job.progress / 100
    else:
        return None
    return min(1.0, max(0.0, share))


def _pace(recent: Sequence[tuple[datetime, float]]) -> float | None:
    if len(recent) < 2:
        return None
    (first, from_step), (last, to_step) = recent[0], recent[-1]
    seconds = (last - first).total_seconds()
    return (to_step - from_step) / seconds if seconds > 0 and to_step > from_step else None


def _total_cost(job: Job, cost: float | None, share: float | None, *, runs: bool) -> float | None:
    if job.final_cost is not None or not runs:
        return job.final_cost
    if job.estimated_cost is not None:
        return job.estimated_cost
    if cost is not None and share is not None and share >= _LEAST_SHARE:
        return _finite(cost / share)
    return None


def _finite(value: float) -> float | None:
    """None for what is beyond all numbers: a row may say anything."""
    return value if math.isfinite(value) else None
