"""Collects what a serving snippet needs to know: directory, base model and rank."""

from __future__ import annotations

from pathlib import Path

from lora_tui.adapters.config import MAX_CONFIG_BYTES, read_config
from lora_tui.adapters.inspection import CONFIG
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
    """Read the adapter's configuration if it is on this disk, else the job's settings."""
    base, rank = model.hyperparameters.base_model or "", model.hyperparameters.rank
    if directory is not None:
        try:
            with (directory / CONFIG).open("rb") as file:
                config = read_config(file.read(MAX_CONFIG_BYTES + 1))
        except (OSError, LoraTuiError):
            pass  # use the job's settings; `verify` and `inspect` show what is wrong
        else:
            base = config.base_model or base
            rank = max([config.rank or 0, *config.rank_pattern.values()]) or rank
    return ServedAdapter(name=slug(model.name), directory=directory, base_model=base, rank=rank)
