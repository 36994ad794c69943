"""What is said of marked models: how many they are, how large, what one can do with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from lora_tui import formats
from lora_tui.cache.models import sizes_of


def note_of_list(shown: int, everything: int, marked: int, *, compare_key: str | None) -> str:
    """For the status bar: `8 of 37 models  2 marked: c compares`; the key where it applies."""
    count = f"{shown:,} of {everything:,}" if shown != everything else f"{everything:,}"
    note = f"{count} model{'' if everything == 1 else 's'}"
    if not marked:
        return note
    hint = f": {compare_key} compares" if compare_key else ""
    return f"{note}  {marked} marked{hint}"


def download_question(db: sqlite3.Connection, marked: Collection[str]) -> str:
    """Asked before several are downloaded; sizes that are not known are not left out silently."""
    known = [size for size in sizes_of(db, marked).values() if size is not None]
    least = "" if len(known) == len(marked) else "at least "
    return f"Download the {len(marked)} marked models, {least}{formats.size(sum(known))}?"
