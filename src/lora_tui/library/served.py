"""Collects what a serving snippet needs to know: directory, base model, rank, and the adapter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES, read_config
from lora_tui.adapters.contents import read_contents
from lora_tui.adapters.snippets import ServedAdapter
from lora_tui.domain import Model
from lora_tui.errors import LoraTuiError
from lora_tui.filenames import slug
from lora_tui.transfers.model_directory import read_record


def find_directory(model_id: str, *places: Path | None) -> Path | None:
    """The first directory with weights and configuration of this model.

    It is absolute, so that no name begins like an option.
    """
    for place in places:
        if place is None or read_record(place).get("id", model_id) != model_id:
            continue
        if (place / CONFIG).is_file() and any(place.glob("adapter_model.*")):
            return place.absolute()
    return None


def served_adapter(model: Model, directory: Path | None) -> ServedAdapter:
    """Read the adapter's files if they are on this disk, else the job's settings."""
    settings = model.hyperparameters
    served = ServedAdapter(
        slug(model.name), directory, settings.base_model or "", rank=settings.rank
    )
    if directory is None:
        return served
    try:
        with (directory / CONFIG).open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        config = read_config(content)
        rank = max([config.rank or 0, *config.rank_pattern.values()]) or served.rank
        base = config.base_model or served.base_model
        served = replace(served, config=config, rank=rank, base_model=base)
        return replace(served, contents=read_contents(directory, content))
    except (OSError, LoraTuiError):
        return served  # use what is known so far; `verify` and `inspect` show what is wrong
