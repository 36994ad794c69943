"""Signing in again after the session has ended, and signing out, in the application."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.account import sessions
from lora_tui.app import LoraTuiApp
from lora_tui.cache import transfer_queue
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import require_model
from lora_tui.cache.transfer_queue import TransferState
from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.engine.account_form import AccountForm
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.writers import EngineReport
from lora_tui.errors import AuthenticationError, NotSignedInError, SessionEndedError
from lora_tui.sandbox import Sandbox
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.login import LoginScreen
from lora_tui.screens.model import ModelScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.secret import Secret
from lora_tui.transfers.download import plan_files
from lora_tui.widgets.forms import Field
from tests.conftest import set_environment
from tests.seeded import short_curves
from tests.tui.accounts import FakeAccountWriters, fake_form, form_of, real_form
from tests.tui.conftest import Open, screen_text, toasts, type_at_once, until
from tests.tui.library import FakeWriters, Library, failing, set_transfer

SIZE = (100, 30)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with short_curves(), Sandbox.start(models=3, waiting_jobs=1) as running:
        yield running


@pytest.fixture
def login(sandbox: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccountForm]:
    """At the sandbox, by an engine in this process; somebody is signed in."""
    del home
    from lora_tui.config.load import load_profile

    set_environment(sandbox, monkeypatch)
    profile = load_profile()
    with closing(OnlineWriters(profile)) as online:
        online.sync()
    form = real_form(profile)
    with closing(form.writers):
        yield form


@pytest.mark.slow
async def test_an_ended_session_is_shown_and_l_signs_in_on_the_same_screen(
    library: Library, open_app: Open, writers: FakeWriters, login: AccountForm, sandbox: Sandbox
) -> None:
    library.fill()
    library.put_state(error="The session has ended")
    writers.on_sync = failing(SessionEndedError("The session has ended"))
    app = open_app(sync_on_start=True, login=login)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "L signs in" in screen_text(app))
        await pilot.press("j", "j", "enter")
        assert isinstance(app.screen, ModelScreen)
        place = app.screen
        await pilot.press("L")
        assert isinstance(app.screen, LoginScreen)
        assert "The session has ended" in screen_text(app)
        assert app.screen.query_one("#email", Field).value == sandbox.email
        writers.on_sync = lambda: None
        app.screen.query_one("#password", Field).input.value = sandbox.password
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is place)
        await until(pilot, lambda: writers.asked.count(("sync",)) == 2)
        await until(pilot, lambda: ("resume_downloads", "signed in") in writers.asked)
        assert not app.login_refused
        assert any("kept in a file only you can read" in toast for toast in toasts(app))


async def test_a_sync_that_is_asked_for_opens_the_form_where_only_a_login_helps(
    library: Library, open_app: Open, writers: FakeWriters, login: AccountForm
) -> None:
    library.fill(count=1)
    writers.on_sync = failing(SessionEndedError("The session has ended"))
    app = open_app(login=login)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, LoginScreen))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LoginScreen))


async def test_the_form_opens_at_once_where_the_first_sync_finds_no_session(
    library: Library, open_app: Open, sandbox: Sandbox, login: AccountForm
) -> None:
    """The account is known, so the application opens; its session has vanished."""
    library.fill(count=1)
    form = real_form(login.profile._replace(email=None, password=None))
    for file in (login.profile.paths.state_dir / "sessions").iterdir():
        file.write_text("{}")
    app = open_app(writers=form.writers, sync_on_start=True, login=form)
    with closing(form.writers):
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: isinstance(app.screen, LoginScreen))
            assert "Nobody is signed in" in screen_text(app)
            assert not toasts(app)
            app.screen.query_one("#email", Field).input.value = sandbox.email
            app.screen.query_one("#password", Field).input.value = sandbox.password
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
            await until(pilot, lambda: app.sync_schedule.failures == 0 and not app.is_syncing)


async def test_after_a_key_the_form_that_a_lost_session_needs_is_only_offered(
    library: Library, open_app: Open, writers: FakeWriters, tmp_path: Path
) -> None:
    library.fill(count=1)
    asked, go_on = threading.Event(), threading.Event()

    def refuse() -> None:
        asked.set()
        go_on.wait()
        raise NotSignedInError("Nobody is signed in")

    writers.on_sync = refuse
    app = open_app(sync_on_start=True, login=fake_form(tmp_path))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, asked.is_set)
        await pilot.press("slash", "s")
        go_on.set()
        await until(pilot, lambda: app.login_refused)
        assert isinstance(app.screen, ModelsScreen)
        assert any("Nobody is signed in" in toast for toast in toasts(app))


async def test_no_form_opens_while_the_user_is_typing(
    library: Library, open_app: Open, writers: FakeWriters, login: AccountForm
) -> None:
    library.fill(count=3)
    refused = threading.Event()

    def refuse() -> None:
        refused.wait()
        raise SessionEndedError("The session has ended")

    writers.on_sync = refuse
    app = open_app(login=login)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r", "slash", "s", "q")
        refused.set()
        await until(pilot, lambda: app.login_refused)
        await pilot.press("l")
        assert isinstance(app.screen, ModelsScreen)
        assert app.screen.model_query.search == "sql"
        assert any("The session has ended" in toast for toast in toasts(app))


async def test_a_login_that_is_accepted_closes_its_own_form_and_nothing_above_it(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill(count=1)
    accepted = threading.Event()
    login = fake_form(tmp_path, FakeAccountWriters(before=accepted.wait))
    app = open_app(login=login)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("L", *"secret", "enter", "ctrl+p", *"syn")
        palette = app.screen
        accepted.set()
        await until(pilot, lambda: any("Signed in" in toast for toast in toasts(app)))
        assert app.screen is palette
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))


async def test_a_login_is_stored_even_if_its_form_was_closed_before_the_answer(
    library: Library, open_app: Open, writers: FakeWriters, tmp_path: Path
) -> None:
    library.fill(count=1)
    accepted = threading.Event()
    login = fake_form(tmp_path, FakeAccountWriters(before=accepted.wait))
    app = open_app(login=login)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("L", *"secret", "enter", "escape")
        assert isinstance(app.screen, ModelsScreen)
        accepted.set()
        await until(pilot, lambda: ("sync",) in writers.asked)
        assert any("Signed in" in toast for toast in toasts(app))


async def test_while_the_keyring_is_waited_for_the_screen_says_so_and_then_what_to_do(
    open_app: Open, writers: FakeWriters, tmp_path: Path
) -> None:
    answers = threading.Event()
    refusal = "The session is in the keyring, which does not answer"

    def wait_for_the_keyring() -> None:
        answers.wait()
        raise NotSignedInError(refusal, remedy="unlock the keyring and try again")

    def tell(*, waits: bool) -> None:
        writers.report = account.report = EngineReport(starting=False, waits_for_keyring=waits)
        writers.on_change()

    writers.on_sync = wait_for_the_keyring
    account = FakeAccountWriters(before=answers.wait)
    app = open_app(sync_on_start=True, login=fake_form(tmp_path, account))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: ("sync",) in writers.asked)
        tell(waits=True)
        await until(pilot, lambda: "waiting for the keyring" in screen_text(app))
        assert "It may ask for its password in a window" in screen_text(app)  # an empty cache
        tell(waits=False)
        await until(pilot, lambda: "waiting for the keyring" not in screen_text(app))
        answers.set()
        await until(pilot, lambda: isinstance(app.screen, LoginScreen))
        assert refusal in screen_text(app)
        assert "unlock the keyring and try again" in screen_text(app)
        answers.clear()
        await pilot.press(*"secret", "enter")
        await until(pilot, lambda: "Signing in" in screen_text(app))
        tell(waits=True)
        await until(pilot, lambda: "Waiting for the keyring" in screen_text(app))
        answers.set()
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["somebody", "another"])
async def test_a_failed_login_stays_in_the_form(
    library: Library, open_app: Open, login: AccountForm, sandbox: Sandbox, who: str
) -> None:
    library.fill(count=1)
    app = open_app(login=login)
    email, password, says = {
        "somebody": (sandbox.email, "wrong", "Wrong e-mail address or password"),
        "another": (sandbox.other_email, sandbox.other_password, "That is another account"),
    }[who]
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("L")
        app.screen.query_one("#email", Field).input.value = email
        app.screen.query_one("#password", Field).input.value = password
        await pilot.press("enter")
        await until(pilot, lambda: says in screen_text(app))
        assert isinstance(app.screen, LoginScreen)


async def test_no_form_opens_without_a_login(library: Library, open_app: Open) -> None:
    library.fill(count=1)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("L")
        assert not isinstance(app.screen, LoginScreen)


@pytest.mark.parametrize("theme", ["dark", "mono"])
def test_picture(library: Library, open_app: Open, snap_compare, theme: str) -> None:  # type: ignore[no-untyped-def]

    library.fill()
    library.put_state(error="The session has ended")
    profile = Profile("work", find_paths(), "https://p.example", "k", email="ada@example.org")
    app: LoraTuiApp = open_app(login=form_of(profile), theme=theme)
    assert snap_compare(app, press=["L"], terminal_size=(80, 24))


async def test_signing_out_names_running_downloads_and_asks_about_the_cache(
    library: Library, open_app: Open, login: AccountForm
) -> None:
    library.fill(count=3)
    library.put_transfer(done=1, total=9)
    app = open_app(login=login)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: "Downloads of" in screen_text(app))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert sessions.signed_in(login.profile) is not None
        await pilot.press("ctrl+l", "y")
        await until(pilot, lambda: "Remove this account's cache" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: app.signed_out)
    assert app.clears_cache
    assert sessions.signed_in(login.profile) is None


@pytest.mark.slow
async def test_the_settings_name_the_account_and_choosing_it_signs_out(
    library: Library, open_app: Open, login: AccountForm
) -> None:
    library.fill(count=3)
    app = open_app(login=login, settings=Settings(login.profile, library.path, environment={}))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("comma", "G", "k", "k", "enter")
        await until(pilot, lambda: "Sign out on this machine?" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: "Remove this account's cache" in screen_text(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.signed_out)
    assert not app.clears_cache


async def test_one_refusal_does_not_sign_out(
    library: Library, open_app: Open, writers: FakeWriters, login: AccountForm
) -> None:
    library.fill(count=1)
    writers.on_sync = failing(AuthenticationError("The server does not accept the login"))
    app = open_app(login=login)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: bool(toasts(app)))
        assert not isinstance(app.screen, LoginScreen)
        assert not app.login_refused
        assert "signs in" not in screen_text(app)


async def test_with_an_access_token_signing_out_is_refused_before_any_question(
    library: Library, open_app: Open, login: AccountForm
) -> None:
    library.fill(count=1)
    session = sessions.load_session(login.profile)
    assert session is not None
    given = form_of(login.profile._replace(access_token=session.access_token))
    app = open_app(login=given)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: any("access_token of profile" in toast for toast in toasts(app)))
        assert not isinstance(app.screen, ConfirmScreen)
    assert sessions.load_session(login.profile) == session


def test_with_an_access_token_no_form_sends_a_password(
    login: AccountForm, sandbox: Sandbox
) -> None:
    session = sessions.load_session(login.profile)
    assert session is not None
    given = real_form(login.profile._replace(access_token=session.access_token))
    sandbox.forget_requests()
    with (
        closing(given.writers),
        pytest.raises(AuthenticationError, match="access_token of profile"),
    ):
        given.sign_in(sandbox.email, Secret(sandbox.password), Secret(""))
    assert not sandbox.requests()


@pytest.mark.parametrize(("begins", "key"), [("email", "tab"), ("token", "shift+tab")])
async def test_what_is_typed_at_once_after_tab_goes_into_the_next_field(
    library: Library, open_app: Open, tmp_path: Path, begins: str, key: str
) -> None:
    """As password managers type; in the e-mail field a password would be readable."""
    library.fill(count=1)
    app = open_app(login=fake_form(tmp_path))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("L")
        await until(pilot, lambda: isinstance(app.screen, LoginScreen))
        app.screen.query_one(f"#{begins}", Field).input.focus()
        await pilot.pause()
        type_at_once(app, key, *"hunter2")
        fields = [
            app.screen.query_one(f"#{name}", Field) for name in ("email", "password", "token")
        ]
        await until(pilot, lambda: any("hunter2" in field.value for field in fields))
        assert fields[1].value == "hunter2"
        assert "hunter2" not in screen_text(app)


def test_a_sign_in_fetches_what_failed_because_the_session_had_ended(login: AccountForm) -> None:
    account = sessions.signed_in(login.profile)
    assert account is not None
    with closing(open_cache(login.profile.cache_path(account.user_id))) as db:
        found = db.execute("SELECT id FROM models ORDER BY id LIMIT 2").fetchall()
        first, other = (require_model(db, model_id) for (model_id,) in found)
        ids: list[int] = []
        for model, kind in ((first, "SessionEndedError"), (other, "IntegrityError")):
            directory = login.profile.downloads_dir / model.id
            with transaction(db, Topic.TRANSFERS):
                ids += transfer_queue.enqueue(db, model.id, plan_files(model, directory)[:1])
                set_transfer(db, ids[-1], TransferState.FAILED, error="It failed")
                db.execute("UPDATE transfers SET error_kind = ? WHERE id = ?", [kind, ids[-1]])

        def states() -> list[TransferState]:
            return [row.state for row in transfer_queue.get_transfers(db, ids)]

        login.writers.resume_downloads()
        assert states() == [TransferState.FAILED] * 2
        login.writers.resume_downloads(signed_in=True)
        pause = threading.Event()
        while states()[0] is not TransferState.DONE:
            pause.wait(0.01)
        assert states()[1] is TransferState.FAILED


async def test_a_session_that_another_program_has_renewed_resumes_downloads_too(
    library: Library, open_app: Open, writers: FakeWriters, tmp_path: Path
) -> None:
    library.fill(count=1)
    writers.on_sync = failing(SessionEndedError("The session has ended"))
    app = open_app(login=fake_form(tmp_path))
    async with app.run_test(size=SIZE) as pilot:
        app.sync(asked_for=False)
        await until(pilot, lambda: app.login_refused)
        assert ("resume_downloads", "signed in") not in writers.asked
        writers.on_sync = lambda: None
        app.sync(asked_for=False)
        await until(pilot, lambda: ("resume_downloads", "signed in") in writers.asked)
