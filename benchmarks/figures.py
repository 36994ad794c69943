"""What a benchmark found: medians with their spread, each as a ratio to a named peer."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")
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
    """For rates more is better, for times less."""
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
    paired: bool = False,
) -> Figure:
    """The figure of several rounds, against the peer's rounds.

    The ratio is the median over the peer's median; with `paired`, for values of `in_turn`, the
    median of the ratios of neighbours.
    """
    median = statistics.median(values)
    other = statistics.median(peer_values) if peer_values else None
    ratio = median / other if other else None
    if paired:
        ratio = statistics.median(ratios(values, peer_values))
    return Figure(
        name=name,
        unit=unit,
        median=median,
        low=min(values),
        high=max(values),
        rounds=len(values),
        peer=peer,
        peer_median=other,
        ratio=ratio,
        promise=promise,
    )


def in_turn(peer: Callable[[], T], ours: Callable[[], T], rounds: int) -> tuple[list[T], list[T]]:
    """What they return, called in turn: peer, ours, peer, ours, …, peer.

    So a machine that becomes slower meanwhile changes both. The peer has one value more.
    """
    theirs, found = [peer()], []
    for _ in range(rounds):
        found.append(ours())
        theirs.append(peer())
    return theirs, found


def ratios(values: Sequence[float], peer_values: Sequence[float]) -> list[float]:
    """Each value over the peer's value before it, and over the one after it."""
    pairs = (zip(values, peer_values, strict=False), zip(values, peer_values[1:], strict=True))
    return [ours / theirs for pair in pairs for ours, theirs in pair]


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
