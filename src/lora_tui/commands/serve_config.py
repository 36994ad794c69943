"""`serve-config`: the snippet that loads a model of the cache where it is to be served."""

from __future__ import annotations

from pathlib import Path

from lora_tui import adapters
from lora_tui.cache import models
from lora_tui.cache.finished import downloaded_to
from lora_tui.commands.context import Context, resolve
from lora_tui.domain import Model
from lora_tui.errors import LoraTuiError, NotFoundError
from lora_tui.filenames import slug
from lora_tui.serving import NO_BASE, NO_DIRECTORY, Served, snippet
from lora_tui.transfers.directory import model_directory

_CONFIG = "adapter_config.json"


def serve_config(context: Context) -> None:
    """Print the snippet; what is still missing in it is told on stderr. No network."""
    program = context.arguments.program
    with context.cache() as db:
        model = models.get_model(db, resolve(db, context.arguments.model).id)
        if model is None:
            raise NotFoundError("Model not found or access denied")
        noted = downloaded_to(db, model.id)
    directory = _directory(model, noted, context.profile.downloads_dir)
    served = _served(model, directory)
    text = snippet(served, program)
    if context.json:
        context.print_data(
            {
                "model_id": model.id,
                "model_name": model.name,
                "for": program,
                "snippet": text,
                "directory": None if directory is None else str(directory),
                "base_model": None if served.base == NO_BASE else served.base,
                "rank": served.rank,
            }
        )
        return
    context.out.write(text)
    if directory is None:
        context.say(
            f"It is not on this disk: run `lora-tui download {model.id[:8]}`, then this again."
            f" Until then {NO_DIRECTORY} stands for its directory."
        )
    if NO_BASE in text:
        context.say(f"Replace {NO_BASE}: it is not known here under a name that can be used.")


def _directory(model: Model, noted: Path | None, downloads: Path) -> Path | None:
    """Where the adapter lies, weights and configuration; absolute, so no name begins like an
    option."""
    for place in (noted, model_directory(model, downloads)):
        if place is not None and (place / _CONFIG).is_file() and any(place.glob("adapter_model.*")):
            return place.absolute()
    return None


def _served(model: Model, directory: Path | None) -> Served:
    base, rank = model.hyperparameters.base_model or "", model.hyperparameters.rank
    if directory is not None:
        try:
            with (directory / _CONFIG).open("rb") as file:
                config = adapters.read_config(file.read(adapters.LARGEST_CONFIG + 1))
        except (OSError, LoraTuiError):
            pass  # the job's own settings will do; `verify` and `inspect` tell what is wrong
        else:
            base = config.base_model or base
            rank = max([config.rank or 0, *config.rank_pattern.values()]) or rank
    return Served(name=slug(model.name), directory=directory, base_model=base, rank=rank)
