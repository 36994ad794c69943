"""What a benchmark found: medians with their spread, each as a ratio to a named peer."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    rounds: int
    peer: str = ""
    peer_median: float | None = None
    ratio: float | None = None
    """Median over the peer's median; for rates more is better, for times less."""
    promise: str = ""
    """What the ratio ought to be, where something was promised."""


def figure(
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    peer: str = "",
    peer_values: Sequence[float] = (),
    promise: str = "",
) -> Figure:
    """The figure of several rounds, against the peer's rounds."""
    median = statistics.median(values)
    other = statistics.median(peer_values) if peer_values else None
    return Figure(
        name=name,
        unit=unit,
        median=median,
        low=min(values),
        high=max(values),
        rounds=len(values),
        peer=peer,
        peer_median=other,
        ratio=median / other if other else None,
        promise=promise,
    )


def milliseconds(work: Callable[[], object], rounds: int) -> list[float]:
    """How long `work` takes, after one call that warms up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return times


def report(title: str, name: str, figures: Sequence[Figure]) -> None:
    """Print the table of one benchmark, and keep its figures for `run.py`."""
    print(table(title, figures), flush=True)
    RESULTS.mkdir(exist_ok=True)
    document = {"title": title, "figures": [asdict(entry) for entry in figures]}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")


def table(title: str, figures: Iterable[Figure]) -> str:
    """The figures as aligned text."""
    lines = [f"\n{title}", f"  {'':50} {'median':>10} {'low – high':>19} {'':6} {'ratio':>6}  peer"]
    for entry in figures:
        spread = f"{_short(entry.low)} – {_short(entry.high)}"
        ratio = "" if entry.ratio is None else f"{entry.ratio:.2f}"
        against = ""
        if entry.peer_median is not None:
            against = f"{entry.peer} ({_short(entry.peer_median)} {entry.unit})"
        promise = f"  [{entry.promise}]" if entry.promise else ""
        lines.append(
            f"  {entry.name:50} {_short(entry.median):>10} {spread:>19} {entry.unit:6}"
            f" {ratio:>6}  {against}{promise}"
        )
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
