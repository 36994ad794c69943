"""Reads what changes while a job runs, between two syncs: jobs and notifications alone."""

from __future__ import annotations

import sqlite3

from lora_tui.cache import metadata
from lora_tui.cache.cache_file import sync_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import path_of, translate_database_errors
from lora_tui.cache.jobs import running_jobs
from lora_tui.cache.remote_tables import TABLES
from lora_tui.fetching.new_rows import read_new
from lora_tui.fetching.read_ahead import ReadAhead
from lora_tui.fetching.rows import RowReader
from lora_tui.gateway.rest import Rest
from lora_tui.sync import known_of, pull


def sync_running(rest: Rest, db: sqlite3.Connection, user_id: str) -> bool:
    """Fetch the changed jobs and notifications: two requests at once, if there are none.

    It compares nothing and removes nothing, and notes neither success nor failure: the ordinary
    sync does. Returns whether there is reason for one: a job ended, or a notification came. Does
    nothing before the first sync, and while another process syncs this cache. Raises the errors of
    the gateway.
    """
    path = path_of(db)
    with sync_lock(path, patience=0.0) as is_ours, translate_database_errors(path):
        if not is_ours:
            return False
        before, written = {*running_jobs(db)}, 0
        tables = [t for t in TABLES if t.topic in (Topic.JOBS, Topic.NOTIFICATIONS)]
        if metadata.get_cursor(db, tables[0].remote) is None:
            return False
        readers = [RowReader(rest, user_id, table) for table in tables]
        with ReadAhead() as ahead:
            parts = [ahead.each(read_new(reader, known_of(db, reader.table))) for reader in readers]
            for reader, news in zip(readers, parts, strict=True):
                tally = pull(reader, db, news, lambda _rows: None)
                if reader.table.topic is Topic.NOTIFICATIONS:
                    written = tally.written
        return bool(written) or not before <= {*running_jobs(db)}
