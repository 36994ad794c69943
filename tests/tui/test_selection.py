"""Several models are marked, stay marked, and are downloaded together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.app import LoraTuiApp
from lora_tui.cache.models import ModelSummary
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.row_view import Rows
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, identifier, model_row

SIZE = (80, 24)


def marked(app: LoraTuiApp) -> set[str]:
    assert isinstance(app.screen, ModelsScreen)
    return app.screen.rows.marked


def ids(*numbers: int) -> set[str]:
    return {identifier("model", number) for number in numbers}


@pytest.mark.parametrize(
    ("keys", "numbers"),
    [
        (("shift+down", "shift+down"), (0, 1, 2)),
        (("shift+down", "shift+down", "shift+up"), (0, 1)),
        (("j", "j", "shift+up"), (1, 2)),
        (("space", "j", "shift+down", "shift+up", "shift+up"), (0, 1, 2)),
        (("v", "shift+right", "shift+right"), (0, 1, 2)),
        (("v", "shift+down"), (0, 1, 2, 3)),
        (("v", "shift+down", "shift+up"), (0,)),
    ],
)
async def test_shift_with_an_arrow_marks_all_on_the_way(
    library: Library, open_app: Open, keys: tuple[str, ...], numbers: tuple[int, ...]
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(*keys)
        assert marked(app) == ids(*numbers)
        assert f"{len(numbers)} marked" in screen_text(app)


@pytest.mark.slow
async def test_marks_survive_another_order_a_search_and_the_other_view(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "s", "j", "enter", "slash", *"legal", "enter", "v", "S")
        assert marked(app) == ids(0, 1)
        await pilot.press("escape")
        assert "2 marked" in screen_text(app)
        await pilot.press("v", "G")
        assert [line[1] for line in screen_text(app).splitlines()].count("●") == 2
        assert marked(app) == ids(0, 1)


async def test_a_deleted_model_is_not_marked_any_more(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "space")
        library.delete_models(1)
        await until(pilot, lambda: "2 marked" in screen_text(app))
        assert marked(app) == ids(0, 2)


async def test_d_downloads_what_is_marked_after_telling_how_much_it_is(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "j", "d")
        assert "Download the 2 marked models, 48.0 MiB?" in screen_text(app)
        await pilot.press("n")
        assert writers.asked == []
        await pilot.press("d", "y")
        await app.workers.wait_for_complete()
        assert set(writers.asked) == {("download", model_id) for model_id in ids(0, 1)}


async def test_sizes_that_are_not_known_are_not_left_out_silently(
    library: Library, open_app: Open
) -> None:
    library.fill(count=1)
    library.put_models(model_row(1, configuration=None))
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space", "space", "d")
        assert "2 marked models, at least 24.0 MiB?" in screen_text(app)


def rows_of(count: int) -> Rows:
    models = [
        ModelSummary(str(n), "", "", "", None, None, None, None, "", None, None, None, None, None,
                     None, downloaded=False)
        for n in range(count)
    ]  # fmt: skip
    rows = Rows(lambda offset, limit: models[offset : offset + limit])
    rows.reload(count, lambda _: None, at_top=True)
    return rows


@given(
    st.integers(0, 199), st.lists(st.integers(-5, 205), max_size=20), st.sets(st.integers(0, 199))
)
def test_a_range_is_what_was_marked_before_and_all_from_its_beginning_to_the_cursor(
    start: int, steps: list[int], before: set[int]
) -> None:
    rows = rows_of(200)
    rows.marked = {str(n) for n in before}
    rows.move_to(start)
    for step in steps:
        rows.extend_to(step)
    if steps:
        low, high = sorted((start, rows.cursor))
        assert rows.marked == {str(n) for n in before | set(range(low, high + 1))}


async def test_the_number_of_marked_models_is_shown_even_in_little_room(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("space", "space")
        assert "2 marked: c compares" in screen_text(app)


async def test_comparing_fewer_than_two_models_says_how_to_mark_them(
    library: Library, open_app: Open
) -> None:
    library.fill(count=3)
    app = open_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("c")
        assert toasts(app) == [": Mark 2 to 100 models first (space marks one)"]
        await pilot.press("space", "c")
        assert len(toasts(app)) == 2  # one is not enough
