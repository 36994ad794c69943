"""What one column of the models has to do with another: a table by value, and one honest sentence.

Pure functions. It only describes runs that exist: nobody chose their settings at random, so nothing
here says what caused what. docs/effect.md explains the figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.reports.rank_statistics import (
    Correlation,
    Difference,
    differences,
    spearman,
)
from lora_tui.reports.value_classes import Value, Variable, classify

FEWEST: Final = 10
"""Of fewer runs the interval is too wide to say anything, and its formula too coarse."""
_FEWEST_OF_CLASS: Final = 5
"""Text values of fewer runs are not compared."""
MOST_STRATA: Final = 6
"""Values of the third column that are told apart."""
OTHERS: Final = "others"
_LIKELY: Final = 0.05
_WIDE: Final = 0.5


class Run(NamedTuple):
    """One model."""

    x: Value
    y: float | None
    by: Value = None
    dataset: str | None = None
    base_model: str | None = None
    is_validated: bool = False
    """Whether it has a validation loss."""


class Line(NamedTuple):
    """The runs of one value, or of one range."""

    label: str
    runs: int
    median: float
    low_quartile: float
    high_quartile: float
    least: float
    greatest: float

    def best(self, better: int) -> float | None:
        """The best value; None where neither higher nor lower is better."""
        return None if not better else self.greatest if better > 0 else self.least


class Stratum(NamedTuple):
    """The runs of one value of the third column."""

    label: str
    runs: int
    median: float
    """Of the second column."""
    correlation: Correlation | None
    """Of two numbers, pooled within datasets and base models; None for too few runs."""


@dataclass(frozen=True)
class Effect:
    """What can be said of two columns."""

    x: Variable
    y: Variable
    by: Variable | None
    lines: tuple[Line, ...]
    runs: int
    """With a value in both columns."""
    unknown_x: int
    unknown_y: int
    """Models that are left out because of these columns; some lack both."""
    left_out: int
    groups: int
    """Datasets and base models among the runs."""
    overall: Correlation | None
    """Of two numbers, over all runs; None for texts and for too few runs."""
    within: Correlation | None
    """Pooled within each dataset and base model, where there are several."""
    difference: Difference | None
    """Of a text and a number; within each dataset and base model."""
    strata: tuple[Stratum, ...]
    sentence: str
    remarks: tuple[str, ...]


def effect_of(runs: Sequence[Run], x: Variable, y: Variable, by: Variable | None = None) -> Effect:
    """Compare two columns of these models; `y` is a number."""
    known = [run for run in runs if run.x is not None and run.y is not None]
    ys = [run.y for run in known if run.y is not None]
    groups = _groups(known, x)
    several = len(set(groups)) > 1
    overall = within = difference = None
    if x.is_number:
        xs = [float(run.x) for run in known if run.x is not None]
        overall = spearman(xs, ys)
        within = spearman(xs, ys, groups) if several else None
    elif len(known) >= FEWEST and not _mixes_losses(x, y):
        difference = _difference([run.x for run in known], ys, groups)
    sentence = _sentence(known, x, y, groups, within if several else overall, difference)
    return Effect(
        x=x,
        y=y,
        by=by,
        lines=_lines(known, ys, x, y),
        runs=len(known),
        unknown_x=sum(run.x is None for run in runs),
        unknown_y=sum(run.y is None for run in runs),
        left_out=len(runs) - len(known),
        groups=len(set(groups)),
        overall=overall,
        within=within,
        difference=difference,
        strata=() if by is None else _strata(known, x, by),
        sentence=sentence,
        remarks=tuple(_remarks(runs, known, x, y, groups, overall, within, difference)),
    )


def strata_of(values: Sequence[Value], by: Variable) -> tuple[list[str], list[int]]:
    """At most `MOST_STRATA` labels, and for each value the number of its label.

    What has no place of its own, or is unknown, is `OTHERS`, the last label where there are any.
    """
    labels, places = classify(values, by, most=MOST_STRATA)
    labels = labels[:MOST_STRATA]
    others = len(labels)
    numbers = [others if n is None or n >= others else n for n in places]
    return [*labels, *([OTHERS] if others in numbers else [])], numbers


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper one; interpolated (Hyndman and Fan, type 7)."""
    ordered = sorted(values)

    def at(share: float) -> float:
        place = (len(ordered) - 1) * share
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        between = ordered[low] * (1 - (place - low)) + ordered[high] * (place - low)
        return min(max(between, ordered[low]), ordered[high])  # without rounding errors

    return at(0.25), at(0.5), at(0.75)


