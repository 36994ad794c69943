"""Finds the directory on this disk from which a model can be served."""

from __future__ import annotations

from pathlib import Path

from lora_tui.adapters.config import CONFIG
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
