"""How a page of the list looks, whichever way its models were found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from lora_tui import clock, formats
from lora_tui.text import cell_width, fit

_COLUMNS = ("ID", "STARS", "CONVERGENCE", "NAME", "DATASET", "CREATED", "LOSS", "COST")
_NAME_WIDTH = 40


def cells(
    model_id: str,
    stars: int | None,
    convergence: str,
    name: str,
    dataset: str | None,
    created_at: datetime | None,
    loss: float | None,
    cost: float | None,
) -> tuple[str, ...]:
    """One model as a line of the table."""
    return (
        model_id[:8],
        formats.stars(stars),
        convergence,
        name,
        dataset or formats.NOTHING,
        formats.date(created_at),
        formats.loss(loss),
        formats.money(cost),
    )


def table(rows: Iterable[Sequence[str]]) -> str:
    """The lines of `cells` under their headings; nothing where there are none."""
    lines = [_COLUMNS, *rows]
    if len(lines) == 1:
        return ""
    widths = [
        min(_NAME_WIDTH, max(cell_width(line[column]) for line in lines))
        for column in range(len(_COLUMNS))
    ]
    return "".join(
        "  ".join(fit(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def remark(offset: int, shown: int, total: int, last_sync: datetime | None) -> str:
    """What is said of the page: which models these are, and how old that is."""
    if last_sync is None:
        return "The cache was never synced: run `lora-tui sync`."
    which = f"{offset + 1}–{offset + shown} of {total}" if shown else f"none of {total}"
    return f"{which} models, as of {formats.age(last_sync, clock.now())}"


def pagination(page: int, limit: int, total: int) -> dict[str, int]:
    """The page as `--json` tells it."""
    return {"page": page, "limit": limit, "total": total, "totalPages": -(-total // limit)}
