"""Which models on this disk are archived or deleted in the project, as the cache knows it."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import NamedTuple

from lora_tui.domain.rows import FILES_REMOVED_AT
from lora_tui.json_values import mapping, parse_json


class PutAway(StrEnum):
    """What happened to a model in the project."""

    ARCHIVED = "archived"
    DELETED = "deleted"


class ProjectStatus(NamedTuple):
    """A model that is archived or deleted in the project."""

    put_away: PutAway
    only_here: bool = False
    """Whether its files were removed from the project's bucket since."""


def put_away_models(db: sqlite3.Connection) -> dict[str, ProjectStatus]:
    """Id of each archived or deleted model → its status."""
    archived = db.execute("SELECT id FROM models WHERE status = ?", [PutAway.ARCHIVED])
    found = {str(row[0]): ProjectStatus(PutAway.ARCHIVED) for row in archived}
    for model_id, text in db.execute("SELECT id, row FROM deleted_models"):
        configuration = mapping(mapping(parse_json(text)).get("configuration"))
        removed = bool(configuration.get(FILES_REMOVED_AT))
        found[str(model_id)] = ProjectStatus(PutAway.DELETED, only_here=removed)
    return found
