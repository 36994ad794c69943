"""`lora-tui.json` beside the files of a model: where they come from, and their checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_tui import clock
from lora_tui.clock import timestamp_text
from lora_tui.directory_lock import locked_directory
from lora_tui.domain import Model
from lora_tui.json_text import json_text
from lora_tui.json_values import mapping
from lora_tui.private_files import PUBLIC_MODE, read_plain, replace_file
from lora_tui.transfers.part import explained_disk
from lora_tui.transfers.plan import MANIFEST

_MOST_BYTES = 16 << 20


def read_record(directory: Path) -> Mapping[str, Any]:
    """The whole of it; empty where there is none, or what is there is no record."""
    try:
        return mapping(json.loads(read_plain(directory / MANIFEST, _MOST_BYTES)))
    except (OSError, ValueError, RecursionError):
        return {}


def recorded_files(record: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Local name → sha256, size and object of the files that lora-tui put there."""
    return {name: mapping(facts) for name, facts in mapping(record.get("files")).items()}


def record_file(
    directory: Path, model: Model, name: str, *, sha256: str, size: int, remote_name: str
) -> None:
    """Write down a verified file. Done before it gets its name: a crash in between costs nothing.

    Raises DiskError.
    """
    with explained_disk(directory / MANIFEST), locked_directory(directory):
        record = read_record(directory)
        files = dict(mapping(record.get("files"))) if record.get("id") == model.id else {}
        files[name] = {"sha256": sha256, "size": size, "object": remote_name}
        data = {
            "id": model.id,
            "name": model.name,
            "version": model.version,
            "stars": model.quality.stars,
            "convergence": model.quality.convergence,
            "dataset": model.dataset.name if model.dataset else None,
            "base_model": model.hyperparameters.base_model,
            "downloaded_at": timestamp_text(clock.now()),
            "files": files,
        }
        text = json_text(data, indent=2) + "\n"
        replace_file(directory / MANIFEST, text, mode=PUBLIC_MODE, durable=True)
