"""The Textual application: which key opens which screen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual._path import CSSPathType
from textual.binding import BindingType
from textual.command import CommandPalette, Provider
from textual.screen import Screen

from lora_tui.cache.metadata import get_sync_state
from lora_tui.cache.model_query import ModelQuery
from lora_tui.cache.transfer_queue import active_transfers
from lora_tui.errors import AuthenticationError, LoraTuiError
from lora_tui.screens.models import ModelsScreen
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.tui.cache_app import CacheApp
from lora_tui.widgets.bindings import bound

if TYPE_CHECKING:
    from lora_tui.cache.job_query import JobQuery

Shown = TypeVar("Shown", bound=Screen[Any])

# Only the list of models is imported at once, so that the first frame comes soon. Each other screen
# is imported by the action that opens it.


def _action_commands() -> type[Provider]:
    from lora_tui.screens.palette import ActionCommands

    return ActionCommands


def _model_commands() -> type[Provider]:
    from lora_tui.screens.model_commands import ModelCommands

    return ModelCommands


class LoraTuiApp(CacheApp):
    """The application over a cache, with its screens."""

    CSS_PATH: ClassVar[CSSPathType | None] = [
        "tui/base_app.tcss",
        "screens/models.tcss",
    ]
    COMMANDS = {_action_commands, _model_commands}  # noqa: RUF012 - Textual's own declaration
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("app.sync", "sync", "Sync", tooltip="Sync with the project now"),
        bound(
            "app.notifications",
            "notifications",
            "Notifications",
            show=False,
            tooltip="Show notifications",
        ),
        bound(
            "app.transfers",
            "transfers",
            "Transfers",
            show=False,
            tooltip="Show all downloads",
        ),
        bound(
            *("app.jobs", "jobs", "Jobs"),
            show=False,
            tooltip="Show training jobs: what runs, what failed, what it costs",
        ),
        bound(
            "app.harvest",
            "harvest",
            "Harvest",
            show=False,
            tooltip="Show the harvest, which imports the results of finished jobs",
        ),
        bound(
            *("app.costs", "costs", "Costs"),
            key_display="$",
            show=False,
            tooltip="Show what runs have cost",
        ),
        bound(
            *("app.leaderboard", "leaderboard", "Leaderboard"),
            show=False,
            tooltip="Show the best models of each dataset and base model",
        ),
        bound(
            *("app.try", "try_models", "Try"),
            key_display="!",
            show=False,
            tooltip="Ask the marked models, or this one, and the base model the same",
        ),
        bound(
            *("app.servers", "servers", "Servers"),
            show=False,
            tooltip="Show the servers that load adapters, and what each has loaded",
        ),
        bound("app.login", "login", "Sign in", show=False, tooltip="Sign in again"),
        bound(
            *("app.sign_out", "sign_out", "Sign out"),
            show=False,
            tooltip="Sign out, and keep or remove the cached models",
        ),
        bound(
            "app.settings",
            "settings",
            "Settings",
            key_display=",",
            show=False,
            tooltip="Show settings",
        ),
        bound("app.help", "help", "Help", key_display="?", tooltip="Show the keys of this screen"),
        bound("app.theme", "other_theme", "Theme", show=False, tooltip="Change to the next theme"),
        bound(
            *("app.palette", "command_palette", "Palette"),
            show=False,
            priority=True,
            tooltip="Find an action, or a model or job by its name, id or tag",
        ),
        bound("app.quit", "quit", "Quit", show=False, tooltip="Quit lora-tui"),
    ]

    def get_default_screen(self) -> ModelsScreen:
        """Show the list at once, not after a blank screen."""
        return ModelsScreen()

    def _show(
        self,
        kind: type[Shown],
        make: Callable[[], Shown],
        is_wanted: Callable[[Shown], bool] = lambda _: True,
    ) -> None:
        """Show a screen: the nearest one below that is wanted, without those above it; else a new.

        Nothing while one of its kind is on top: the second of two quick keys opens nothing.
        """
        if isinstance(self.screen, kind):
            return
        above: list[Screen[Any]] = []
        for screen in reversed(self.screen_stack):
            if isinstance(screen, kind) and is_wanted(screen):
                for closed in above:
                    closed.dismiss()
                return
            above.append(screen)
        self.push_screen(make())

    def open_model(self, model_id: str) -> None:
        """Show one model; in place of another one that is on top."""
        from lora_tui.screens.model import ModelScreen

        if isinstance(self.screen, ModelScreen) and self.screen.model_id != model_id:
            self.switch_screen(ModelScreen(model_id))
            return
        self._show(ModelScreen, lambda: ModelScreen(model_id), lambda s: s.model_id == model_id)

    def open_neighbour(self, model_id: str, step: int) -> None:
        """Show the model that is `step` lines below this one in Models; its cursor follows."""
        for screen in self.screen_stack:
            if isinstance(screen, ModelsScreen):
                found = screen.move_from(model_id, step)
                if found is not None:
                    self.open_model(found)
                return

    def open_job(self, job_id: str) -> None:
        """Show one training job."""
        from lora_tui.screens.job import JobScreen

        self._show(JobScreen, lambda: JobScreen(job_id), lambda s: s.job_id == job_id)

    def action_notifications(self) -> None:
        """Show the notifications."""
        from lora_tui.screens.notifications import NotificationsScreen

        if not isinstance(self.screen, NotificationsScreen):
            self.clear_notifications()
        self._show(NotificationsScreen, NotificationsScreen)

    def action_transfers(self) -> None:
        """Show Transfers."""
        from lora_tui.screens.transfers import TransfersScreen

        self._show(TransfersScreen, TransfersScreen)

    def open_jobs(self, narrowed: JobQuery) -> None:
        """Show the training jobs that match."""
        from lora_tui.screens.jobs import JobsScreen

        self._show(JobsScreen, lambda: JobsScreen(narrowed), lambda s: s.shows(narrowed))

    def action_jobs(self) -> None:
        """Show the training jobs."""
        from lora_tui.screens.jobs import JobsScreen

        self._show(JobsScreen, JobsScreen)

    def action_harvest(self) -> None:
        """Show the harvest."""
        from lora_tui.screens.harvest import HarvestScreen

        if self.harvest is None:
            self.notify(
                "The harvest needs the network. Start lora-tui without --offline.",
                severity="warning",
            )
        else:
            try:
                self._show(HarvestScreen, partial(HarvestScreen, self.harvest))
            except LoraTuiError as error:
                self.show_error(error, title="Harvest not opened")

    def action_costs(self) -> None:
        """Show what runs have cost."""
        from lora_tui.screens.costs import CostsScreen

        self._show(CostsScreen, CostsScreen)

    def action_leaderboard(self) -> None:
        """Show the best models of each dataset and base model, of those that the list shows."""
        from lora_tui.screens.leaderboard import LeaderboardScreen

        lists = [screen for screen in self.screen_stack if isinstance(screen, ModelsScreen)]
        query = lists[-1].model_query if lists else ModelQuery()
        self._show(
            LeaderboardScreen,
            partial(LeaderboardScreen, query),
            lambda screen: screen.model_query == query.unordered,
        )

    def action_try_models(self) -> None:
        """Ask the marked models, that under the cursor, or those that the screen shows."""
        from lora_tui.domain.answers import MOST_MODELS
        from lora_tui.screens.try_models import TryScreen

        ids = self._chosen_models()
        most = MOST_MODELS - 1
        if len(ids) > most:
            self.notify(f"Up to {most} models can be tried side by side; {len(ids)} are marked")
            return
        self._show(
            TryScreen, partial(TryScreen, ids), lambda screen: screen.model_ids == ids or not ids
        )

    def _chosen_models(self) -> tuple[str, ...]:
        """What the screen is about: marked models, or one; none on any other screen."""
        screen = self.screen
        if isinstance(screen, ModelsScreen):
            from lora_tui.screens.marked_models import in_order

            current = screen.rows.current
            chosen = screen.rows.marked or ({current.id} if current is not None else ())
            return tuple(in_order(chosen, screen.model_list))
        model_id = getattr(screen, "model_id", "")
        return (model_id,) if model_id else tuple(getattr(screen, "model_ids", ()))

    def action_servers(self) -> None:
        """Show the servers that load adapters."""
        from lora_tui.screens.servers import ServersScreen

        self._show(ServersScreen, ServersScreen)

    def action_settings(self) -> None:
        """Show the settings."""
        from lora_tui.screens.settings import SettingsScreen

        if self.settings is not None:
            try:
                self._show(SettingsScreen, partial(SettingsScreen, self.settings))
            except LoraTuiError as error:
                self.show_error(error, title="Settings not opened")

    def action_login(self) -> None:
        """Sign in again; whatever is shown stays as it is."""
        from lora_tui.screens.login import LoginScreen

        if self.login is None or isinstance(self.screen, LoginScreen):
            return

        def signed_in(place: str) -> None:
            self.notify(f"The session is kept in {place}", title="Signed in")
            self.sync(asked_for=False)
            self._resume_work(signed_in=True)

        failed = self.sync_schedule.error
        reason = str(failed or get_sync_state(self.db).error or "Sign in again to the same account")
        if failed is not None and failed.remedy != AuthenticationError.default_remedy:
            reason = f"{reason}\n{self.remedy_of(failed)}"  # the default one is this form
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

    def action_command_palette(self) -> None:
        """Open the palette, once."""
        from lora_tui.screens.palette import Palette

        if not isinstance(self.screen, CommandPalette):
            self.push_screen(
                Palette(placeholder="An action, a model or a job: its name, id, tag or @alias")
            )

    async def action_quit(self) -> None:
        """Leave; ask first if that would stop a download."""
        from lora_tui.screens.confirm import ConfirmScreen

        if isinstance(self.screen, ConfirmScreen):
            return
        if not self.is_downloading:
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
                f"{what} being downloaded. The received part is kept, and the download continues"
                " at the next start. Quit?",
            ),
            answered,
        )
