"""`list` and `show`: answered from the cache alone."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from lora_tui import clock, formats
from lora_tui.cache import facts, models
from lora_tui.cache.models import ModelQuery, ModelSummary, Sort
from lora_tui.cache.runs import get_opinion
from lora_tui.clock import parse_timestamp
from lora_tui.commands.context import Context, resolve
from lora_tui.domain import CONVERGENCES, Model
from lora_tui.errors import NotFoundError, UsageError
from lora_tui.exports import not_a_formula
from lora_tui.second_opinion import Opinion, compare_with_rating
from lora_tui.text import cell_width, fit

_COLUMNS = ("ID", "STARS", "CONVERGENCE", "NAME", "DATASET", "CREATED", "LOSS", "COST")
_NAME_WIDTH = 40


def list_models(context: Context) -> None:
    """Print one page of the models."""
    arguments = context.arguments
    query = _query(context)
    limit, page = arguments.limit, arguments.page
    with context.cache() as db:
        if query.downloaded is not None:
            from lora_tui.library.presence import check_presence  # only who asks pays for it

            check_presence(db)
        total = models.count_models(db, query)
        state = facts.get_sync_state(db)
        offset = (page - 1) * limit
        if context.json:
            rows = models.select_rows(db, query, offset=offset, limit=limit)
            pages = math.ceil(total / limit)
            pagination = {"page": page, "limit": limit, "total": total, "totalPages": pages}
            context.print_data({"models": rows, "pagination": pagination})
            return
        if arguments.jsonl:
            for row in models.select_rows(db, query, offset=offset, limit=limit):
                context.out.write(json.dumps(row) + "\n")  # ASCII, like the envelope
            return
        found = models.select_models(db, query, offset=offset, limit=limit)
    if arguments.csv:
        _print_csv(context, found)
        return
    if found:
        _print_table(context, found)
    if state.last_success is None:
        context.say("The cache was never synced: run `lora-tui sync`.")
        return
    shown = f"{offset + 1}–{offset + len(found)} of {total}" if found else f"none of {total}"
    age = formats.age(state.last_success, clock.now())
    context.say(f"{shown} models, as of {age}")


def show_model(context: Context) -> None:
    """Print one model: all that is known of it."""
    with context.cache() as db:
        summary = resolve(db, context.arguments.model)
        row = models.get_row(db, summary.id)
        job_id = str(row.get("job_id") or "") if row else ""
        opinion = get_opinion(db, job_id)
    if row is None:
        raise NotFoundError("Model not found or access denied")
    if context.json:
        dataset_keys = ("id", "name", "format", "total_training_pairs")
        job_keys = ("id", "preset_id", "created_at", "started_at", "completed_at")
        row["dataset"] = _only(row["dataset"], dataset_keys)
        row["job"] = _only(row["job"], job_keys)
        context.print_data(row)
        return
    model = Model.from_row(row)
    lines = facts_of(model)
    if opinion is not None:
        lines += [("", ""), *opinion_lines(opinion, model)]
    for label, value in lines:
        context.out.write(f"{label:<20} {value}\n" if label else "\n")


def facts_of(model: Model) -> list[tuple[str, str]]:
    """A model as labelled values, in reading order; an empty label is a gap."""
    quality, training, hyper, gpu = (
        model.quality,
        model.training,
        model.hyperparameters,
        model.gpu,
    )
    unknown = formats.NOTHING
    lines = [
        ("Name", model.name),
        ("Id", model.id),
        ("Version", f"{model.version} ({model.status})"),
        ("Description", (model.description or unknown).replace("\n", " ")),
        ("Created", formats.date_time(model.created_at)),
        ("", ""),
        ("Quality", f"{formats.stars(quality.stars)} {formats.score(quality.stars)}"),
        ("Convergence", quality.convergence),
        ("Training loss", formats.loss(quality.final_training_loss)),
        ("Validation loss", formats.loss(quality.final_validation_loss)),
        ("Perplexity", formats.perplexity(quality.perplexity)),
        ("Loss reduction", formats.percent(quality.loss_reduction_percent)),
        ("", ""),
        ("Epochs", formats.figure(training.epochs_completed)),
        ("Steps", formats.count(training.total_steps)),
        ("Duration", formats.hours(training.duration_hours)),
        ("Cost", formats.money(training.total_cost)),
        ("", ""),
        ("Dataset", model.dataset.name if model.dataset else unknown),
        ("Preset", model.preset_id or unknown),
        ("Base model", hyper.base_model or unknown),
        ("Rank", formats.count(hyper.rank)),
        ("Alpha", formats.figure(hyper.alpha)),
        ("Dropout", formats.figure(hyper.dropout)),
        ("Learning rate", formats.figure(hyper.learning_rate)),
        ("Batch size", formats.count(hyper.batch_size)),
        ("Warm-up steps", formats.count(hyper.warmup_steps)),
        ("Weight decay", formats.figure(hyper.weight_decay)),
        *hyper.others,
        ("GPU", " × ".join(filter(None, (str(gpu.count or ""), gpu.type))) or unknown),
        *gpu.others,
        ("", ""),
    ]
    lines += [("File", f"{file.label}  {formats.size(file.size)}") for file in model.files]
    return lines


def opinion_lines(opinion: Opinion | None, model: Model) -> list[tuple[str, str]]:
    """The second opinion beside the stored verdict, as labelled sentences."""
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


def _query(context: Context) -> ModelQuery:
    arguments = context.arguments
    convergences = frozenset(
        name.strip().lower() for name in (arguments.quality or "").split(",") if name.strip()
    )
    unknown = convergences - set(CONVERGENCES)
    if unknown:
        raise UsageError(
            f"There is no quality named {sorted(unknown)[0]!r}",
            remedy=f"choose from {', '.join(CONVERGENCES)}",
        )
    return ModelQuery(
        sort=Sort(arguments.sort),
        reverse=arguments.reverse,
        search=arguments.search or "",
        convergences=convergences,
        min_stars=arguments.min_stars,
        dataset=arguments.dataset or "",
        preset=arguments.preset or "",
        base_model=arguments.base_model or "",
        created_from=_day(arguments.since),
        created_before=_day(arguments.until, after=timedelta(days=1)),
        downloaded=True if arguments.downloaded else None,
    )


def _day(text: str | None, *, after: timedelta = timedelta(0)) -> datetime | None:
    """A day or a moment; `after` is added to a day alone, so that the day is meant as a whole."""
    if text is None:
        return None
    moment = parse_timestamp(text)
    if moment is None:
        raise UsageError(f"{text!r} is not a date", remedy="write it like 2026-11-23")
    with contextlib.suppress(OverflowError):
        return moment + (after if len(text.strip()) == 10 else timedelta(0))
    return None


def _cells(model: ModelSummary) -> tuple[str, ...]:
    return (
        model.id[:8],
        formats.stars(model.stars),
        model.convergence,
        model.name,
        model.dataset_name or formats.NOTHING,
        formats.date(model.created_at),
        formats.loss(model.final_loss),
        formats.money(model.cost),
    )


def _print_table(context: Context, found: Iterable[ModelSummary]) -> None:
    lines = [_COLUMNS, *(_cells(model) for model in found)]
    widths = [
        min(_NAME_WIDTH, max(cell_width(line[column]) for line in lines))
        for column in range(len(_COLUMNS))
    ]
    for line in lines:
        cells = (fit(cell, width) for cell, width in zip(line, widths, strict=True))
        context.out.write("  ".join(cells).rstrip() + "\n")


def _print_csv(context: Context, found: Iterable[ModelSummary]) -> None:
    writer = csv.writer(context.out, lineterminator="\n")
    names = (
        "id", "name", "version", "status", "stars", "convergence", "dataset", "preset",
        "base_model", "final_loss", "perplexity", "cost", "duration_hours", "size", "created_at",
    )  # fmt: skip
    writer.writerow(names)
    for m in found:
        values: tuple[Any, ...] = (
            m.id, m.name, m.version, m.status, m.stars, m.convergence, m.dataset_name,
            m.preset_id, m.base_model, m.final_loss, m.perplexity, m.cost, m.duration_hours,
            m.size, m.created_at.isoformat() if m.created_at else None,
        )  # fmt: skip
        writer.writerow([not_a_formula(value) for value in values])


def _only(row: dict[str, Any] | None, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {key: row.get(key) for key in keys}
