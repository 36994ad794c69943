"""The command `report`: writes the card of a model from the cache."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lora_tui.adapters.snippets import ServedAdapter, snippet
from lora_tui.cache import models
from lora_tui.cache.metrics import get_curve
from lora_tui.cache.runs import get_opinion
from lora_tui.commands.context import Context, resolve
from lora_tui.config.kinds import expanded
from lora_tui.documents.facts import model_lines, opinion_lines
from lora_tui.domain import Model
from lora_tui.errors import UsageError
from lora_tui.filenames import slug
from lora_tui.files import PUBLIC_MODE, disk_error, write_file
from lora_tui.reports.best import validation_data, validation_of
from lora_tui.reports.model_card import ModelCard, to_html, to_markdown

_PROGRAMS = ("vllm", "peft")


def report(context: Context) -> None:
    """Print the document, or write it to a file atomically."""
    arguments = context.arguments
    with context.cache() as db:
        model = models.require_model(db, resolve(db, arguments.model).id)
        opinion = get_opinion(db, model.job_id)
        curve = get_curve(db, model.job_id) or model.training.loss_curve
    card = ModelCard(
        model=model,
        metadata=[row for row in model_lines(model, opinion) if row[0] not in ("Name", "File")],
        opinion=[f"{label.strip()}: {text}" for label, text in opinion_lines(opinion, model)],
        curve=curve,
        snippets=_snippets(model),
    )
    as_html = arguments.format == "html" or (
        arguments.format is None and (arguments.output or "").lower().endswith((".html", ".htm"))
    )
    text = to_html(card) if as_html else to_markdown(card)
    path = expanded(arguments.output, "--output") if arguments.output else None
    if path is not None:
        _write(path, text)
    if context.json:
        context.print_data(
            {
                "model_id": model.id,
                "model_name": model.name,
                "format": "html" if as_html else "md",
                "path": None if path is None else str(path),
                "report": text if path is None else None,
                "validation": validation_data(validation_of(model, opinion)),
            }
        )
    elif path is None:
        context.out.write(text)
    else:
        context.say(f"Written to {path}")


def _snippets(model: Model) -> list[tuple[str, str]]:
    """Snippets without local paths, because the document is for other people."""
    hyper = model.hyperparameters
    served = ServedAdapter(slug(model.name), None, hyper.base_model or "", hyper.rank)
    found = []
    for program in _PROGRAMS:
        with suppress(UsageError):  # for example a rank that vLLM does not support
            found.append((program, snippet(served, program)))
    return found


def _write(path: Path, text: str) -> None:
    try:
        if path.exists() and not path.is_file():  # write to a device, never replace it
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # keep a symbolic link
        write_file(path, text, mode=PUBLIC_MODE)
    except OSError as error:
        raise disk_error(
            error,
            "The report can't be written",
            path,
            instead="choose a directory that you may write to",
        ) from error
