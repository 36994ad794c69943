"""A list draws what has changed, and nothing else: over a slow line each line costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from textual import events
from textual._compositor import Compositor
from textual.pilot import Pilot
from textual.strip import Strip

from lora_tui.app import LoraTuiApp
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.screens.list_screen import FullList, ListScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.screens.notifications import NotificationsScreen
from lora_tui.widgets.model_table import ModelTable
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import FakeWriters, Library, model_row, notice_row
from tests.tui.test_harvest import job_row, make

Drawn = list[int]

__all__ = ("make",)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The numbers of the lines that lists have drawn."""
    lines: Drawn = []

    def watch(kind: type[FullList] | type[ModelTable]) -> None:
        draw = kind.render_line

        def render_line(listing: Any, y: int) -> Strip:
            lines.append(y)
            return draw(listing, y)

        monkeypatch.setattr(kind, "render_line", render_line)

    watch(FullList)
    watch(ModelTable)
    return lines


def read_again(app: LoraTuiApp) -> None:
    """As after a sync that changed something that this list does not show."""
    assert isinstance(app.screen, ListScreen | ModelsScreen)
    app.screen.refresh_list()


async def is_still(pilot: Pilot[None], drawn: Drawn) -> bool:
    before = len(drawn)
    await pilot.pause()
    return len(drawn) == before


async def test_of_the_models_only_those_that_change_are_drawn_again(
    library: Library, open_app: Open, drawn: Drawn
) -> None:
    library.put_models(*(model_row(number) for number in range(40)))
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: model_row(3)["name"] in screen_text(app))
        while not await is_still(pilot, drawn):
            pass
        drawn.clear()
        read_again(app)
        await pilot.pause()
        assert drawn == []
        library.put_models(model_row(3, name="another-name"), curves=False)
        await until(pilot, lambda: "another-name" in screen_text(app))
        while not await is_still(pilot, drawn):
            pass
        assert len(set(drawn)) == 1


async def test_notifications_that_stay_the_same_are_not_drawn_again(
    library: Library, open_app: Open, drawn: Drawn
) -> None:
    library.fill()
    library.put_notices(*(notice_row(number) for number in range(40)))
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NotificationsScreen))
        while not await is_still(pilot, drawn):
            pass
        drawn.clear()
        read_again(app)
        await pilot.pause()
        assert drawn == []
        with closing(open_cache(library.path)) as db, transaction(db, Topic.NOTIFICATIONS):
            db.execute("UPDATE notifications SET read = 1")
        await until(pilot, lambda: "all read" in screen_text(app))
        assert drawn


async def test_a_notification_that_is_marked_as_read_keeps_its_place_and_draws_only_its_lines(
    library: Library, open_app: Open, drawn: Drawn
) -> None:
    library.put_notices(*(notice_row(number) for number in range(40)))
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NotificationsScreen))
        while not await is_still(pilot, drawn):
            pass
        listing = app.screen.query_one(FullList)
        chosen = listing.highlighted
        drawn.clear()
        assert chosen is not None
        first = "Model Ready for Download  just now"
        assert f"● {first}" in screen_text(app).splitlines()[2]
        with closing(open_cache(library.path)) as db, transaction(db, Topic.NOTIFICATIONS):
            db.execute(
                "UPDATE notifications SET read = 1 WHERE id ="
                " (SELECT id FROM notifications ORDER BY created_at DESC, id LIMIT 1)"
            )
        await until(pilot, lambda: "39 unread" in screen_text(app))
        while not await is_still(pilot, drawn):
            pass
        assert f"  {first}" in screen_text(app).splitlines()[2]
        assert "●" not in screen_text(app).splitlines()[2]
        assert listing.highlighted == chosen
        assert 0 < len(set(drawn)) <= 3
        await pilot.press("escape", "n")
        await until(pilot, lambda: "1 d ago" in screen_text(app).splitlines()[2])


async def test_jobs_that_stay_the_same_are_not_drawn_again(
    library: Library, make: Callable[..., LoraTuiApp], drawn: Drawn, writers: FakeWriters
) -> None:
    del writers
    library.put_jobs(*(job_row(number, 5) for number in range(20)))
    app = make()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("h")
        await until(pilot, lambda: "20 waiting" in screen_text(app))
        while not await is_still(pilot, drawn):
            pass
        drawn.clear()
        read_again(app)
        await pilot.pause()
        assert drawn == []


async def test_a_screen_that_is_told_the_size_that_it_has_is_not_laid_out_again(
    library: Library, open_app: Open, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual tells it several times while it opens."""
    library.fill()
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "37 models" in screen_text(app))
        while not await is_still(pilot, drawn):
            pass
        layouts = []
        reflow = Compositor.reflow

        def counted(compositor: Compositor, *arguments: Any) -> Any:
            layouts.append(arguments)
            return reflow(compositor, *arguments)

        monkeypatch.setattr(Compositor, "reflow", counted)
        app.screen.post_message(events.Resize(app.size, app.size))
        await pilot.pause()
        assert layouts == []
        await pilot.resize_terminal(90, 25)
        await until(pilot, lambda: bool(layouts))
