"""Warnings about a run that has not ended: what its points so far tell, as sentences with advice.

They ask whether to stop the run, so they need more evidence than a remark would: a point or two are
never enough, and a short or noisy run gets none. Losses are in nats a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple, Protocol

from lora_tui import formats
from lora_tui.clock import parse_timestamp
from lora_tui.curves.downsample_and_smooth import rolling_median
from lora_tui.opinion.checks import divergence
from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.measurements import MIN_POINTS, SIGMA, LoggedPoint, Run
from lora_tui.opinion.run_facts import RunFacts
from lora_tui.quality import calculate_quality_metrics


class LivePoint(LoggedPoint, Protocol):
    """A logged point with its time and signals, such as MetricPoint."""

    @property
    def timestamp(self) -> str: ...
    @property
    def gradient_norm(self) -> float | None: ...
    @property
    def gpu_utilization(self) -> float | None: ...


_NO_FACTS: Final = RunFacts()
_MOST_POINTS: Final = 2_000
"""Of a longer run the last so many points are measured, and as many of those before."""


def live_warnings(
    points: Sequence[LivePoint], *, runs: bool, now: datetime | None, facts: RunFacts = _NO_FACTS
) -> list[Finding]:
    """What is wrong with a run, the most serious first; empty while nothing is.

    `points` are in the order in which they were logged. `now` is the time until which they are
    complete: the server's, not that of this machine, which may be offline; None if it is unknown,
    and then no run is said to have stalled. `runs`: whether the job still runs; else neither a
    stall nor an idle GPU is a warning.
    """
    if not points:
        return []
    run = Run.from_points(_thinned(points))
    findings = _not_a_number(run, points)
    if not findings and len(run.losses) >= MIN_POINTS:
        findings += _diverges(run)
    findings += _gradient_spikes(points)
    if not findings:
        findings += _validation_turned(run, facts)
    if runs:
        findings += (_stalled(points, now) if now else []) or _gpu_idle(points)
    return sorted(findings, key=lambda finding: -finding.severity)


class Rating(NamedTuple):
    """What the pipeline would store, with the sentence that says so."""

    stars: int | None
    """1 to 5; None without a point."""
    sentence: str


def if_it_ended_now(points: Sequence[LoggedPoint]) -> Rating:
    """The stars that a run would get by the pipeline's rule (`quality.py`) if it ended now."""
    if not points:
        return Rating(None, "No point has been logged yet.")
    first, last = points[0], points[-1]
    rated = calculate_quality_metrics(
        [
            # a loss that is not a number is no null, which the rule takes for 0
            {
                "training_loss": math.nan if point.training_loss is None else point.training_loss,
                "validation_loss": point.validation_loss,
            }
            for point in (first, last)
        ]
    )
    stars = int(rated["overall_score"])
    fell = rated["loss_reduction_percent"]
    change = f"from {formats.loss(first.training_loss)} to {formats.loss(last.training_loss)}"
    if fell is None or first.training_loss is None or last.training_loss is None:
        reason = "its first or last loss is not a number"
    elif fell < 0:
        reason = f"the training loss rose {change}"
    else:
        reason = f"the training loss fell {change} ({formats.percent(fell)})"
    if rated["convergence_quality"] == "overfit":
        reason += f", and the validation loss is {formats.loss(last.validation_loss)}"
    early = ""
    if len(points) < MIN_POINTS:
        early = f" That is early: {formats.counted(len(points), 'point')} so far."
    return Rating(stars, f"If it ended now: {formats.score(stars)}, because {reason}.{early}")


