"""The table by value of an effect, for people, CSV and JSON."""

from __future__ import annotations

from typing import Any, Final

from lora_tui import formats
from lora_tui.reports.effect import Effect, Line, Stratum, interval_text, rho_text
from lora_tui.reports.rank_statistics import Correlation, Difference

CSV_NAMES: Final = (
    *("value", "runs", "median", "best", "low_quartile", "high_quartile"),
    *("least", "greatest"),
)


def headings(effect: Effect) -> tuple[str, ...]:
    """Of `cells`: the value, how many runs, the median, the best or the ends, the quartiles."""
    ends = ("BEST",) if effect.y.better else ("LEAST", "GREATEST")
    return (effect.x.words.upper(), "RUNS", "MEDIAN", *ends, "MIDDLE HALF")


def cells(effect: Effect, line: Line) -> tuple[str, ...]:
    """The texts of a line."""
    text = effect.y.text
    best = line.best(effect.y.better)
    ends = (text(line.least), text(line.greatest)) if best is None else (text(best),)
    half = f"{text(line.low_quartile)} to {text(line.high_quartile)}" if line.runs > 1 else ""
    return (line.label, formats.count(line.runs), text(line.median), *ends, half)


def stratum_headings(effect: Effect) -> tuple[str, ...]:
    """Of `stratum_cells`."""
    by = effect.by.words.upper() if effect.by else ""
    return (by, "RUNS", "MEDIAN", *(("RHO", "95 %") if effect.x.is_number else ()))


def stratum_cells(effect: Effect, stratum: Stratum) -> tuple[str, ...]:
    """Value, runs and median of one value of the third column; of two numbers rho too."""
    found = stratum.correlation
    texts = (stratum.label, formats.count(stratum.runs), effect.y.text(stratum.median))
    if not effect.x.is_number:
        return texts
    if found is None:
        return (*texts, formats.NO_VALUE, "too few to tell")
    return (*texts, rho_text(found.rho), interval_text(found))


def csv_rows(effect: Effect) -> list[tuple[Any, ...]]:
    """The lines as numbers, or timestamps; see `CSV_NAMES`."""
    data = effect.y.data
    rows = []
    for line in effect.lines:
        best = line.best(effect.y.better)
        rest = (line.low_quartile, line.high_quartile, line.least, line.greatest)
        rows.append(
            (
                *(line.label, line.runs, data(line.median), None if best is None else data(best)),
                *map(data, rest),
            )
        )
    return rows


def effect_data(effect: Effect) -> dict[str, Any]:
    """For JSON."""
    return {
        "x": effect.x.name,
        "y": effect.y.name,
        "by": effect.by.name if effect.by else None,
        "runs": effect.runs,
        "left_out": {
            "models": effect.left_out,
            "without_x": effect.unknown_x,
            "without_y": effect.unknown_y,
        },
        "groups": effect.groups,
        "correlation": _correlation(effect.overall),
        "correlation_within_groups": _correlation(effect.within),
        "difference": _difference(effect.difference),
        "table": [dict(zip(CSV_NAMES, row, strict=True)) for row in csv_rows(effect)],
        "by_values": [
            {
                "value": stratum.label,
                "runs": stratum.runs,
                "median": effect.y.data(stratum.median),
                "correlation": _correlation(stratum.correlation),
            }
            for stratum in effect.strata
        ],
        "sentence": effect.sentence,
        "remarks": list(effect.remarks),
    }


def _correlation(found: Correlation | None) -> dict[str, Any] | None:
    return None if found is None else found._asdict()


def _difference(found: Difference | None) -> dict[str, Any] | None:
    return None if found is None else found._asdict()
