"""What is done with the marked models of the list: download, compare."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

from lora_tui import formats
from lora_tui.cache.models import ModelList, names_of, sizes_of
from lora_tui.reports import MAX_COMPARED, MAX_TABLED, MIN_COMPARED
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.bindings import key_of


def download_marked(screen: CacheScreen, marked: Collection[str]) -> None:
    """Download them, several after a confirmation."""
    names = names_of(screen.db, marked)

    def answered(wanted: bool | None) -> None:
        for model_id, name in names.items() if wanted else ():
            screen.lora.download(model_id, name)

    if len(names) == 1:
        answered(True)
    else:
        asked = ConfirmScreen("Download", download_question(screen.db, names))
        screen.app.push_screen(asked, screen.while_alive(answered))


def in_order(marked: Collection[str], found: ModelList | None) -> list[str]:
    """The marked models in the order of the list; those that it does not show come last."""
    places = {model: found.position(model) if found else None for model in marked}
    return sorted(marked, key=lambda model: (places[model] is None, places[model] or 0, model))


def compare_marked(screen: CacheScreen, marked: Collection[str], found: ModelList | None) -> None:
    """Compare them in the order of the list; a line says why where that can't be."""
    if len(marked) < MIN_COMPARED:
        mark = key_of(screen.app, "models.mark")
        screen.notify(f"Mark {MIN_COMPARED} to {MAX_TABLED} models first ({mark} marks one)")
        return
    if len(marked) > MAX_TABLED:
        screen.notify(f"Up to {MAX_TABLED} models can be compared; {len(marked)} are marked")
        return
    order = in_order(marked, found)
    if len(order) > MAX_COMPARED:
        from lora_tui.screens.compare_table import CompareTableScreen

        screen.app.push_screen(CompareTableScreen(order))
        return
    from lora_tui.screens.compare import CompareScreen

    screen.app.push_screen(CompareScreen(order))


def download_question(db: sqlite3.Connection, marked: Collection[str]) -> str:
    """The confirmation before several downloads; `at least` where a size is unknown."""
    known = [size for size in sizes_of(db, marked).values() if size is not None]
    least = "" if len(known) == len(marked) else "at least "
    return f"Download the {len(marked)} marked models, {least}{formats.size(sum(known))}?"
