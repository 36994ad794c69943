"""Refuses to change a directory from which a server has loaded an adapter.

A server may read such a directory again at any time: other weights would be served without a word,
and missing ones can end the server (docs/serving.md).
"""

from __future__ import annotations

from pathlib import Path

from lora_tui.config.paths import Paths
from lora_tui.deployments.record import is_recorded, open_deployments, record_path
from lora_tui.domain.servers import Loaded
from lora_tui.errors import DiskError, LoadedError
from lora_tui.text import terminal_safe


def holders_of(paths: Paths, directory: Path) -> list[Loaded]:
    """What servers have loaded from this directory, or from one in it; any account's of this home.

    Raises DiskError where the record can't be read: then nothing is known, and nothing may be
    changed.
    """
    if not is_recorded(paths):
        return []
    try:
        with open_deployments(paths) as deployments:
            return deployments.holders_of(directory)
    except DiskError as error:
        raise DiskError(
            "Nobody knows whether a server has these files loaded: the record of deployments can't"
            " be read",
            details=error.details,
            remedy=error.remedy if error.remedy and "upgrade" in error.remedy else
            f"unload what your servers have, then move {record_path(paths)} away",
        ) from error  # fmt: skip


def check_unused(paths: Paths, directory: Path) -> None:
    """Raises LoadedError where a server has an adapter of this directory loaded; DiskError."""
    held = holders_of(paths, directory)
    if held:
        raise loaded_error(held, directory)


def loaded_error(held: list[Loaded], directory: Path) -> LoadedError:
    """The error that names the servers, and how to unload."""
    first = held[0]
    servers = ", ".join(dict.fromkeys(terminal_safe(one.server, limit=40) for one in held))
    return LoadedError(
        f"These files must not be changed: a server has them loaded ({servers})",
        details=str(directory),
        remedy="unload it first: "
        f"`lora-tui unload {terminal_safe(first.model_id[:8])} --from {first.server}`",
    )
