"""Brings the copy of the marks in the cache up to their file.

Called by whoever changes the file, by each command that opens the cache, and by the engine, which
also looks every few seconds: the file may have been changed while nothing ran.
"""

from __future__ import annotations

import sqlite3

from lora_tui.cache.connection import transaction
from lora_tui.cache.metadata import MARKS_STAMP, get_value
from lora_tui.cache.own_marks import put_marks
from lora_tui.files import file_stamp
from lora_tui.marks.document import DamagedMarksError
from lora_tui.marks.file import MarksFile


def refresh_copy(db: sqlite3.Connection, file: MarksFile) -> None:
    """Make the copy new if the file is another one than it was made of.

    Raises like `MarksFile.read`; CacheError, DiskError where the cache can't be written.
    """
    if file_stamp(file.path) == (get_value(db, MARKS_STAMP) or ""):
        return
    file.read()  # waits for a program that writes it, and keeps a damaged one aside
    try:
        # in the transaction, so that of two processes the later one has the later file
        with transaction(db):
            found = file.read_now()
            put_marks(db, found.marks, found.stamp)
    except DamagedMarksError:
        return  # another program writes it this moment: the next look finds it whole
