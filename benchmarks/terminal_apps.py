"""The applications that bench_interface.py opens in a terminal: `KIND ARGUMENT`.

`empty` is Textual with one line of text; `table N` is Textual's own DataTable with N models;
`models PATH` is ours on a filled cache; `downloading PATH` is the same, fetching what is queued
from the URL in BENCH_URL. Each shows MARK or the newest model when it is painted.
"""

from __future__ import annotations

import gc
import os
import sys

MARK = "READY"


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


def models(path: str, *, downloading: bool) -> None:
    """Ours, on a filled cache and without a backend."""
    gc.disable()  # as the command does
    from pathlib import Path

    from lora_tui.app import LoraTuiApp
    from lora_tui.engine.writers import Writers

    writers = Writers(Path(path), Path(path).parent)
    if downloading:
        from lora_tui.transfers.runner import Runner, RunnerOptions

        url = os.environ["BENCH_URL"]
        tools = RunnerOptions(sign=lambda _: url, delay=lambda *_: None, files_at_once=1)
        Runner(Path(path), tools).start()
    LoraTuiApp(Path(path), writers, profile="bench", sync_on_start=False).run()


if __name__ == "__main__":
    kind, argument = sys.argv[1:]
    if kind == "empty":
        empty()
    elif kind == "table":
        table(int(argument))
    else:
        models(argument, downloading=kind == "downloading")
