"""Brings the copy of the record in the cache up to date, for the column `on` and the screens."""

from __future__ import annotations

import sqlite3

from lora_tui.cache.connection import transaction
from lora_tui.cache.served import put_served
from lora_tui.config.paths import Paths
from lora_tui.deployments.record import is_recorded, open_deployments


def refresh_served(db: sqlite3.Connection, paths: Paths, owner: str) -> None:
    """Make the copy the same as the record of this account (`record.owner_key`).

    Call it after each change of the record, and when a cache is opened. Raises DiskError,
    CacheError.
    """
    if not is_recorded(paths):
        return
    with open_deployments(paths) as deployments, transaction(db):
        put_served(db, deployments.loaded(owner), deployments.proofs(owner))
