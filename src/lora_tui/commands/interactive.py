"""The terminal application on a profile; on the first run, the form that makes one."""

from __future__ import annotations

import gc
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from lora_tui.account import sessions
from lora_tui.account.login import Login, sign_in
from lora_tui.cache.cache_file import delete_cache
from lora_tui.cache.metadata import Owner
from lora_tui.commands.context import Context
from lora_tui.config.load import DEFAULT_PROFILE, load_profile
from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.engine.writers import Writers
from lora_tui.errors import (
    AuthenticationError,
    DamagedCacheError,
    NotConfiguredError,
)
from lora_tui.tui.terminal import require_terminal

if TYPE_CHECKING:
    from lora_tui.account.sessions import Session
    from lora_tui.app import LoraTuiApp


def open_application(context: Context) -> None:
    """Open the application on the profile in force; on the first run, help to make one."""
    require_terminal()
    obey_no_color(context)
    try:
        profile = context.profile
    except NotConfiguredError:
        if context.arguments.offline:
            raise
        found = _first_run(context)
        if found is None:
            return
        profile = found
    if context.arguments.offline:
        owner = context.cache_owner()
        writers = Writers.for_profile(profile, owner, offline=True)
        _run(context, profile, writers, owner, sync=False)
        return
    while True:
        try:
            session = sign_in(profile)
        except AuthenticationError as error:
            if not _signs_in(profile, error):
                raise
            session = sign_in(profile)
        signed_out = run_online(context, profile, session, sync=True)
        if not signed_out or not _signs_in(profile, AuthenticationError("Signed out")):
            return


def run_online(context: Context, profile: Profile, session: Session, *, sync: bool) -> bool:
    """Whether the user has signed out."""
    owner = sessions.cache_owner(profile, session.user_id)
    with closing(Writers.for_profile(profile, owner)) as writers:
        app = _run(context, profile, writers, owner, sync=sync)
    if app.clears_cache:  # not before the writers are closed: they would make it again
        delete_cache(writers.cache_path)
    return app.signed_out


def _first_run(context: Context) -> Profile | None:
    """The profile that was connected; None where the demo was shown, or the user left."""
    from lora_tui.config.load import load_preferences
    from lora_tui.first_run import FirstRunApp

    arguments = context.arguments
    paths = find_paths(config_file=arguments.config)
    app = FirstRunApp(load_preferences(paths.config_file), DEFAULT_PROFILE, paths)
    app.run()
    if app.wants_demo:
        from lora_tui.commands.demo import open_demo

        open_demo(context)
    return load_profile(config_file=arguments.config) if app.connected else None


def _signs_in(profile: Profile, reason: AuthenticationError) -> bool:
    """Ask for a login before the application opens; whether there is one now."""
    from lora_tui.config.load import load_preferences
    from lora_tui.first_run import SignInApp

    preferences = load_preferences(profile.paths.config_file)
    app = SignInApp(preferences, Login(profile), str(reason))
    app.run()
    return app.signed_in


def obey_no_color(context: Context) -> None:
    if context.arguments.no_color:
        os.environ["NO_COLOR"] = "1"


def _run(
    context: Context, profile: Profile, writers: Writers, owner: Owner, *, sync: bool
) -> LoraTuiApp:
    """The application, after the user has left it."""
    gc.disable()  # what is made until the first frame stays; the application enables it then
    from lora_tui.app import LoraTuiApp
    from lora_tui.config.load import load_preferences
    from lora_tui.config.shown import Settings
    from lora_tui.tui.background_harvest import BackgroundHarvest

    cache_path = writers.cache_path
    harvest = BackgroundHarvest(profile) if sync else None
    settings = Settings(profile, cache_path, no_color=context.arguments.no_color)
    rebuilt = False
    while True:
        try:
            app = LoraTuiApp(
                cache_path,
                writers,
                profile=profile.name,
                preferences=load_preferences(profile.paths.config_file),
                settings=settings,
                login=Login(profile) if sync else None,
                sync_on_start=sync,
                harvest=harvest,
                views=profile.paths.state_dir / "views" / f"{profile.key}.json",
                owner=owner,
            )
            app.run()
            if app.damage is not None:
                raise app.damage
        except DamagedCacheError:
            if rebuilt:
                raise
            rebuilt = True
            _rebuild(context, cache_path, owner)
        else:
            if app.signed_out or not app.cache_replaced:
                return app


def _rebuild(context: Context, cache_path: Path, owner: Owner) -> None:
    from lora_tui.cache.rebuild import rebuild_cache

    outcome = rebuild_cache(cache_path, owner)
    if outcome is not None:
        context.say(f"{outcome.sentence}.")
