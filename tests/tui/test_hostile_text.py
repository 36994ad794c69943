"""Whatever rows, files and errors say: no screen and no toast lets it act on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.cache import records
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.config.paths import Paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.errors import LoraTuiError, SessionEndedError
from lora_tui.json_values import replace_surrogates
from lora_tui.secret import Secret
from lora_tui.tui.background_harvest import BackgroundHarvest
from tests.hostile import HOSTILE, acting, planted
from tests.tui.accounts import form_of
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import (
    DATASETS,
    FakeWriters,
    Library,
    failing,
    identifier,
    model_row,
    notice_row,
)
from tests.tui.whole_model import put_model, put_points

pytestmark = pytest.mark.slow

MARKUP = "planted [red]x[/red] [/]"


@pytest.fixture
def hostile(library: Library) -> Library:
    """A cache as a hostile backend would have it filled."""

    def told(row: dict[str, Any]) -> dict[str, Any]:
        row = replace_surrogates(planted(row))
        assert isinstance(row, dict)
        return row

    with closing(open_cache(library.path)) as db, transaction(db, Topic.DATASETS):
        records.put_datasets(
            db,
            [
                told({"id": identifier("dataset", n), "name": name})
                for n, name in enumerate(DATASETS)
            ],
        )
    put_model(library, name=f"A {HOSTILE}", description=HOSTILE, version=HOSTILE)
    put_points(library)
    library.put_models(*(told(model_row(number)) for number in range(1, 6)))
    library.put_notices(*(told(notice_row(number)) for number in range(3)))
    library.put_state(error=HOSTILE)
    library.put_transfer(done=1, total=5)
    return library


def profile(tmp_path: Path) -> Profile:
    place = tmp_path / "od\x1b]0;d\x07\u202edir"
    return Profile(
        name="demo",
        paths=Paths(place / "config", place, place, place),
        url=f"http://127.0.0.1:9/{replace_surrogates(HOSTILE)}",
        anon_key="anon",
        email=HOSTILE,
        service_key=Secret("service"),
        gpu_url="http://127.0.0.1:9/v2/x",
        gpu_key=Secret("gpu"),
    )


async def test_no_screen_and_no_toast_lets_text_act(
    hostile: Library, open_app: Open, writers: FakeWriters, tmp_path: Path
) -> None:
    error = LoraTuiError(HOSTILE, details=HOSTILE, remedy=HOSTILE)
    for name in ("on_sync", "on_download", "on_load_curve", "on_read_adapter"):
        setattr(writers, name, failing(error))
    mine = profile(tmp_path)
    app = open_app(
        profile=HOSTILE,
        login=form_of(mine),
        harvest=BackgroundHarvest(mine, writers),
        settings=Settings(mine, hostile.path),
    )
    seen: list[str] = []
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        look = looking(app, seen)
        for keys in (
            [],
            ["p"],
            ["v"],
            ["v", "r"],
            ["/", "p", "l", "enter"],
            ["f"],
            ["escape", "s"],
            ["escape", "space", "j", "space", "c"],
            ["escape", "enter"],
            ["i"],
            ["d"],
            ["D"],
            ["escape", "s"],
            ["escape", "y"],
            ["escape", "n"],
            ["enter"],
            ["escape", "escape", "t"],
            ["escape", "h"],
            ["escape", "comma"],
            ["escape", "question_mark"],
            ["escape", "L"],
            ["escape", "ctrl+p", "p"],
        ):
            await look(pilot, keys)
    assert any(MARKUP in text for text in seen)
    assert any(MARKUP in text for text in seen if text.startswith("toast"))


def looking(app: LoraTuiApp, seen: list[str]) -> Callable[[Pilot[Any], list[str]], Any]:
    """Presses keys, and looks at all that is shown."""

    async def look(pilot: Pilot[Any], keys: list[str]) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        for text in (screen_text(app), *(f"toast {toast}" for toast in toasts(app))):
            assert not acting(text), (keys, acting(text), text)
            seen.append(text)

    return look


async def test_no_reason_of_a_refused_login_acts(
    hostile: Library, open_app: Open, writers: FakeWriters, tmp_path: Path
) -> None:
    writers.on_sync = failing(SessionEndedError(HOSTILE))
    app = open_app(login=form_of(profile(tmp_path)))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: "LoginScreen" in type(app.screen).__name__)
        assert not acting(screen_text(app))
        assert MARKUP in " ".join(screen_text(app).split())
