"""Many compared models as a table: a line for each, columns for what tells them apart.

Pure functions, over a comparison of any number of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lora_tui import formats
from lora_tui.reports.best import ranking
from lora_tui.reports.compare import Comparison, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lora_tui.opinion import Opinion

BEST_SIGN: Final = "*"
LEGEND: Final = f"{BEST_SIGN} the best of its column"


@dataclass(frozen=True)
class TableColumn:
    """One column: a property of all models."""

    name: str
    """Of the property."""
    title: str
    """The heading, which is short."""
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    best: frozenset[int]
    better: int
    """1 where a higher value is better, -1 where a lower one is, else 0."""
    is_number: bool
    is_setting: bool = False
    """Whether somebody chose it; else it came out."""

    def cell(self, index: int) -> str:
        """The text of a model; the best one has a sign, where numbers keep a place for it."""
        sign = BEST_SIGN if index in self.best else " " if self.best and self.is_number else ""
        return self.texts[index] + sign

    def order(self, *, reverse: bool) -> list[int]:
        """The models by this column, the best first; where none is better the lowest first.

        Unknown values are last in both directions.
        """
        known = [n for n, value in enumerate(self.values) if value is not None]
        unknown = [n for n, value in enumerate(self.values) if value is None]
        known.sort(key=lambda n: _key(self.values[n]), reverse=(self.better > 0) is not reverse)
        return known + unknown


_FIRST: Final = (
    ("Validation loss", "Val. loss", -1),
    ("Validated at step", "At step", 0),
    ("Best validation", "Best val.", -1),
    ("Best at step", "At step", 0),
    ("Training loss", "Loss", -1),
    ("Rating", "Rating", 1),
    ("Suggested rating", "Suggested", 1),
    ("Cost", "Cost", -1),
    ("Training time", "Time", -1),
)
"""Property, title, and which direction is better; always shown where a model has a value."""
_GAP_AFTER: Final = "Training loss"
_SETTINGS: Final = ("Hyperparameters", "Dataset", "GPU")
"""Groups of properties that are shown where they differ; and these of other groups:"""
_SETTINGS_TOO: Final = ("Preset",)
_FOLLOWS: Final = ("GPU memory", "GPU price", "Training pairs")
"""Properties that follow from another one, the GPU or the dataset."""
_SHORT: Final = {"Learning rate": "Learn. rate", "Batch size": "Batch", "Warm-up steps": "Warm-up"}


def table_columns(comparison: Comparison) -> list[TableColumn]:
    """The columns: losses, ratings and cost, then the settings in which the models differ."""
    rows = {row.label: row for row in comparison.rows}
    columns = []
    for label, title, better in _FIRST:
        row = rows.get(label)
        if row is not None and any(value is not None for value in row.values):
            columns.append(_column(row, title, better))
        if label == _GAP_AFTER:
            columns += _gap(rows)
    chosen = [
        row
        for row in comparison.rows
        if row.differs
        and (row.group in _SETTINGS or row.label in _SETTINGS_TOO)
        and row.label not in _FOLLOWS
    ]
    for row in chosen:
        title = " ".join(_SHORT.get(row.label, row.label).split())
        columns.append(_column(row, title, 0, is_setting=True))
    return columns


def best_first(comparison: Comparison, opinions: Sequence[Opinion | None]) -> list[int]:
    """The models by their losses as `best.py` ranks them; then those that are not ranked."""
    order = ranking(comparison.models, opinions).order
    return [*order, *(n for n in range(len(comparison.models)) if n not in set(order))]


def _column(row: Row, title: str, better: int, *, is_setting: bool = False) -> TableColumn:
    is_number = all(value is None or _is_number(value) for value in row.values)
    return TableColumn(
        row.label, title, row.values, row.texts, row.best, better, is_number, is_setting
    )


def _gap(rows: dict[str, Row]) -> list[TableColumn]:
    """The last validation loss minus the last training loss."""
    pairs = zip(rows["Validation loss"].values, rows["Training loss"].values, strict=True)
    gaps = tuple(None if v is None or t is None else v - t for v, t in pairs)
    if all(gap is None for gap in gaps):
        return []
    return [TableColumn("Gap", "Gap", gaps, tuple(map(formats.loss, gaps)), frozenset(), 0, True)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _key(value: Any) -> tuple[bool, float, str]:
    """Numbers before texts; one column may have both, for its settings come from other programs."""
    if _is_number(value):
        return (False, float(value), "")
    return (True, 0.0, str(value).casefold())
