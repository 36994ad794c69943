"""The metadata of a model as sections of label and value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.adapters.inspection import Adapter
from lora_tui.domain import Gpu, Hyperparameters, Model
from lora_tui.widgets.cells import fit, settled, wrapped
from lora_tui.widgets.styled_lines import DrawnLines, Line, drawn

_LABEL: Final = 18
_NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True)
class Fact:
    """One line: what it is, its value, and a remark beside the value."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Facts under a heading; none at all reads as `not recorded`."""

    heading: str
    facts: tuple[Fact, ...]


class ModelFacts(DrawnLines):
    """The sections, one below the other."""

    COMPONENT_CLASSES: ClassVar[set[str]] = drawn("heading", "label", "value", "faint")

    _sections: Sequence[Section] = ()

    def show(self, model: Model, *more: Section) -> None:
        """Show the facts of this model; `more` goes before what is told of the model itself."""
        sections = sections_of(model)
        self._sections = [*sections[:2], *more, *sections[2:]]
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `section_lines`."""
        return section_lines(self._sections, width, ascii_only=self.ascii_only)


def sections_of(model: Model) -> list[Section]:
    """What the pages of the web application show of a model, and what they leave out."""
    return [
        Section("Hyperparameters", _hyperparameters(model.hyperparameters)),
        Section("GPU", _gpu(model.gpu)),
        *([Section("Other settings", _others(model))] if model.others else []),
        Section("Dataset", _dataset(model)),
        Section("Training job", _job(model)),
        Section("Model", _model(model)),
    ]


def section_lines(
    sections: Sequence[Section], width: int, *, ascii_only: bool = False
) -> list[Line]:
    """Labels in one column, values in the next, long ones wrapped below themselves."""
    lines: list[Line] = []
    room = max(1, width - _LABEL)
    for section in sections:
        if lines:
            lines.append([("", "label")])
        lines.append([(section.heading, "heading")])
        if not section.facts:
            lines.append([(_NOT_RECORDED, "faint")])
        for fact in section.facts:
            value = settled(fact.value, ascii_only=ascii_only)
            label = fit(fact.label, _LABEL - 2, ascii_only=ascii_only) + "  "
            style = "faint" if fact.value == formats.NOTHING else "value"
            note = settled(fact.note, ascii_only=ascii_only)
            for number, text in enumerate(wrapped(value, room)):
                lines.append([(label if number == 0 else " " * _LABEL, "label"), (text, style)])
            if note and len(wrapped(f"{value}  {note}", room)) == 1:
                lines[-1] = [*lines[-1], (f"  {note}", "faint")]
    return lines


def _hyperparameters(settings: Hyperparameters) -> tuple[Fact, ...]:
    known = (
        ("Base model", settings.base_model),
        ("Rank", _whole(settings.rank)),
        ("Alpha", _figure(settings.alpha)),
        ("Dropout", _figure(settings.dropout)),
        ("Learning rate", _figure(settings.learning_rate)),
        ("Batch size", _whole(settings.batch_size)),
        ("Epochs", _figure(settings.epochs)),
        ("Warm-up steps", _whole(settings.warmup_steps)),
        ("Weight decay", _figure(settings.weight_decay)),
    )
    return _known_and_others(known, settings.others)


def _gpu(gpu: Gpu) -> tuple[Fact, ...]:
    known = (
        ("Type", gpu.type),
        ("Count", _whole(gpu.count)),
        ("Memory", None if gpu.memory_gb is None else f"{gpu.memory_gb:g} GB"),
        (
            "Price",
            None if gpu.cost_per_hour is None else f"{formats.money(gpu.cost_per_hour)} an hour",
        ),
    )
    return _known_and_others(known, gpu.others)


def _known_and_others(
    known: Sequence[tuple[str, str | None]], others: Sequence[tuple[str, str]]
) -> tuple[Fact, ...]:
    if not others and all(value is None for _, value in known):
        return ()
    return (
        *(Fact(label, formats.NOTHING if value is None else value) for label, value in known),
        *(Fact(label or "unnamed", value or formats.NOTHING) for label, value in others),
    )


def _others(model: Model) -> tuple[Fact, ...]:
    return tuple(
        Fact(label or "unnamed", value or formats.NOTHING) for label, value in model.others
    )


def _dataset(model: Model) -> tuple[Fact, ...]:
    dataset = model.dataset
    if dataset is None:
        return ()
    optional = (
        ("Validation pairs", dataset.total_validation_pairs),
        ("Tokens", dataset.total_tokens),
    )
    return (
        Fact("Name", dataset.name),
        Fact("Format", dataset.format or formats.NOTHING),
        Fact("Training pairs", formats.count(dataset.total_training_pairs)),
        *(Fact(label, formats.count(value)) for label, value in optional if value is not None),
    )


def _job(model: Model) -> tuple[Fact, ...]:
    job = model.job
    if job is None:
        return ()
    facts = [
        Fact("Preset", model.preset_id or formats.NOTHING),
        Fact("Status", job.status),
        Fact("Created", formats.date_time(job.created_at)),
        Fact("Worker's id", job.external_job_id or formats.NOTHING),
    ]
    if job.error_message:
        facts.append(Fact("Error", job.error_message))
    return tuple(facts)


def _model(model: Model) -> tuple[Fact, ...]:
    facts = [Fact("Name", model.name), Fact("Id", model.id)]
    if model.description:
        facts.append(Fact("Description", model.description))
    if model.deployed_at is not None:
        facts.append(Fact("Deployed", formats.date_time(model.deployed_at)))
    if model.parent_model_id:
        facts.append(Fact("Parent", model.parent_model_id))
    return tuple(facts)


def _figure(value: float | None) -> str | None:
    return None if value is None else formats.figure(value)


def _whole(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


_MOST_TARGETS: Final = 12


def adapter_section(adapter: Adapter | str) -> Section:
    """The facts; or in words why there are none."""
    if isinstance(adapter, str):
        return Section("Adapter", (Fact("Header", adapter),))
    facts, config = adapter.facts, adapter.config
    ranks = ", ".join(
        f"{rank} ({formats.count(count)} modules)" if len(facts.ranks) > 1 else str(rank)
        for rank, count in facts.ranks.items()
    )
    targets = list(facts.ranks_by_target)
    more = len(targets) - _MOST_TARGETS
    named = ", ".join(targets[:_MOST_TARGETS]) + (f" and {more} more" if more > 0 else "")
    lines = [
        Fact("Read from", "the bucket" if adapter.model else "this disk", adapter.file[-40:]),
        Fact("Parameters", formats.count(facts.parameters), _short(facts.parameters)),
        Fact("Type", ", ".join(facts.dtypes) or formats.NOTHING),
        Fact("Rank", ranks or formats.NOTHING),
        Fact("Modules", formats.count(len(facts.modules))),
        Fact("Targets", named or formats.NOTHING),
        Fact("Tensors", formats.count(facts.tensors)),
    ]
    if facts.other_tensors:
        lines.append(Fact("Other tensors", formats.count(len(facts.other_tensors))))
    if config is None:
        lines.append(Fact("Configuration", "there is none to check it against"))
    else:
        lines.append(Fact("Scaling", formats.figure(config.scaling), "alpha over rank"))
    if adapter.problems:
        lines += [Fact("Problem", problem) for problem in adapter.problems]
    elif config is not None:
        lines.append(Fact("Agreement", "file and configuration agree"))
    return Section("Adapter", tuple(lines))


def _short(parameters: int) -> str:
    for unit, length in (("billion", 1e9), ("million", 1e6)):
        if parameters >= length:
            return f"{parameters / length:.1f} {unit}"
    return ""
