"""`show`: one model, from the cache alone."""

from __future__ import annotations

from typing import Any

from lora_tui import clock
from lora_tui.cache import models
from lora_tui.cache.own_marks import ShownMarks, get_marks
from lora_tui.cache.runs import get_opinion
from lora_tui.cache.served import get_served
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.prose import label_lines
from lora_tui.commands.style import width_of
from lora_tui.documents.facts import model_lines, opinion_lines
from lora_tui.domain import Model
from lora_tui.errors import NotFoundError
from lora_tui.reports.proof_text import loaded_data, proof_data, served_lines


def show_model(context: Context) -> None:
    """Print one model with its run, its files and the second opinion."""
    with context.cache() as db:
        summary = resolve(db, context.arguments.model)
        row = models.get_row(db, summary.id)
        job_id = str(row.get("job_id") or "") if row else ""
        opinion = get_opinion(db, job_id)
        marks = get_marks(db, summary.id)
        served = get_served(db, summary.id)
    if row is None:
        raise NotFoundError(models.NOT_FOUND)
    if context.json:
        dataset_keys = ("id", "name", "format", "total_training_pairs")
        job_keys = ("id", "preset_id", "created_at", "started_at", "completed_at")
        row["dataset"] = _only(row["dataset"], dataset_keys)
        row["job"] = _only(row["job"], job_keys)
        places = {
            "served": [loaded_data(one) for one in served.loaded],
            "proofs": [proof_data(proof) for proof in served.proofs],
        }
        context.print_data({**row, "marks": marks._asdict(), **places})
        return
    model = Model.from_row(row)
    lines = model_lines(model, opinion)
    if not marks.is_empty:
        lines += [("", ""), *mark_lines(marks)]
    if served.loaded or served.proofs:
        found = served_lines(served.loaded, served.proofs, clock.now())
        lines += [("", ""), *((f"On {server}" if server else " ", text) for server, text in found)]
    if opinion is not None:
        lines += [("", ""), *opinion_lines(opinion, model)]
    width = width_of(context)
    for label, value in lines:
        parts = label_lines(label, value, width) if label else [""]
        context.out.writelines(f"{part}\n" for part in parts)


def mark_lines(marks: ShownMarks) -> list[tuple[str, str]]:
    """One's own marks as (label, value) lines; the label of a note is on its first line alone."""
    lines = [
        ("Favorite", "yes" if marks.favorite else ""),
        ("Tags", " ".join(marks.tags)),
        ("Aliases", " ".join(f"@{alias}" for alias in marks.aliases)),
        *(("Note" if place == 0 else " ", t) for place, t in enumerate(marks.note.split("\n"))),
    ]
    return [(label, text) for label, text in lines if text]


def _only(row: dict[str, Any] | None, keys: tuple[str, ...]) -> dict[str, Any] | None:
    return None if row is None else {key: row.get(key) for key in keys}
