"""The models that the command palette finds: by words, by the start of an id, also mistyped."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from textual.command import Hit, Hits, Provider
from textual.content import Content

from lora_tui.cache.connection import open_existing, translate_database_errors
from lora_tui.cache.models import ModelQuery, find_models, names_of, select_models
from lora_tui.cache.search import id_prefix
from lora_tui.errors import LoraTuiError
from lora_tui.text import terminal_safe
from lora_tui.tui.base_screen import CacheScreen

if TYPE_CHECKING:
    from lora_tui.tui.cache_app import CacheApp

_MOST: Final = 8
"""Models that are offered at most."""
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

Found = list[tuple[str, str]]
"""Ids and names."""
Query = Callable[[sqlite3.Connection, str], tuple[Found, Found]]


class ModelCommands(Provider):
    """Offers to open the models that match; a model that comes near only where none matches."""

    async def search(self, query: str) -> Hits:
        """Read the cache in threads, with connections of their own."""
        query = query.strip()
        if len(query) < _LEAST or not isinstance(self.screen, CacheScreen):
            return  # a form keeps its screen until it is answered
        by_id, by_words = await self._read(_matching, query)
        score = _SCORE_OF_LETTER * len(query)
        for place, model in enumerate(by_id):
            yield self._hit(model, _SCORE_OF_ID - place)
        for place, model in enumerate(by_words):
            yield self._hit(model, score - place / 100)
        if by_id or by_words:
            return
        await asyncio.sleep(_PAUSE)  # the next key cancels this
        near, _ = await self._read(_near, query)
        for place, model in enumerate(near):
            yield self._hit(model, 0.6 - place / 100)

    async def _read(self, query: Query, text: str) -> tuple[Found, Found]:
        app = cast("CacheApp", self.app)
        path, owner = app.cache_path, app.cache_owner

        def read() -> tuple[Found, Found]:
            try:
                with translate_database_errors(path), closing(open_existing(path, owner)) as db:
                    return query(db, text)
            except LoraTuiError:  # the list says what is wrong with the cache
                return [], []

        return await asyncio.to_thread(read)

    def _hit(self, model: tuple[str, str], score: float) -> Hit:
        model_id, name = model
        shown = terminal_safe(name, limit=200)
        run = partial(cast("CacheApp", self.app).open_model, model_id)
        return Hit(score, Content(f"Model: {shown}"), run, text=shown, help=model_id)


def _matching(db: sqlite3.Connection, query: str) -> tuple[Found, Found]:
    """The models of an id that begins so, and those that the search of the list finds."""
    prefix = id_prefix(query)
    is_id = prefix is not None and len(prefix) >= _LEAST_OF_ID
    by_id = [(m.id, m.name) for m in find_models(db, query)[:_MOST]] if is_id else []
    found = select_models(db, ModelQuery(search=query), offset=0, limit=_MOST)
    return by_id, [(m.id, m.name) for m in found if (m.id, m.name) not in by_id]


def _near(db: sqlite3.Connection, query: str) -> tuple[Found, Found]:
    from lora_tui.cache.near import nearest_models

    ids = nearest_models(db, query, most_read=_READ_NEAR)
    names = names_of(db, ids)
    return [(model_id, names[model_id]) for model_id in ids if model_id in names], []
