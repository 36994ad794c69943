"""The first run: from nothing to an account that works, or the demo; nothing is half-written."""

from __future__ import annotations

import errno
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.account import sessions
from lora_tui.clock import Backoff
from lora_tui.config.load import load_preferences, load_profile
from lora_tui.config.paths import Paths, find_paths
from lora_tui.config.table import Preferences
from lora_tui.engine import process
from lora_tui.engine.requests import open_requests
from lora_tui.engine.writers import Writers
from lora_tui.first_run import FirstRunApp
from lora_tui.sandbox import Sandbox
from lora_tui.screens.connect import ConnectScreen
from lora_tui.screens.welcome import WelcomeScreen
from lora_tui.widgets.forms import Field
from tests.engine.in_process import HELLO, in_process_channel, in_process_writers
from tests.seeded import short_curves
from tests.tui.conftest import screen_text, type_at_once, until

SIZE = (80, 24)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with short_curves(), Sandbox.start(models=2, waiting_jobs=1) as running:
        yield running


@pytest.fixture
def paths(home: Path) -> Paths:
    del home
    return find_paths()


@pytest.fixture
def engine(home: Path) -> Iterator[Writers]:
    """The real requests, without a profile, in this process."""
    del home
    with closing(in_process_writers(open_requests)) as writers:
        yield writers


@pytest.fixture
def app(paths: Paths, engine: Writers) -> FirstRunApp:
    application = FirstRunApp(Preferences(), "default", paths, engine)
    application.animation_level = "none"
    return application


def fill(app: FirstRunApp, **values: str) -> None:
    """As if typed."""
    for name, value in values.items():
        app.screen.query_one(f"#{name}", Field).input.value = value


def nothing_written(paths: Paths) -> bool:
    return not paths.config_file.exists() and not list(paths.state_dir.rglob("*.json"))


async def test_enter_on_the_demo_asks_for_the_demo(app: FirstRunApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        assert isinstance(app.screen, WelcomeScreen)
        await pilot.press("j", "enter")
        await pilot.pause()
    assert app.wants_demo
    assert not app.connected


async def test_q_quits_and_changes_nothing(app: FirstRunApp, paths: Paths) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("q")
    assert not app.wants_demo
    assert nothing_written(paths)


async def test_an_account_is_connected_by_typing_alone(
    app: FirstRunApp, paths: Paths, sandbox: Sandbox
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
        fill(app, url=sandbox.url)
        await pilot.press("enter")
        fill(app, key=sandbox.anon_key)
        await pilot.press("enter")
        await until(pilot, lambda: "accepted" in screen_text(app))
        assert "answers" in screen_text(app)
        fill(app, email=sandbox.email)
        await pilot.press("enter")
        fill(app, password=sandbox.password)
        assert sandbox.password not in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.connected)
    profile = load_profile()
    assert profile.url == sandbox.url
    assert sessions.load_session(profile) is not None
    assert stat.S_IMODE(paths.config_file.stat().st_mode) == 0o600
    assert sandbox.password not in paths.config_file.read_text()


async def test_a_password_that_is_typed_at_once_after_tab_is_not_readable(
    app: FirstRunApp,
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
        email, password = (
            app.screen.query_one(f"#{name}", Field) for name in ("email", "password")
        )
        email.input.focus()
        await pilot.pause()
        type_at_once(app, *"ada@example.org", "tab", *"hunter2")
        await until(pilot, lambda: "hunter2" in email.value + password.value)
        assert (email.value, password.value) == ("ada@example.org", "hunter2")
        assert "hunter2" not in screen_text(app)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong"}, "Wrong e-mail address or password"),
        ({"key": "sb_publishable_wrong"}, "does not accept"),
        ({"url": "http://127.0.0.1:9"}, "can't be reached"),
        ({"token": "eyJub3BlIjoxfQ.eyJub3BlIjoxfQ.x"}, "is not an access token"),
    ],
)
async def test_an_error_is_shown_in_the_form_and_nothing_is_written(
    app: FirstRunApp, paths: Paths, sandbox: Sandbox, change: dict[str, str], says: str
) -> None:
    right = {
        "url": sandbox.url,
        "key": sandbox.anon_key,
        "email": sandbox.email,
        "password": sandbox.password,
    }
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
        fill(app, **(right | change))
        app.screen.query_one("#submit").focus()
        await pilot.press("enter")
        await until(pilot, lambda: says in " ".join(screen_text(app).split()))
        assert isinstance(app.screen, ConnectScreen)
        assert nothing_written(paths)
    assert not app.connected


@pytest.mark.slow
@pytest.mark.parametrize("url", ["nonsense", "http://host.example"])
async def test_an_invalid_url_is_refused_before_any_request(app: FirstRunApp, url: str) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
        fill(app, url=url)
        await pilot.press("enter")
        await until(pilot, lambda: "not usable" in screen_text(app))


async def test_no_session_stays_if_the_configuration_can_not_be_written(
    app: FirstRunApp, paths: Paths, sandbox: Sandbox
) -> None:
    paths.config_file.mkdir(parents=True)  # a directory stands where the file would be
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
        fill(
            app,
            url=sandbox.url,
            key=sandbox.anon_key,
            email=sandbox.email,
            password=sandbox.password,
        )
        app.screen.query_one("#submit").focus()
        await pilot.press("enter")
        await until(pilot, lambda: "The configuration" in screen_text(app))
        assert not list((paths.state_dir / "sessions").glob("*.json"))


async def test_a_theme_chosen_on_the_welcome_screen_is_stored(
    app: FirstRunApp, paths: Paths
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("T")
        assert load_preferences(paths.config_file, {}).theme == app.theme == "light"


@pytest.mark.parametrize("size", [(80, 24), (160, 48)], ids=["80x24", "160x48"])
class TestPictures:
    def test_welcome(self, app: FirstRunApp, snap_compare, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
        app._paths = Paths(Path("/home/you/.config/lora-tui/config.toml"), *[Path()] * 3)
        assert snap_compare(app, terminal_size=size)

    def test_form(self, app: FirstRunApp, snap_compare, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
        async def type_it(pilot) -> None:  # type: ignore[no-untyped-def]
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
            fill(app, url="http://your-project.example")
            await pilot.press("enter")
            await until(pilot, lambda: "not usable" in screen_text(app))

        assert snap_compare(app, run_before=type_it, terminal_size=size)


async def test_a_form_that_is_sent_again_tries_an_engine_again_that_could_not_be_started(
    paths: Paths, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "RESTART", Backoff(0.0, 0.0))
    has_memory = threading.Event()

    def open_channel() -> process.Channel:
        if not has_memory.is_set():
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return in_process_channel(open_requests)

    with closing(Writers(lambda: process.Engine(open_channel, HELLO), paths.downloads_dir)) as made:
        app = FirstRunApp(Preferences(), "default", paths, made)
        async with app.run_test(size=SIZE) as pilot:
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ConnectScreen))
            fill(app, url=sandbox.url, key=sandbox.anon_key)
            fill(app, email=sandbox.email, password=sandbox.password)
            app.screen.query_one("#submit").focus()
            await pilot.press("enter")
            await until(pilot, lambda: "can't be started" in screen_text(app))
            assert "try again" in screen_text(app)
            has_memory.set()
            while not app.connected:  # a form that still waits for an answer ignores the key
                await pilot.press("enter")
                await pilot.pause(0.02)
