"""The top of a model's page: name, version and status, stars, verdict, and where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.domain import Model
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn
from lora_tui.widgets.stars import Span, badge_spans, star_spans


class ModelHeader(DrawnLines):
    """Two lines; empty until `show` is called."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "title", "muted", "figure", "faint", "stars", "excellent", "good", "fair", "poor", "overfit"
    )

    _model: Model | None = None

    def show(self, model: Model | None) -> None:
        """Show this model, or nothing."""
        self._model = model
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `header_lines`."""
        return header_lines(self._model, width, ascii_only=self.ascii_only) if self._model else ()


def header_lines(model: Model, width: int, *, ascii_only: bool = False) -> list[Line]:
    """Two lines; what does not fit is cut on the left side of each, never the figures."""
    between = " - " if ascii_only else " · "
    version = settled(model.version, ascii_only=ascii_only)
    aside = f"{version}{between}{settled(model.status, ascii_only=ascii_only)}"
    name = fit(model.name, max(1, width - cell_len(aside) - 2), ascii_only=ascii_only)
    verdict: list[Span] = [
        *star_spans(model.quality.stars, ascii_only=ascii_only),
        (f" {_score(model)}   ", "figure"),
        *badge_spans(model.quality.convergence, ascii_only=ascii_only),
    ]
    if model.quality.convergence != "overfit":
        verdict.append((" convergence", verdict[-1][1]))
    used = sum(cell_len(text) for text, _ in verdict)
    origin = [
        text
        for text in (
            model.dataset.name if model.dataset else None,
            model.preset_id,
            formats.date(model.created_at) if model.created_at else None,
        )
        if text
    ]
    room = width - used - 3
    return [
        [(name, "title"), ("  ", "title"), (aside, "muted")],
        [*verdict, ("   ", "muted"), (_origin(origin, between, room, ascii_only), "muted")],
    ]


def _score(model: Model) -> str:
    return formats.score(model.quality.stars).replace(formats.NOTHING, "not rated")


def _origin(parts: Sequence[str], between: str, room: int, ascii_only: bool) -> str:
    """Dataset, preset and date at the right end; the first of them is shortened."""
    if not parts or room < 8:
        return ""
    rest = "".join(between + settled(part, ascii_only=ascii_only) for part in parts[1:])
    first = settled(parts[0], ascii_only=ascii_only)
    most = room - cell_len(rest)
    if most < min(8, cell_len(first)):
        return fit(first, room, right=True, ascii_only=ascii_only)
    text = fit(first, min(most, cell_len(first)), ascii_only=ascii_only) + rest
    return fit(text, room, right=True, ascii_only=ascii_only)
