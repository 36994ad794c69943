"""What the engine does for each request: one method for each that `Writers` can send.

The first request that needs the network connects. Without it (--offline) such a request raises
UnreachableError, and the others work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from lora_tui.account import keyring_store, login, sessions
from lora_tui.adapters.inspection import adapter_document
from lora_tui.cache.cache_file import leader_lock
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_existing, transaction, translate_database_errors
from lora_tui.cache.metadata import Owner
from lora_tui.cache.records import mark_announced, mark_read
from lora_tui.cache.suggested_ratings import suggest_all
from lora_tui.config.demo import profile_from_note
from lora_tui.config.load import load_preferences, load_profile
from lora_tui.config.paths import Paths, find_paths
from lora_tui.config.table import Profile
from lora_tui.engine.alerts import AlertWatch
from lora_tui.engine.ask_servers import ServersWriter
from lora_tui.engine.cancel_job import cancel_job
from lora_tui.engine.changed_settings import ChangedSettings
from lora_tui.engine.harvest import INTERVAL, BackgroundHarvest
from lora_tui.engine.idle_work import IdleWork
from lora_tui.engine.keeping import KeepingWriter
from lora_tui.engine.live import LiveSync, Needs
from lora_tui.engine.load_requests import LoadRequests
from lora_tui.engine.marks import MarksWriter
from lora_tui.engine.protocol import CACHE, KEYRING, Hello
from lora_tui.engine.proving import Proofs
from lora_tui.engine.trying import Trials
from lora_tui.engine.weights import analyse_downloads
from lora_tui.errors import (
    ConfigError,
    DiskError,
    LoraTuiError,
    NotConfiguredError,
    UsageError,
    ending_error,
    offline_error,
)
from lora_tui.library.disk_check import check_presence
from lora_tui.secret import Secret
from lora_tui.transfers.control import Control, cancel_model, control

if TYPE_CHECKING:
    from lora_tui.engine.online import OnlineWriters
    from lora_tui.harvest.events import Event

Tell = Callable[[str, Any], None]
"""Sends an event: its name, and data as JSON has it."""


class Requests:
    """The requests of one application. Each runs in a thread of its own."""

    def __init__(
        self,
        paths: Paths,
        profile: Profile | None,
        owner: Owner | None,
        *,
        connect: Callable[[], OnlineWriters] | None,
        tell: Tell,
        harvest_interval: float = INTERVAL,
        live_interval: float | None = None,
    ) -> None:
        """`profile`: None on the first run, when a form makes one. `connect`: None offline.

        `live_interval`: seconds between two reads of the points of running jobs; None for none.
        """
        self._paths, self._profile, self._owner = paths, profile, owner
        self._connect, self._tell = connect, tell
        self._lock = threading.Lock()
        """Guards `_connected`, `_leader`, `_leads` and `_closed`: requests run at the same time."""
        self._connected: OnlineWriters | None = None
        self._leader = ExitStack()
        self._leads = False
        self._harvest = (
            BackgroundHarvest(profile, tell, interval=harvest_interval, emit=self._note_event)
            if profile and connect
            else None
        )
        self._weights = IdleWork("weights", analyse_downloads, self._cache)
        self._suggestions = IdleWork("suggested ratings", suggest_all, self._cache)
        self._alerts = AlertWatch(profile, self._cache) if profile and connect else None
        needs = Needs(self._cache, self._online, self._is_leader, self._look_for_alerts)
        self._live = LiveSync(needs, seconds=live_interval) if live_interval and connect else None
        self._marks = MarksWriter(self._marks_path, self._cache, tell)
        if profile is not None and owner is not None:
            self._marks.watch()
        header = (lambda model_id: self._online().read_adapter(model_id)) if connect else None
        self._proofs = Proofs(self._require_profile, owner, self._cache, tell, read_header=header)
        self._trials = Trials(self._require_profile, owner, tell, is_offline=connect is None)
        self._servers = ServersWriter(
            self._require_profile, owner, self._cache, is_offline=connect is None
        )
        if profile is not None and owner is not None:
            with suppress(LoraTuiError):  # the screens show the last copy
                self._servers.refresh_copy()
        self._serving = LoadRequests(
            self._require_profile, self._require_user, self._cache, self._online
        )
        self._settings = ChangedSettings(paths.config_file, self._take_settings)
        self._closed = False
        calls: tuple[Callable[..., Any], ...] = (
            self.sync,
            self.load_curve,
            self.download,
            self.cancel_download,
            self.resume_downloads,
            self.control_downloads,
            self.check_downloads,
            self.read_adapter,
            self.mark_notification_read,
            self.mark_announced,
            self.cancel_job,
            self.check_project,
            self.connect_project,
            self.sign_in,
            self.sign_out,
            self.start_harvest,
            self.stop_harvest,
            self.retry_harvest,
            *self._marks.calls,
            *KeepingWriter(self._online, self._cache, tell).calls,
            *self._proofs.calls,
            *self._trials.calls,
            *self._servers.calls,
            *self._serving.calls,
        )
        self._calls: Mapping[str, Callable[..., Any]] = {call.__name__: call for call in calls}

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The result of the request of this name. Raises LoraTuiError."""
        call = self._calls.get(name)
        if call is None:
            raise UsageError(f"The engine has no request {name}")
        if self._live is not None:
            self._live.note_request()
        self._settings.look()
        return call(**arguments)

    def close(self) -> None:
        """Interrupt downloads (the next start resumes them) and stop the harvest."""
        with self._lock:
            self._closed = True
            connected = self._connected
        self._weights.stop()
        self._marks.stop()
        self._proofs.stop()
        self._trials.stop()
        self._serving.stop()
        self._suggestions.stop()
        if self._live is not None:
            self._live.stop()
        if self._alerts is not None:
            self._alerts.stop()
        if self._harvest is not None:
            self._harvest.stop()
        if connected is not None:
            connected.close()
        self._leader.close()

    # The cache ----------------------------------------------------------------------------------

    def sync(self, *, full: bool, scheduled: bool) -> None:
        """Update the cache. One that is only `scheduled` is left to the engine that leads."""
        if scheduled and not self._is_leader():
            return
        try:
            self._sync(full=full)
        finally:  # a sync that has failed may have read what somebody should be told of
            self._suggestions.start()
            with suppress(LoraTuiError):  # its own error is the one to tell
                if self._alerts is not None and self._is_leader():
                    self._alerts.look()

    def _sync(self, *, full: bool) -> None:
        try:
            online = self._online()
        except LoraTuiError as error:
            self._note_failed_sync(error)
            raise
        if self._live is None:
            online.sync(full=full)
            return
        try:
            with self._live.without_job_reads():
                online.sync(full=full)
        finally:
            self._live.wake()

    def load_curve(self, *, job_id: str) -> None:
        """Fetch new metric points of a job."""
        self._online().load_curve(job_id)
        self._suggestions.start()

    def mark_notification_read(self, *, notification_id: str) -> None:
        """Mark it as read in the cache, and in the backend if policies allow it."""
        online = self._online()
        with self._cache() as db, transaction(db, Topic.NOTIFICATIONS):
            mark_read(db, notification_id)
        self._tell(CACHE, None)
        online.mark_notification_read(notification_id)

    def mark_announced(self, *, ids: Sequence[str]) -> None:
        """Note that these notifications were shown as toasts."""
        with self._cache() as db, transaction(db):
            mark_announced(db, ids)

    def cancel_job(self, *, job_id: str) -> str:
        """Cancel a training job at the GPU worker; what happens next, in words."""
        if self._connect is None:
            raise offline_error()
        with self._cache() as db:
            return cancel_job(self._require_profile(), db, job_id)

    # Downloads ----------------------------------------------------------------------------------

    def download(self, *, model_id: str, files: Sequence[str] | None) -> None:
        """Download all files of a model, or those named; returns when they are done or failed."""
        self._online().download(model_id, files)
        self._weights.start()

    def cancel_download(self, *, model_id: str) -> None:
        """Cancel the download of a model; partial files are kept for a resume."""
        with self._cache() as db:
            cancel_model(db, model_id)

    def resume_downloads(self, *, signed_in: bool) -> None:
        """Fetch what is queued, now and later; see `Writers`. Does nothing offline."""
        if self._connect is not None:
            self._online().resume_downloads(signed_in=signed_in)

    def control_downloads(self, *, what: str, ids: Sequence[int]) -> None:
        """Pause, resume, cancel, move or forget files; only to resume one needs the network."""
        online = self._online() if Control(what) is Control.RESUME else None
        with self._cache() as db:
            control(db, Control(what), ids)
        self._tell(CACHE, None)
        if online is not None:
            online.fetch(ids)

    def check_downloads(self) -> None:
        """Check whether downloaded files still exist unchanged."""
        with self._cache() as db:
            check_presence(db)
        self._weights.start()  # those of resumed downloads, and of `lora-tui download`
        self._suggestions.start()  # those that `lora-tui sync` left

    def read_adapter(self, *, model_id: str) -> Any:
        """The header of a model's weights in the bucket, as `adapter_from` reads it."""
        return adapter_document(self._online().read_adapter(model_id))

    # The account --------------------------------------------------------------------------------

    def check_project(self, *, url: str, anon_key: str) -> None:
        """Whether the project answers and accepts the key; see `login.check_project`."""
        login.check_project(url, anon_key)

    def connect_project(
        self, *, name: str, url: str, anon_key: str, email: str, password: str, token: str
    ) -> str:
        """Sign in to a project that no profile has yet, and add it; where the session is kept."""
        profile = login.new_profile(name, self._paths, url, anon_key)
        return _sign_in(login.Login(profile, is_new=True), email, password, token)

    def sign_in(self, *, email: str, password: str, token: str) -> str:
        """Sign in by password, or by a token where one is given; where the session is kept."""
        user_id = self._owner.user_id if self._owner else None
        form = login.Login(self._require_profile(), user_id=user_id)
        return _sign_in(form, email, password, token)

    def sign_out(self) -> str | None:
        """End the session here and at the backend; why the backend could not be told, if so."""
        profile = self._require_profile()
        account = sessions.signed_in(profile)
        if account and self._owner and account.user_id != self._owner.user_id:
            raise login.another_account(account.email)
        failure = login.sign_out(profile).not_told
        return None if failure is None else str(failure)

    # The harvest --------------------------------------------------------------------------------

    def start_harvest(self) -> None:
        """Start the background harvest, unless it runs."""
        self._require_harvest().start()

    def stop_harvest(self) -> None:
        """Stop it after the current file."""
        self._require_harvest().stop()

    def retry_harvest(self, *, job_ids: Sequence[str]) -> None:
        """Retry failed jobs, at once if it runs."""
        self._require_harvest().retry(job_ids)

    # What they share ----------------------------------------------------------------------------

    def _is_leader(self) -> bool:
        """Whether this engine is the one that syncs the cache on schedule."""
        with self._lock:
            if not self._leads and not self._closed:
                with ExitStack() as stack:
                    try:
                        self._leads = stack.enter_context(leader_lock(self._cache_path()))
                    except DiskError:  # the sync itself has a lock, or says what is wrong
                        return True
                    if self._leads:
                        self._leader = stack.pop_all()
            return self._leads

    def _look_for_alerts(self) -> None:
        if self._alerts is not None:
            self._alerts.look_at_running()

    def _note_event(self, event: Event) -> None:
        if self._alerts is not None:
            self._alerts.note(event)

    def _take_settings(self) -> None:
        """Take the settings that need no restart. Raises ConfigError."""
        file = self._paths.config_file
        if self._live is not None:
            self._live.use_interval(load_preferences(file).live_interval)
        if self._profile is not None and not self._profile.identity:
            profile = load_profile(name=self._profile.name, config_file=file)
            if profile.key != self._profile.key:  # it names another project by now
                return
            self._profile = self._profile._replace(servers=profile.servers)
            if self._alerts is not None:
                self._alerts.use(profile)

    def _require_profile(self) -> Profile:
        if self._profile is None:
            raise NotConfiguredError("No project is configured yet")
        return self._profile

    def _require_user(self) -> str:
        if self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        return self._owner.user_id

    def _require_harvest(self) -> BackgroundHarvest:
        if self._harvest is None:
            raise offline_error()
        return self._harvest

    def _cache_path(self) -> Path:
        profile = self._require_profile()
        if self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        return profile.cache_path(self._owner.user_id)

    def _marks_path(self) -> Path:
        profile = self._require_profile()
        if self._owner is None:
            raise NotConfiguredError("Nobody has signed in yet")
        return profile.marks_path(self._owner.user_id)

    @contextmanager
    def _cache(self) -> Iterator[Connection]:
        path = self._cache_path()
        with translate_database_errors(path), closing(open_existing(path, self._owner)) as db:
            yield db

    def _online(self) -> OnlineWriters:
        if self._connect is None:
            raise offline_error()
        with self._lock:
            if self._closed:
                raise ending_error()
            if self._connected is None:
                connected = self._connect()
                if self._owner not in (None, connected.cache_owner):
                    connected.close()
                    raise login.another_account(connected.email)
                self._connected = connected
            return self._connected

    def _note_failed_sync(self, error: LoraTuiError) -> None:
        """Note that a sync could not even begin; else the screens would say that all is well."""
        if self._connect is not None and not self._closed:
            from lora_tui.sync import note_failure

            with suppress(LoraTuiError), self._cache() as db:  # a full disk can't take it either
                note_failure(db, error)


