"""The context of a command: its arguments, the profile, the cache, and its output."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from lora_tui.account import sessions
from lora_tui.cache import metadata, models
from lora_tui.cache.connection import open_cache, translate_database_errors
from lora_tui.cache.metadata import Owner
from lora_tui.cache.models import ModelSummary
from lora_tui.cache.search import MOST_NAMED, id_prefix
from lora_tui.commands.output import Output
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.errors import (
    CacheError,
    ConfigError,
    DamagedCacheError,
    LoraTuiError,
    NotFoundError,
    UsageError,
    offline_error,
)
from lora_tui.files import file_stamp
from lora_tui.json_values import json_text
from lora_tui.text import terminal_safe, with_profile

if TYPE_CHECKING:
    from lora_tui.cache.deleted_models import DeletedModel
    from lora_tui.cache.jobs import JobSummary

_LEAST_OF_JOB_ID: Final = 6
YES: Final = ("y", "yes")
"""What confirms a question."""
CACHE_REBUILT: Final = (
    "The cache was written by an earlier version and has been rebuilt; downloads are kept."
    " Run `lora-tui sync` once to fetch your models."
)


class Context:
    """One call of the command line."""

    def __init__(self, arguments: SimpleNamespace) -> None:
        self.arguments = arguments
        self.out, self.talk = Output(sys.stdout), Output(sys.stderr)
        self._told_of_marks = False

    @cached_property
    def profile(self) -> Profile:
        """The profile that options and environment name. Raises ConfigError."""
        arguments = self.arguments
        warn = None if arguments.run == "doctor:doctor" else self.say  # it is a check of its own
        return load_profile(name=arguments.profile, config_file=arguments.config, warn=warn)

    @property
    def json(self) -> bool:
        """Whether --json was given."""
        return bool(self.arguments.json)

    @property
    def can_redraw(self) -> bool:
        """Whether stderr is a terminal that can redraw a line, for progress."""
        from lora_tui.tui.terminal import has_no_screen

        return self.talk.isatty() and not has_no_screen()

    def cache_path(self) -> Path:
        """The path of the cache of the account in force. Raises AuthenticationError."""
        return self.profile.cache_path(self.cache_owner().user_id)

    def cache_owner(self) -> Owner:
        """The account in force and the project. Raises AuthenticationError."""
        account = sessions.account_of(self.profile)
        if account is None:
            raise sessions.nobody_signed_in(self.profile)
        return sessions.cache_owner(self.profile, account.user_id)

    @contextmanager
    def cache(self, *, needs_marks: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the cache of the account in force. Raises CacheError, AuthenticationError.

        With `needs_marks` also what `marks/file.py` raises where one's own marks can't be read;
        else that is only said.
        """
        owner = self.cache_owner()
        path = self.profile.cache_path(owner.user_id)
        with (
            translate_database_errors(path),
            closing(open_cache(path, owner, on_migration=self.say)) as connection,
        ):
            self._refresh_marks(connection, owner, is_needed=needs_marks)
            self._refresh_served(connection, owner)
            yield connection

    def marks_path(self) -> Path:
        """The file of the own marks of the account in force. Raises AuthenticationError."""
        return self.profile.marks_path(self.cache_owner().user_id)

    def _refresh_marks(self, db: sqlite3.Connection, owner: Owner, *, is_needed: bool) -> None:
        """Bring the copy of the own marks up to their file; where it can't be read, say so once."""
        marks = self.profile.marks_path(owner.user_id)
        if file_stamp(marks) == (metadata.get_value(db, metadata.MARKS_STAMP) or ""):
            return
        from lora_tui.marks.copy import refresh_copy  # late: most commands find it up to date
        from lora_tui.marks.file import MarksFile

        try:
            refresh_copy(db, MarksFile(marks, self.say))
        except DamagedCacheError:
            raise
        except LoraTuiError as error:
            if is_needed:
                raise
            if not self._told_of_marks:
                self.say(told(error))
            self._told_of_marks = True

    def _refresh_served(self, db: sqlite3.Connection, owner: Owner) -> None:
        """Bring the copy of what is loaded where up to its record, if there is one."""
        if not self.profile.paths.deployments_file.exists():
            return
        from lora_tui.deployments.copy import refresh_served  # late: few have loaded a model
        from lora_tui.deployments.record import owner_key

        try:
            refresh_served(db, self.profile.paths, owner_key(self.profile, owner.user_id))
        except DamagedCacheError:
            raise
        except LoraTuiError as error:  # the rest can be shown without it
            self.say(told(error))

    def replace_damaged_cache(self, *, then: str | None) -> None:
        """Rename the damaged cache, start a new one, keep the records of downloads, and say so.

        Raises CacheError with the remedy `then`; with None the caller fills the new cache itself.
        """
        from lora_tui.cache.rebuild import rebuild_cache

        rebuilt = rebuild_cache(self.cache_path(), self.cache_owner())
        sentence = rebuilt.sentence if rebuilt else "The cache was damaged and replaced"
        if then is not None:
            raise CacheError(sentence, remedy=then)
        self.say(f"{sentence}.")

    def require_network(self) -> None:
        """Raises UnreachableError with --offline, and for a demo that does not run."""
        # The demo is asked first: that it does not run matters also without --offline. A profile
        # that can't be loaded is reported by whoever needs it.
        with suppress(ConfigError):
            if self.profile.identity:
                from lora_tui.config.demo import require_running

                require_running(self.profile)
        if self.arguments.offline:
            raise offline_error("leave out --offline")

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin.isatty() and not self.json

    def ask(self, question: str) -> str:
        """What is typed in answer to a question, in small letters."""
        self.talk.write(f"{question} ")
        self.talk.flush()
        return sys.stdin.readline().strip().lower()

    def is_confirmed(self, question: str) -> bool:
        """Whether a question is answered by yes; no answer is no."""
        return self.ask(f"{question} [y/N]") in YES

    def print_data(self, data: Any) -> None:
        """Print the success envelope, in ASCII, so that no remote text controls the terminal."""
        self.out.write(json_text({"success": True, "data": data}, indent=2) + "\n")

    def say(self, line: str) -> None:
        """Print a line on stderr. Its commands get the `--profile` of this one."""
        if self.arguments.profile:
            line = with_profile(line, self.arguments.profile)
        self.talk.write(f"{line}\n")


