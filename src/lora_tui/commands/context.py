"""What every command gets: its arguments, the profile, the cache, and where to print."""

from __future__ import annotations

import sqlite3
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from lora_tui.account import sessions
from lora_tui.cache import models
from lora_tui.cache.connection import open_cache, translate_database_errors
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import ModelSummary
from lora_tui.commands.output import Output
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.errors import (
    CacheError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from lora_tui.json_values import json_text


class Context:
    """One call of the command line."""

    def __init__(self, arguments: Namespace) -> None:
        self.arguments = arguments
        self.out, self.talk = Output(sys.stdout), Output(sys.stderr)

    @cached_property
    def profile(self) -> Profile:
        """The profile that flags and environment name. Raises ConfigError."""
        return load_profile(name=self.arguments.profile, config_file=self.arguments.config)

    @property
    def json(self) -> bool:
        """Whether one JSON document is wanted on stdout."""
        return bool(self.arguments.json)

    @property
    def can_redraw(self) -> bool:
        """Whether printed lines can be redrawn, as progress is."""
        from lora_tui.tui.terminal import has_no_screen

        return self.talk.isatty() and not has_no_screen()

    def cache_path(self) -> Path:
        """The cache of the account in force. Raises AuthenticationError where there is none."""
        return self.profile.cache_path(self.cache_owner().user_id)

    def cache_owner(self) -> Owner:
        """The account in force, and the project. Raises AuthenticationError where there is none."""
        account = sessions.account_of(self.profile)
        if account is None:
            raise sessions.nobody_signed_in(self.profile)
        return sessions.cache_owner(self.profile, account.user_id)

    @contextmanager
    def cache(self) -> Iterator[sqlite3.Connection]:
        """The signed-in user's cache, open."""
        path = self.cache_path()
        with (
            translate_database_errors(path),
            closing(open_cache(path, self.cache_owner())) as connection,
        ):
            yield connection

    def replace_damaged_cache(self, *, then: str | None) -> None:
        """Set it aside, save what only it knows, and say so in one line.

        `then` is how what is missing can be had; it is raised with a CacheError. None where the
        caller sees to that itself.
        """
        from lora_tui.cache.rebuild import rebuild_cache

        rebuilt = rebuild_cache(self.cache_path(), self.cache_owner())
        sentence = rebuilt.sentence if rebuilt else "The cache was damaged and replaced"
        if then is not None:
            raise CacheError(sentence, remedy=then)
        self.say(f"{sentence}.")

    def require_network(self) -> None:
        """Raises UnreachableError with --offline, and for a demo that does not run."""
        if self.arguments.offline:
            raise UnreachableError(
                "This needs the network, and --offline was given", remedy="leave out --offline"
            )
        if self.profile.identity:
            from lora_tui.config.demo import require_running

            require_running(self.profile)

    def print_data(self, data: Any) -> None:
        """Print the success envelope. ASCII, so that no remote text can act on a terminal."""
        self.out.write(json_text({"success": True, "data": data}, indent=2) + "\n")

    def say(self, line: str) -> None:
        """A line for people, on stderr."""
        self.talk.write(f"{line}\n")


def resolve(db: sqlite3.Connection, reference: str) -> ModelSummary:
    """The one model that the user means: an id, a unique beginning of one, or an exact name.

    Raises NotFoundError, and UsageError with the candidates where several fit.
    """
    found = models.find_models(db, reference)
    if not found:
        raise NotFoundError(
            "Model not found or access denied",
            remedy="run `lora-tui list` to see what there is, `lora-tui sync` if it is new",
        )
    if len(found) > 1:
        candidates = ", ".join(f"{model.id[:8]} ({model.name})" for model in found[:10])
        raise UsageError(
            f"{len(found)} models fit", details=candidates, remedy="give more of the id"
        )
    return found[0]