def rho_text(value: float) -> str:
    """`−0.62`; three decimals near 1, so that only a perfect order is 1."""
    decimals = 3 if 0.995 <= abs(value) < 1 else 2
    text = f"{min(abs(value), 0.999 if abs(value) < 1 else 1):.{decimals}f}"
    return f"−{text}" if value < 0 and float(text) else text


def interval_text(found: Correlation) -> str:
    """`−0.80 to −0.34`."""
    return f"{rho_text(found.low)} to {rho_text(found.high)}"


def _lines(known: Sequence[Run], ys: Sequence[float], x: Variable, y: Variable) -> tuple[Line, ...]:
    labels, places = classify([run.x for run in known], x)
    members: list[list[float]] = [[] for _ in labels]
    for place, value in zip(places, ys, strict=True):
        if place is not None:
            members[place].append(value)
    lines = []
    for label, values in zip(labels, members, strict=True):
        low, middle, high = quartiles(values)
        lines.append(Line(label, len(values), middle, low, high, min(values), max(values)))
    if not x.is_number and y.better:
        lines.sort(key=lambda line: -y.better * line.median)
    return tuple(lines)


def _groups(known: Sequence[Run], x: Variable) -> list[Hashable]:
    """Dataset and base model of each run, without the one that is compared itself."""
    return [
        (
            None if x.name == "dataset" else run.dataset,
            None if x.name == "base_model" else run.base_model,
        )
        for run in known
    ]


def _mixes_losses(x: Variable, y: Variable) -> bool:
    """Whether losses of different datasets or base models would be compared."""
    return y.is_loss and x.name in ("dataset", "base_model")


def _difference(
    values: Sequence[Value], ys: Sequence[float], groups: Sequence[Hashable]
) -> Difference | None:
    counts = Counter(values)
    kept = [n for n, value in enumerate(values) if counts[value] >= _FEWEST_OF_CLASS]
    return differences([values[n] for n in kept], [ys[n] for n in kept], [groups[n] for n in kept])


def _strata(known: Sequence[Run], x: Variable, by: Variable) -> tuple[Stratum, ...]:
    labels, numbers = strata_of([run.by for run in known], by)
    found = []
    for number, label in enumerate(labels):
        chosen = [run for run, own in zip(known, numbers, strict=True) if own == number]
        correlation = None
        if x.is_number and len(chosen) >= FEWEST:
            correlation = spearman(
                [float(run.x or 0) for run in chosen],
                [run.y or 0 for run in chosen],
                _groups(chosen, x),
            )
            if correlation and correlation.runs - correlation.groups + 1 < FEWEST:
                correlation = None
        middle = quartiles([run.y for run in chosen if run.y is not None])[1]
        found.append(Stratum(label, len(chosen), middle, correlation))
    return tuple(found)


def _sentence(
    known: Sequence[Run],
    x: Variable,
    y: Variable,
    groups: Sequence[Hashable],
    found: Correlation | None,
    difference: Difference | None,
) -> str:
    runs = formats.counted(len(known), "run")
    if not known:
        return f"No run has both {x.words} and {y.words}."
    for variable, values in ((x, {run.x for run in known}), (y, {run.y for run in known})):
        if len(values) == 1 and len(known) > 1:
            value = values.pop()
            text = variable.text(value) if isinstance(value, float | int) else str(value)
            return f"All {runs} have {variable.words} {text}: nothing to compare."
    if len(known) < FEWEST:
        return f"{runs}: too few to tell."
    if _mixes_losses(x, y):
        return f"Losses of different {x.words}s can't be compared: no conclusion."
    if not x.is_number:
        return _text_sentence(x, y, groups, difference)
    several = len(set(groups))
    where = f"within {_groups_text(groups)}" if several > 1 else ""
    if found is None:
        return (
            f"Only {x.words} or only {y.words} differs {where}, not both: no conclusion."
            if where
            else f"{runs}: too few to tell."
        )
    if found.runs - found.groups + 1 < FEWEST:
        few = formats.counted(found.runs, "run differs", "runs differ")
        return _sentence_case(f"{where} only {few} in both: too few to tell.")
    counted = formats.counted(found.runs, "run")
    if not found.is_seen:
        wide = max(-found.low, found.high) > _WIDE
        rest = ", so there may be one" if wide else ""
        return _sentence_case(
            f"{where}{', n' if where else 'N'}o relation can be seen in {counted}: rho is between"
            f" {rho_text(found.low)} and {rho_text(found.high)} (95 %){rest}."
        )
    goes = "higher" if found.rho > 0 else "lower"
    rho = "pooled rho" if where else "rho"
    return _sentence_case(
        f"{where}{', ' if where else ''}higher {x.words} goes with {goes} {y.words} ({rho}"
        f" {rho_text(found.rho)}, 95 % {interval_text(found)}, {counted})."
    )


