"""The parts of a model's page: header, metrics, second opinion and timeline of the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import ClassVar, Final, NamedTuple

from rich.cells import cell_len

from lora_tui import formats
from lora_tui.domain import Model, StepLoss
from lora_tui.opinion import Comparison, Finding, Opinion, Severity
from lora_tui.reports import losses
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.styled_lines import (
    Line,
    Span,
    StyledLines,
    badge_spans,
    line_styles,
    star_spans,
)


class ModelHeader(StyledLines):
    """Shows name, version, status, rating and origin in two lines."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "title", "muted", "strong", "faint", "stars", "excellent", "good", "fair", "poor", "overfit"
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
    """Two lines: name with version and status; stars and convergence with the origin."""
    between = " - " if ascii_only else " · "
    version = normalize_width(model.version, ascii_only=ascii_only)
    aside = f"{version}{between}{normalize_width(model.status, ascii_only=ascii_only)}"
    name = fit(model.name, max(1, width - cell_len(aside) - 2), ascii_only=ascii_only)
    verdict: list[Span] = [
        *star_spans(model.quality.stars, ascii_only=ascii_only),
        (f" {_score(model)}   ", "strong"),
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
    return formats.score(model.quality.stars).replace(formats.NO_VALUE, "not rated")


def _origin(parts: Sequence[str], between: str, room: int, ascii_only: bool) -> str:
    """Dataset, preset and date, right-aligned; the dataset is shortened to fit."""
    if not parts or room < 8:
        return ""
    rest = "".join(between + normalize_width(part, ascii_only=ascii_only) for part in parts[1:])
    first = normalize_width(parts[0], ascii_only=ascii_only)
    most = room - cell_len(rest)
    if most < min(8, cell_len(first)):
        return fit(first, room, right=True, ascii_only=ascii_only)
    text = fit(first, min(most, cell_len(first)), ascii_only=ascii_only) + rest
    return fit(text, room, right=True, ascii_only=ascii_only)


_IN_ONE_ROW: Final = 124


class Metric(NamedTuple):
    """A metric of a model as text."""

    name: str
    text: str
    label: str
    short: str
    """A label for narrow columns."""

    @property
    def column_label(self) -> str:
        """The label for columns that take its width: the name, or shortened with a step."""
        return self.name if self.label == self.name else self.short


class MetricTiles(StyledLines):
    """Shows the metrics as tiles: eight in a row where the width allows it, else four."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("label", "strong", "faint")

    _metrics: Sequence[Metric] = ()

    def show(self, model: Model, opinion: Opinion | None) -> None:
        """Show the metrics of this model; the opinion knows more of its losses."""
        self._metrics = metrics_of(model, opinion)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `tile_lines`."""
        return tile_lines(self._metrics, width, ascii_only=self.ascii_only)


def metrics_of(
    model: Model, opinion: Opinion | None, recorded: StepLoss | None = None
) -> list[Metric]:
    """The metrics; `recorded` is the last recorded validation loss, if the opinion has none."""
    quality, training = model.quality, model.training
    ends_bad = opinion is not None and opinion.ends_bad
    trained = losses.NOT_A_NUMBER if ends_bad else formats.loss(losses.training_loss(model, None))
    return [
        Metric("Training loss", trained, "Training loss", "Train loss"),
        _validation(model, losses.validation_loss(model, opinion) or recorded),
        _metric("Perplexity", formats.perplexity(quality.perplexity)),
        Metric(
            "Loss reduction",
            formats.percent(quality.loss_reduction_percent),
            "Loss reduction",
            "Reduction",
        ),
        _metric("Epochs", formats.number(training.epochs_completed)),
        _metric("Steps", formats.count(training.total_steps)),
        _metric("Training time", formats.hours(training.duration_hours)),
        _metric("Cost", formats.money(training.total_cost)),
    ]


def _metric(name: str, text: str) -> Metric:
    return Metric(name, text, name, name)


def _validation(model: Model, recorded: StepLoss | None) -> Metric:
    """The validation loss of the last point, else the last recorded one with its step."""
    name, stored = "Validation loss", model.quality.final_validation_loss
    if stored is not None or recorded is None:
        return Metric(name, formats.loss(stored), name, "Val. loss")
    step = formats.step(recorded.step)
    return Metric(name, formats.loss(recorded.loss), f"Validation at {step}", f"Val. at {step}")


def tile_lines(tiles: Sequence[Metric], width: int, *, ascii_only: bool = False) -> list[Line]:
    """Label above value, in columns of equal width; an empty line between rows of tiles."""
    columns = len(tiles) if width >= _IN_ONE_ROW else 4
    cell = width // columns
    lines: list[Line] = []
    for start in range(0, len(tiles), columns):
        row = tiles[start : start + columns]
        if lines:
            lines.append([("", "label")])
        names = [tile.short if len(tile.label) >= cell else tile.label for tile in row]
        lines.append([(fit(name, cell, ascii_only=ascii_only), "label") for name in names])
        lines.append(
            [
                (
                    fit(tile.text, cell, ascii_only=ascii_only),
                    "faint" if tile.text == formats.NO_VALUE else "strong",
                )
                for tile in row
            ]
        )
    return lines


_SIGNS: Final = {
    Severity.GOOD: ("✓", "+", "done"),
    Severity.NOTE: ("•", "-", "muted"),
    Severity.WARNING: ("▲", "!", "overfit"),
    Severity.SERIOUS: ("✗", "X", "failed"),
}
_INDENT: Final = 2


class OpinionPanel(StyledLines):
    """Shows a second opinion; hidden without one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "strong", "value", "muted", "done", "overfit", "failed"
    )

    _shown: tuple[Opinion, Comparison] | None = None

    def show(self, opinion: Opinion | None, comparison: Comparison | None) -> None:
        """Show this opinion, or nothing."""
        self._shown = None if opinion is None or comparison is None else (opinion, comparison)
        self.display = self._shown is not None
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `opinion_lines`."""
        if self._shown is None:
            return ()
        return opinion_lines(*self._shown, width, ascii_only=self.ascii_only)


def opinion_lines(
    opinion: Opinion, comparison: Comparison, width: int, *, ascii_only: bool = False
) -> list[Line]:
    """Verdict, comparison with the rating, findings with a sign for their severity, advice."""
    worst = max((finding.severity for finding in opinion.findings), default=Severity.NOTE)
    style = "muted" if opinion.stars is None else _SIGNS[worst][2]
    lines: list[Line] = [
        [("Second opinion", "heading"), ("  ", "muted"), (opinion.verdict.value, style)]
    ]
    lines += [[(text, "strong")] for text in wrap(comparison.sentence, width)]
    for finding in opinion.findings:
        lines += finding_lines(finding, width, ascii_only=ascii_only)
    if opinion.recommendation:
        lines += advice_lines(opinion.recommendation, width, ascii_only=ascii_only)
    return lines


def finding_lines(finding: Finding, width: int, *, ascii_only: bool = False) -> list[Line]:
    """The sentence of a finding, with a sign for its severity."""
    sign, letter, style = _SIGNS[finding.severity]
    return _item(letter if ascii_only else sign, style, finding.sentence, width, ascii_only)


def advice_lines(text: str, width: int, *, ascii_only: bool = False) -> list[Line]:
    """What to do, after an arrow."""
    return _item(">" if ascii_only else "→", "heading", text, width, ascii_only)


def _item(sign: str, style: str, text: str, width: int, ascii_only: bool) -> list[Line]:
    texts = wrap(normalize_width(text, ascii_only=ascii_only), max(1, width - _INDENT))
    return [
        [(sign if number == 0 else " ", style), (" ", "muted"), (part, "value")]
        for number, part in enumerate(texts)
    ]


_LABEL: Final = 16
_MOST_BAR: Final = 24


@dataclass(frozen=True)
class Stage:
    """A moment of the timeline, and what happens between it and the next."""

    name: str
    moment: datetime | None
    then: str
    """What happens until the next stage: `waiting`, `training`."""


class JobTimeline(StyledLines):
    """Shows the timeline of a job; hidden where no time is known."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles(
        "heading", "label", "value", "muted", "faint", "done", "active", "waiting", "axis"
    )

    _stages: Sequence[Stage] = ()

    def show(self, stages: Sequence[Stage]) -> None:
        """Show these moments, if one of them is known."""
        if list(stages) == list(self._stages):
            return
        self._stages = stages
        self.display = any(stage.moment for stage in self._stages)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `timeline_lines`."""
        return timeline_lines(self._stages, width, ascii_only=self.ascii_only)


def stages_of(model: Model) -> list[Stage]:
    """The stages of the job and the model, in order."""
    job = model.job
    ended = "Completed" if job is None or job.status == "completed" else job.status.capitalize()
    stages = []
    if job is not None:
        stages += [
            Stage("Queued", job.queued_at or job.created_at, "waiting"),
            Stage("Started", job.started_at, "training"),
            Stage(ended, job.completed_at, "until harvested"),
        ]
    stages.append(Stage("Harvested", model.created_at, "until deployed"))
    if model.deployed_at is not None:
        stages.append(Stage("Deployed", model.deployed_at, ""))
    return stages


def timeline_lines(stages: Sequence[Stage], width: int, *, ascii_only: bool = False) -> list[Line]:
    """One line per stage, and between two stages their distance in time as a bar."""
    if not stages:
        return []
    dot, hollow, upright, bar = ("*", "o", "|", "=") if ascii_only else ("●", "○", "│", "━")
    spans = [_seconds(before, after) for before, after in pairwise(stages)]
    total = sum(span for span in spans if span is not None)
    lines: list[Line] = [[("Timeline", "heading")]]
    if total and len([span for span in spans if span is not None]) == len(spans):
        lines[0] = [("Timeline", "heading"), (f"  {formats.duration(total)} in total", "muted")]
    room = max(4, min(_MOST_BAR, width - _LABEL - 30))
    for number, stage in enumerate(stages):
        known = stage.moment is not None
        lines.append(
            [
                (f"{dot if known else hollow} ", "done" if known else "faint"),
                (f"{stage.name[: _LABEL - 3]:<{_LABEL - 2}}", "label"),
                (
                    formats.date_time(stage.moment) if known else "not recorded",
                    "value" if known else "faint",
                ),
            ]
        )
        if number < len(spans):
            span = spans[number]
            if span is None:
                lines.append([(upright, "axis")])
                continue
            cells = max(1, round(room * span / total)) if span and total else 0
            style = "active" if stage.then == "training" else "waiting"
            passed = formats.duration(span)
            lines.append(
                [
                    (f"{upright} ", "axis"),
                    (f"{passed:>{_LABEL - 4}}  ", "muted"),
                    (bar * cells, style),
                    (f" {stage.then}" if cells else stage.then, "faint"),
                ]
            )
    return lines


def _seconds(before: Stage, after: Stage) -> float | None:
    """Seconds between two stages; None where one is unknown or they are out of order."""
    if before.moment is None or after.moment is None or after.moment < before.moment:
        return None
    return (after.moment - before.moment).total_seconds()
