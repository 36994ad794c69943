"""The second opinion on a training run: what the whole curve says, as sentences with numbers.

The pipeline's rule (quality.py) reads the first point and the last. This reads all of them, and
robustly: medians instead of single points, noise measured from the curve itself. It is shown
beside the stored rating and never stored over it. Pure functions; losses in nats a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from statistics import median
from typing import Final, Protocol

from lora_tui import formats
from lora_tui.curves import rolling_median
from lora_tui.domain import Quality
from lora_tui.quality import rate_reduction


class Kind(StrEnum):
    """What a finding is about."""

    REDUCTION = "reduction"
    NOT_A_NUMBER = "not a number"
    DIVERGENCE = "divergence"
    OVERFIT = "overfit"
    GAP = "gap"
    SPIKES = "spikes"
    PLATEAU = "plateau"
    ODD_END = "odd end"
    VALIDATION = "validation"
    NO_VALIDATION = "no validation"
    FEW_POINTS = "few points"
    THINNED = "thinned"


class Severity(IntEnum):
    """How much a finding weighs."""

    GOOD = 0
    NOTE = 1
    WARNING = 2
    SERIOUS = 3


class Verdict(StrEnum):
    """All findings in one word."""

    SOUND = "sound"
    DOUBTFUL = "doubtful"
    UNSOUND = "unsound"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Finding:
    """One thing that the curve shows."""

    kind: Kind
    severity: Severity
    sentence: str
    advice: str | None = None
    """What to do differently next time, where that follows."""
    step: float | None = None
    """Where on the curve it is, as the trainer counted steps."""


@dataclass(frozen=True)
class Validation:
    """The validation losses of a run that are recorded and finite."""

    last: float
    last_step: float
    best: float
    best_step: float


@dataclass(frozen=True)
class Opinion:
    """The findings, the weightiest first, and what follows from them."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    stars: int | None
    """What it would give; None where the curve does not carry a judgement."""
    validation: Validation | None = None
    """None where no validation loss was recorded."""

    @property
    def recommendation(self) -> str | None:
        """The advice of the weightiest finding that has one."""
        return next((finding.advice for finding in self.findings if finding.advice), None)


@dataclass(frozen=True)
class Comparison:
    """How the opinion stands to the stored rating."""

    agrees: bool | None
    """None where either of them can't tell."""
    sentence: str


class Recorded(Protocol):
    """A logged point: MetricPoint and CurvePoint are some. None is a loss that is no number."""

    @property
    def step(self) -> float | None: ...
    @property
    def training_loss(self) -> float | None: ...
    @property
    def validation_loss(self) -> float | None: ...


LEAST_POINTS: Final = 20
"""Fewer do not tell a trend from noise: a median of five at either end is half of the run."""
SPIKE_NOISES: Final = 8.0
"""A spike stands so many standard deviations of the local noise above both of its sides. Normal
noise reaches 3.5 in 3,000 points; real batches have longer tails, and their noise is known only
to about a tenth."""
SPIKE_SHARE: Final = 0.10
"""… and so much of the level there, so that a smooth curve's last digits are no spikes."""
SPIKES_MANY: Final = 3
"""One or two come from an odd batch; more are a habit of the run."""
GAVE_BACK: Final = 0.15
"""Of what was learned: a rise from the lowest level that is more than the end of a cycle."""
GAVE_BACK_MOST: Final = 0.5
"""Half of what was learned is lost again: the run has diverged."""
RISE_ERRORS: Final = 6.0
"""Standard errors a rise must exceed. The lowest of about 20 levels is 2 below the mean already."""
RISE_SHARE: Final = 0.10
"""… and so much of the level: less is within what a slow drift of the batches does."""
OVERFIT_SHARE: Final = 0.05
"""The validation loss ends so much above its best: as much as the rule's step to a star."""
OVERFIT_MOST: Final = 0.20
"""Here the file that was stored is clearly not the best that the run had."""
OVERFIT_BEFORE: Final = 0.9
"""A best this late in the run can't be told from the end."""
GAP: Final = 0.5
"""Nats between validation and training: the figure of the pipeline's rule."""
PLATEAU_LEARNED: Final = 0.05
"""A run that learned less than this has nothing to be a tenth of."""
PLATEAU_FROM: Final = 0.3
"""It must begin before this share of the run. A run should decay about five times; then the last
70 % still buy a fifth of the reduction."""
PLATEAU_BOUGHT: Final = 0.10
"""… so a tenth or less, with the error of the measurement added, is a plateau. It wastes money,
not quality: a note, never a warning."""
ODD_NOISES: Final = 6.0
"""How far the last point may be off the end's level; the rule reads that point alone."""