def open_requests(hello: Hello, tell: Tell) -> Requests:
    """The requests for the profile that the application names.

    Raises ConfigError, also where the profile was changed to another project since the application
    read it.
    """
    paths = find_paths(config_file=hello.config_file)
    keyring_store.on_wait = partial(tell, KEYRING)
    profile: Profile | None
    try:
        if hello.demo is not None:
            profile = profile_from_note(paths, hello.demo)
        else:
            profile = load_profile(name=hello.profile, config_file=hello.config_file)
    except NotConfiguredError:
        profile = None
    if profile is not None and hello.owner is not None:
        _require_project(profile, hello.owner)
    connect = None
    if not hello.offline:
        # before the first request: two threads that import one package at once may deadlock
        from lora_tui.engine.online import OnlineWriters

        connect = partial(OnlineWriters, profile) if profile is not None else None
    interval = load_preferences(paths.config_file).live_interval
    return Requests(paths, profile, hello.owner, connect=connect, tell=tell, live_interval=interval)


def _require_project(profile: Profile, owner: Owner) -> None:
    if sessions.cache_owner(profile, owner.user_id) != owner:
        raise ConfigError(
            f"Profile {profile.name} names another project now",
            details=profile.url,
            remedy="quit, and start lora-tui again",
        )


def _sign_in(form: login.Login, email: str, password: str, token: str) -> str:
    return form.with_token(Secret(token)) if token else form.with_password(email, Secret(password))
