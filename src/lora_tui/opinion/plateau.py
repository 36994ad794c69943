"""How much of the run bought nothing any more."""

from __future__ import annotations

import math
from statistics import median
from typing import Final

from lora_tui.opinion.findings import Finding, Kind, Severity
from lora_tui.opinion.run import Run
from lora_tui.opinion.words import whole

PLATEAU_LEARNED: Final = 0.05
"""A run that learned less than this has nothing to be a tenth of."""
PLATEAU_FROM: Final = 0.3
"""It must begin before this share of the run. A run should decay about five times; then the last
70 % still buy a fifth of the reduction."""
PLATEAU_BOUGHT: Final = 0.10
"""… so a tenth or less, with the error of the measurement added, is a plateau. It wastes money,
not quality: a note, never a warning."""
_SHARES: Final = tuple(share / 20 for share in range(2, round(20 * PLATEAU_FROM) + 1))


def plateau(run: Run) -> list[Finding]:
    """The longest rest of the run that bought a tenth of the reduction or less."""
    count, total = len(run.losses), run.start - run.end
    if total <= max(PLATEAU_LEARNED * abs(run.start), 3 * run.error(run.end_count, -1)):
        return []
    for share in _SHARES:
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
                    f"step {whole(step)} of {whole(run.last_step)}.",
                    "Fewer epochs would give the same model for less; or change the learning rate, "
                    "rank or data to learn more.",
                    step,
                )
            ]
    return []
