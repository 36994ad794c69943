"""Which files of a model go where on this disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lora_tui.cache.transfer_queue import Wanted
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import NotFoundError
from lora_tui.filenames import distinct_file_names
from lora_tui.transfers.part import SUFFIXES

MANIFEST: Final = "lora-tui.json"
"""What lora-tui writes beside the files: where they come from, and their checksums."""


def plan(model: Model, directory: Path, names: Sequence[str] | None = None) -> list[Wanted]:
    """The files to fetch, all or those named, each with a target inside `directory`.

    A name is given as the artifact has it, or as it is shown. Raises NotFoundError where the model
    has no such file, or no file at all.
    """
    if not model.files:
        raise NotFoundError(
            "The model has no files",
            details=model.name,
            remedy="its training job was stored without artifacts; harvest it again",
        )
    local = distinct_file_names([file.name for file in model.files], taken={MANIFEST})
    chosen = model.files if names is None else [_named(model, name) for name in names]
    return [
        Wanted(
            file=file.name,
            object_path=file.path,
            target=directory / _apart_from_ours(local[file.name]),
            size=file.size,
            sha256=file.sha256,
        )
        for file in dict.fromkeys(chosen)
    ]


def _apart_from_ours(name: str) -> str:
    return f"{name}_" if name.lower().endswith(SUFFIXES) else name


def _named(model: Model, name: str) -> ArtifactFile:
    for file in model.files:
        if name in (file.name, file.label):
            return file
    raise NotFoundError(
        "The model has no such file",
        details=f"asked for {name!r}; it has {', '.join(file.label for file in model.files)}",
        remedy="run `lora-tui show MODEL` to see its files",
    )
