"""What the list of training jobs can be filtered by."""

from __future__ import annotations

import sqlite3
from functools import partial

from lora_tui.cache.facets import JOBS, job_facets, totals_since
from lora_tui.cache.job_query import JobQuery
from lora_tui.domain.job_statuses import STATUSES
from lora_tui.screens.filters import Choice, Section, Typing, date_choices, named_choices


def read_job_sections(db: sqlite3.Connection, query: JobQuery) -> tuple[Section, ...]:
    """Read all sections from the cache. A choice of the query is listed even if no job has it."""
    facets = job_facets(db)
    known: set[str] = {*facets.statuses, *query.statuses}
    statuses: list[str] = [name for name in STATUSES if name in known]
    statuses += sorted(known - set(STATUSES))
    return (
        Section(
            "Status",
            tuple(
                Choice("statuses", name, name, facets.statuses.get(name, 0)) for name in statuses
            ),
            several=True,
        ),
        Section("Dataset", named_choices("dataset", facets.datasets, query), Typing.NARROWS),
        Section("Preset", named_choices("preset", facets.presets, query)),
        Section(
            "Base model", named_choices("base_model", facets.base_models, query), Typing.NARROWS
        ),
        Section("GPU", named_choices("gpu", facets.gpus, query)),
        Section("Queued", date_choices(partial(totals_since, db, counted=JOBS)), Typing.DAYS),
    )
