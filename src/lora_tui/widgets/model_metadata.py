"""Shows the metadata of a model as sections of labels and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from lora_tui import formats
from lora_tui.adapters.inspection import Adapter
from lora_tui.adapters.modules import ranks_by_target, ranks_text, scalings_text
from lora_tui.adapters.saved_tensors import saved_beside, saved_text
from lora_tui.domain import Gpu, Hyperparameters, Model
from lora_tui.reports import losses
from lora_tui.widgets.cells import fit, normalize_width, wrap
from lora_tui.widgets.styled_lines import Line, StyledLines, line_styles

_LABEL: Final = 18
_NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True)
class MetadataRow:
    """A label, its value, and a note beside the value."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """Rows under a heading; without rows it reads `not recorded`."""

    heading: str
    rows: tuple[MetadataRow, ...]


class ModelMetadata(StyledLines):
    """Shows the sections, one below the other."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("heading", "label", "value", "faint")

    _sections: Sequence[Section] = ()

    def show(self, model: Model) -> None:
        """Show the metadata of this model."""
        self._sections = metadata_sections(model)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `section_lines`."""
        return section_lines(self._sections, width, ascii_only=self.ascii_only)


class AdapterHeader(StyledLines):
    """Shows the header of the adapter's file, or why it is unknown."""

    COMPONENT_CLASSES: ClassVar[set[str]] = line_styles("heading", "label", "value", "faint")

    _section = Section("Adapter", ())

    def show(self, adapter: Adapter | str) -> None:
        """Show the header of this adapter, or a sentence why it is unknown."""
        self._section = adapter_section(adapter)
        self.refresh(layout=True)

    def lines(self, width: int) -> Sequence[Line]:
        """See `section_lines`."""
        return section_lines([self._section], width, ascii_only=self.ascii_only)


def metadata_sections(model: Model) -> list[Section]:
    """Hyperparameters, GPU, other settings, dataset, training job and the model itself."""
    return [
        Section("Hyperparameters", _hyperparameters(model.hyperparameters)),
        Section("GPU", _gpu(model.gpu)),
        *([Section("Other settings", _others(model))] if model.other_settings else []),
        Section("Dataset", _dataset(model)),
        Section("Training job", _job(model)),
        *([Section("Training", rows)] if (rows := _training(model)) else []),
        Section("Model", _model(model)),
    ]


def section_lines(
    sections: Sequence[Section], width: int, *, ascii_only: bool = False
) -> list[Line]:
    """Labels in one column, values in the next; long values are wrapped."""
    lines: list[Line] = []
    room = max(1, width - _LABEL)
    for section in sections:
        if lines:
            lines.append([("", "label")])
        lines.append([(section.heading, "heading")])
        if not section.rows:
            lines.append([(_NOT_RECORDED, "faint")])
        for row in section.rows:
            value = normalize_width(row.value, ascii_only=ascii_only)
            label = fit(row.label, _LABEL - 2, ascii_only=ascii_only) + "  "
            style = "faint" if row.value == formats.NO_VALUE else "value"
            note = normalize_width(row.note, ascii_only=ascii_only)
            for number, text in enumerate(wrap(value, room)):
                lines.append([(label if number == 0 else " " * _LABEL, "label"), (text, style)])
            if note and len(wrap(f"{value}  {note}", room)) == 1:
                lines[-1] = [*lines[-1], (f"  {note}", "faint")]
    return lines


def _hyperparameters(settings: Hyperparameters) -> tuple[MetadataRow, ...]:
    known = (
        ("Base model", settings.base_model),
        ("Rank", _whole(settings.rank)),
        ("Alpha", _number(settings.alpha)),
        ("Dropout", _number(settings.dropout)),
        ("Learning rate", _number(settings.learning_rate)),
        ("Batch size", _whole(settings.batch_size)),
        ("Epochs", _number(settings.epochs)),
        ("Warm-up steps", _whole(settings.warmup_steps)),
        ("Weight decay", _number(settings.weight_decay)),
    )
    return _known_and_others(known, settings.other_settings)


