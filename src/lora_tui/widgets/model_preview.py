"""The pane beside or below the list: a summary of the model under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar, Final

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.cache.runs import Preview
from lora_tui.config.keys import DEFAULT_KEYS
from lora_tui.curves.series import Series
from lora_tui.domain import Model
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.charts.curve_plot import PlotStyle, draw_curve, legend
from lora_tui.widgets.file_list import FilesState, file_lines
from lora_tui.widgets.mark_lines import mark_lines
from lora_tui.widgets.model_page import metrics_of, opinion_lines
from lora_tui.widgets.styled_lines import (
    Line,
    Span,
    StyledLines,
    badge_spans,
    line_styles,
    star_spans,
)

_TILES: Final = 3
_SHOWN_FIGURES: Final = (
    "Training loss",
    "Validation loss",
    "Perplexity",
    "Loss reduction",
    "Training time",
    "Cost",
)
_TWO_COLUMNS: Final = 90
"""The least width of the pane for figures and curve side by side."""
_FIGURES_WIDTH: Final = 46
_LEAST_CHART: Final = 8
_MOST_CHART: Final = 22
_MOST_MARKS: Final = 6
"""Lines of one's own marks."""
_BLANK: Final[Line] = (("", "muted"),)


class ModelPreview(StyledLines):
    """Shows the model passed to `show`; it can't have the focus."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading",
        "title",
        "grid",
        "best",
        "label",
        "value",
        "strong",
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
        arranged = preview_lines if width < _TWO_COLUMNS else preview_columns
        return arranged(
            *(self._shown, width, height),
            ascii_only=self.ascii_only,
            open_key=key_of(self.app, "list.open"),
        )


def preview_lines(
    preview: Preview,
    width: int,
    height: int,
    *,
    ascii_only: bool = False,
    open_key: str = DEFAULT_KEYS["list.open"],
) -> list[Line]:
    """At most `height` lines: header, metrics, curve, second opinion, files.

    The curve takes what the rest leaves; where that is too little, the last lines are left out.
    """
    head = [
        *_header(preview.model, width, ascii_only),
        *mark_lines(preview.marks, width, _MOST_MARKS, ascii_only=ascii_only),
        _BLANK,
        *_tiles(preview, width, ascii_only),
        _BLANK,
    ]
    tail: list[Line] = []
    if preview.opinion is not None and preview.comparison is not None:
        tail += opinion_lines(preview.opinion, preview.comparison, width, ascii_only=ascii_only)
        tail.append(_BLANK)
    files = FilesState(
        preview.model.files, preview.transfers, preview.directory, preview.model.lost_files
    )
    tail += file_lines(files, width, ascii_only=ascii_only)
    room = height - len(head) - len(tail) - 1
    rows = max(_LEAST_CHART, min(_MOST_CHART, room))
    chart = _chart(preview, width, rows, open_key, ascii_only)
    lines = [*head, *chart, _BLANK, *tail]
    if len(lines) <= height:
        return lines
    more = "..." if ascii_only else "…"
    return [*lines[: max(0, height - 1)], [(f"{more} {open_key} shows all", "faint")]]


def preview_columns(
    preview: Preview,
    width: int,
    height: int,
    *,
    ascii_only: bool = False,
    open_key: str = DEFAULT_KEYS["list.open"],
) -> list[Line]:
    """At most `height` lines for a wide and low pane: header and metrics, beside them the curve."""
    figures = [
        *_header(preview.model, _FIGURES_WIDTH, ascii_only),
        *mark_lines(preview.marks, _FIGURES_WIDTH, _MOST_MARKS, ascii_only=ascii_only),
        _BLANK,
        *_tiles(preview, _FIGURES_WIDTH, ascii_only),
    ][:height]
    room = width - _FIGURES_WIDTH - 2
    chart = _chart(preview, room, height, open_key, ascii_only)[:height]
    lines: list[Line] = []
    for left, right in zip_longest(figures, chart, fillvalue=_BLANK):
        space = width - room - sum(cell_len(text) for text, _ in left)
        lines.append([*left, (" " * space, "muted"), *right])
    return lines


def _header(model: Model, width: int, ascii_only: bool) -> list[Line]:
    name = normalize_width(model.name, ascii_only=ascii_only)
    texts = wrap(name, width) or [""]
    if len(texts) > 2:
        texts = [texts[0], fit(" ".join(texts[1:]), width, ascii_only=ascii_only)]
    between = " - " if ascii_only else " · "
    origin = [
        normalize_width(text, ascii_only=ascii_only)
        for text in (
            model.dataset.name if model.dataset else None,
            model.preset_id,
            formats.date(model.created_at) if model.created_at else None,
        )
        if text
    ]
    base = normalize_width(
        model.hyperparameters.base_model or "base model unknown", ascii_only=ascii_only
    )
    score = formats.score(model.quality.stars)
    rated = "not rated" if score == formats.NO_VALUE else score
    rating: Line = [
        *star_spans(model.quality.stars, ascii_only=ascii_only),
        (f" {rated}   ", "strong"),
        *badge_spans(model.quality.convergence, ascii_only=ascii_only),
    ]
    return [
        *([(fit(text, width, ascii_only=ascii_only), "title")] for text in texts),
        rating,
        [(fit(between.join(origin), width, ascii_only=ascii_only), "muted")],
        [(fit(base, width, ascii_only=ascii_only), "muted")],
    ]


def _tiles(preview: Preview, width: int, ascii_only: bool) -> list[Line]:
    metrics = metrics_of(preview.model, preview.opinion, preview.validation)
    known = {metric.name: metric for metric in metrics}
    rows = [
        [known[name] for name in names]
        for names in (_SHOWN_FIGURES[:_TILES], _SHOWN_FIGURES[_TILES:])
    ]
    widths = [
        max(max(cell_len(metric.column_label), cell_len(metric.text)) for metric in column)
        for column in zip(*rows, strict=True)
    ]
    gap = max(1, (width - sum(widths)) // _TILES)
    lines: list[Line] = []
    for row in rows:
        if lines:
            lines.append(_BLANK)
        labels: list[Span] = [(metric.column_label, "label") for metric in row]
        texts: list[Span] = [
            (metric.text, "faint" if metric.text == formats.NO_VALUE else "strong")
            for metric in row
        ]
        for spans in (labels, texts):
            lines.append(_in_columns(spans, [space + gap for space in widths], width, ascii_only))
    return lines


def _in_columns(
    spans: Sequence[Span], widths: Sequence[int], room: int, ascii_only: bool
) -> list[Span]:
    """Put each span into its column; the last columns share the remaining room."""
    line: list[Span] = []
    for (text, style), width in zip(spans, widths, strict=True):
        line.append((fit(text, min(width, room), ascii_only=ascii_only), style))
        room -= min(width, room)
    return line


def _chart(
    preview: Preview, width: int, height: int, open_key: str, ascii_only: bool
) -> list[Line]:
    series = Series.from_points(preview.curve)
    if not len(series):
        fetch = f"No curve yet. Press {open_key} to fetch it."
        why = fetch if preview.model.job_id else "No training job"
        return [[("Loss", "heading"), (f"  {why}", "faint")]]
    style = PlotStyle(ascii_only=ascii_only)
    plot = draw_curve(series, width, height - 1, style)
    has_validation = bool(series.validation)
    return [
        legend(style, None, width, is_log=False, has_validation=has_validation),
        *plot.rows,
    ]