def _thinned(points: Sequence[LivePoint]) -> Sequence[LivePoint]:
    """All points, or of a long run every n-th of the older ones and all of the last ones.

    Points are left out evenly, so that the noise of those that stay is that of the run.
    """
    older = len(points) - _MOST_POINTS
    if older <= _MOST_POINTS:
        return points
    return [*points[: older : -(-older // _MOST_POINTS)], *points[older:]]


# Losses and gradients ---------------------------------------------------------------------------

SURE: Final = 3
"""From so many points in a row on, a loss that is not a number is no accident."""


def _not_a_number(run: Run, points: Sequence[LivePoint]) -> list[Finding]:
    """The last losses, or the last gradient norms, are not numbers."""
    what, since, bad = "training loss", run.bad_from, 0
    if since is not None:
        bad = sum(step >= since for step in run.bad)
    else:
        what, since = "gradient norm", run.broken_gradient_from
        for point in reversed(points):
            if point.gradient_norm is None or not math.isnan(point.gradient_norm):
                break
            bad += 1
    if since is None:
        return []
    if bad < SURE:
        if what == "gradient norm":  # half precision skips such a step
            return []
        return [
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The training loss is not a number at the last {_of_points(bad)}, step "
                f"{formats.count(since)}.",
                "Wait for the next points; if they are no numbers either, stop the run.",
                since,
            )
        ]
    logged = " It is logged as 0, as Trainer does." if run.zeroed >= bad and run.ends_bad else ""
    return [
        Finding(
            Kind.NOT_A_NUMBER,
            Severity.SERIOUS,
            f"The {what} is not a number since step {formats.count(since)}, in "
            f"{formats.counted(bad, 'point')}.{logged}",
            "Stop the run: it does not recover. Lower the learning rate or clip the gradients.",
            since,
            since,
        )
    ]


def _of_points(count: int) -> str:
    return "point" if count == 1 else f"{count} points"


def _diverges(run: Run) -> list[Finding]:
    """The loss rises, by the second opinion's rule."""
    return [
        replace(
            finding,
            sentence=finding.sentence.replace("The training diverged.", "The training diverges."),
            advice=f"Stop the run if this goes on. {finding.advice}",
        )
        for finding in divergence(run)
    ]


_LEAST_NORMS: Final = 30
_NEWEST: Final = 50
"""Points of which it is said that gradients spike now."""
_USUAL: Final = 400
"""Points before them that tell what is usual."""
SPIKE_TIMES: Final = 5.0
"""How many times the usual norm a spike is at the least."""
_SPIKE_NOISES: Final = 6.0
_MANY: Final = 3


def _gradient_spikes(points: Sequence[LivePoint]) -> list[Finding]:
    """Several of the last gradient norms are far above the usual one, on a logarithmic scale."""
    newest = points[-_NEWEST:]
    before = points[-_NEWEST - _USUAL : -_NEWEST] if len(points) > 2 * _NEWEST else points
    usual = [math.log(norm) for _, norm in _norms(before)]
    if len(usual) < _LEAST_NORMS:
        return []
    centre = median(usual)
    noise = SIGMA * median(abs(value - centre) for value in usual)
    limit = math.exp(min(centre + max(math.log(SPIKE_TIMES), _SPIKE_NOISES * noise), 700.0))
    spikes = [(norm, step) for step, norm in _norms(newest) if norm > limit]
    if len(spikes) < _MANY:
        return []
    highest, step = max(spikes)
    times = highest / math.exp(centre)
    return [
        Finding(
            Kind.GRADIENT,
            Severity.WARNING,
            f"{formats.counted(len(spikes), 'gradient spike')} in the last "
            f"{formats.counted(len(newest), 'point')}; the highest is "
            f"{formats.significant(highest)} at step {formats.count(step)}, "
            f"{formats.count(times)} times the usual norm of "
            f"{formats.significant(math.exp(centre))}.",
            "Watch the loss: spikes often come before a divergence. Clip the gradients, or lower"
            " the learning rate.",
            step,
        )
    ]


def _norms(points: Sequence[LivePoint]) -> list[tuple[float, float]]:
    """(step, norm) of the points whose gradient norm is a positive number."""
    return [
        (float(number if point.step is None else point.step), point.gradient_norm)
        for number, point in enumerate(points)
        if point.gradient_norm is not None
        and math.isfinite(point.gradient_norm)
        and point.gradient_norm > 0
    ]


# Validation -------------------------------------------------------------------------------------

TURNED_AFTER: Final = 3
"""Evaluations in a row above the best one."""
TURNED_SHARE: Final = 0.02
"""How far above the best loss all of them are, as a share of it."""
_NOISES: Final = 3.0


def _validation_turned(run: Run, facts: RunFacts) -> list[Finding]:
    """The last validation losses are all above the best one, beyond the noise, and rise."""
    recorded = run.validations
    if len(recorded) < TURNED_AFTER + 2:
        return []
    values = [loss for _, loss in recorded]
    best = min(range(len(values)), key=values.__getitem__)
    after = values[best + 1 :]
    if best == 0 or len(after) < TURNED_AFTER:
        return []
    level = rolling_median(values, 1)
    noise = SIGMA * median(abs(value - flat) for value, flat in zip(values, level, strict=True))
    low, end = values[best], median(values[-TURNED_AFTER:])
    limit = max(TURNED_SHARE * abs(low), _NOISES * noise)
    if min(values[-TURNED_AFTER:]) - low <= limit or end < median(after[:TURNED_AFTER]):
        return []
    step, (last_step, last) = recorded[best][0], recorded[-1]
    sentence = (
        f"The validation loss has risen since step {formats.count(step)}: from "
        f"{formats.loss(low)} to {formats.loss(last)} at step {formats.count(last_step)}, over "
        f"{formats.counted(len(after), 'evaluation')}."
    )
    advice = (
        f"Stop the run, and keep a checkpoint near step {formats.count(step)}: the model learns"
        " its examples by heart."
    )
    severity = Severity.WARNING
    if facts.is_chat and facts.is_after_first_epoch(step, run.last_step):
        severity = Severity.NOTE
        sentence += " On chat data a rise after the first epoch is weak evidence."
        advice = (
            f"Compare answers of the checkpoint near step {formats.count(step)} with later ones."
        )
    return [Finding(Kind.OVERFIT, severity, sentence, advice, step, step)]


# What has stopped -------------------------------------------------------------------------------

STALLED_GAPS: Final = 3.0
"""Usual gaps without a point after which a run has stalled."""
LEAST_STALL: Final = 60.0
"""Seconds; a shorter silence may be the way of a point to us."""
_LONGEST_GAPS: Final = 1.5
"""Evaluations and checkpoints are regular silences: how many of the longest so far it must be."""
_GAPS: Final = 200
_LEAST_GAPS: Final = 4
IDLE_PERCENT: Final = 5.0
IDLE_SECONDS: Final = 180.0
_IDLE_POINTS: Final = 5


def _stalled(points: Sequence[LivePoint], now: datetime) -> list[Finding]:
    """No point came for much longer than usual."""
    moments = _moments(points[-_GAPS - 1 :])
    gaps = [
        gap
        for before, after in pairwise(moments)
        if (gap := (after - before).total_seconds()) > 0  # points may be written several at once
    ]
    if len(gaps) < _LEAST_GAPS:
        return []
    usual, silence = median(gaps), (now - moments[-1]).total_seconds()
    if silence <= max(STALLED_GAPS * usual, _LONGEST_GAPS * max(gaps), LEAST_STALL):
        return []
    step = points[-1].step
    place = "" if step is None else f", step {formats.count(step)}"
    return [
        Finding(
            Kind.STALLED,
            Severity.WARNING,
            f"No new point for {formats.duration(silence)}{place}; usually one comes every "
            f"{_seconds(usual)}.",
            "Look at the worker: it may wait for data, hang, or be gone. Cancel the job if it does"
            " not go on, because the GPU costs the same.",
            step,
        )
    ]


def _gpu_idle(points: Sequence[LivePoint]) -> list[Finding]:
    """The last points of several minutes all say that the GPU hardly works, which it has done."""
    known = [
        (point.timestamp, point.gpu_utilization)
        for point in points[-_MOST_POINTS:]
        if point.gpu_utilization is not None and math.isfinite(point.gpu_utilization)
    ]
    highest = max((value for _, value in known), default=0.0)
    percent = 100.0 if 0 < highest <= 1 else 1.0  # some workers write a share
    if highest * percent < 4 * IDLE_PERCENT:  # never busy: probably nobody measures it
        return []
    idle = 0
    for _, value in reversed(known):
        if value * percent >= IDLE_PERCENT:
            break
        idle += 1
    moments = [
        moment for text, _ in known[len(known) - idle :] if (moment := parse_timestamp(text))
    ]
    if idle < _IDLE_POINTS or len(moments) < 2:
        return []
    seconds = (moments[-1] - moments[0]).total_seconds()
    if seconds < IDLE_SECONDS:
        return []
    most = max(value for _, value in known[len(known) - idle :]) * percent
    return [
        Finding(
            Kind.GPU_IDLE,
            Severity.WARNING,
            f"The GPU has been idle for {formats.duration(seconds)}: its utilisation was at most "
            f"{formats.percent(most)} in the last {formats.counted(idle, 'point')}.",
            "Look at how data are loaded, and at the size of batches: a GPU that waits costs the"
            " same.",
        )
    ]


def _moments(points: Sequence[LivePoint]) -> list[datetime]:
    return [moment for point in points if (moment := parse_timestamp(point.timestamp))]


def _seconds(value: float) -> str:
    return f"{formats.significant(value)} s" if value < 60 else formats.duration(value)
