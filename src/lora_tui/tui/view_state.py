"""How the lists and the charts of a run are shown, stored for the next start."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lora_tui.cache.job_query import JobSort
from lora_tui.cache.model_query import ModelQuery, Sort
from lora_tui.files import disk_error, read_regular_file, write_private_file
from lora_tui.json_values import mapping, parse_json

if TYPE_CHECKING:
    from lora_tui.views.saved import SavedView

_LARGEST: Final = 1_000_000
"""Bytes; a larger file is none of ours."""
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class View(StrEnum):
    """How the models of the list are shown."""

    TABLE = "table"
    CARDS = "cards"


class ViewState(NamedTuple):
    """The stored state; its defaults are those of the first start."""

    view: View = View.TABLE
    sort: str = Sort.CREATED
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
    effect: tuple[str, ...] = ()
    """The columns of the Effect screen: across, upwards, of the letters; empty: not chosen."""
    narrowed: Mapping[str, Any] = _NOTHING
    """Search, filters and condition of the list of models, as views/query_json.py writes them."""

    def with_query(self, query: ModelQuery) -> ViewState:
        """The state with this query of the list of models."""
        narrowed: Mapping[str, Any] = _NOTHING
        if not query.is_everything:
            from lora_tui.views.query_json import query_data  # late: seldom needed

            narrowed = query_data(query)
        return self._replace(sort=query.sort, reverse=query.reverse, narrowed=narrowed)

    @property
    def query(self) -> ModelQuery:
        """The query of the list of models."""
        query = ModelQuery()
        if self.narrowed:
            from lora_tui.views.query_json import query_of  # late: seldom needed

            query = query_of(self.narrowed)
        return query._replace(sort=self.sort, reverse=self.reverse)

    def saved_as(self, name: str) -> SavedView:
        """The list of models as a view of this name."""
        from lora_tui.views.saved import SavedView

        is_cards = self.view is View.CARDS
        return SavedView(name, self.query, self.columns, is_cards, self.hidden_metrics)

    def of_view(self, view: SavedView) -> ViewState:
        """The state that shows this view."""
        return self.with_query(view.query)._replace(
            view=View.CARDS if view.cards else View.TABLE,
            columns=view.columns,
            hidden_metrics=view.hidden_metrics,
        )


class ViewMemory:
    """The state and its file; without a file the state is lost at the end."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.state = self._written = ViewState() if path is None else _read(path)

    def write(self) -> None:
        """Write the state if it has changed. Any thread may call. Raises DiskError."""
        with self._lock:
            state = self.state
            if self.path is not None and state != self._written:
                data = {**state._asdict(), "narrowed": dict(state.narrowed)}
                _replace(self.path, json.dumps(data, indent=1))
            self._written = state


def _read(path: Path) -> ViewState:
    """The state in the file; defaults for what is missing or damaged."""
    try:
        data = parse_json(read_regular_file(path, _LARGEST))
    except (OSError, ValueError, RecursionError):
        return ViewState()
    return _parsed(data) if isinstance(data, dict) else ViewState()


def _parsed(data: Mapping[str, Any]) -> ViewState:
    view, sort, axis = data.get("view"), data.get("sort"), data.get("metric_axis")
    jobs_sort = data.get("jobs_sort")
    return ViewState(
        view=View(view) if view in list(View) else View.TABLE,
        sort=_sort(sort),
        reverse=data.get("reverse") is True,
        preview=data.get("preview") is not False,
        preview_below=data.get("preview_below") is True,
        columns=_texts(data.get("columns")),
        hidden_metrics=_texts(data.get("hidden_metrics")),
        metric_axis=axis if isinstance(axis, str) else "step",
        jobs_sort=JobSort(jobs_sort) if jobs_sort in list(JobSort) else JobSort.ACTIVITY,
        jobs_reverse=data.get("jobs_reverse") is True,
        jobs_columns=_texts(data.get("jobs_columns")),
        effect=_texts(data.get("effect")),
        narrowed=mapping(data.get("narrowed")) or _NOTHING,
    )


def _sort(value: object) -> str:
    if value in list(Sort) or not isinstance(value, str):
        return Sort(value) if isinstance(value, str) else Sort.CREATED
    from lora_tui.views.query_json import sort_in  # late: seldom needed

    return sort_in(value) or Sort.CREATED


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
