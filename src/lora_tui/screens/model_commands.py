"""The models and jobs that the command palette finds: by words, marks, ids, also mistyped."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from textual.command import Hit, Hits, Provider
from textual.content import Content

from lora_tui.cache.connection import open_existing, translate_database_errors
from lora_tui.cache.job_query import JobQuery
from lora_tui.cache.jobs import JobList
from lora_tui.cache.models import ModelQuery, find_models, names_of, select_models
from lora_tui.cache.search import id_prefix
from lora_tui.errors import LoraTuiError
from lora_tui.text import terminal_safe
from lora_tui.tui.base_screen import CacheScreen

if TYPE_CHECKING:
    from lora_tui.tui.cache_app import CacheApp

_MOST: Final = 8
"""Models that are offered at most."""
_MOST_JOBS: Final = 4
_LEAST: Final = 3
"""Characters; a shorter query matches too many models."""
_LEAST_OF_ID: Final = 6
_PAUSE: Final = 0.2
"""Seconds without a key until models are sought that come near a mistyped name."""
_READ_NEAR: Final = 10_000
"""So many names on either side in the alphabet are looked at then."""
_SCORE_OF_ID: Final = 1000.0
_SCORE_OF_LETTER: Final = 2.0
"""Textual rates an action by 3 for each letter if they follow each other, else by less."""


class Found(NamedTuple):
    """What a text finds: ids, each with what is shown of it."""

    by_id: Sequence[tuple[str, str]] = ()
    """Models whose ids begin with the text, or whose alias it is."""
    by_words: Sequence[tuple[str, str]] = ()
    """Models."""
    jobs: Sequence[tuple[str, str]] = ()


Query = Callable[[sqlite3.Connection, str], Found]


class ModelCommands(Provider):
    """Offers to open the models and jobs that match; one that comes near only if none matches."""

    async def search(self, query: str) -> Hits:
        """Read the cache in threads, with connections of their own."""
        query = query.strip()
        if len(query) < _LEAST or not isinstance(self.screen, CacheScreen):
            return  # a form keeps its screen until it is answered
        found = await self._read(_matching, query)
        score = _SCORE_OF_LETTER * len(query)
        for place, model in enumerate(found.by_id):
            yield self._hit(model, _SCORE_OF_ID - place)
        for place, model in enumerate(found.by_words):
            yield self._hit(model, score - place / 100)
        for place, job in enumerate(found.jobs):
            yield self._hit(job, score - 0.5 - place / 100, is_job=True)
        if any(found):
            return
        await asyncio.sleep(_PAUSE)  # the next key cancels this
        near = await self._read(_near, query)
        for place, model in enumerate(near.by_words):
            yield self._hit(model, 0.6 - place / 100)
        for place, job in enumerate(near.jobs):
            yield self._hit(job, 0.5 - place / 100, is_job=True)

    async def _read(self, query: Query, text: str) -> Found:
        app = cast("CacheApp", self.app)
        path, owner = app.cache_path, app.cache_owner

        def read() -> Found:
            try:
                with translate_database_errors(path), closing(open_existing(path, owner)) as db:
                    return query(db, text)
            except LoraTuiError:  # the list says what is wrong with the cache
                return Found()

        return await asyncio.to_thread(read)

    def _hit(self, found: tuple[str, str], score: float, *, is_job: bool = False) -> Hit:
        row_id, name = found
        shown = terminal_safe(name, limit=200)
        app = cast("CacheApp", self.app)
        run = partial(app.open_job if is_job else app.open_model, row_id)
        what = "Job" if is_job else "Model"
        return Hit(score, Content(f"{what}: {shown}"), run, text=shown, help=row_id)


def _matching(db: sqlite3.Connection, query: str) -> Found:
    """What has an id that begins so, or this alias; and what the searches of the lists find."""
    prefix = id_prefix(query)
    is_id = prefix is not None and len(prefix) >= _LEAST_OF_ID
    named = is_id or query.startswith("@")
    by_id = [(m.id, m.name) for m in find_models(db, query)[:_MOST]] if named else []
    found = select_models(db, ModelQuery(search=query), offset=0, limit=_MOST)
    by_words = [(m.id, m.name) for m in found if (m.id, m.name) not in by_id]
    return Found(by_id, by_words, _jobs(db, query))


def _jobs(db: sqlite3.Connection, search: str) -> list[tuple[str, str]]:
    """Jobs that the search of their list finds: what runs first."""
    found = JobList(db, JobQuery(search=search)).window(0, _MOST_JOBS)
    return [(s.job.id, f"{s.job.dataset_name or 'no dataset'}, {s.job.status}") for s in found]


def _near(db: sqlite3.Connection, query: str) -> Found:
    from lora_tui.cache import near

    is_mark = query.startswith(("@", "#"))  # an alias or a tag: no name comes near
    ids = [] if is_mark else near.nearest_models(db, query, most_read=_READ_NEAR)
    marked = near.nearest_marked(db, query[1:] if is_mark else query)
    ids = list(dict.fromkeys([*ids, *marked]))[:_MOST]
    names = names_of(db, ids)
    models = [(model_id, names[model_id]) for model_id in ids if model_id in names]
    jobs = [job for job_id in near.near_jobs(db, query) for job in _jobs(db, job_id)]
    for words in near.nearest_words_of_jobs(db, query):
        jobs += _jobs(db, words)
    return Found((), models, list(dict.fromkeys(jobs))[:_MOST_JOBS])
