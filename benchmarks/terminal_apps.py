"""The applications that bench_interface.py opens beside `lora-tui` itself: `KIND ARGUMENT`.

`empty` is Textual with one line of text; `table N` is Textual's own DataTable with N models;
`models PATH` is our application on a filled cache, without the command around it. Each shows MARK
or the newest model when it is painted.
"""

from __future__ import annotations

import gc
import sys
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MARK = "READY"


def command(kind: str, argument: object = "") -> list[str]:
    """Starts one of them."""
    return [sys.executable, __file__, kind, str(argument)]


def empty() -> None:
    """Imports what it shows and nothing of ours: it is what the others are measured against."""
    from textual.app import App, ComposeResult
    from textual.widgets import Static

    class EmptyApp(App[None]):
        def compose(self) -> ComposeResult:
            yield Static(MARK)

    EmptyApp().run()


def table(count: int) -> None:
    """Textual's own table, filled at once."""
    from textual.app import App, ComposeResult
    from textual.widgets import DataTable

    from made_up import model_row

    class TableApp(App[None]):
        def compose(self) -> ComposeResult:
            yield DataTable(cursor_type="row")

        def on_mount(self) -> None:
            shown = self.query_one(DataTable)
            shown.add_columns("Name", "Stars", "Verdict", "Loss", "Cost", "Date")
            row = model_row(0)
            for number in range(count):
                shown.add_row(
                    f"{MARK} {number}",
                    row["quality_metrics"]["overall_score"],
                    row["quality_metrics"]["convergence_quality"],
                    f"{0.1 + number / 1e6:.4f}",
                    row["training_summary"]["total_cost"],
                    row["created_at"][:10],
                )

    TableApp().run()


def models(path: Path) -> None:
    """Ours, on a filled cache and without a backend."""
    gc.disable()  # as the command does

    from lora_tui.app import LoraTuiApp
    from lora_tui.config.paths import find_paths
    from lora_tui.engine.writers import Writers

    with closing(Writers.for_profile(None, None, find_paths(), offline=True)) as writers:
        LoraTuiApp(path, writers, profile="bench", sync_on_start=False).run()


if __name__ == "__main__":
    kind, argument = sys.argv[1:]
    if kind == "empty":
        empty()
    elif kind == "table":
        table(int(argument))
    else:
        from pathlib import Path

        models(Path(argument))
