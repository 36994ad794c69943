"""The terminal application on a profile; on the first run, the form that makes one."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lora_tui.account import sessions
from lora_tui.cache.metadata import Owner
from lora_tui.commands.context import Context
from lora_tui.config.load import DEFAULT_PROFILE, load_profile
from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.engine.account_form import AccountForm
from lora_tui.engine.writers import Writers
from lora_tui.errors import (
    AuthenticationError,
    DamagedCacheError,
    NotConfiguredError,
)
from lora_tui.tui.terminal import require_terminal

if TYPE_CHECKING:
    from lora_tui.app import LoraTuiApp


SLOW_END_SECONDS: Final = 2.0
"""How long the end of the engine may take before a line says so."""


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
        run_application(context, profile, context.cache_owner(), sync=False)
        return
    while True:
        signed_out = run_application(context, profile, _account(context, profile), sync=True)
        if signed_out is None or not _signs_in(context, profile, signed_out):
            return


def run_application(context: Context, profile: Profile, owner: Owner, *, sync: bool) -> str | None:
    """Run until the user leaves; a sentence where they have signed out, else None.

    Without `sync` it is offline.
    """
    app, rebuilt = _run_once(context, profile, owner, sync=sync), False
    while app.damage is not None or (app.cache_replaced and not app.signed_out):
        if app.damage is not None:
            if rebuilt:
                raise app.damage
            rebuilt = True
            _rebuild(context, app.cache_path, owner)
        app = _run_once(context, profile, owner, sync=sync)
    if app.clears_cache:  # the engine, which would make it again, has ended
        from lora_tui.cache.cache_file import delete_cache

        delete_cache(app.cache_path)
    if not app.signed_out:
        return None
    if app.not_told is None:
        return "Signed out"
    return f"Signed out here, but not at the backend: {app.not_told}"


def _account(context: Context, profile: Profile) -> Owner:
    """The owner of the cache to open; where nobody is known, sign in first.

    The keyring is not read, nor the network used, where an account is known: the engine does that.
    """
    account = sessions.account_of(profile)
    if account is not None:
        return sessions.cache_owner(profile, account.user_id)
    from lora_tui.account.login import sign_in

    try:
        session = sign_in(profile)
    except AuthenticationError as error:
        if not _signs_in(context, profile, str(error)):
            raise
        session = sign_in(profile)
    return sessions.cache_owner(profile, session.user_id)


def _first_run(context: Context) -> Profile | None:
    """The profile that was connected; None where the demo was shown, or the user left."""
    gc.enable()
    from lora_tui.config.load import load_preferences
    from lora_tui.first_run import FirstRunApp

    arguments = context.arguments
    paths = find_paths(config_file=arguments.config)
    with ended_with(
        context, Writers.for_profile(None, None, paths, config_file=arguments.config)
    ) as writers:
        preferences = load_preferences(paths.config_file)
        app = FirstRunApp(preferences, DEFAULT_PROFILE, paths, writers)
        app.run()
    if app.wants_demo:
        from lora_tui.commands.demo import open_demo

        open_demo(context)
    return load_profile(config_file=arguments.config) if app.connected else None


def _signs_in(context: Context, profile: Profile, reason: str) -> bool:
    """Ask for a login before the application opens; whether there is one now."""
    gc.enable()
    from lora_tui.config.load import load_preferences
    from lora_tui.first_run import SignInApp

    preferences = load_preferences(profile.paths.config_file)
    config_file = context.arguments.config
    with ended_with(
        context, Writers.for_profile(profile, None, profile.paths, config_file=config_file)
    ) as writers:
        app = SignInApp(preferences, AccountForm(profile, writers), reason)
        app.run()
    return app.signed_in


def obey_no_color(context: Context) -> None:
    if context.arguments.no_color:
        os.environ["NO_COLOR"] = "1"


def _run_once(context: Context, profile: Profile, owner: Owner, *, sync: bool) -> LoraTuiApp:
    """The application, after it has ended, with an engine of its own."""
    gc.disable()  # what is made until the first frame stays; the application enables it then
    from lora_tui.app import LoraTuiApp
    from lora_tui.config.load import load_preferences
    from lora_tui.config.shown import Settings
    from lora_tui.tui.background_harvest import BackgroundHarvest

    cache_path = profile.cache_path(owner.user_id)
    config_file = context.arguments.config
    with ended_with(
        context,
        Writers.for_profile(
            profile, owner, profile.paths, config_file=config_file, offline=not sync
        ),
    ) as writers:
        for is_last in (False, True):
            try:
                app = LoraTuiApp(
                    cache_path,
                    writers,
                    profile=profile.name,
                    preferences=load_preferences(profile.paths.config_file),
                    settings=Settings(profile, cache_path, no_color=context.arguments.no_color),
                    login=AccountForm(profile, writers) if sync else None,
                    sync_on_start=sync,
                    harvest=BackgroundHarvest(profile, writers) if sync else None,
                    views=profile.view_state_path,
                    owner=owner,
                    on_migration=context.say,
                )
            except DamagedCacheError:
                if is_last:
                    raise
                _rebuild(context, cache_path, owner)
            else:
                break
        app.run()
    return app


@contextmanager
def ended_with(context: Context, writers: Writers) -> Iterator[Writers]:
    """End the engine after this block; say so where that takes long."""

    def say() -> None:
        with suppress(OSError):  # the terminal is gone
            context.say("Waiting for the engine, which stops downloads and the harvest.")

    try:
        yield writers
    finally:
        late = threading.Timer(SLOW_END_SECONDS, say)
        late.daemon = True
        try:
            with suppress(Exception):  # the system allows no more threads
                late.start()
            writers.close()
        finally:
            late.cancel()


def _rebuild(context: Context, cache_path: Path, owner: Owner) -> None:
    from lora_tui.cache.rebuild import rebuild_cache

    outcome = rebuild_cache(cache_path, owner)
    if outcome is not None:
        context.say(f"{outcome.sentence}.")
