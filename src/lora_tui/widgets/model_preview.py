"""The pane beside the list: the model under the cursor at a glance, as high as there is room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.domain import Model
from lora_tui.preview import Preview
from lora_tui.widgets.cells import fit, settled
from lora_tui.widgets.curve_plot import PlotStyle, draw_curve, drawable
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn, wrapped
from lora_tui.widgets.file_list import FilesState, file_lines
from lora_tui.widgets.metric_tiles import figures
from lora_tui.widgets.opinion_panel import opinion_lines
from lora_tui.widgets.stars import badge_spans, star_spans

_TILES: Final = 3
_SHOWN_FIGURES: Final = (
    "Training loss",
    "Validation loss",
    "Perplexity",
    "Loss reduction",
    "Training time",
    "Cost",
)
_LEAST_CHART: Final = 8
_MOST_CHART: Final = 22
_BLANK: Final[Line] = (("", "muted"),)


class ModelPreview(DrawnLines):
    """Shows what `show` was given last; nothing in it can have the focus."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "heading",
        "title",
        "label",
        "value",
        "figure",
        "muted",
        "faint",
        "stars",
        "excellent",
        "good",
        "fair",
        "poor",
        "overfit",
        "done",
        "active",
        "waiting",
        "failed",
        "axis",
        "raw",
        "training",
        "validation",
    )

    _shown: Preview | None = None

    def show(self, preview: Preview | None) -> None:
        """Show this model, or nothing."""
        if preview != self._shown:
            self._shown = preview
            self.refresh()

    def lines(self, width: int) -> Sequence[Line]:
        """See `preview_lines`."""
        if self._shown is None:
            return ()
        height = self.content_size.height
        return preview_lines(self._shown, width, height, ascii_only=self.ascii_only)


def preview_lines(
    preview: Preview, width: int, height: int, *, ascii_only: bool = False
) -> list[Line]:
    """At most `height` lines: what it is, its figures, its curve, what we think, its files.

    The curve takes what the rest leaves; where that is too little, the last lines are left out.
    """
    head = [
        *_header(preview.model, width, ascii_only),
        _BLANK,
        *_tiles(preview.model, width, ascii_only),
        _BLANK,
    ]
    tail: list[Line] = []
    if preview.opinion is not None and preview.comparison is not None:
        tail += opinion_lines(preview.opinion, preview.comparison, width, ascii_only=ascii_only)
        tail.append(_BLANK)
    files = FilesState(preview.model.files, preview.transfers, preview.directory)
    tail += file_lines(files, width, ascii_only=ascii_only)
    room = height - len(head) - len(tail) - 1
    chart = _chart(preview, width, max(_LEAST_CHART, min(_MOST_CHART, room)), ascii_only)
    lines = [*head, *chart, _BLANK, *tail]
    if len(lines) <= height:
        return lines
    more = "..." if ascii_only else "…"
    return [*lines[: max(0, height - 1)], [(f"{more} enter shows all", "faint")]]


def _header(model: Model, width: int, ascii_only: bool) -> list[Line]:
    name = settled(model.name, ascii_only=ascii_only)
    texts = wrapped(name, width) or [""]
    if len(texts) > 2:
        texts = [texts[0], fit(" ".join(texts[1:]), width, ascii_only=ascii_only)]
    between = " - " if ascii_only else " · "
    origin = [
        settled(text, ascii_only=ascii_only)
        for text in (
            model.dataset.name if model.dataset else None,
            model.preset_id,
            formats.date(model.created_at) if model.created_at else None,
        )
        if text
    ]
    base = settled(
        model.hyperparameters.base_model or "base model not known", ascii_only=ascii_only
    )
    score = formats.score(model.quality.stars)
    rated = "not rated" if score == formats.NOTHING else score
    rating: Line = [
        *star_spans(model.quality.stars, ascii_only=ascii_only),
        (f" {rated}   ", "figure"),
        *badge_spans(model.quality.convergence, ascii_only=ascii_only),
    ]
    return [
        *([(fit(text, width, ascii_only=ascii_only), "title")] for text in texts),
        rating,
        [(fit(between.join(origin), width, ascii_only=ascii_only), "muted")],
        [(fit(base, width, ascii_only=ascii_only), "muted")],
    ]


def _tiles(model: Model, width: int, ascii_only: bool) -> list[Line]:
    known = dict(figures(model))
    tiles = [(label, known[label]) for label in _SHOWN_FIGURES]
    cell = width // _TILES
    lines: list[Line] = []
    for start in range(0, len(tiles), _TILES):
        row = tiles[start : start + _TILES]
        if lines:
            lines.append(_BLANK)
        lines.append([(fit(label, cell, ascii_only=ascii_only), "label") for label, _ in row])
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


def _chart(preview: Preview, width: int, height: int, ascii_only: bool) -> list[Line]:
    points = drawable(preview.curve)
    if not points:
        why = "no curve yet; enter fetches it" if preview.model.job_id else "no training job"
        return [[("Loss", "heading"), (f"  {why}", "faint")]]
    legend: list[tuple[str, str]] = [("Loss", "heading")]
    solid, dots, dashes = ("*", ".", "o") if ascii_only else ("━━", "⠒⠒", "╍╍")
    legend += [(f"  {solid}", "training"), (" smoothed", "muted")]
    legend += [(f"  {dots}", "raw"), (" logged", "muted")]
    if any(point.validation_loss is not None for point in points):
        legend += [(f"  {dashes}", "validation"), (" validation", "muted")]
    plot = draw_curve(points, width, height - 1, PlotStyle(ascii_only=ascii_only))
    return [legend, *plot.rows]
