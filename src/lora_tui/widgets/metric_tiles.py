"""The figures of a run at a glance: losses, perplexity, reduction, epochs, steps, hours, cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.domain import Model
from lora_tui.widgets.cells import fit
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn

_IN_ONE_ROW: Final = 124
_SHORT: Final = {
    "Training loss": "Train. loss",
    "Validation loss": "Valid. loss",
    "Loss reduction": "Reduction",
}


class MetricTiles(DrawnLines):
    """Four tiles a row, or all eight where the width allows it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn("label", "figure", "faint")

    _model: Model | None = None

    def show(self, model: Model) -> None:
        """Show the figures of this model."""
        self._model = model
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `tile_lines`."""
        if self._model is None:
            return ()
        return tile_lines(figures(self._model), width, ascii_only=self.ascii_only)


def figures(model: Model) -> list[tuple[str, str]]:
    """Label and figure of each tile."""
    quality, training = model.quality, model.training
    final = quality.final_training_loss
    return [
        ("Training loss", formats.loss(training.final_loss if final is None else final)),
        ("Validation loss", formats.loss(quality.final_validation_loss)),
        ("Perplexity", formats.perplexity(quality.perplexity)),
        ("Loss reduction", formats.percent(quality.loss_reduction_percent)),
        ("Epochs", formats.figure(training.epochs_completed)),
        ("Steps", formats.count(training.total_steps)),
        ("Training time", formats.hours(training.duration_hours)),
        ("Cost", formats.money(training.total_cost)),
    ]


def tile_lines(
    tiles: Sequence[tuple[str, str]], width: int, *, ascii_only: bool = False
) -> list[Line]:
    """Label above figure, in columns of equal width; an empty line between rows of tiles."""
    columns = len(tiles) if width >= _IN_ONE_ROW else 4
    cell = width // columns
    lines: list[Line] = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        if lines:
            lines.append([("", "label")])
        names = [_SHORT.get(label, label) if len(label) >= cell else label for label, _ in row]
        lines.append([(fit(name, cell, ascii_only=ascii_only), "label") for name in names])
        lines.append(
            [
                (
                    fit(text, cell, ascii_only=ascii_only),
                    "faint" if text == formats.NOTHING else "figure",
                )
                for _, text in row
            ]
        )
    return lines
