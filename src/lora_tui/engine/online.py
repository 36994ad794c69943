"""The calls that need the network, over one signed-in connection."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from lora_tui.account import sessions
from lora_tui.account.login import session_auth
from lora_tui.adapters.inspection import Adapter, read_remote
from lora_tui.cache import models
from lora_tui.cache.connection import open_cache, translate_database_errors
from lora_tui.cache.metadata import Owner, note_email
from lora_tui.cache.suggested_ratings import TURN, suggest_some
from lora_tui.cache.thinning import thin_if_due
from lora_tui.cache.transfer_queue import Transfer
from lora_tui.config.table import Profile
from lora_tui.deployments.holders import check_unused
from lora_tui.domain import Model, Row
from lora_tui.engine.running_jobs import sync_running
from lora_tui.errors import (
    BackendError,
    HiddenFilesError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.fetching.curves import pull_curve
from lora_tui.gateway import Gateway
from lora_tui.gateway.retry import download_wait
from lora_tui.library.disk_check import import_existing
from lora_tui.processes import LockHolder
from lora_tui.sync import Progress, SyncReport, sync_cache
from lora_tui.transfers.control import resume_refused
from lora_tui.transfers.download import DownloadResult, download
from lora_tui.transfers.model_directory import model_directory
from lora_tui.transfers.rate import RateLimit
from lora_tui.transfers.runner import Runner, RunnerOptions

_CHECK_EVERY: Final = 600.0
"""Seconds between two checks of the whole cache in the application."""


class OnlineWriters:
    """The part of `Writers` that needs the network; the commands use it too. Thread-safe."""

    def __init__(self, profile: Profile, *, limit_rate: float | None = None) -> None:
        """Sign in. `limit_rate`: bytes a second of all downloads together."""
        self._profile = profile
        self._auth = session_auth(profile)
        self._session = self._auth.session
        self._gateway = Gateway.of(profile.url, self._auth)
        self.rest, self.storage = self._gateway.rest, self._gateway.storage
        self._checked_at: float | None = None
        limit = limit_rate or profile.limit_rate
        self._runner = Runner(
            self.cache_path,
            RunnerOptions(
                sign=self.sign,
                sign_many=self.storage.sign_at_once,
                host=profile.url,
                etag_of=self.etag_of,
                delay=download_wait,
                files_at_once=profile.parallel_downloads,
                limit=RateLimit(limit) if limit else None,
                check_unused=partial(check_unused, profile.paths),
            ),
            self.cache_owner,
        )

    @property
    def user_id(self) -> str:
        """The id of the signed-in user."""
        return self._session.user_id

    @property
    def email(self) -> str:
        """The e-mail address of the signed-in user; may be empty."""
        return self._session.email

    @property
    def cache_owner(self) -> Owner:
        """The owner of the cache of this user."""
        return sessions.cache_owner(self._profile, self.user_id)

    @property
    def cache_path(self) -> Path:
        """The cache of this user."""
        return self._profile.cache_path(self.user_id)

    def close(self) -> None:
        """Stop running transfers (the next start resumes them), and close the connections."""
        self._runner.close()
        self._gateway.close()

    def sync(
        self,
        *,
        full: bool = False,
        progress: Progress | None = None,
        patience: float = 0.0,
        on_wait: Callable[[LockHolder], None] | None = None,
    ) -> SyncReport:
        """Bring the cache up to the backend; see `sync_cache`.

        Does nothing if another process still syncs this cache after `patience` seconds.
        """
        check_cache = self._checked_at is None or time.monotonic() - self._checked_at > _CHECK_EVERY
        with self._cache() as db:
            report = sync_cache(
                self.rest,
                db,
                self.user_id,
                full=full,
                progress=progress,
                patience=patience,
                on_wait=on_wait,
                check_cache=check_cache,
            )
            if not report.skipped:
                self._checked_at = time.monotonic() if check_cache else self._checked_at
                import_existing(db, self._profile.downloads_dir)
                thin_if_due(db, self._profile.whole_runs)
            return report

    def suggest_ratings(self, seconds: float) -> None:
        """Compute suggested ratings that are missing, for about so many seconds at most."""
        until = time.monotonic() + seconds
        with self._cache() as db:
            while (left := until - time.monotonic()) > 0 and suggest_some(db, min(left, TURN)):
                pass

    def sync_running(self) -> bool:
        """Fetch the changed jobs and notifications; see `running_jobs.sync_running`."""
        with self._cache() as db:
            return sync_running(self.rest, db, self.user_id)

    def load_curve(self, job_id: str) -> None:
        """See `Writers.load_curve`."""
        with self._cache() as db:
            pull_curve(self.rest, db, job_id)

    def download(
        self,
        model_id: str,
        files: Sequence[str] | None = None,
        *,
        directory: Path | None = None,
        force: bool = False,
        on_change: Callable[[Transfer], None] | None = None,
        on_held: Callable[[Transfer, LockHolder], None] | None = None,
    ) -> DownloadResult:
        """Download all files of a model, or those named; the result of each.

        Raises PartlyFailedError, NotFoundError, IntegrityError, DiskError, UnreachableError.
        """
        with self._runner.cache() as db:
            model = models.require_model(db, model_id)
        return download(
            self._runner,
            model,
            directory or self.directory_of(model, replace=force),
            files,
            force=force,
            on_change=on_change,
            on_held=on_held,
        )

    def directory_of(self, model: Model, *, replace: bool = False) -> Path:
        """The default directory of a model; see `model_directory`."""
        downloads = Path(os.path.realpath(self._profile.downloads_dir))
        return model_directory(model, downloads, replace=replace)

    def resume_downloads(self, *, signed_in: bool = False) -> None:
        """See `Writers.resume_downloads`."""
        if signed_in:
            with self._cache() as db:
                resume_refused(db)
        self._runner.recover()
        self._runner.start()

    def fetch(self, ids: Sequence[int]) -> None:
        """Fetch those of these files that are queued; returns at once."""
        self._runner.recover()
        self._runner.start(ids)

    def read_adapter(self, model_id: str) -> Adapter:
        """See `Writers.read_adapter`."""
        with self._cache() as db:
            model = models.require_model(db, model_id)
        return read_remote(model, self.sign)

    def sign(self, path: str) -> str:
        """A link to one of the user's files. Raises HiddenFilesError if no file can be seen."""
        try:
            return self.storage.sign(path)
        except NotFoundError as error:
            raise self._explain(path, error) from None

    def sign_many(self, paths: Sequence[str]) -> dict[str, str | LoraTuiError]:
        """A link, or the reason why there is none, for each path."""
        answers = self.storage.sign_many(paths)
        return {
            path: self._explain(path, answer) if isinstance(answer, NotFoundError) else answer
            for path, answer in answers.items()
        }

    def _explain(self, path: str, error: NotFoundError) -> NotFoundError:
        """The error, or HiddenFilesError: without a storage policy every file looks missing."""
        if path.partition("/")[0] != self.user_id:
            return error
        with suppress(LoraTuiError):
            if not self.storage.has_visible_objects(self.user_id):
                return HiddenFilesError(
                    "No storage policy of the project lets you read your own files:"
                    " the SQL of `lora-tui schema` is not applied",
                    details=error.details,
                )
        return error

    def change_model(self, model_id: str, changes: Mapping[str, Any], *, seen: str = "") -> Row:
        """See `change_model` of keeping/change.py. `seen`: the `updated_at` that the user saw."""
        from lora_tui.keeping import change  # late: most connections change no model

        with self._cache() as db:
            return change.change_model(
                self.rest, db, self.user_id, model_id, changes, seen=seen or None
            )

    def mark_notification_read(self, notification_id: str) -> None:
        """Mark it in the backend, if policies allow it."""
        self.rest.mark_notification_read(notification_id)

    def etag_of(self, path: str) -> str | None:
        """The ETag of one of the user's files; None where the storage does not tell."""
        try:
            return self.storage.info(path).etag
        except (NotFoundError, BackendError, UnreachableError):
            return None  # then the record of the download is compared

    @contextmanager
    def _cache(self) -> Iterator[sqlite3.Connection]:
        with (
            translate_database_errors(self.cache_path),
            closing(open_cache(self.cache_path, self.cache_owner)) as connection,
        ):
            note_email(connection, self._session.email)
            yield connection