_CORRELATION: Final = 2.0
"""Noise of neighbouring batches is alike; errors of medians are so much larger than if not."""
_SIGMA: Final = 1.4826
"""From the median of absolute deviations to the standard deviation of normal noise."""
_LARGEST: Final = 1e12
_LEVEL_HALF, _NOISE_HALF, _SIDE = 10, 50, 8
_PLATEAU_SHARES: Final = tuple(share / 20 for share in range(2, round(20 * PLATEAU_FROM) + 1))


def second_opinion(points: Sequence[Recorded], *, thinned: bool = False) -> Opinion:
    """Judge a run by its logged points, in their order.

    `thinned` points are chosen for their looks (curves.downsample): they are too few, and too far
    out, to measure noise by, so spikes and plateaus are not looked for.
    """
    run = _Run.of(points)
    findings = [*_unusable(run), *_enough(run)]
    if len(run.losses) >= LEAST_POINTS:
        findings += _divergence(run)
        has_diverged = any(finding.kind is Kind.DIVERGENCE for finding in findings)
        findings.append(_reduction(run, has_diverged=has_diverged))
        if thinned:
            sentence = (
                f"Only {_counted(len(points), 'point')} of the curve "
                f"{'is' if len(points) == 1 else 'are'} here: spikes and plateaus can't be seen."
            )
            findings.append(Finding(Kind.THINNED, Severity.NOTE, sentence))
        else:
            findings += _spikes(run)
            findings += [] if has_diverged else _plateau(run)
        findings += _odd_end(run)
        findings += _validation(run, has_diverged=has_diverged)
    findings.sort(key=lambda finding: -finding.severity)
    verdict = _verdict(findings, run)
    return Opinion(
        verdict, tuple(findings), _stars(findings, run, verdict), _recorded(run.validations)
    )


def compare_with_rating(opinion: Opinion, quality: Quality) -> Comparison:
    """Whether the opinion bears out the stored stars, in words."""
    ours, stored = opinion.stars, quality.stars
    if ours is None:
        return Comparison(None, "The curve neither bears out the stored rating nor denies it.")
    if stored is None:
        return Comparison(
            None, f"No rating is stored; the whole curve would earn {_starred(ours)}."
        )
    if ours == stored:
        return Comparison(True, f"Agrees with the stored rating of {_starred(stored)}.")
    more = "more" if ours > stored else "fewer"
    difference = abs(ours - stored)
    word = "Nearly agrees" if difference == 1 else "Disagrees"
    return Comparison(
        difference == 1,
        f"{word}: it would give {_starred(ours)}, {difference} {more} than the stored rating.",
    )


