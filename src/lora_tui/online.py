"""The writers that reach the network: one signed-in connection behind the screens and commands."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from lora_tui import account
from lora_tui.account import Session
from lora_tui.cache import models, records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.transfers import Transfer
from lora_tui.config import Profile
from lora_tui.domain import Model
from lora_tui.errors import AuthenticationError, LoraTuiError, NotFoundError
from lora_tui.gateway import auth
from lora_tui.gateway.http import RETRY
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import Storage
from lora_tui.sync import Progress, SyncReport, pull_curve, sync_cache
from lora_tui.transfers.plan import model_directory
from lora_tui.transfers.run import Downloader, Outcome, download


def sign_in(profile: Profile) -> Session:
    """The session in force; where there is none, sign in with the configured account and keep it.

    Raises AuthenticationError where there is neither, or the password is wrong.
    """
    session = account.load_session(profile)
    if session is not None:
        return session
    if not profile.email or not profile.password:
        raise AuthenticationError(f"Nobody is signed in to profile {profile.name}")
    session = auth.sign_in(profile.url, profile.anon_key, profile.email, profile.password)
    account.save_session(profile, session)
    return session


class OnlineWriters:
    """The real `Writers` (writers.py), and what the commands use. Safe to call from any thread."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._session = sign_in(profile)
        self._auth = auth.SessionAuth(
            profile.url,
            profile.anon_key,
            self._session,
            on_refresh=lambda session: account.save_session(profile, session),
            reload=lambda: account.load_session(profile),
            lock=lambda: account.refresh_lock(profile),
        )
        self.rest = Rest(profile.url, self._auth)
        self.storage = Storage(profile.url, self._auth)
        self._stops: dict[str, threading.Event] = {}

    @property
    def user_id(self) -> str:
        """Whose rows these are."""
        return self._session.user_id

    @property
    def cache_path(self) -> Path:
        """The cache of this user."""
        return self._profile.cache_path(self.user_id)

    def close(self) -> None:
        """End transfers that run, and the connections."""
        for stop in list(self._stops.values()):
            stop.set()
        self.rest.close()
        self.storage.close()

    def sync(self, *, full: bool = False) -> None:
        """See `Writers.sync`."""
        self.sync_with_progress(full=full)

    def sync_with_progress(
        self, *, full: bool = False, progress: Progress | None = None
    ) -> SyncReport:
        """Like `sync`, telling how far it is and what it did."""
        with self._cache() as db:
            return sync_cache(self.rest, db, self.user_id, full=full, progress=progress)

    def load_curve(self, job_id: str) -> None:
        """See `Writers.load_curve`."""
        with self._cache() as db:
            pull_curve(self.rest, db, job_id)

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """See `Writers.download`."""
        self.download_to(model_id, files)

    def download_to(
        self,
        model_id: str,
        files: Sequence[str] | None = None,
        *,
        directory: Path | None = None,
        force: bool = False,
        on_change: Callable[[Transfer], None] | None = None,
    ) -> Outcome:
        """Like `download`, to a directory of choice; says what became of each file."""
        stop = self._stops.setdefault(model_id, threading.Event())
        try:
            with self._cache() as db:
                model = models.get_model(db, model_id)
                if model is None:
                    raise NotFoundError("Model not found or access denied")
                return download(
                    Downloader(
                        db=db,
                        sign=self.storage.sign,
                        wait=lambda attempt: _wait(attempt, stop),
                        stop=stop,
                        on_change=on_change,
                    ),
                    model,
                    directory or self.directory_of(model),
                    files,
                    force=force,
                )
        finally:
            self._stops.pop(model_id, None)

    def directory_of(self, model: Model) -> Path:
        """Where this model is put unless the user says otherwise."""
        return model_directory(model, self._profile.downloads_dir)

    def cancel_download(self, model_id: str) -> None:
        """See `Writers.cancel_download`."""
        stop = self._stops.get(model_id)
        if stop is not None:
            stop.set()

    def mark_notification_read(self, notification_id: str) -> None:
        """See `Writers.mark_notification_read`."""
        with self._cache() as db:
            with transaction(db, Topic.NOTIFICATIONS):
                records.mark_read(db, notification_id)
            self.rest.mark_notification_read(notification_id)

    @contextmanager
    def _cache(self) -> Iterator[sqlite3.Connection]:
        with closing(open_cache(self.cache_path)) as connection:
            yield connection


class OfflineWriters:
    """`Writers` that can't write: for --offline, or where signing in failed; each call says why."""

    def __init__(self, reason: LoraTuiError) -> None:
        self._reason = reason

    def sync(self, *, full: bool = False) -> None:
        """Raises the reason."""
        raise self._reason

    def load_curve(self, job_id: str) -> None:
        """Raises the reason."""
        raise self._reason

    def download(self, model_id: str, files: Sequence[str] | None = None) -> None:
        """Raises the reason."""
        raise self._reason

    def cancel_download(self, model_id: str) -> None:
        """Nothing runs."""

    def mark_notification_read(self, notification_id: str) -> None:
        """Raises the reason."""
        raise self._reason


def _wait(attempt: int, stop: threading.Event) -> bool:
    """The one retry policy, for a transfer: whether the n-th failure may be followed by another."""
    retry = RETRY.copy_with(attempts_made=attempt)
    if retry.is_exhausted():
        return False
    return not stop.wait(retry.backoff_strategy())
