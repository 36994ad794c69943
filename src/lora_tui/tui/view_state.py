"""How the lists and the charts of a run are shown, stored for the next start."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from lora_tui.cache.job_query import JobSort
from lora_tui.cache.model_query import Sort
from lora_tui.files import disk_error, write_private_file
from lora_tui.json_values import parse_json


class View(StrEnum):
    """How the models of the list are shown."""

    TABLE = "table"
    CARDS = "cards"


class ViewState(NamedTuple):
    """The stored state; its defaults are those of the first start."""

    view: View = View.TABLE
    sort: Sort = Sort.CREATED
    reverse: bool = False
    preview: bool = True
    """Whether a wide terminal shows the model under the cursor beside the list."""
    preview_below: bool = False
    """Whether a less wide terminal shows it below the list, which then has fewer lines."""
    columns: tuple[str, ...] = ()
    """The keys of the table's columns; none means those that fit best."""
    hidden_metrics: tuple[str, ...] = ()
    """The charts of a run that are not drawn."""
    metric_axis: str = "step"
    """What the charts of a run are drawn over; a value of `Axis` in curves/metrics_series.py."""
    jobs_sort: JobSort = JobSort.ACTIVITY
    jobs_reverse: bool = False
    jobs_columns: tuple[str, ...] = ()
    """Of the list of training jobs."""


class ViewMemory:
    """The state and its file; without a file the state is lost at the end."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.state = self._written = ViewState() if path is None else _read(path)

    def write(self) -> None:
        """Write the state if it has changed. Any thread may call. Raises DiskError."""
        with self._lock:
            state = self.state
            if self._path is not None and state != self._written:
                _replace(self._path, json.dumps(state._asdict(), indent=1))
            self._written = state


def _read(path: Path) -> ViewState:
    """The state in the file; defaults for what is missing or damaged."""
    try:
        data = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ViewState()
    return _parsed(data) if isinstance(data, dict) else ViewState()


def _parsed(data: Mapping[str, Any]) -> ViewState:
    view, sort, axis = data.get("view"), data.get("sort"), data.get("metric_axis")
    jobs_sort = data.get("jobs_sort")
    return ViewState(
        view=View(view) if view in list(View) else View.TABLE,
        sort=Sort(sort) if sort in list(Sort) else Sort.CREATED,
        reverse=data.get("reverse") is True,
        preview=data.get("preview") is not False,
        preview_below=data.get("preview_below") is True,
        columns=_texts(data.get("columns")),
        hidden_metrics=_texts(data.get("hidden_metrics")),
        metric_axis=axis if isinstance(axis, str) else "step",
        jobs_sort=JobSort(jobs_sort) if jobs_sort in list(JobSort) else JobSort.ACTIVITY,
        jobs_reverse=data.get("jobs_reverse") is True,
        jobs_columns=_texts(data.get("jobs_columns")),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(key for key in value if isinstance(key, str)) if isinstance(value, list) else ()


def _replace(path: Path, text: str) -> None:
    try:
        write_private_file(path, text)
    except OSError as error:
        raise disk_error(
            error,
            "The view of the list can't be saved",
            path,
            instead="set LORA_TUI_HOME to another directory",
        ) from error