def resolve_job(db: sqlite3.Connection, reference: str) -> JobSummary:
    """Find the job of an id, or of a unique beginning of one, of six or more characters.

    Raises NotFoundError with the ids that come near, or UsageError with the candidates if several
    jobs match.
    """
    from lora_tui.cache import jobs  # late: `list` does not need it

    beginning = id_prefix(reference)
    if beginning is not None and len(beginning) < _LEAST_OF_JOB_ID:
        raise UsageError(
            f"{reference!r} is too short for the start of an id",
            remedy=f"type at least {_LEAST_OF_JOB_ID} of its characters;"
            " `lora-tui jobs` shows eight",
        )
    found = jobs.find_jobs(db, reference)
    if not found:
        from lora_tui.cache.near import near_jobs

        raise NotFoundError(
            jobs.NOT_FOUND,
            details=similar(near_jobs(db, reference)),
            remedy="run `lora-tui jobs` to see the jobs, or `lora-tui sync` if it is new",
        )
    if len(found) > 1:
        raise ambiguous(
            "jobs",
            [f"{job.id} ({job.dataset_name or 'no dataset'}, {job.status})" for job, _ in found],
        )
    return found[0]


def resolve(db: sqlite3.Connection, reference: str) -> ModelSummary:
    """Find the model of an id, a unique beginning of one, an exact name, or of an alias (@NAME).

    Raises NotFoundError with what comes near, or how a deleted model comes back, or UsageError with
    the candidates if several models match.
    """
    found = models.find_models(db, reference)
    if not found:
        refuse_alias(db, reference)
        from lora_tui.cache.deleted_models import find_deleted
        from lora_tui.cache.near import near_models

        if deleted := find_deleted(db, reference):
            raise deleted_model(deleted[0])

        raise NotFoundError(
            models.NOT_FOUND,
            details=similar(near_models(db, reference)),
            remedy="run `lora-tui sync`: the cache of an earlier version has been rebuilt"
            if metadata.is_rebuilt(db)
            else "run `lora-tui list` to see the models, or `lora-tui sync` if it is new",
        )
    if len(found) > 1:
        raise ambiguous("models", [f"{model.id[:8]} ({model.name})" for model in found])
    return found[0]


def deleted_model(model: DeletedModel) -> NotFoundError:
    """The error for a reference that names a deleted model."""
    return NotFoundError(
        "The model is deleted",
        details=terminal_safe(model.name, limit=80),
        remedy=f"`lora-tui restore {model.id[:8]}` takes that back",
    )


def refuse_alias(db: sqlite3.Connection, reference: str) -> None:
    """Raise NotFoundError, which says what became of the alias, where a reference is one."""
    if reference.startswith("@"):
        from lora_tui.commands.missing_alias import missing_alias  # late: seldom needed

        raise missing_alias(db, reference[1:])


def told(error: LoraTuiError) -> str:
    """An error that does not end the command, as one line."""
    details = f" ({error.details})" if error.details else ""
    remedy = f". {error.remedy[0].upper()}{error.remedy[1:]}." if error.remedy else ""
    return terminal_safe(f"{error}{details}{remedy}", limit=1_000)


def similar(near: Sequence[str]) -> str | None:
    """The details of an error for a reference that nothing has; None where nothing comes near."""
    return terminal_safe(f"similar: {', '.join(near)}", limit=400) if near else None


def ambiguous(what: str, candidates: Sequence[str]) -> UsageError:
    """The error for a reference that several rows match; the first of them are named."""
    number = f"{MOST_NAMED} or more" if len(candidates) >= MOST_NAMED else len(candidates)
    return UsageError(
        f"{number} {what} match",
        details=", ".join(candidates[:10]),
        remedy="type more of the id",
    )
