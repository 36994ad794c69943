"""Every screen of the application, the keys that open it, and an application that has them all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from lora_tui.app import LoraTuiApp
from lora_tui.config.paths import Paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.tui.background_harvest import BackgroundHarvest
from tests.tui.accounts import NOWHERE, fake_form
from tests.tui.library import FakeWriters, Library, notice_row
from tests.tui.test_harvest import job_row
from tests.tui.whole_model import put_model, put_points


class Way(NamedTuple):
    """Keys, one after the other."""

    opens: tuple[str, ...]
    """From the screen below to this one; the last opens it."""
    below: tuple[str, ...] = ()
    """From the list of models to the screen below."""
    works: tuple[str, ...] = ()
    """On the screen: what begins something that takes a while."""
    reads: bool = False
    """Whether it reads, or waits for a writer, beside the event loop."""


SCREENS: Final[dict[str, Way]] = {
    "model": Way(("enter",), works=("i",), reads=True),
    "job": Way(("J",), below=("enter",), works=("o",), reads=True),
    "compare": Way(("c",), below=("space", "j", "space", "k"), works=("e",), reads=True),
    "jobs": Way(("w",)),
    "transfers": Way(("t",), works=("p",), reads=True),
    "notifications": Way(("n",)),
    "harvest": Way(("h",), works=("X",)),
    "servers": Way(("H",), works=("r",), reads=True),
    "costs": Way(("dollar_sign",), works=("b",), reads=True),
    "leaderboard": Way(("O",), works=("a",), reads=True),
    "effect": Way(("e",), works=("v",), reads=True),
    "try": Way(("exclamation_mark",), reads=True),
    "settings": Way(("comma",), works=("j", "enter"), reads=True),
    "help": Way(("question_mark",)),
    "palette": Way(("ctrl+p",), works=("m",)),
    "login": Way(("L",), works=(*"secret", "enter"), reads=True),
    "sign out": Way(("ctrl+l",)),
    "sort": Way(("s",)),
    "filter": Way(("f",), works=("space",)),
    "columns": Way(("C",), works=("space",)),
    "serve": Way(("s",), below=("enter",)),
    "files": Way(("D",), below=("enter",)),
    "report": Way(("e",), below=("enter",)),
}


def fill(library: Library) -> None:
    """Some of everything that a screen shows."""
    library.fill(count=5)
    put_model(library)
    put_points(library)
    library.put_notices(notice_row(0), notice_row(1, read=True))
    library.put_jobs(job_row(0, 3), job_row(1, 5))


def with_every_screen(
    library: Library,
    writers: FakeWriters,
    directory: Path,
    make: Callable[..., LoraTuiApp] = LoraTuiApp,
    **options: Any,
) -> LoraTuiApp:
    """Nothing on it is left out for want of a harvest, a login or a file of settings."""
    paths = Paths(directory / "config", directory, directory, directory)
    profile = Profile("demo", paths, NOWHERE, "anon")
    return make(
        library.path,
        writers,
        profile="demo",
        sync_on_start=False,
        harvest=BackgroundHarvest(profile, writers),
        settings=Settings(profile, library.path, environment={}),
        login=fake_form(directory),
        **options,
    )
