"""How a model came about, as a line through time: queued, started, completed, harvested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.domain import Model
from lora_tui.widgets.drawn_lines import DrawnLines, Line, drawn

_LABEL: Final = 16
_MOST_BAR: Final = 24


@dataclass(frozen=True)
class Stage:
    """A moment of the line, and what is done after it until the next."""

    name: str
    moment: datetime | None
    then: str
    """`waiting`, `training`: what the time after it is spent with."""


class JobTimeline(DrawnLines):
    """Nothing at all for a model of which no time is known."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn(
        "heading", "label", "value", "muted", "faint", "done", "active", "waiting", "axis"
    )

    _stages: Sequence[Stage] = ()

    def show(self, model: Model) -> None:
        """Show this model's."""
        self._stages = stages_of(model)
        self.display = any(stage.moment for stage in self._stages)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `timeline_lines`."""
        return timeline_lines(self._stages, width, ascii_only=self.ascii_only)


def stages_of(model: Model) -> list[Stage]:
    """The moments that the job and the model tell of."""
    job = model.job
    ended = "Completed" if job is None or job.status == "completed" else job.status.capitalize()
    stages = []
    if job is not None:
        stages += [
            Stage("Queued", job.queued_at or job.created_at, "waiting"),
            Stage("Started", job.started_at, "training"),
            Stage(ended, job.completed_at, "until it was stored"),
        ]
    stages.append(Stage("Harvested", model.created_at, "until it was deployed"))
    if model.deployed_at is not None:
        stages.append(Stage("Deployed", model.deployed_at, ""))
    return stages


def timeline_lines(stages: Sequence[Stage], width: int, *, ascii_only: bool = False) -> list[Line]:
    """A line a stage, and between two of them how long it took, as a bar of that share."""
    if not stages:
        return []
    dot, hollow, upright, bar = ("*", "o", "|", "=") if ascii_only else ("●", "○", "│", "━")
    spans = [_seconds(before, after) for before, after in pairwise(stages)]
    total = sum(span for span in spans if span is not None)
    lines: list[Line] = [[("Timeline", "heading")]]
    if total and len([span for span in spans if span is not None]) == len(spans):
        lines[0] = [("Timeline", "heading"), (f"  {formats.duration(total)} in all", "muted")]
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
    """None where either is unknown, or the clocks disagree."""
    if before.moment is None or after.moment is None or after.moment < before.moment:
        return None
    return (after.moment - before.moment).total_seconds()