def _text_sentence(
    x: Variable, y: Variable, groups: Sequence[Hashable], found: Difference | None
) -> str:
    if found is None:
        return f"Fewer than two values of {x.words} have {_FEWEST_OF_CLASS} runs: too few to tell."
    within = f" within {_groups_text(groups)}" if found.groups > 1 else ""
    test = (
        f"Kruskal–Wallis over {found.classes} values and {formats.count(found.runs)} runs"
        f"{within}: by chance alone in {_probability(found.chance)}"
    )
    if found.chance < _LIKELY:
        return f"{_sentence_case(y.words)} differs between values of {x.words} ({test})."
    return f"No difference between values of {x.words} can be seen ({test})."


def _remarks(
    runs: Sequence[Run],
    known: Sequence[Run],
    x: Variable,
    y: Variable,
    groups: Sequence[Hashable],
    overall: Correlation | None,
    within: Correlation | None,
    difference: Difference | None,
) -> list[str]:
    remarks = []
    if len(set(groups)) > 1:
        over = ""
        if overall is not None and len(known) >= FEWEST:
            over = f". Over all together rho is {rho_text(overall.rho)} ({interval_text(overall)})"
        remarks.append(
            f"The runs are of {_groups_text(groups)}, mixed in the table: a difference may come"
            f" from those{over}."
        )
    validated = sum(run.is_validated for run in known)
    if y.is_training and validated:
        have = "has" if validated == 1 else "have"
        remarks.append(
            f"{_sentence_case(y.words)} comes from the training loss, which hides overfitting:"
            f" {formats.counted(validated, 'run')} {have} a validation loss to look at instead."
        )
    found = within if len(set(groups)) > 1 else overall
    if found is not None and (not found.is_seen or found.runs - found.groups + 1 < FEWEST):
        found = None  # nothing is claimed
    if found is not None or (difference and difference.chance < _LIKELY):
        remarks.append("No experiment: whatever else differs between these runs may be the reason.")
    left_out = len(runs) - len(known)
    if left_out:
        parts = [
            f"{formats.count(count)} without {variable.words}"
            for variable, count in (
                (x, sum(run.x is None for run in runs)),
                (y, sum(run.y is None for run in runs)),
            )
            if count
        ]
        remarks.append(f"{formats.counted(left_out, 'model')} left out: {', '.join(parts)}.")
    if found is not None:
        remarks.append(
            f"Without any relation chance alone gives a rho this far from 0 in"
            f" {_probability(found.chance)}."
        )
    return remarks


def _groups_text(groups: Sequence[Any]) -> str:
    """`3 datasets`, `2 base models`, or `4 combinations of dataset and base model`."""
    datasets, bases = len({group[0] for group in groups}), len({group[1] for group in groups})
    if bases == 1:
        return formats.counted(datasets, "dataset")
    if datasets == 1:
        return formats.counted(bases, "base model")
    return f"{formats.count(len(set(groups)))} combinations of dataset and base model"


def _probability(value: float) -> str:
    """`less than 1 of 1,000 cases`, `about 1 of 40 cases`, `about 30 % of cases`."""
    if value < 0.001:
        return "less than 1 of 1,000 cases"
    share = f"1 of {1 / value:,.0f} cases" if value < 0.1 else f"{formats.share(value)} of cases"
    return f"about {share}"


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
