"""`demo`: the application, or only the backend, on the sandbox."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final

from lora_tui.account import sessions
from lora_tui.account.login import sign_in
from lora_tui.commands.context import Context
from lora_tui.commands.interactive import obey_no_color, run_application
from lora_tui.config.demo import (
    BELIEVABLE,
    HOSTILE,
    demo_profile,
    note_backend,
    state_directory,
)
from lora_tui.config.paths import Paths, find_paths
from lora_tui.config.table import Profile
from lora_tui.errors import InUseError
from lora_tui.files import make_private_directory, translate_disk_errors
from lora_tui.locks.file_lock import locked_file
from lora_tui.tui.sandbox_process import explained, sandbox_process
from lora_tui.tui.terminal import require_terminal

_MODELS: Final = 36
_BYTES_A_SECOND: Final = 6_000_000
"""A good home connection; loopback would be over before a progress bar is seen."""


def demo(context: Context) -> None:
    """Open the application, or start only the backend, on the sandbox."""
    arguments = context.arguments
    name = HOSTILE if arguments.hostile else BELIEVABLE
    if not arguments.serve_only:
        require_terminal()
        obey_no_color(context)
    with _only_demo(find_paths(), name):
        if arguments.reset:
            _remove_data(find_paths(), name)
        if arguments.serve_only:
            _serve(context, name, models=arguments.models)
        else:
            _open(context, name, models=arguments.models)


def open_demo(context: Context) -> None:
    """Open the application on the demo. Raises LoraTuiError."""
    with _only_demo(find_paths(), BELIEVABLE):
        _open(context, BELIEVABLE, models=_MODELS)


@contextmanager
def _only_demo(paths: Paths, name: str) -> Iterator[None]:
    """Keep a second demo of this name away. Raises InUseError where one runs; DiskError."""
    path = paths.state_dir / f"{name}.lock"
    with ExitStack() as stack:
        with translate_disk_errors("The demo's lock can't be made", path):
            make_private_directory(path.parent)
            holder = stack.enter_context(locked_file(path))
        if holder is not None:
            raise InUseError(
                "This demo is running already",
                details=f"{holder}" if holder.pid else None,
                remedy="use that one, or quit it first; with another directory in LORA_TUI_HOME"
                " a second one can run",
            )
        yield


def _open(context: Context, name: str, *, models: int) -> None:
    paths = find_paths()
    with sandbox_process(
        state_directory(paths, name),
        models=models,
        hostile=name == HOSTILE,
        throttle=_BYTES_A_SECOND,
    ) as backend:
        note_backend(paths, name, backend)
        profile = demo_profile(paths, name, backend)
        sessions.delete_session(profile)
        session = sign_in(profile)
        owner = sessions.cache_owner(profile, session.user_id)
        run_application(context, profile, owner, sync=not context.arguments.offline)


def _remove_data(paths: Paths, name: str) -> None:
    """Remove the backend's data, the cache and the session of this demo."""
    profile = Profile(name=name, paths=paths, url="", anon_key="", identity=name)
    shutil.rmtree(state_directory(paths, name), ignore_errors=True)
    for path in paths.cache_dir.glob(f"{profile.key}-*"):
        if path.is_dir() and not path.is_symlink():  # the presence files of downloads
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    sessions.delete_session(profile)


def _serve(context: Context, name: str, *, models: int) -> None:
    """Print what another shell needs, and serve until a signal ends it."""
    paths = find_paths()
    state = state_directory(paths, name)
    with explained(state):
        from lora_tui.sandbox import Sandbox

        sandbox = Sandbox.start(
            state, models=models, hostile=name == HOSTILE, training=True, serving=True
        )
    with sandbox:
        settings = sandbox.environment()
        note_backend(paths, name, settings)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):  # before anybody can know that it serves
            signal.signal(number, lambda *_: stop.set())
        _print(context, settings)
        stop.wait()


def _print(context: Context, settings: Mapping[str, str]) -> None:
    if context.json:
        context.print_data(settings)
    else:
        context.out.writelines(f"export {name}={value}\n" for name, value in settings.items())
    context.out.flush()
    context.say("The sandbox is running; its keys and data are not real. Ctrl+C stops it.")
