"""The report of a model from its page: a Markdown or HTML file, or the clipboard."""

from __future__ import annotations

from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library
from tests.tui.whole_model import put_model, put_points


async def test_a_key_writes_or_copies_the_report_and_a_toast_tells_where(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(count=2)
    put_model(library)
    put_points(library)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter", "e")
        await until(pilot, lambda: "Markdown file, for GitHub and Slack" in screen_text(app))
        await pilot.press("e", "e", "enter")
        await until(pilot, lambda: any(".md" in toast for toast in toasts(app)))
        await pilot.press("e", "down", "enter")
        await until(pilot, lambda: any(".html" in toast for toast in toasts(app)))
        await pilot.press("e", "down", "down", "enter")
        await until(pilot, lambda: app.clipboard != "")
    saved = [asked[1:] for asked in writers.asked if asked[0] == "save_text"]
    (markdown, page) = saved
    assert markdown[0].endswith(".md")
    assert "## Losses\n\n```\ntraining " in markdown[1]
    assert page[1].startswith("<!DOCTYPE html>")
    assert app.clipboard == markdown[1]
