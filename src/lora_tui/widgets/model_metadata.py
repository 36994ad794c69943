"""The metadata of a model as sections of label and value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.adapters.inspection import Adapter
from lora_tui.domain import Gpu, Hyperparameters, Model
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.styled_lines import Line, StyledLines, line_styles

_LABEL: Final = 18
_NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True)
class MetadataRow:
    """One line: what it is, its value, and a remark beside the value."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Facts under a heading; none at all reads as `not recorded`."""

    heading: str
    facts: tuple[MetadataRow, ...]


class ModelMetadata(StyledLines):
    """The sections, one below the other."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("heading", "label", "value", "faint")

    _sections: Sequence[Section] = ()

    def show(self, model: Model, *more: Section) -> None:
        """Show the facts of this model; `more` goes before what is told of the model itself."""
        sections = metadata_sections(model)
        self._sections = [*sections[:2], *more, *sections[2:]]
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `section_lines`."""
        return section_lines(self._sections, width, ascii_only=self.ascii_only)


def metadata_sections(model: Model) -> list[Section]:
    """What the pages of the web application show of a model, and what they leave out."""
    return [
        Section("Hyperparameters", _hyperparameters(model.hyperparameters)),
        Section("GPU", _gpu(model.gpu)),
        *([Section("Other settings", _others(model))] if model.other_settings else []),
        Section("Dataset", _dataset(model)),
        Section("Training job", _job(model)),
        Section("Model", _model(model)),
    ]


def section_lines(
    sections: Sequence[Section], width: int, *, ascii_only: bool = False
) -> list[Line]:
    """Labels in one column, values in the next, long ones wrap below themselves."""
    lines: list[Line] = []
    room = max(1, width - _LABEL)
    for section in sections:
        if lines:
            lines.append([("", "label")])
        lines.append([(section.heading, "heading")])
        if not section.facts:
            lines.append([(_NOT_RECORDED, "faint")])
        for fact in section.facts:
            value = normalize_width(fact.value, ascii_only=ascii_only)
            label = fit(fact.label, _LABEL - 2, ascii_only=ascii_only) + "  "
            style = "faint" if fact.value == formats.NO_VALUE else "value"
            note = normalize_width(fact.note, ascii_only=ascii_only)
            for number, text in enumerate(wrap(value, room)):
                lines.append([(label if number == 0 else " " * _LABEL, "label"), (text, style)])
            if note and len(wrap(f"{value}  {note}", room)) == 1:
                lines[-1] = [*lines[-1], (f"  {note}", "faint")]
    return lines


def _hyperparameters(settings: Hyperparameters) -> tuple[MetadataRow, ...]:
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
    return _known_and_others(known, settings.other_settings)


def _gpu(gpu: Gpu) -> tuple[MetadataRow, ...]:
    known = (
        ("Type", gpu.type),
        ("Count", _whole(gpu.count)),
        ("Memory", None if gpu.memory_gb is None else f"{gpu.memory_gb:g} GB"),
        (
            "Price",
            None if gpu.cost_per_hour is None else f"{formats.money(gpu.cost_per_hour)} an hour",
        ),
    )
    return _known_and_others(known, gpu.other_settings)


def _known_and_others(
    known: Sequence[tuple[str, str | None]], others: Sequence[tuple[str, str]]
) -> tuple[MetadataRow, ...]:
    if not others and all(value is None for _, value in known):
        return ()
    return (
        *(
            MetadataRow(label, formats.NO_VALUE if value is None else value)
            for label, value in known
        ),
        *(MetadataRow(label or "unnamed", value or formats.NO_VALUE) for label, value in others),
    )


def _others(model: Model) -> tuple[MetadataRow, ...]:
    return tuple(
        MetadataRow(label or "unnamed", value or formats.NO_VALUE)
        for label, value in model.other_settings
    )


def _dataset(model: Model) -> tuple[MetadataRow, ...]:
    dataset = model.dataset
    if dataset is None:
        return ()
    optional = (
        ("Validation pairs", dataset.total_validation_pairs),
        ("Tokens", dataset.total_tokens),
    )
    return (
        MetadataRow("Name", dataset.name),
        MetadataRow("Format", dataset.format or formats.NO_VALUE),
        MetadataRow("Training pairs", formats.count(dataset.total_training_pairs)),
        *(
            MetadataRow(label, formats.count(value))
            for label, value in optional
            if value is not None
        ),
    )


def _job(model: Model) -> tuple[MetadataRow, ...]:
    job = model.job
    if job is None:
        return ()
    facts = [
        MetadataRow("Preset", model.preset_id or formats.NO_VALUE),
        MetadataRow("Status", job.status),
        MetadataRow("Created", formats.date_time(job.created_at)),
        MetadataRow("Worker's id", job.external_job_id or formats.NO_VALUE),
    ]
    if job.error_message:
        facts.append(MetadataRow("Error", job.error_message))
    return tuple(facts)


def _model(model: Model) -> tuple[MetadataRow, ...]:
    facts = [MetadataRow("Name", model.name), MetadataRow("Id", model.id)]
    if model.description:
        facts.append(MetadataRow("Description", model.description))
    if model.deployed_at is not None:
        facts.append(MetadataRow("Deployed", formats.date_time(model.deployed_at)))
    if model.parent_model_id:
        facts.append(MetadataRow("Parent", model.parent_model_id))
    return tuple(facts)


def _figure(value: float | None) -> str | None:
    return None if value is None else formats.number(value)


def _whole(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


_MOST_TARGETS: Final = 12


def adapter_section(adapter: Adapter | str) -> Section:
    """The facts; or in words why there are none."""
    if isinstance(adapter, str):
        return Section("Adapter", (MetadataRow("Header", adapter),))
    facts, config = adapter.header, adapter.config
    ranks = ", ".join(
        f"{rank} ({formats.count(count)} modules)" if len(facts.ranks) > 1 else str(rank)
        for rank, count in facts.ranks.items()
    )
    targets = list(facts.ranks_by_target)
    more = len(targets) - _MOST_TARGETS
    named = ", ".join(targets[:_MOST_TARGETS]) + (f" and {more} more" if more > 0 else "")
    lines = [
        MetadataRow(
            "Read from", "the bucket" if adapter.model else "this disk", adapter.file[-40:]
        ),
        MetadataRow("Parameters", formats.count(facts.parameters), _short(facts.parameters)),
        MetadataRow("Type", ", ".join(facts.dtypes) or formats.NO_VALUE),
        MetadataRow("Rank", ranks or formats.NO_VALUE),
        MetadataRow("Modules", formats.count(len(facts.modules))),
        MetadataRow("Targets", named or formats.NO_VALUE),
        MetadataRow("Tensors", formats.count(facts.tensors)),
    ]
    if facts.other_tensors:
        lines.append(MetadataRow("Other tensors", formats.count(len(facts.other_tensors))))
    if config is None:
        lines.append(MetadataRow("Configuration", "there is none to check it against"))
    else:
        lines.append(MetadataRow("Scaling", formats.number(config.scaling), "alpha over rank"))
    if adapter.problems:
        lines += [MetadataRow("Problem", problem) for problem in adapter.problems]
    elif config is not None:
        lines.append(MetadataRow("Agreement", "file and configuration agree"))
    return Section("Adapter", tuple(lines))


def _short(parameters: int) -> str:
    for unit, length in (("billion", 1e9), ("million", 1e6)):
        if parameters >= length:
            return f"{parameters / length:.1f} {unit}"
    return ""
