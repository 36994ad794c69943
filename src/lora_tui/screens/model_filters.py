"""What the list of models can be filtered by."""

from __future__ import annotations

import sqlite3
from functools import partial

from lora_tui import formats
from lora_tui.cache.facets import Facets, facet_counts, totals_since
from lora_tui.cache.models import ModelQuery
from lora_tui.domain import CONVERGENCES
from lora_tui.screens.filters import Choice, Section, Typing, date_choices, named_choices


def read_sections(
    db: sqlite3.Connection, query: ModelQuery, *, ascii_only: bool
) -> tuple[Section, ...]:
    """Read all sections from the cache. A choice of the query is listed even if no model has it."""
    facets = facet_counts(db)
    return (
        Section("Convergence", _convergences(facets, query), several=True),
        Section("Rating", _stars(facets, ascii_only=ascii_only)),
        Section("Dataset", named_choices("dataset", facets.datasets, query), Typing.NARROWS),
        Section("Preset", named_choices("preset", facets.presets, query)),
        Section(
            "Base model", named_choices("base_model", facets.base_models, query), Typing.NARROWS
        ),
        Section("Date", date_choices(partial(totals_since, db)), Typing.DAYS),
        Section("Condition", (), Typing.CONDITION),
        Section("On this disk", _downloaded(facets)),
    )


def _convergences(facets: Facets, query: ModelQuery) -> tuple[Choice, ...]:
    known: set[str] = {*facets.convergences, *query.convergences}
    names: list[str] = [name for name in CONVERGENCES if name in known]
    names += sorted(known - set(CONVERGENCES))
    return tuple(
        Choice("convergences", name, name, facets.convergences.get(name, 0)) for name in names
    )


def _stars(facets: Facets, *, ascii_only: bool) -> tuple[Choice, ...]:
    def count(least: int) -> int:
        return sum(
            total for stars, total in facets.stars.items() if stars is not None and stars >= least
        )

    return tuple(
        Choice(
            "min_stars",
            least,
            formats.stars(least, ascii_only=ascii_only) + ("" if least == 5 else " or more"),
            count(least),
        )
        for least in range(5, 0, -1)
    )


def _downloaded(facets: Facets) -> tuple[Choice, ...]:
    everything = sum(facets.convergences.values())
    return (
        Choice("downloaded", True, "downloaded", facets.downloaded),
        Choice("downloaded", False, "not downloaded", everything - facets.downloaded),
    )
