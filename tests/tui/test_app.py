"""What holds on every screen: changes show, writers are asked, errors are told, keys are shown."""

from __future__ import annotations

import threading

import pytest
from textual.app import App
from textual.widgets import Static

from lora_tui.app import LoraTuiApp
from lora_tui.cache.cache_file import sync_lock
from lora_tui.errors import CacheError, DiskError, UnreachableError
from lora_tui.screens.confirm import ConfirmScreen
from lora_tui.screens.help import HelpScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.screens.notifications import NotificationsScreen
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import (
    FakeWriters,
    Library,
    failing,
    identifier,
    model_row,
    notice_row,
)

SIZE = (80, 24)


async def test_the_start_syncs_and_the_list_fills(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    writers.on_sync = lambda: library.fill(count=4)
    app = open_app(sync_on_start=True)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "4 models" in screen_text(app))
        assert writers.asked.count(("sync",)) == 1


async def test_r_syncs_once_at_a_time(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    go = threading.Event()
    writers.on_sync = lambda: go.wait() and None
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r", "r")
        await until(pilot, lambda: any("already running" in toast for toast in toasts(app)))
        go.set()
        await app.workers.wait_for_complete()
        assert writers.asked.count(("sync",)) == 1


async def test_keys_are_answered_while_a_sync_waits_for_the_network(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    go = threading.Event()
    writers.on_sync = lambda: go.wait() and None
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r", "slash", "s", "q", "l")
        assert "8 of 37 models" in screen_text(app)
        go.set()


async def test_a_failed_sync_tells_what_went_wrong_and_what_to_do(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    writers.on_sync = failing(UnreachableError("No answer", remedy="check the network"))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: bool(toasts(app)))
        assert toasts(app) == ["Sync failed: No answer\n→ check the network"]


async def test_a_start_without_network_shows_the_banner_and_no_toast(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()

    def fail() -> None:
        library.put_state(error="No answer")
        raise UnreachableError("No answer")

    writers.on_sync = fail
    app = open_app(sync_on_start=True)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "Offline" in screen_text(app))
        assert toasts(app) == []


async def test_a_failed_download_is_told_with_its_remedy(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    writers.on_download = failing(UnreachableError("The link broke", remedy="press d again"))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: bool(toasts(app)))
        name = "Customer Support Emails - 2026-11-23"
        assert toasts(app) == [f"Download failed: {name}\nThe link broke\n→ press d again"]


async def test_quitting_asks_only_while_a_download_runs_and_leaves_it_for_the_next_start(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    writers.on_download = lambda _model_id: writers.let_go.wait() and None
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("d", "q")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("n")
        assert isinstance(app.screen, ModelsScreen)
        await pilot.press("q", "y")
        await until(pilot, lambda: not app.is_running or app._exit)
    writers.let_go.set()
    assert ("cancel_download", identifier("model", 0)) not in writers.asked


async def test_q_leaves_at_once_when_nothing_runs(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("q")
        assert app._exit


async def test_quitting_does_not_wait_for_an_unanswered_request(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    go = threading.Event()
    writers.on_sync = lambda: go.wait() and None
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r", "q")
    assert not go.is_set()
    assert writers.asked == [("sync",)]
    go.set()


async def test_the_keys_of_the_list_apply_from_the_start(library: Library, open_app: Open) -> None:
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        library.fill()
        await until(pilot, lambda: "enter Open" in screen_text(app))


async def test_a_new_notification_is_a_toast_once(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        library.put_notices(notice_row(0))
        await until(pilot, lambda: len(toasts(app)) == 1)
        assert toasts(app)[0].startswith("Model Ready for Download: Customer Support Emails")
        await app.workers.wait_for_complete()
    again = open_app()
    async with again.run_test(size=SIZE):
        assert toasts(again) == []


@pytest.mark.parametrize(
    ("wanted", "written"),
    [
        (None, ""),
        ("bell", "\x07"),
        ("osc9", "\x1b]9;lora-tui: T: 4;1;done\x07"),
        ("both", "\x07\x1b]9;lora-tui: T: 4;1;done\x07"),
    ],
)
async def test_the_terminal_tells_of_a_new_notification_where_that_is_wanted(
    library: Library,
    open_app: Open,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str | None,
    written: str,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(App, "bell", lambda _app: said.append("\x07"))
    library.fill()
    app = open_app(terminal_alerts=wanted, bell=False)
    async with app.run_test(size=SIZE) as pilot:
        assert app._driver is not None
        app._driver.write = said.append  # type: ignore[method-assign]
        library.put_notices(notice_row(0, title="T", message="4;1;done\x07\x1b]0;x", model_id=None))
        await until(pilot, lambda: len(toasts(app)) == 1)
        assert "".join(said).replace("]0;x", "") == written


@pytest.mark.parametrize(("new", "failed"), [(2, 0), (40, 0), (3, 1)])
async def test_several_new_notifications_are_one_toast_that_says_how_many(
    library: Library, open_app: Open, new: int, failed: int
) -> None:
    library.fill()
    kinds = ["job_failed"] * failed + ["artifact_ready"] * (new - failed)
    library.put_notices(*(notice_row(number, type=kind) for number, kind in enumerate(kinds)))
    app = open_app()
    async with app.run_test(size=SIZE):
        failures = f"{failed} failure among them. " if failed else ""
        assert toasts(app) == [f"{new} new notifications: {failures}Press n to read them"]


async def test_toasts_show_remote_text_as_it_is(library: Library, open_app: Open) -> None:
    library.fill()
    library.put_notices(notice_row(0, title="[bold]T[/]", message="[@click=app.quit]press[/] [/x"))
    app = open_app()
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await until(pilot, lambda: "[@click=app.quit]press[/] [/x" in screen_text(app))
        assert "[bold]T[/]" in screen_text(app)


async def test_notifications_are_listed_unread_first_and_enter_opens_the_model_and_marks_it_read(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    library.put_notices(notice_row(1, read=True), notice_row(2), notice_row(3))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n")
        assert isinstance(app.screen, NotificationsScreen)
        assert "2 unread" in screen_text(app)
        await pilot.press("j", "enter")
        assert getattr(app.screen, "model_id", None) == identifier("model", 3)
        await app.workers.wait_for_complete()
        assert ("mark_notification_read", identifier("notice", 3)) in writers.asked


async def test_a_notification_of_a_model_that_is_gone_says_so(
    library: Library, open_app: Open
) -> None:
    library.fill(count=2)
    library.put_notices(notice_row(9, read=True))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n", "enter")
        assert isinstance(app.screen, NotificationsScreen)
        assert any("not in the cache" in toast for toast in toasts(app))


async def test_no_notifications_is_a_state_of_its_own(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n")
        assert "No notifications" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)


async def test_help_names_every_key_that_the_screen_answers_to(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 90)) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        lines = [line.partition("│")[2] for line in screen_text(app).splitlines()]
        for key in ("/", "s", "S", "f", "d", "y", "r", "n", "?", "q", "enter", "space", "G"):
            assert any(line.split()[:1] == [key] for line in lines), key
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)


async def test_help_begins_with_the_keys_of_the_focused_part(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 90)) as pilot:
        await pilot.press("question_mark")
        text = screen_text(app)
        assert text.index("In the list") < text.index("This screen") < text.index("Everywhere")
        assert text.index("In the list") < text.index("Mark the model") < text.index("This screen")


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 160])
async def test_long_explanations_go_on_below_where_they_began(
    library: Library, open_app: Open, width: int
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(width, 60)) as pilot:
        await pilot.press("space", "space", "c", "question_mark")
        await pilot.pause()
        lines = app.screen.query_one("#help-keys", Static).render_line
        texts = [
            lines(y).text.rstrip() for y in range(app.screen.query_one("#help-keys").size.height)
        ]
        first = next(i for i, text in enumerate(texts) if text == "This screen")
        column = texts[first + 1].index("Back")
        for text in texts[first:]:
            if text.startswith(" "):
                assert text[column - 2 : column].isspace(), text
                assert not text[column : column + 1].isspace()


@pytest.mark.slow
async def test_ascii_names_keys_in_words(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app(ascii_only=True)
    async with app.run_test(size=(80, 50)) as pilot:
        await pilot.press("question_mark")
        text = screen_text(app)
        assert "shift+down" in text
        assert "+?" not in text
        await pilot.press("escape", "enter", "s")
        assert "left previous - right next" in screen_text(app)


async def test_the_palette_runs_an_action_by_its_description(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+p", *"reverse the order")
        await until(pilot, lambda: "Reverse the order" in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
        await until(pilot, lambda: "oldest first" in screen_text(app))


async def test_the_status_line_tells_profile_connection_age_and_progress(
    library: Library, open_app: Open
) -> None:
    library.fill()
    library.put_transfer(done=6_000_000, total=12_000_000)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        status = screen_text(app).splitlines()[-2]
        assert "demo" in status
        assert "online" in status
        assert "synced 5 min ago" in status
        assert "50 % of 11.4 MiB" in status
        library.put_state(running=True)
        await until(pilot, lambda: "syncing" in screen_text(app))
        library.put_state(error="No answer")
        await until(pilot, lambda: "offline" in screen_text(app).splitlines()[-2])


async def test_a_damaged_cache_is_told_before_the_terminal_is_taken(
    library: Library, writers: FakeWriters
) -> None:
    library.path.write_bytes(b"not a database, " * 200)
    with pytest.raises(CacheError):
        LoraTuiApp(library.path, writers, profile="demo")


async def test_changes_by_another_process_show_on_the_screen_below_too(
    library: Library, open_app: Open
) -> None:
    library.fill(count=2)
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("n")
        library.put_models(model_row(2))
        await pilot.press("escape")
        await until(pilot, lambda: "3 models" in screen_text(app))


async def test_colour_is_not_needed(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "space")
        assert app.no_color
        lines = screen_text(app).splitlines()
        assert lines[4].startswith("▌")
        assert lines[3][1] == "●"
        assert "overfit" in lines[4]


async def test_a_sync_whose_end_the_disk_did_not_take_is_shown_as_failed(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    """The cache goes on naming this process as one that syncs; it holds no lock any more."""
    library.fill()
    library.path.with_name(f"{library.path.name}.lock").touch()

    def begin_and_fail() -> None:
        with sync_lock(library.path) as is_ours:
            assert is_ours
            library.put_state(running=True)
            raise DiskError("The cache can't be written: the disk is full")

    writers.on_sync = begin_and_fail
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: bool(toasts(app)))
        await until(pilot, lambda: "sync failed" in screen_text(app).splitlines()[-2])
