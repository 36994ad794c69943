"""The sections of the filter form: choices, each with the number of its models."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from lora_tui import clock, formats
from lora_tui.cache.facets import Facets, facet_counts, totals_since
from lora_tui.cache.models import ModelQuery
from lora_tui.domain import CONVERGENCES


class Typing(Enum):
    """What typed letters do in a section."""

    NOTHING = "nothing"
    NARROWS = "narrows"
    DAYS = "days"


@dataclass(frozen=True)
class Choice:
    """One value of one field of the query."""

    field: str
    value: Any
    label: str
    count: int

    def is_chosen(self, query: ModelQuery) -> bool:
        """Whether the query contains this choice."""
        asked = getattr(query, self.field)
        if isinstance(asked, frozenset):
            return self.value in asked
        if self.field == "created_from" and query.created_before is not None:
            return False
        return bool(asked == self.value)

    def toggled(self, query: ModelQuery) -> ModelQuery:
        """The query with this choice added, or removed if it was chosen."""
        asked = getattr(query, self.field)
        if isinstance(asked, frozenset):
            changes: dict[str, Any] = {self.field: asked ^ {self.value}}
        else:
            anything = getattr(ModelQuery(), self.field)
            changes = {self.field: anything if self.is_chosen(query) else self.value}
        if self.field == "created_from":
            changes["created_before"] = None
        return query._replace(**changes)


@dataclass(frozen=True)
class Section:
    """The choices for one field; `several`: more than one can be selected."""

    title: str
    choices: tuple[Choice, ...]
    typing: Typing = Typing.NOTHING
    several: bool = False

    def narrowed(self, text: str) -> tuple[Choice, ...]:
        """Choices whose label contains the text, ignoring case and blanks."""
        wanted = _letters(text)
        if self.typing is not Typing.NARROWS or not wanted:
            return self.choices
        return tuple(choice for choice in self.choices if wanted in _letters(choice.label))

    def chosen(self, query: ModelQuery) -> str:
        """The selected choices in a word or two; empty if there is none."""
        if self.typing is Typing.DAYS and (query.created_from or query.created_before):
            labels = [choice.label for choice in self.choices if choice.is_chosen(query)]
            return labels[0] if labels else days_text(query)
        return ", ".join(choice.label for choice in self.choices if choice.is_chosen(query))


def read_sections(
    db: sqlite3.Connection, query: ModelQuery, *, ascii_only: bool
) -> tuple[Section, ...]:
    """Read all sections from the cache. A choice of the query is listed even if no model has it."""
    facets = facet_counts(db)
    return (
        Section("Convergence", _convergences(facets, query), several=True),
        Section("Rating", _stars(facets, ascii_only=ascii_only)),
        Section("Dataset", _named("dataset", facets.datasets, query), Typing.NARROWS),
        Section("Preset", _named("preset", facets.presets, query)),
        Section("Base model", _named("base_model", facets.base_models, query), Typing.NARROWS),
        Section("Date", _dates(db), Typing.DAYS),
        Section("On this disk", _downloaded(facets)),
    )


def days_text(query: ModelQuery) -> str:
    """The days of the query in the format of `parse_days`."""
    first = formats.date(query.created_from) if query.created_from else ""
    last = _last_day(query.created_before) if query.created_before else ""
    return first if first == last else f"{first}..{last}"


def parse_days(text: str) -> tuple[datetime | None, datetime | None] | None:
    """Parse `a..b`, `a..`, `..b` or one day into a start and an exclusive end; None if invalid.

    Days are local days, as in the list.
    """
    first, dots, last = (part.strip() for part in text.partition(".."))
    if not dots:
        last = first
    begin, end = clock.local_day(first), clock.local_day(last)
    if (first and begin is None) or (last and end is None):
        return None
    if begin is not None and end is not None and end < begin:
        return None
    return begin, None if end is None else clock.next_day(end)


_STEPS: Final = (("last 7 days", 7), ("last 30 days", 30), ("last year", 365))


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


def _named(field: str, counts: Mapping[Any, int], query: ModelQuery) -> tuple[Choice, ...]:
    found = {name: total for name, total in counts.items() if name}
    asked = getattr(query, field)
    if asked and asked not in found:
        found[asked] = 0
    return tuple(Choice(field, name, name, total) for name, total in found.items())


def _dates(db: sqlite3.Connection) -> tuple[Choice, ...]:
    # from a whole hour on, or a whole day: what was chosen is still the same a minute later
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    steps = [("last 24 hours", hour - timedelta(hours=24))]
    steps += [(label, clock.days_ago(days)) for label, days in _STEPS]
    totals = totals_since(db, [start for _, start in steps])
    return tuple(
        Choice("created_from", start, label, total)
        for (label, start), total in zip(steps, totals, strict=True)
    )


def _downloaded(facets: Facets) -> tuple[Choice, ...]:
    everything = sum(facets.convergences.values())
    return (
        Choice("downloaded", True, "downloaded", facets.downloaded),
        Choice("downloaded", False, "not downloaded", everything - facets.downloaded),
    )


def _last_day(before: datetime) -> str:
    return formats.date(before - timedelta(microseconds=1))


def _letters(text: str) -> str:
    return "".join(text.casefold().split())
