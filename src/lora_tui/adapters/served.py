"""Collects what a serving snippet needs to know: directory, base model, rank, and the adapter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lora_tui.adapters.config import CONFIG, MAX_CONFIG_BYTES, read_config
from lora_tui.adapters.contents import read_contents
from lora_tui.adapters.inspection import Adapter
from lora_tui.adapters.snippets import AdapterContents, ServedAdapter
from lora_tui.domain import Model
from lora_tui.errors import LoraTuiError
from lora_tui.filenames import slug


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


def served_from_header(model: Model, adapter: Adapter) -> ServedAdapter:
    """What its header and configuration tell of an adapter whose files are not on this disk."""
    served, config = served_adapter(model, None), adapter.config
    if config is None:
        return served
    rank = max([config.rank or 0, *config.rank_pattern.values()]) or served.rank
    contents = AdapterContents(
        modules=tuple(module.name for module in adapter.header.modules),
        saved=adapter.header.other_tensors,
    )
    base = config.base_model or served.base_model
    return replace(served, config=config, rank=rank, base_model=base, contents=contents)
