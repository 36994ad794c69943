"""The facts of a model as lines of label and value, for commands and documents. Pure functions."""

from __future__ import annotations

from lora_tui import formats
from lora_tui.adapters import weight_text
from lora_tui.domain import Gpu, Hyperparameters, Model
from lora_tui.opinion import Opinion, compare_with_rating
from lora_tui.reports import best, losses


def model_lines(model: Model, opinion: Opinion | None) -> list[tuple[str, str]]:
    """A model as (label, value) lines; an empty label is a blank line."""
    quality, training, hyper, gpu = (
        model.quality,
        model.training,
        model.hyperparameters,
        model.gpu,
    )
    unknown = formats.NO_VALUE
    lines = [
        ("Name", model.name),
        ("Id", model.id),
        ("Version", f"{model.version} ({model.status})"),
        ("Description", (model.description or unknown).replace("\n", " ")),
        ("Created", formats.date_time(model.created_at)),
        ("", ""),
        ("Rating", f"{formats.stars(quality.stars)} {formats.score(quality.stars)}"),
        ("Convergence", quality.convergence),
        ("Training loss", losses.training_loss_text(model, opinion)),
        *_if_known("Mean of the run", _mean_loss(model)),
        ("Validation loss", losses.validation_loss_text(model, opinion)),
        *_if_known("Best validation", best.best_validation_text(model, opinion)),
        *losses.evaluation_lines(model),
        ("Perplexity", formats.perplexity(quality.perplexity)),
        ("Loss reduction", formats.percent(quality.loss_reduction_percent)),
        *([("Weights", weight_text.verdict(model.weights))] if model.weights else []),
        ("", ""),
        ("Epochs", formats.number(training.epochs_completed)),
        ("Steps", formats.count(training.total_steps)),
        *_if_known("Weights", losses.weights_text(model)),
        ("Duration", formats.hours(training.duration_hours)),
        ("Cost", formats.money(training.total_cost)),
        ("", ""),
        ("Dataset", model.dataset.name if model.dataset else unknown),
        ("Preset", model.preset_id or unknown),
        *setting_lines(hyper, gpu),
        ("", ""),
    ]
    if model.lost_files:
        lines.append(("Files", model.lost_files))
    lines += [("File", f"{file.label}  {formats.size(file.size)}") for file in model.files]
    return lines


def setting_lines(hyper: Hyperparameters, gpu: Gpu) -> list[tuple[str, str]]:
    """The hyperparameters and the GPUs of a run as (label, value) lines."""
    unknown = formats.NO_VALUE
    return [
        ("Base model", hyper.base_model or unknown),
        ("Rank", formats.count(hyper.rank)),
        ("Alpha", formats.number(hyper.alpha)),
        ("Dropout", formats.number(hyper.dropout)),
        ("Learning rate", formats.number(hyper.learning_rate)),
        ("Batch size", formats.count(hyper.batch_size)),
        ("Warm-up steps", formats.count(hyper.warmup_steps)),
        ("Weight decay", formats.number(hyper.weight_decay)),
        *hyper.other_settings,
        ("GPU", " × ".join(filter(None, (str(gpu.count or ""), gpu.type))) or unknown),
        *gpu.other_settings,
    ]


def _if_known(label: str, text: str | None) -> list[tuple[str, str]]:
    return [] if text is None else [(label, text)]


def _mean_loss(model: Model) -> str | None:
    """The mean training loss of a run that logged no other."""
    if model.training.loss_curve or model.training.mean_loss is None:
        return None
    return formats.loss(model.training.mean_loss)


def opinion_lines(opinion: Opinion | None, model: Model) -> list[tuple[str, str]]:
    """The second opinion and how it compares with the stored rating, as (label, text) lines."""
    if opinion is None:
        return []
    comparison = compare_with_rating(opinion, model.quality)
    lines = [("Second opinion", f"{opinion.verdict}. {comparison.sentence}")]
    lines += [
        (f"  {finding.severity.name.lower()}", finding.sentence) for finding in opinion.findings
    ]
    if opinion.recommendation:
        lines.append(("  advice", opinion.recommendation))
    return lines