@dataclass(frozen=True)
class _Run:
    """A run's finite training losses with what is measured of them, and its validation losses."""

    steps: tuple[float, ...]
    losses: tuple[float, ...]
    levels: list[float]
    """The losses without their noise."""
    noises: list[float]
    """The standard deviation of the noise, near each point."""
    validations: tuple[tuple[float, float], ...]
    """(step, loss), finite."""
    last_has_validation: bool
    bad: tuple[float, ...]
    """The steps at which the training loss is no number."""
    bad_validations: tuple[float, ...]
    ends_bad: bool
    last_step: float
    total: int

    @classmethod
    def of(cls, points: Sequence[Recorded]) -> _Run:
        logged = [
            (
                float(index) if point.step is None or not math.isfinite(point.step) else point.step,
                point.training_loss,
                point.validation_loss,
            )
            for index, point in enumerate(points)
        ]
        usable = [(step, _clamped(loss)) for step, loss, _ in logged if _is_finite(loss)]
        losses = tuple(loss for _, loss in usable)
        near = rolling_median(losses, _LEVEL_HALF)
        deviations = [abs(loss - level) for loss, level in zip(losses, near, strict=True)]
        return cls(
            steps=tuple(step for step, _ in usable),
            losses=losses,
            levels=rolling_median(losses, max(3, len(losses) // 40)),
            noises=[_SIGMA * value for value in rolling_median(deviations, _NOISE_HALF)],
            validations=tuple(
                (step, _clamped(loss)) for step, _, loss in logged if _is_finite(loss)
            ),
            last_has_validation=bool(logged) and _is_finite(logged[-1][2]),
            bad=tuple(step for step, loss, _ in logged if not _is_finite(loss)),
            bad_validations=tuple(
                step for step, _, loss in logged if loss is not None and not _is_finite(loss)
            ),
            ends_bad=bool(logged) and not _is_finite(logged[-1][1]),
            last_step=max((step for step, _, _ in logged), default=0.0),
            total=len(logged),
        )

    @property
    def start(self) -> float:
        """The level at the start: few points, because the loss falls fast there."""
        return median(self.losses[: _clip(len(self.losses) // 50, 5, 25)])

    @property
    def end_count(self) -> int:
        return _clip(len(self.losses) // 20, 5, 50)

    @property
    def end(self) -> float:
        return median(self.losses[-self.end_count :])

    def error(self, count: int, near: int) -> float:
        """The standard error of a median of so many losses around a point."""
        return 1.25 * _CORRELATION * self.noises[near] / math.sqrt(count)

    def level_at(self, step: float) -> float:
        """The level of the training loss nearest to a step."""
        index = min(range(len(self.steps)), key=lambda at: abs(self.steps[at] - step))
        return self.levels[index]


def _unusable(run: _Run) -> list[Finding]:
    findings = []
    if run.bad:
        where = f"first at step {_step(run.bad[0])} of {_step(run.last_step)}"
        ending = "; the run ends that way" if run.ends_bad else ""
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.SERIOUS if run.ends_bad else Severity.WARNING,
                f"The training loss is not a number at {formats.count(len(run.bad))} of "
                f"{_counted(run.total, 'point')}, {where}{ending}.",
                "Lower the learning rate or clip the gradients; don't serve these weights untested."
                if run.ends_bad
                else "Look at the batches around that step; clip the gradients.",
                run.bad[0],
            )
        )
    if run.bad_validations:
        findings.append(
            Finding(
                Kind.NOT_A_NUMBER,
                Severity.WARNING,
                f"The validation loss is not a number at "
                f"{_counted(len(run.bad_validations), 'point')}, first at step "
                f"{_step(run.bad_validations[0])}.",
                "Check the validation set for empty examples.",
                run.bad_validations[0],
            )
        )
    return findings


def _enough(run: _Run) -> list[Finding]:
    count = len(run.losses)
    if count >= LEAST_POINTS:
        return []
    if count == 0:
        sentence = "No training loss was recorded: there is nothing to judge by."
    else:
        sentence = (
            f"Only {_counted(count, 'training loss', 'training losses')} "
            f"{'was' if count == 1 else 'were'} recorded; fewer than {LEAST_POINTS} "
            "don't tell a trend from noise."
        )
    advice = None if run.total == 0 else "Log the loss more often."
    return [Finding(Kind.FEW_POINTS, Severity.NOTE, sentence, advice)]


def _reduction(run: _Run, *, has_diverged: bool) -> Finding:
    start, end = run.start, run.end
    fell = _percent(start, end)
    if end > start:
        sentence = f"The smoothed training loss rose from {_loss(start)} to {_loss(end)}."
    else:
        share = "" if math.isnan(fell) else f" ({formats.percent(fell)})"
        sentence = f"The smoothed training loss fell from {_loss(start)} to {_loss(end)}{share}."
    if has_diverged:
        return Finding(Kind.REDUCTION, Severity.NOTE, sentence)
    if fell > 15:
        return Finding(Kind.REDUCTION, Severity.GOOD, sentence)
    if fell > 5:
        return Finding(
            Kind.REDUCTION,
            Severity.NOTE,
            f"{sentence} It learned little.",
            "Try a higher learning rate or rank, unless the base model knows this data already.",
        )
    return Finding(
        Kind.REDUCTION,
        Severity.WARNING,
        f"{sentence} It learned next to nothing.",
        "Check the learning rate, and whether the data has the format that the trainer expects.",
    )


def _divergence(run: _Run) -> list[Finding]:
    lowest = min(range(len(run.levels)), key=run.levels.__getitem__)
    low, end, start = run.levels[lowest], run.end, run.start
    rise = end - low
    if rise <= max(RISE_SHARE * abs(low), RISE_ERRORS * run.error(run.end_count, -1)):
        return []
    gained = max(0.0, start - low)
    share = rise / gained if gained > 0 else math.inf
    if share < GAVE_BACK:
        return []
    step = run.steps[lowest]
    lost = "all" if share >= 1 else f"{share:.0%}"
    return [
        Finding(
            Kind.DIVERGENCE,
            Severity.SERIOUS if share >= GAVE_BACK_MOST else Severity.WARNING,
            f"The training loss turned at step {_step(step)} of {_step(run.last_step)}: from "
            f"{_loss(low)} it rose to {_loss(end)}, losing {lost} of what was learned.",
            f"Lower the learning rate or clip the gradients; a checkpoint near step {_step(step)} "
            "would be better.",
            step,
        )
    ]


def _spikes(run: _Run) -> list[Finding]:
    events: list[tuple[float, float, float]] = []
    """(height, noises, step), neighbours as one."""
    newest = -2
    losses = run.losses
    for index in range(_SIDE, len(losses) - _SIDE):
        noise = run.noises[index]
        height = losses[index] - run.levels[index]
        if height <= max(SPIKE_NOISES * noise, SPIKE_SHARE * abs(run.levels[index])):
            continue
        # against the higher side: neither a steep start nor a step upwards is a spike
        sides = (losses[index - _SIDE : index], losses[index + 1 : index + 1 + _SIDE])
        level = max(median(side) for side in sides)
        height = losses[index] - level
        if height <= max(SPIKE_NOISES * noise, SPIKE_SHARE * abs(level)):
            continue
        event = (height, height / noise if noise > 0 else math.inf, run.steps[index])
        if index == newest + 1:
            events[-1] = max(events[-1], event)
        else:
            events.append(event)
        newest = index
    if not events:
        return []
    height, noises, step = max(events)
    many = len(events) >= SPIKES_MANY
    times = "" if noises > 1e4 else f", {noises:.0f} times the noise there"
    first = "A spike" if len(events) == 1 else f"{_counted(len(events), 'spike')}; the highest"
    return [
        Finding(
            Kind.SPIKES,
            Severity.WARNING if many else Severity.NOTE,
            f"{first} at step {_step(step)} stands {_loss(height)} above its surroundings{times}.",
            "Clip the gradients, use larger batches, or look for odd examples in the data."
            if many
            else None,
            step,
        )
    ]


def _plateau(run: _Run) -> list[Finding]:
    count, total = len(run.losses), run.start - run.end
    if total <= max(PLATEAU_LEARNED * abs(run.start), 3 * run.error(run.end_count, -1)):
        return []
    for share in _PLATEAU_SHARES:
        first = int(count * share)
        rest = run.losses[first:]
        head, tail = max(5, len(rest) // 6), max(5, len(rest) // 4)
        bought = median(rest[:head]) - median(rest[-tail:])
        error = math.hypot(
            run.error(head, min(count - 1, first + head // 2)), run.error(tail, -1 - tail // 2)
        )
        if abs(bought) + error <= PLATEAU_BOUGHT * total:
            remaining = 1 - share
            step = run.steps[first]
            return [
                Finding(
                    Kind.PLATEAU,
                    Severity.NOTE,
                    f"The last {remaining:.0%} of the run bought "
                    f"{max(0.0, bought) / total:.0%} of the reduction: it stood still from about "
                    f"step {_step(step)} of {_step(run.last_step)}.",
                    "Fewer epochs would give the same model for less; or change the learning rate, "
                    "rank or data to learn more.",
                    step,
                )
            ]
    return []


def _odd_end(run: _Run) -> list[Finding]:
    """The rule reads the last point alone; say so where that point misleads."""
    last, end = run.losses[-1], run.end
    away = last - end
    if abs(away) <= max(ODD_NOISES * run.noises[-1], SPIKE_SHARE * abs(end)):
        return []
    return [
        Finding(
            Kind.ODD_END,
            Severity.NOTE,
            f"The last point ({_loss(last)}) is far off the level at the end ({_loss(end)}); "
            "the stored rating reads that point alone.",
            step=run.steps[-1],
        )
    ]


def _validation(run: _Run, *, has_diverged: bool) -> list[Finding]:
    """A validation loss that rises says nothing of its own where the training loss ran away."""
    recorded = run.validations
    if not recorded:
        return [
            Finding(
                Kind.NO_VALIDATION,
                Severity.NOTE,
                "No validation loss was recorded: overfitting can't be seen.",
                "Hold some examples back for validation.",
            )
        ]
    values = [loss for _, loss in recorded]
    level = rolling_median(values, 1 if len(values) < 30 else 2)
    best = min(range(len(values)), key=level.__getitem__)
    # of the few values that the level there comes from, name the lowest
    near = range(max(0, best - 2), min(len(values), best + 3))
    named = min(near, key=values.__getitem__)
    best_step, best_loss = recorded[named]
    last_step, last_loss = recorded[-1]
    end = median(values[-3:])
    gap_end = last_loss - run.level_at(last_step)
    gap_best = best_loss - run.level_at(best_step)
    gaps = f"the gap to training is {_loss(gap_end)}"
    if named != len(values) - 1:
        gaps += f" at the end, {_loss(gap_best)} at its best"
    deviations = [abs(value - flat) for value, flat in zip(values, level, strict=True)]
    noise = _SIGMA * median(deviations)
    rise = end - level[best]
    share = rise / abs(level[best]) if level[best] else math.inf
    early = not has_diverged and best_step <= OVERFIT_BEFORE * run.last_step
    findings = []
    if len(values) >= 4 and early and share > OVERFIT_SHARE and rise > 4 * noise:
        findings.append(
            Finding(
                Kind.OVERFIT,
                Severity.SERIOUS if share > OVERFIT_MOST else Severity.WARNING,
                f"The validation loss was best at step {_step(best_step)} of "
                f"{_step(run.last_step)} ({_loss(best_loss)}) and ended {share:.0%} above it "
                f"({_loss(last_loss)}); {gaps}.",
                f"Validation was best at step {_step(best_step)} of {_step(run.last_step)}: "
                "fewer epochs, or stop early.",
                best_step,
            )
        )
    elif gap_end > GAP and not has_diverged:
        findings.append(
            Finding(
                Kind.GAP,
                Severity.WARNING,
                f"The validation loss ends {_loss(gap_end)} above the training loss "
                f"({_loss(last_loss)} at step {_step(last_step)}); {gaps}.",
                "More or more varied data, more dropout, or a smaller rank.",
                last_step,
            )
        )
    else:
        where = (
            ""
            if named == len(values) - 1
            else f", its best {_loss(best_loss)} at step {_step(best_step)}"
        )
        findings.append(
            Finding(
                Kind.VALIDATION,
                Severity.NOTE if has_diverged else Severity.GOOD,
                f"The last recorded validation loss is {_loss(last_loss)} at step "
                f"{_step(last_step)}{where}; {gaps}.",
                step=last_step,
            )
        )
    if not run.last_has_validation:
        findings.append(
            Finding(
                Kind.VALIDATION,
                Severity.NOTE,
                "The last point has no validation loss, so the stored rating knows none.",
                step=last_step,
            )
        )
    return findings


def _recorded(validations: Sequence[tuple[float, float]]) -> Validation | None:
    if not validations:
        return None
    last_step, last = validations[-1]
    best_step, best = min(validations, key=lambda recorded: recorded[1])
    return Validation(last, last_step, best, best_step)


def _verdict(findings: Sequence[Finding], run: _Run) -> Verdict:
    worst = max((finding.severity for finding in findings), default=Severity.NOTE)
    if worst is Severity.SERIOUS:
        return Verdict.UNSOUND
    if len(run.losses) < LEAST_POINTS:
        return Verdict.UNCLEAR
    return Verdict.DOUBTFUL if worst is Severity.WARNING else Verdict.SOUND


def _stars(findings: Sequence[Finding], run: _Run, verdict: Verdict) -> int | None:
    """The rule's own steps on the smoothed reduction, so that it differs only by what it saw.

    A run that broke keeps one star, another serious finding leaves two, warnings take one off.
    """
    serious = {finding.kind for finding in findings if finding.severity is Severity.SERIOUS}
    if Kind.NOT_A_NUMBER in serious or Kind.DIVERGENCE in serious:
        return 1
    if len(run.losses) < LEAST_POINTS:
        return None
    _, earned = rate_reduction(_percent(run.start, run.end))
    if serious:
        return min(2, earned)
    return max(1, earned - 1) if verdict is Verdict.DOUBTFUL else earned


def _percent(start: float, end: float) -> float:
    return (start - end) / start * 100 if start > 0 else math.nan


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _clamped(value: float | None) -> float:
    return max(-_LARGEST, min(_LARGEST, value or 0.0))


def _clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def _loss(value: float) -> str:
    return formats.loss(value) if abs(value) < 1e6 else f"{value:.2e}"


def _step(value: float) -> str:
    return formats.count(value)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{formats.count(count)} {one if count == 1 else many or one + 's'}"


def _starred(stars: int) -> str:
    return _counted(stars, "star")
