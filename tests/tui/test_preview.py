"""On a wide terminal the model under the cursor is seen beside the list."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from lora_tui.app import LoraTuiApp
from lora_tui.cache import runs
from lora_tui.cache.runs import read_preview
from lora_tui.widgets.model_preview import ModelPreview, preview_columns, preview_lines
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import HOSTILE_NAMES, Library, model_row

WIDE = (160, 48)


def pane_text(app: LoraTuiApp) -> str:
    """The pane's part of the screen; nothing where there is none."""
    panes = [pane for pane in app.screen.query(ModelPreview) if pane.display]
    if not panes:
        return ""
    pane = panes[0].region
    lines = screen_text(app).splitlines()[pane.y : pane.bottom]
    return "\n".join(line[pane.x :] for line in lines)


async def test_the_pane_shows_rating_metrics_curve_opinion_and_files(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("j", "j", "j", "j")
        await until(pilot, lambda: "Python Code Review - 2026-11-19" in pane_text(app))
        for shown in ("1/5", "○ poor", "Validation loss", "0.6400", "$7.48", "━━ smoothed",
                      "Second opinion", "at step 720", "adapter_model.safetensors",
                      "24.0 MiB", "remote",
                      "meta-llama/Llama-3.1-8B-Instruct"):  # fmt: skip
            assert shown in pane_text(app)


async def test_the_pane_follows_the_cursor_of_table_and_cards(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "2026-11-23" in pane_text(app))
        await pilot.press("j")
        await until(pilot, lambda: "2026-11-22" in pane_text(app))
        await pilot.press("v", "right")
        await until(pilot, lambda: "2026-11-21" in pane_text(app))
        await pilot.press("slash", "z", "z", "z")
        await until(pilot, lambda: "Training loss" not in pane_text(app))


@pytest.mark.slow
async def test_repeated_keys_are_handled_before_the_pane_is_loaded(
    library: Library, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "2026-11-23" in pane_text(app))
        read: list[str] = []

        def counted(db: object, model_id: str) -> object:
            read.append(model_id)
            return read_preview(app.db, model_id)

        monkeypatch.setattr(runs, "read_preview", counted)
        for _ in range(20):
            app.simulate_key("j")
        await until(pilot, lambda: "Customer Support Emails - 2026-11-03" in pane_text(app))
        assert len(read) <= 3


async def test_p_hides_the_pane_and_that_is_remembered(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    app = open_app(views=path)
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "Second opinion" in pane_text(app))
        await pilot.press("p")
        assert pane_text(app) == ""
    app = open_app(views=path)
    async with app.run_test(size=WIDE) as pilot:
        assert pane_text(app) == ""
        await pilot.press("p")
        await until(pilot, lambda: "Second opinion" in pane_text(app))


@pytest.mark.slow
async def test_a_terminal_without_room_for_it_has_no_pane_until_it_is_widened(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(120, 30)) as pilot:
        assert pane_text(app) == ""
        await pilot.resize_terminal(130, 30)
        await until(pilot, lambda: "Training loss" in pane_text(app))
        await pilot.resize_terminal(100, 30)
        await until(pilot, lambda: pane_text(app) == "")


@pytest.mark.parametrize("size", [(100, 30), (120, 36), (129, 40)], ids=str)
async def test_a_less_wide_terminal_has_the_pane_below_the_list_where_that_is_wanted(
    library: Library, open_app: Open, tmp_path: Path, size: tuple[int, int]
) -> None:
    library.fill()
    path = tmp_path / "views.json"
    app = open_app(views=path)
    async with app.run_test(size=size) as pilot:
        assert pane_text(app) == ""
        await pilot.press("p", "j")
        await until(pilot, lambda: "━━ smoothed" in pane_text(app))
        await until(pilot, lambda: "SQL Assistant - 2026-11-22" in pane_text(app))
        pane = app.screen.query_one(ModelPreview).region
        assert (pane.x, pane.width, pane.height) == (0, size[0], 13)
        assert "SQL Assistant - 2026-11-22" in screen_text(app).splitlines()[3]
    app = open_app(views=path)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "Training loss" in pane_text(app))
        await pilot.press("p")
        assert pane_text(app) == ""


async def test_a_low_or_narrow_terminal_has_no_pane(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    for size in ((99, 40), (129, 29)):
        async with open_app().run_test(size=size) as pilot:
            await pilot.press("p")
            assert not pilot.app.screen.query(ModelPreview)
    app.db.close()


async def test_the_pane_shows_what_a_writer_changes(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: "2026-11-23" in pane_text(app))
        library.put_models(model_row(0, name="Renamed"))
        await until(pilot, lambda: "Renamed" in pane_text(app))
        library.put_transfer(done=10, total=100)
        await until(pilot, lambda: "Total" in pane_text(app))


@pytest.mark.parametrize("size", [(44, 10), (50, 21), (76, 60), (96, 12)])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_any_model_fits_into_the_pane(
    library: Library, open_app: Open, size: tuple[int, int], ascii_only: bool
) -> None:
    library.put_models(*(model_row(n, name=name) for n, name in enumerate(HOSTILE_NAMES)))
    library.put_models(
        model_row(50, quality_metrics=None, training_summary=None, configuration=None, job_id=None,
                  artifacts=None, dataset_id=None),
        curves=False,
    )  # fmt: skip
    app = open_app()
    ids = [row[0] for row in app.db.execute("SELECT id FROM models")]
    for model_id in ids:
        shown = read_preview(app.db, model_id)
        assert shown is not None
        arranged = preview_lines if size[0] < 90 else preview_columns
        lines = arranged(shown, *size, ascii_only=ascii_only)
        assert 0 < len(lines) <= size[1]
        for line in lines:
            text = "".join(part for part, _ in line)
            assert cell_len(text) <= size[0], text
            assert text.isascii() or not ascii_only, text
    app.db.close()