def _gpu(gpu: Gpu) -> tuple[MetadataRow, ...]:
    known = (
        ("Type", gpu.type),
        ("Count", _whole(gpu.count)),
        ("Memory", None if gpu.memory_gb is None else formats.gigabytes(gpu.memory_gb)),
        (
            "Price",
            None if gpu.cost_per_hour is None else formats.hourly_price(gpu.cost_per_hour),
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
    rows = [
        MetadataRow("Preset", model.preset_id or formats.NO_VALUE),
        MetadataRow("Status", job.status),
        MetadataRow("Created", formats.date_time(job.created_at)),
        MetadataRow("Worker job id", job.external_job_id or formats.NO_VALUE),
    ]
    if job.error_message:
        rows.append(MetadataRow("Error", job.error_message))
    return tuple(rows)


def _training(model: Model) -> tuple[MetadataRow, ...]:
    """What a push knows of the run beside its points."""
    weights = losses.weights_text(model)
    return (
        *([] if weights is None else [MetadataRow("Weights", weights)]),
        *(MetadataRow(label.strip(), text) for label, text in losses.evaluation_lines(model)),
    )


def _model(model: Model) -> tuple[MetadataRow, ...]:
    rows = [MetadataRow("Name", model.name), MetadataRow("Id", model.id)]
    if model.description:
        rows.append(MetadataRow("Description", model.description))
    if model.deployed_at is not None:
        rows.append(MetadataRow("Deployed", formats.date_time(model.deployed_at)))
    if model.parent_model_id:
        rows.append(MetadataRow("Parent", model.parent_model_id))
    return tuple(rows)


def _number(value: float | None) -> str | None:
    return None if value is None else formats.number(value)


def _whole(value: int | None) -> str | None:
    return None if value is None else formats.count(value)


_MAX_TARGETS: Final = 12


def adapter_section(adapter: Adapter | str) -> Section:
    """The header of the inspected adapter, or a sentence why it is unknown."""
    if isinstance(adapter, str):
        return Section("Adapter", (MetadataRow("Header", adapter),))
    header, config = adapter.header, adapter.config
    modules = adapter.modules
    targets = list(ranks_by_target(modules))
    more = len(targets) - _MAX_TARGETS
    named = ", ".join(targets[:_MAX_TARGETS]) + (f" and {more} more" if more > 0 else "")
    saved = saved_text(saved_beside(header, config))
    lines = [
        MetadataRow(
            "Read from", "the bucket" if adapter.model else "local file", adapter.file[-40:]
        ),
        MetadataRow("Type", adapter.kind),
        MetadataRow(
            "Parameters", formats.count(header.parameters), formats.large_count(header.parameters)
        ),
        MetadataRow("Data type", ", ".join(header.dtypes) or formats.NO_VALUE),
        MetadataRow("Rank", ranks_text(modules) or formats.NO_VALUE),
        MetadataRow("Scaling", scalings_text(modules) or formats.NO_VALUE),
        MetadataRow("Modules", formats.count(len(modules))),
        MetadataRow("Targets", named or formats.NO_VALUE),
        MetadataRow("Tensors", formats.count(header.tensors)),
    ]
    if saved:
        lines.append(MetadataRow("Saved beside", saved))
    if adapter.sub_adapters:
        lines.append(MetadataRow("Also in folders", ", ".join(adapter.sub_adapters)))
    if config is None:
        lines.append(MetadataRow("Configuration", "not found"))
    lines += [MetadataRow("Remark", remark) for remark in adapter.remarks]
    if adapter.problems:
        lines += [MetadataRow("Problem", problem) for problem in adapter.problems]
    elif config is not None and config.format == "PEFT" and config.is_lora:
        agreement = "PEFT loads it" if adapter.remarks else "weights and configuration agree"
        lines.append(MetadataRow("Agreement", agreement))
    return Section("Adapter", tuple(lines))
