"""Brings the copy of the record in the cache up to date, for the column `on` and the screens."""

from __future__ import annotations

import sqlite3

from lora_tui.cache.connection import transaction
from lora_tui.cache.served import is_served, put_served
from lora_tui.config.paths import Paths
from lora_tui.deployments.record import is_recorded, open_deployments


def refresh_served(db: sqlite3.Connection, paths: Paths, owner: str) -> None:
    """Make the copy the same as the record of this account (`record.owner_key`).

    Call it after each change of the record, and when a cache is opened. Where they are the same,
    nothing is written. Raises DiskError, CacheError.
    """
    if not is_recorded(paths):
        return
    with open_deployments(paths) as deployments:
        if is_served(db, deployments.loaded(owner), deployments.proofs(owner)):
            return
        with transaction(db):  # read again in it: of two processes the later has the later record
            put_served(db, deployments.loaded(owner), deployments.proofs(owner))
