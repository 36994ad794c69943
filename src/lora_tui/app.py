"""The Textual application: it opens the cache, watches it, and wires screens to writers."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual._path import CSSPathType
from textual.binding import BindingType
from textual.command import CommandPalette, Provider
from textual.signal import Signal
from textual.timer import Timer
from textual.worker import WorkerFailed

from lora_tui.cache.changes import ChangeFeed, Topic
from lora_tui.cache.connection import database_explained, open_cache
from lora_tui.cache.metadata import Owner, get_sync_state
from lora_tui.cache.transfers import active_transfers
from lora_tui.config.preferences import Preferences
from lora_tui.engine.writers import Writers
from lora_tui.errors import DamagedCacheError, DiskError, LoraTuiError
from lora_tui.screens.models import ModelsScreen
from lora_tui.tui.announcements import Announcements
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.tui.cache_app import CacheApp
from lora_tui.tui.downloads import Downloads
from lora_tui.tui.sync_schedule import SyncSchedule
from lora_tui.tui.view_state import ViewMemory, ViewState
from lora_tui.widgets.bindings import bound

if TYPE_CHECKING:
    from lora_tui.account.login import Login
    from lora_tui.config.settings import Settings
    from lora_tui.tui.background_harvest import BackgroundHarvest

# What needs a network client, and screens other than the list, are imported where they are asked
# for: the list is to be there at once.
_AS_IT_COMES: Final = Preferences()
_POLL_SECONDS: Final = 0.2
_HARVEST_POLL_SECONDS: Final = 1.0
_DISK_SECONDS: Final = 20.0


def _action_commands() -> type[Provider]:
    from lora_tui.screens.palette import ActionCommands

    return ActionCommands


class LoraTuiApp(CacheApp):
    """Screens read `db`; what they want done they ask for here."""

    CSS_PATH: ClassVar[CSSPathType | None] = [
        "tui/base_app.tcss",
        "widgets/styled_lines.tcss",
        "screens/models.tcss",
    ]
    COMMANDS = {_action_commands}  # noqa: RUF012 - Textual's own declaration
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("app.sync", "sync", "Sync", tooltip="Fetch what is new"),
        bound(
            "app.notifications",
            "notifications",
            "Notices",
            show=False,
            tooltip="Show the notifications",
        ),
        bound("app.transfers", "transfers", "Transfers", show=False, tooltip="Show the downloads"),
        bound("app.harvest", "harvest", "Harvest", show=False, tooltip="Show the harvest of jobs"),
        bound("app.login", "login", "Sign in", show=False, tooltip="Sign in again"),
        bound(
            *("app.sign_out", "sign_out", "Sign out"),
            show=False,
            tooltip="Sign out, and keep or remove the cached models",
        ),
        bound(
            "app.settings", "settings", "Settings", key_display=",", show=False, tooltip="Settings"
        ),
        bound("app.help", "help", "Help", key_display="?", tooltip="Show the keys"),
        bound("app.theme", "other_theme", "Theme", show=False, tooltip="The next colours"),
        bound(
            *("app.palette", "command_palette", "Palette"),
            show=False,
            priority=True,
            tooltip="Find an action by its name",
        ),
        bound("app.quit", "quit", "Quit", show=False, tooltip="Leave lora-tui"),
    ]

    def __init__(
        self,
        cache_path: Path,
        writers: Writers,
        *,
        profile: str,
        preferences: Preferences = _AS_IT_COMES,
        settings: Settings | None = None,
        login: Login | None = None,
        sync_on_start: bool = True,
        harvest: BackgroundHarvest | None = None,
        views: Path | None = None,
        owner: Owner | None = None,
    ) -> None:
        """Open the cache of `owner`, before the terminal is taken over.

        Raises CacheError, DiskError.
        """
        super().__init__(preferences)
        self.db = open_cache(cache_path, owner)
        self.writers = writers
        self.profile = profile
        self.harvest = harvest
        self.settings = settings
        self.login = login
        self.cache_changes: Signal[frozenset[Topic]] = Signal(self, "cache_changes")
        self.cache_path, self.cache_owner = cache_path, owner
        self._views = ViewMemory(views)
        self._sync_on_start = sync_on_start
        self._feed = ChangeFeed(self.db)
        self._closed = False
        self._syncing, self._sync_due = False, sync_on_start
        self._schedule = SyncSchedule(interval=preferences.sync_interval)
        self._next_sync: Timer | None = None
        self._cache_file = cache_path.stat().st_ino
        self.cache_replaced = False
        """Whether the application ended because another file stands in its cache's place."""
        self.signed_out = self.clears_cache = False
        self.damage: DamagedCacheError | None = None
        """Why it ended, where the cache was found to be damaged."""
        self._downloads = Downloads(self)
        self._announcements = Announcements(self, self.db, cache_path, owner, self.ask)

    def get_default_screen(self) -> ModelsScreen:
        """Show the list at once, not after a blank screen."""
        return ModelsScreen()

    def on_mount(self) -> None:
        """Watch the cache; begin what takes longer once the list is drawn."""
        self.set_interval(_POLL_SECONDS, self.poll_cache)
        self._announcements.look()
        self._downloads.watch()
        if self._sync_on_start:
            self._downloads.go_on()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """What would hold up the first frame: threads, and the modules that they load."""
        gc.enable()
        if self._closed:
            return
        self.set_interval(_DISK_SECONDS, self.look_at_disk)
        self.look_at_disk()
        if self._sync_due:
            self.sync(asked_for=False)
        if self._sync_on_start:
            self._downloads.fetch()
        if self.harvest is not None:
            self._watch_harvest(self.harvest)

    def on_unmount(self) -> None:
        """Give the cache back; a writer that ends after this finds nobody to tell."""
        self._closed = True
        with suppress(DiskError):  # it was said when it happened
            self._views.write()
        if self.harvest is not None:
            self.harvest.stop()
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
                self._announcements.look()
            if Topic.TRANSFERS in topics:
                self._downloads.look()

    @property
    def is_syncing(self) -> bool:
        """Whether a sync of ours is under way, or begins as soon as the list is drawn."""
        return self._syncing or self._sync_due

    def sync(self, *, asked_for: bool = True) -> None:
        """Bring the cache up to the backend, unless that is happening already."""
        if self._syncing:
            if asked_for:
                self.notify("A sync is running already")
            return
        if asked_for and get_sync_state(self.db).running:
            self.notify("Another lora-tui is syncing; what it brings shows here too")
        self._syncing, self._sync_due = True, False
        if self._next_sync is not None:
            self._next_sync.stop()

        pressed = self.keys_pressed

        def ended(failure: LoraTuiError | None) -> None:
            refused = self.login_refused
            self._syncing = False
            self._schedule = self._schedule.after(failure)
            self.poll_cache()
            if self.login_refused is not refused:
                self.cache_changes.publish(frozenset({Topic.SYNC}))  # the banner names the way on
            if failure is not None:
                waits = asked_for and self.keys_pressed == pressed
                self._tell_failed_sync(failure, asked_for=asked_for, opens_form=waits)
            self._sync_later()

        self.start(self.writers.sync, ended, failed=ended, name="sync")

    @property
    def login_refused(self) -> bool:
        """Whether the login was refused for good, or several times in a row."""
        return self.login is not None and self._schedule.refused

    def _tell_failed_sync(
        self, failure: LoraTuiError, *, asked_for: bool, opens_form: bool
    ) -> None:
        """`opens_form`: no key was pressed meanwhile, so none is typed into a form by mistake."""
        if opens_form and self.login_refused:
            self.action_login()
        # the banner says it too, if the sync got as far as noting it
        elif asked_for or get_sync_state(self.db).error != str(failure):
            self.show_error(failure)

    def _sync_later(self) -> None:
        delay = self._schedule.delay(random.random())  # noqa: S311 - spreads load, guards nothing
        if self._sync_on_start and not self._closed:
            self._next_sync = self.set_timer(delay, partial(self.sync, asked_for=False))

    def download(self, model_id: str, name: str, files: Sequence[str] | None = None) -> None:
        """Fetch all files of a model, or those named; say when it is done."""
        self._downloads.start(model_id, name, files)

    def look_at_disk(self) -> None:
        """Find out whether what was downloaded is still there."""
        self._downloads.look_at_disk()

    def _watch_harvest(self, harvest: BackgroundHarvest) -> None:
        """Sync as soon as a harvest on this machine has made a model: ours, or the service's."""
        try:
            made = harvest.models_made()
        except LoraTuiError:
            return  # the Harvest screen says it

        def look() -> None:
            nonlocal made
            if self._syncing or self._closed:
                return
            before = made
            with suppress(LoraTuiError):  # the Harvest screen says it
                made = harvest.models_made()
            if made > before:
                self.sync(asked_for=False)

        self.set_interval(_HARVEST_POLL_SECONDS, look)
        if harvest.wanted_on_start:
            self.ask(harvest.start)

    def mark_read(self, notification_id: str) -> None:
        """Mark a notification as read, here and in the backend."""
        self.ask(partial(self.writers.mark_notification_read, notification_id))

    def ask(self, call: Callable[[], None]) -> None:
        """Have a writer do something small; a failure becomes a toast."""

        def failed(error: LoraTuiError) -> None:
            self.show_error(error)
            self.poll_cache()

        self.start(call, lambda _: self.poll_cache(), failed=failed, name="writer")

    @property
    def view_state(self) -> ViewState:
        """How the list is looked at, as it was the last time."""
        return self._views.state

    def remember(self, state: ViewState) -> None:
        """Look at the list in this way the next time too."""
        if state != self._views.state:
            self._views.state = state
            self.ask(self._views.write)

    def open_model(self, model_id: str) -> None:
        """Show one model."""
        from lora_tui.screens.model import ModelScreen

        if not isinstance(self.screen, ModelScreen):  # of two quick keys the second opens nothing
            self.push_screen(ModelScreen(model_id))

    def action_sync(self) -> None:
        """Sync now."""
        self.sync()

    def action_notifications(self) -> None:
        """Show the notifications."""
        from lora_tui.screens.notifications import NotificationsScreen

        if not isinstance(self.screen, NotificationsScreen):
            self.clear_notifications()
            self.push_screen(NotificationsScreen())

    def action_transfers(self) -> None:
        """Show the downloads."""
        from lora_tui.screens.transfers import TransfersScreen

        if not isinstance(self.screen, TransfersScreen):
            self.push_screen(TransfersScreen())

    def action_harvest(self) -> None:
        """Show the harvest."""
        from lora_tui.screens.harvest import HarvestScreen

        if self.harvest is None:
            self.notify("The harvest needs the network", severity="warning")
        elif not isinstance(self.screen, HarvestScreen):
            try:
                self.push_screen(HarvestScreen(self.harvest))
            except LoraTuiError as error:
                self.show_error(error)

    def action_settings(self) -> None:
        """Show the settings."""
        from lora_tui.screens.settings import SettingsScreen

        if self.settings is not None and not isinstance(self.screen, SettingsScreen):
            try:
                self.push_screen(SettingsScreen(self.settings))
            except LoraTuiError as error:
                self.show_error(error)

    def take_preferences(self) -> None:
        """What the file says now counts from now on. Raises ConfigError."""
        if self.settings is None:
            return
        self.preferences = now = self.settings.preferences()
        self._schedule = replace(self._schedule, interval=now.sync_interval)
        self.wear(now.theme)

    def action_login(self) -> None:
        """Sign in again; whatever is shown stays as it is."""
        from lora_tui.screens.login import LoginScreen

        if self.login is None or isinstance(self.screen, LoginScreen):
            return

        def signed_in(place: str) -> None:
            self.notify(f"The session is kept in {place}", title="Signed in")
            self.sync(asked_for=False)

        reason = get_sync_state(self.db).error or "A new session, for the same account"
        self.push_screen(LoginScreen(self.login, reason, signed_in))

    def action_sign_out(self) -> None:
        """End the session, once that is confirmed."""
        from lora_tui.screens.signing_out import sign_out

        if self.login is None:
            self.notify("Signing out needs the network", severity="warning")
        else:
            sign_out(self, self.login)

    def action_help(self) -> None:
        """Show the keys that apply here."""
        from lora_tui.screens.help import HelpScreen
        from lora_tui.screens.palette import actions_of

        about = self.screen.ABOUT if isinstance(self.screen, CacheScreen) else ""
        self.push_screen(HelpScreen(actions_of(self, self.screen), about))

    def action_other_theme(self) -> None:
        """The next colours, from now on."""
        self.choose_theme(self.next_theme())

    def choose_theme(self, theme: str) -> None:
        """These colours, from now on."""
        if self.use_theme(theme) and self.settings is not None:
            self.ask(partial(self.settings.change, "theme", theme))

    def action_command_palette(self) -> None:
        """Open the palette, once."""
        from lora_tui.screens.palette import Palette

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(placeholder="What do you want to do?"))

    async def action_quit(self) -> None:
        """Leave; ask first if that would stop a download."""
        from lora_tui.screens.confirm import ConfirmScreen

        if isinstance(self.screen, ConfirmScreen):
            return
        if not self._downloads.running:
            self.exit()
            return

        def answered(leave: bool | None) -> None:
            if leave:
                self.exit()

        files = len(active_transfers(self.db))
        what = f"{files} files are" if files > 1 else "A file is"
        self.push_screen(
            ConfirmScreen(
                "Quit",
                f"{what} being downloaded. What was fetched is kept, and the next start goes on"
                " from there. Quit?",
            ),
            answered,
        )

    def _was_replaced(self) -> bool:
        """Cleared or built anew by another process: what we have open is not the cache any more."""
        try:
            return self.cache_path.stat().st_ino != self._cache_file
        except OSError:
            return True

    def _end_for(self, damage: DamagedCacheError) -> None:
        """Whoever started the application builds the cache anew, and starts it again."""
        self.damage = damage
        self.call_after_refresh(self.exit)  # a screen that is being built can't be taken down

    def _handle_exception(self, error: Exception) -> None:
        """What a screen or a worker can't read because the cache is damaged is no crash."""
        cause = error.error if isinstance(error, WorkerFailed) else error
        try:
            with database_explained(self.cache_path):
                raise cause
        except DamagedCacheError as damage:
            self._end_for(damage)
        except Exception:
            super()._handle_exception(error)
