"""The application over a cache, without its screens: it watches the cache and calls the writers.

Screens know the application as `CacheApp`: what they read, and what they may ask for. `app.py` adds
the screens and the keys that open them.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.signal import Signal
from textual.timer import Timer
from textual.worker import WorkerFailed

from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import open_cache, translate_database_errors
from lora_tui.cache.metadata import Owner, get_sync_state
from lora_tui.config.table import Preferences
from lora_tui.errors import DamagedCacheError, DiskError, LoraTuiError, NotSignedInError
from lora_tui.tui.announcements import Announcements
from lora_tui.tui.base_app import BaseApp
from lora_tui.tui.downloads import Downloads
from lora_tui.tui.sync_schedule import SyncSchedule
from lora_tui.tui.view_state import ViewMemory, ViewState
from lora_tui.widgets.screen_bars import StatusBar

if TYPE_CHECKING:
    from lora_tui.cache.job_query import JobQuery
    from lora_tui.config.shown import Settings
    from lora_tui.engine.account_form import AccountForm
    from lora_tui.engine.writers import Writers
    from lora_tui.tui.background_harvest import BackgroundHarvest

_DEFAULT_PREFERENCES: Final = Preferences()
_POLL_SECONDS: Final = 0.2
_DISK_SECONDS: Final = 20.0
_COLLECT_AFTER: Final = (5_000, 10, 10)
"""Objects until a collection, and collections of each generation until one of the next."""
_VIEW_SECONDS: Final = 1.0
"""Seconds after the last change of the search, until it is written for the next run."""
_FIRST_FRAME_SECONDS: Final = 1.0
"""Seconds. The background work starts then, even if the first frame was not reported as drawn."""


class CacheApp(BaseApp):
    """Screens read `db`, and call this class or `writers` for everything else."""

    HARVEST_POLL_SECONDS: ClassVar[float] = 1.0
    """Seconds between two checks for models that a harvest has made."""

    def __init__(
        self,
        cache_path: Path,
        writers: Writers,
        *,
        profile: str,
        preferences: Preferences = _DEFAULT_PREFERENCES,
        settings: Settings | None = None,
        login: AccountForm | None = None,
        sync_on_start: bool = True,
        harvest: BackgroundHarvest | None = None,
        views: Path | None = None,
        owner: Owner | None = None,
        on_migration: Callable[[str], None] | None = None,
    ) -> None:
        """Open the cache of `owner`, before the terminal is taken over; see `open_cache`.

        Raises CacheError, DiskError.
        """
        super().__init__(preferences)
        self.db: sqlite3.Connection = open_cache(cache_path, owner, on_migration=on_migration)
        """The connection of the UI's thread; for reading."""
        self.cache_path, self.cache_owner = cache_path, owner
        self.cache_changes: Signal[frozenset[Topic]] = Signal(self, "cache_changes")
        """Published on the UI's thread after any writer has changed the cache."""
        self.answers_changed: Signal[tuple[str, Sequence[Any]]] = Signal(self, "answers_changed")
        """Published on the UI's thread with the name of a trial and its answers, as documents."""
        self.writers = writers
        self.profile = profile
        self.settings = settings
        self.login = login
        self.harvest = harvest
        self.undo: tuple[str, Callable[[], None]] | None = None
        """What the last change of a model was, in words, and what takes it back."""
        self.cache_replaced = False
        """Whether the application ended because another file has replaced its cache."""
        self.signed_out = False
        """Whether the user signed out."""
        self.not_told: str | None = None
        """Why the backend has not ended the session, if so."""
        self.clears_cache = False
        """Whether the cache is to be removed at the end, because the user signs out."""
        self.damage: DamagedCacheError | None = None
        """Set when the application ended because its cache is damaged."""
        self._views = ViewMemory(views)
        self._views_due: Timer | None = None
        self._storing = threading.Lock()
        self._sync_on_start = sync_on_start
        self._feed = ChangeFeed(self.db)
        self._closed = False
        self._syncing, self._sync_due = False, sync_on_start
        self.sync_schedule = SyncSchedule(interval=preferences.sync_interval)
        self._started = False
        """Whether the background work has started."""
        self._harvested_synced = 0
        """How many harvested models the last successful sync had to fetch."""
        self._next_sync: Timer | None = None
        self._cache_file = cache_path.stat().st_ino
        self._downloads = Downloads(self)
        self._announcements = Announcements(self, self.db, self._note_announced)
        self._to_note: list[str] = []
        """Notifications that were shown, which the engine has not noted yet."""
        self._restarts = 0
        """How often the engine was restarted before the downloads were last resumed."""

    @abstractmethod
    def open_model(self, model_id: str) -> None:
        """Show one model."""

    @abstractmethod
    def open_neighbour(self, model_id: str, step: int) -> None:
        """Show the model that is `step` lines below this one in the list of models."""

    @abstractmethod
    def open_job(self, job_id: str) -> None:
        """Show one training job."""

    @abstractmethod
    def open_jobs(self, narrowed: JobQuery) -> None:
        """Show the jobs that match."""

    @abstractmethod
    def action_login(self) -> None:
        """Ask the user to sign in again."""

    @abstractmethod
    def action_sign_out(self) -> None:
        """End the session after a confirmation."""

    def on_mount(self) -> None:
        """Watch the cache; start what takes longer after the first frame."""
        loop = asyncio.get_running_loop()

        def on_loop(call: Callable[[], None]) -> Callable[[], None]:
            def soon() -> None:
                with suppress(RuntimeError):  # the loop is closed: nobody looks any more
                    loop.call_soon_threadsafe(call)

            return soon

        self.writers.on_change = on_loop(self._engine_changed)
        self.writers.on_write = on_loop(self.poll_cache)
        self.writers.on_marks = lambda sentence: on_loop(partial(self._tell_of_marks, sentence))()
        self.writers.on_answers = lambda *came: on_loop(
            partial(self.answers_changed.publish, came)
        )()
        self.set_interval(_POLL_SECONDS, self.poll_cache)
        self._announcements.announce_new()
        self._downloads.watch()
        if self._sync_on_start:
            self._downloads.announce_unfinished()
        self.call_after_refresh(self._start_background_work)
        # a key may open another screen at once; then the callback of the first waits for that one
        self.set_timer(_FIRST_FRAME_SECONDS, self._start_background_work)

    def _start_background_work(self) -> None:
        """Start the threads, and import the modules, that would delay the first frame."""
        if self._closed or self._started:
            return
        self._started = True
        _resume_collection()
        self.set_interval(_DISK_SECONDS, self.check_disk)
        self.check_disk()
        if self._sync_due:
            self.sync(asked_for=False)
        self._resume_work()
        self._note_announced([])
        if self.harvest is not None:
            self.set_interval(self.HARVEST_POLL_SECONDS, self._sync_harvested)
        self.show_engine()

    def _resume_work(self, *, signed_in: bool = False) -> None:
        """Ask the engine for what goes on by itself: queued downloads, the harvest.

        `signed_in`: it can again what it could not without a session.
        """
        if self._sync_on_start or signed_in:
            self._downloads.resume(signed_in=signed_in)
        if self.harvest is not None and self.harvest.wanted:
            self.ask(self.harvest.start, if_failed="Harvest not started")

    def _engine_changed(self) -> None:
        """Show what has become of the engine; ask a restarted one to go on."""
        if self._closed or not self.is_running:
            return
        report = self.writers.report
        self.show_engine()
        self.cache_changes.publish(frozenset({Topic.SYNC}))  # the banner
        if not report.starting and report.restarts > self._restarts:
            self._restarts = report.restarts
            self._resume_work()

    def _tell_of_marks(self, sentence: str) -> None:
        """Show what the engine has found out about the file of one's own marks."""
        if not self._closed and self.is_running:
            self.notify(sentence, title="Your marks", severity="warning", timeout=12)

    def show_engine(self) -> None:
        """Say in the status bars that the engine is starting, waits, or does not run."""
        report = self.writers.report
        for screen in self.screen_stack:
            for bar in screen.query(StatusBar):
                bar.starting = self._started and report.starting
                bar.stopped = report.error is not None
                bar.waits_for_keyring = report.waits_for_keyring

    def _note_announced(self, ids: Sequence[str]) -> None:
        """Note that these notifications were shown; not before the first frame."""
        self._to_note += ids
        if self._to_note and self._started:
            noted, self._to_note = self._to_note, []
            self.ask(partial(self.writers.mark_announced, noted), if_failed="Not noted as shown")

    def on_unmount(self) -> None:
        """Close the cache. A writer that ends after this updates no screen."""
        self._closed = True
        with suppress(DiskError):  # the user was told when it happened
            self._views.write()
        self.db.close()

    def poll_cache(self) -> None:
        """Tell the screens what has changed since the last call."""
        if not self._closed and self._was_replaced():
            self.cache_replaced = True
            self.exit()
            return
        topics = frozenset() if self._closed else self._feed.poll()
        if topics:
            self.cache_changes.publish(topics)
            if Topic.NOTIFICATIONS in topics:
                self._announcements.announce_new()
            if Topic.TRANSFERS in topics:
                self._downloads.report_ended()

    @property
    def is_syncing(self) -> bool:
        """Whether a sync of this application is running, or starts after the first frame."""
        return self._syncing or self._sync_due

    @property
    def is_downloading(self) -> bool:
        """Whether the end of the application would stop a download."""
        return self._downloads.running

    @property
    def login_refused(self) -> bool:
        """Whether the login was refused for good, or several times in a row."""
        return self.login is not None and self.sync_schedule.refused

    def sync(self, *, asked_for: bool = True) -> None:
        """Sync the cache with the backend, unless a sync is running already."""
        failed = self.writers.report.error
        if failed is not None:
            if not asked_for:  # the banner says why, and which key tries again
                self._sync_later()
                return
            self.writers.start()
        if self._syncing:
            if asked_for:
                self.notify("A sync is already running")
            return
        if asked_for and get_sync_state(self.db).running:
            self.notify("Another lora-tui is syncing this cache; its changes appear here")
        is_first = self._sync_due
        self._syncing, self._sync_due = True, False
        if self._next_sync is not None:
            self._next_sync.stop()
        pressed, harvested = self.keys_pressed, self._count_harvested()

        def ended(failure: LoraTuiError | None) -> None:
            refused = self.login_refused
            self._syncing = False
            # while another process syncs, ours was skipped, and the other may have begun too early
            if failure is None and not get_sync_state(self.db).running:
                self._harvested_synced = harvested
            self.sync_schedule = self.sync_schedule.after(failure)
            self.poll_cache()
            if failure is not None or self.login_refused is not refused:
                # the banner shows the remedy; and a full disk may not have taken the failure
                self.cache_changes.publish(frozenset({Topic.SYNC}))
            if refused and failure is None:  # another program may have signed in
                self._resume_work(signed_in=True)
            if failure is not None:
                lost = is_first and isinstance(failure, NotSignedInError)
                idle = (asked_for or lost) and self.keys_pressed == pressed
                self._report_failed_sync(failure, asked_for=asked_for, may_open_form=idle)
            self._sync_later()

        call = partial(self.writers.sync, scheduled=not asked_for)
        self.start(call, ended, failed=ended, name="sync")

    def action_sync(self) -> None:
        """Sync now."""
        self.sync()

    def download(self, model_id: str, name: str, files: Sequence[str] | None = None) -> None:
        """Download all files of a model, or those named; show a toast at the end."""
        self._downloads.start(model_id, name, files)

    def begins_download(self, model_id: str) -> bool:
        """Whether a download was asked for that has no files in the queue yet."""
        return self._downloads.begins(model_id)

    def cancel_download(self, model_id: str) -> None:
        """Stop the download of a model, also one that only begins; received data is kept."""
        self._downloads.cancel(model_id)

    def check_disk(self) -> None:
        """Check in a thread whether the downloaded files are still on the disk."""
        self._downloads.check_disk()

    def mark_read(self, notification_id: str, *, ended: Callable[[], None] = lambda: None) -> None:
        """Mark a notification as read, in the cache and in the backend; `ended`: see `ask`."""
        self.ask(
            partial(self.writers.mark_notification_read, notification_id),
            if_failed="Not marked as read",
            ended=ended,
        )

    def ask(
        self,
        call: Callable[[], None],
        *,
        if_failed: str = "Failed",
        ended: Callable[[], None] = lambda: None,
        in_turn: str | None = None,
    ) -> None:
        """Run a short call of a writer in a thread; a failure becomes a toast of this title.

        `ended` is called after it, however it ended; `in_turn`: see `start`.
        """

        def done(_: None) -> None:
            self.poll_cache()
            ended()

        def failed(error: LoraTuiError) -> None:
            self.show_error(error, title=if_failed)
            done(None)

        self.start(call, done, failed=failed, name="writer", in_turn=in_turn)

    @property
    def view_state(self) -> ViewState:
        """View, order and columns of the list, kept between runs."""
        return self._views.state

    @property
    def saved_views(self) -> Path | None:
        """The file of the saved views; None where nothing is kept between runs."""
        if self._views.path is None:
            return None
        from lora_tui.views.saved import beside

        return beside(self._views.path)

    def remember(self, state: ViewState, *, soon: bool = True) -> None:
        """Keep this state of the list for the next run.

        What is typed letter by letter need not be written soon; the end writes it in any case.
        """
        if state == self._views.state:
            return
        self._views.state = state
        if self._views_due is not None:
            self._views_due.stop()
            self._views_due = None
        if soon:
            self._write_views()
        else:
            self._views_due = self.set_timer(_VIEW_SECONDS, self._write_views)

    def _write_views(self) -> None:
        self.ask(self._views.write, if_failed="View not stored")

    def take_preferences(self) -> None:
        """Apply the preferences that the file has now. Raises ConfigError."""
        if self.settings is None:
            return
        self.preferences = now = self.settings.preferences()
        self.sync_schedule = self.sync_schedule._replace(interval=now.sync_interval)
        self.apply_theme(now.theme)

    def choose_theme(self, theme: str) -> None:
        """Change the theme, and write it to the configuration."""
        if self.use_theme(theme) and self.settings is not None:
            self.ask(self._store_theme, if_failed="Theme not stored")

    def _store_theme(self) -> None:
        """Write the theme of this moment: of two quick keys, the second may be written first."""
        assert self.settings is not None
        with self._storing:
            self.settings.change("theme", self.theme)

    def action_other_theme(self) -> None:
        """Change to the next theme."""
        self.choose_theme(self.next_theme())

    def _report_failed_sync(
        self, failure: LoraTuiError, *, asked_for: bool, may_open_form: bool
    ) -> None:
        """`may_open_form`: the user has not typed since, so no key goes into a form by mistake."""
        if may_open_form and self.login_refused:
            self.action_login()
        # the banner shows it too, if the sync was able to store it
        elif self.writers.report.error is None and (
            asked_for or get_sync_state(self.db).error != str(failure)
        ):
            self.show_error(failure, title="Sync failed")

    def _sync_later(self) -> None:
        """Schedule the next sync, unless this application never syncs by itself."""
        delay = self.sync_schedule.delay(random.random())  # noqa: S311 - spreads load, guards nothing
        if (self._sync_on_start or self.harvest is not None) and not self._closed:
            self._next_sync = self.set_timer(delay, partial(self.sync, asked_for=False))

    def _sync_harvested(self) -> None:
        """Sync when a harvest on this machine, ours or a service, has made a new model.

        After a failed sync the schedule decides when to try again.
        """
        if self._syncing or self._closed or self.sync_schedule.failures:
            return
        if self._count_harvested() > self._harvested_synced:
            self.sync(asked_for=False)

    def _count_harvested(self) -> int:
        """How many models harvests on this machine have made, as far as that can be read."""
        if self.harvest is not None:
            with suppress(LoraTuiError):  # the Harvest screen shows it
                return self.harvest.models_made()
        return self._harvested_synced

    def _was_replaced(self) -> bool:
        """Whether another process has removed or rebuilt the cache file that is open here."""
        try:
            return self.cache_path.stat().st_ino != self._cache_file
        except OSError:
            return True

    def _handle_exception(self, error: Exception) -> None:
        """End in order where the cache is damaged; the caller rebuilds it and starts again."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        try:
            with translate_database_errors(self.cache_path):
                raise cause
        except DamagedCacheError as damage:
            self.damage = damage
            self.call_after_refresh(self.exit)  # a screen that is being built can't be removed
        except Exception:
            super()._handle_exception(error)


def _resume_collection() -> None:
    """Collect garbage again, where the start paused that, so that it delays few keys.

    What the start made stays until the end, so that no collection has to walk through it.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        gc.enable()
