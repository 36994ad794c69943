"""The applications that bench_interface.py opens in a terminal: `KIND ARGUMENT`.

`empty` is Textual with one line of text; `table N` is Textual's own DataTable with N models;
`models PATH` is ours on a filled cache; `downloading PATH` is the same, fetching what is queued
from the URL in BENCH_URL. Each shows MARK or the newest model when it is painted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Static

from made_up import model_row

MARK = "READY"


class EmptyApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Static(MARK)


class TableApp(App[None]):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("Name", "Stars", "Verdict", "Loss", "Cost", "Date")
        row = model_row(0)
        for number in range(self.count):
            table.add_row(
                f"{MARK} {number}",
                row["quality_metrics"]["overall_score"],
                row["quality_metrics"]["convergence_quality"],
                f"{0.1 + number / 1e6:.4f}",
                row["training_summary"]["total_cost"],
                row["created_at"][:10],
            )


def main(kind: str, argument: str) -> None:
    if kind == "empty":
        EmptyApp().run()
    elif kind == "table":
        TableApp(int(argument)).run()
    else:
        from lora_tui.app import LoraTuiApp
        from lora_tui.errors import UnreachableError
        from lora_tui.online import OfflineWriters

        writers = OfflineWriters(UnreachableError("a benchmark has no backend"))
        if kind == "downloading":
            from lora_tui.transfers.run import Runner, Tools

            url = os.environ["BENCH_URL"]
            tools = Tools(sign=lambda _: url, delay=lambda *_: None, files_at_once=1)
            Runner(Path(argument), tools).start()
        LoraTuiApp(Path(argument), writers, profile="bench", sync_on_start=False).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
