"""Which files of a model go where on this disk."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from lora_tui.cache.transfer_queue import Wanted
from lora_tui.domain import ArtifactFile, Model
from lora_tui.errors import NotFoundError
from lora_tui.transfers.record import local_names


def plan(model: Model, directory: Path, names: Sequence[str] | None = None) -> list[Wanted]:
    """The files to fetch, all or those named, each with a target inside `directory`.

    Raises what `choose_files` raises.
    """
    local = local_names(model, directory)
    return [
        Wanted(
            file=file.name,
            object_path=file.path,
            target=directory / local[file.name],
            size=file.size,
            sha256=file.sha256,
        )
        for file in choose_files(model, names)
    ]


def choose_files(model: Model, names: Sequence[str] | None = None) -> list[ArtifactFile]:
    """The files that a user means: all, or those named.

    A name is given as the artifact has it, or as it is shown, or as a pattern of the shell's kind
    (`*.json`); where a file is called like the pattern, it is that file alone. Raises NotFoundError
    where nothing fits, or the model has no file at all.
    """
    if not model.files:
        raise NotFoundError(
            "The model has no files",
            details=model.name,
            remedy="its training job was stored without artifacts; harvest it again",
        )
    if names is None:
        return list(model.files)
    return list(dict.fromkeys(file for name in names for file in _named(model, name)))


def _named(model: Model, name: str) -> list[ArtifactFile]:
    for names in ([file.name for file in model.files], [file.label for file in model.files]):
        if name in names:
            return [model.files[names.index(name)]]
    if any(sign in name for sign in "*?["):
        found = [file for file in model.files if _fits(file, name)]
        if found:
            return found
        message = "No file of the model fits this pattern"
    else:
        message = "The model has no such file"
    raise NotFoundError(
        message,
        details=f"asked for {name!r}; it has {', '.join(file.label for file in model.files)}",
        remedy="name one of these, or a pattern in quotes such as '*.json'",
    )


def _fits(file: ArtifactFile, pattern: str) -> bool:
    return fnmatchcase(file.name, pattern) or fnmatchcase(file.label, pattern)
