"""The list of training jobs as a table."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType

from lora_tui.widgets.bindings import bound
from lora_tui.widgets.job_columns import JOB_COLUMNS, JobRow
from lora_tui.widgets.row_table import RowTable
from lora_tui.widgets.row_view import Rows, row_styles


class JobTable(RowTable[JobRow]):
    """The list of jobs; as time passes, only the lines of running ones are drawn again."""

    COMPONENT_CLASSES: ClassVar[set[str]] = row_styles("active", "waiting", "done", "failed")
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "open", "Open", tooltip="Open the job under the cursor"),
    ]

    def __init__(
        self, rows: Rows[JobRow], *, ascii_only: bool = False, id: str | None = None
    ) -> None:
        super().__init__(rows, JOB_COLUMNS, ascii_only=ascii_only, id=id)

    def tick(self, part: int = 0, parts: int = 1, *, everything: bool = False) -> None:
        """Draw the visible lines of running jobs again: their times go on.

        Of `parts` that are drawn one after the other, only `part`. `everything`: all jobs.
        """
        self.redraw_rows(lambda row: everything or row.is_running, part, parts)
