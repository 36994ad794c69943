"""What was spent, in groups: by month, dataset, preset, GPU, base model or status.

Amounts are whole millionths of a US dollar, so the total is the same however it is grouped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from lora_tui import formats
from lora_tui.domain.cost_records import MICROS

_EIGHTHS: Final = " ▏▎▍▌▋▊▉"


class By(StrEnum):
    """What the runs are grouped by."""

    MONTH = "month"
    DATASET = "dataset"
    PRESET = "preset"
    GPU = "gpu"
    BASE_MODEL = "base-model"
    STATUS = "status"

    @property
    def words(self) -> str:
        """The name in a sentence."""
        return {By.GPU: "GPU", By.BASE_MODEL: "base model"}.get(self, self.value)


_UNKNOWN: Final = {
    By.MONTH: "unknown date",
    By.DATASET: "unknown dataset",
    By.PRESET: "no preset",
    By.GPU: "unknown GPU",
    By.BASE_MODEL: "unknown base model",
    By.STATUS: "unknown status",
}
_NO_RUN: Final = "no run"


class Period(NamedTuple):
    """From a moment on, and before another; None is without end."""

    start: datetime | None = None
    before: datetime | None = None


class Group(NamedTuple):
    """What a group of runs has in common."""

    value: str | None
    """A month (`2026-11`), the id of a dataset, a status, …; None if it is unknown."""
    has_run: bool
    """False for records that belong to no run of the cache."""


class Sums(NamedTuple):
    """Counts, and amounts in millionths of a US dollar."""

    runs: int = 0
    run_cost: int = 0
    """What the jobs say: the final cost, before that the cost so far."""
    records: int = 0
    """What the cost records say."""
    counted: int = 0
    """What counts: the records, and the costs of the jobs whose time no record bills."""
    unknown: int = 0
    """Runs without a known cost; not those that wait."""
    unknown_records: int = 0
    """Records without a known amount."""
    failed_runs: int = 0
    """Runs that failed or were cancelled."""
    failed: int = 0
    """The part of `counted` that these cost."""
    so_far: int = 0
    """The part of `counted` that is not final, because the run still runs."""

    def plus(self, other: Sums) -> Sums:
        """The sum of both."""
        return Sums(*(one + two for one, two in zip(self, other, strict=True)))

    @property
    def dollars(self) -> float:
        """US dollars that count."""
        return dollars(self.counted)


class Line(NamedTuple):
    """One group with its sums."""

    group: Group
    label: str
    sums: Sums


@dataclass(frozen=True)
class Costs:
    """Groups in their order, and their total."""

    by: By
    period: Period
    lines: tuple[Line, ...]
    total: Sums = field(default_factory=Sums)

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a run nor a record."""
        return not self.lines

    def shares(self) -> list[float]:
        """The length of each line's bar, as a part of the longest; 0 for credits."""
        most = max((line.sums.counted for line in self.lines), default=0)
        return [max(0, line.sums.counted) / most if most > 0 else 0.0 for line in self.lines]


def dollars(micros: int) -> float:
    """Millionths of a US dollar as US dollars."""
    return micros / MICROS


def money(micros: int) -> str:
    """Millionths of a US dollar as text: `$1,234.50`."""
    return formats.money(dollars(micros))


def combine(
    by: By, period: Period, parts: Mapping[Group, Iterable[Sums]], names: Mapping[str, str]
) -> Costs:
    """Add up the parts of each group; `names` are the labels of datasets by their ids."""
    total = Sums()
    summed: dict[Group, Sums] = {}
    for group, some in parts.items():
        key = group if group.value != "" else group._replace(value=None)
        for sums in some:
            summed[key] = summed.get(key, Sums()).plus(sums)
            total = total.plus(sums)
    labels = _labels(by, summed, names)
    lines = [Line(group, labels[group], sums) for group, sums in summed.items()]
    if by is By.MONTH:
        lines.sort(key=lambda line: line.group.value or "", reverse=True)
    else:
        lines.sort(key=lambda line: (-line.sums.counted, line.label, line.group.value or ""))
    return Costs(by, period, tuple(lines), total)


def remarks(costs: Costs) -> list[str]:
    """What a reader has to know beside the numbers, a sentence each."""
    total = costs.total
    found = []
    if total.failed_runs:
        runs = formats.counted(total.failed_runs, "failed or cancelled run")
        found.append(f"{runs}: {money(total.failed)}")
    if total.so_far:
        found.append(f"of runs that are not finished, the cost so far: {money(total.so_far)}")
    billed = total.run_cost + total.records - total.counted
    if billed:
        found.append(f"{money(billed)} of run costs was billed, and counts as records")
    if total.unknown:
        found.append(f"{formats.counted(total.unknown, 'run')} without a known cost")
    if total.unknown_records:
        records = formats.counted(total.unknown_records, "cost record")
        found.append(f"{records} without a known amount")
    return found


def document(costs: Costs) -> dict[str, Any]:
    """The costs for `--json`; amounts in US dollars."""
    start, before = costs.period
    return {
        "by": costs.by.value,
        "since": start.isoformat() if start else None,
        "before": before.isoformat() if before else None,
        "currency": "USD",
        "groups": [
            {
                "value": line.group.value,
                "label": line.label,
                "has_run": line.group.has_run,
                **_numbers(line.sums),
            }
            for line in costs.lines
        ],
        "total": _numbers(costs.total),
    }


def table(costs: Costs) -> tuple[Sequence[str], list[list[Any]]]:
    """Header and rows for CSV; amounts in US dollars."""
    names = list(_numbers(Sums()))
    rows = [[line.label, *_numbers(line.sums).values()] for line in costs.lines]
    return [costs.by.value.replace("-", "_"), *names], rows


def bar(share: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar of a part of `width` cells; something that is not 0 is at least a thin line."""
    if ascii_only:
        return "#" * max(int(share > 0), round(share * width))
    eighths = max(int(share > 0), round(share * width * 8))
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def _numbers(sums: Sums) -> dict[str, Any]:
    return {
        "runs": sums.runs,
        "run_cost": dollars(sums.run_cost),
        "records": dollars(sums.records),
        "total": dollars(sums.counted),
        "runs_without_cost": sums.unknown,
        "records_without_amount": sums.unknown_records,
        "failed_or_cancelled_runs": sums.failed_runs,
        "failed_or_cancelled": dollars(sums.failed),
        "so_far": dollars(sums.so_far),
    }


def _labels(by: By, groups: Iterable[Group], names: Mapping[str, str]) -> dict[Group, str]:
    """The label of each group; datasets of the same name are told apart by their ids."""
    found: dict[Group, str] = {}
    for group in groups:
        if not group.has_run:
            found[group] = _NO_RUN
        elif group.value is None:
            found[group] = _UNKNOWN[by]
        elif by is By.DATASET:
            found[group] = names.get(group.value, f"{_UNKNOWN[by]} {group.value[:8]}")
        else:
            found[group] = group.value
    often = Counter(found.values())
    return {
        group: f"{label} ({group.value[:8]})"
        if by is By.DATASET and group.value and often[label] > 1
        else label
        for group, label in found.items()
    }
