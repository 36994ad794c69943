"""The cards show the same models as the table, twelve a page, and obey the same keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events

from lora_tui.app import LoraTuiApp
from lora_tui.cache.models import ModelSummary
from lora_tui.screens.models import ModelsScreen
from lora_tui.text import terminal_safe
from lora_tui.widgets.card_grid import (
    CARDS_PER_PAGE,
    CardContext,
    CardGrid,
    card_layout,
    card_lines,
)
from lora_tui.widgets.charts.sparkline import area_chart
from lora_tui.widgets.model_table import ModelTable
from tests.tui.conftest import Open, screen_text, until
from tests.tui.library import HOSTILE_NAMES, FakeWriters, Library, identifier, model_row

SIZE = (80, 24)


def grid(app: LoraTuiApp) -> CardGrid:
    return app.screen.query_one(CardGrid)


def current_id(app: LoraTuiApp) -> str:
    model = grid(app).current
    assert model is not None
    return model.id


async def test_v_shows_cards_with_the_metadata_of_models(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("v")
        text = screen_text(app)
        for shown in ("Customer Support Emails", "★★★★★", "◆ excellent", "Llama-3.1-8B-Instruct",
                      "24.0 MiB", "$2.00", "Nov 23", "page 1 of 4"):  # fmt: skip
            assert shown in text
        assert any(0x2800 < ord(character) < 0x2900 for character in text)
        assert "Converg." not in text
        await pilot.press("v")
        assert "Converg." in screen_text(app)


async def test_table_and_cards_have_one_cursor_and_the_same_marks(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("j", "space", "G", "v")
        assert current_id(app) == identifier("model", 36)
        assert "page 4 of 4" in screen_text(app)
        await pilot.press("g", "v")
        assert app.screen.query_one(ModelTable).marked == {identifier("model", 1)}
        assert app.screen.query_one(ModelTable).has_focus
        assert "1 marked" in screen_text(app)
        assert screen_text(app).splitlines()[2].startswith("▌")


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        (("right",), 1),
        (("right", "left"), 0),
        (("down",), 3),
        (("down", "up"), 0),
        (("up",), 0),
        (("left",), 0),
        (("end",), 36),
        (("end", "down"), 36),
        (("end", "up"), 33),
        (("end", "home"), 0),
        (("right_square_bracket",), 12),
        (("pagedown", "pagedown"), 24),
        (("pagedown", "left_square_bracket"), 0),
        (("down", "down", "down", "down"), 12),
        (("pagedown", "up"), 9),
        (("end", "up", "right", "right", "down"), 36),
    ],
)
async def test_keys_go_from_card_to_card_and_from_page_to_page(
    library: Library, open_app: Open, keys: tuple[str, ...], place: int
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v", *keys)
        assert current_id(app) == identifier("model", place)
        assert f"page {place // CARDS_PER_PAGE + 1} of 4" in screen_text(app)
        assert screen_text(app).count("▌") == 4


async def test_enter_opens_a_card_and_d_downloads_it(
    library: Library, open_app: Open, writers: FakeWriters
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v", "right", "d")
        await app.workers.wait_for_complete()
        assert writers.asked == [("download", identifier("model", 1))]
        await pilot.press("enter")
        assert getattr(app.screen, "model_id", None) == identifier("model", 1)
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)
        assert grid(app).has_focus


async def test_a_click_chooses_a_card_a_double_click_opens_it_and_the_pager_turns_pages(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v")
        await pilot.click(CardGrid, offset=(30, 6))
        assert current_id(app) == identifier("model", 4)
        await pilot.click(CardGrid, offset=(70, 20))
        assert "page 2 of 4" in screen_text(app)
        await pilot.click(CardGrid, offset=(5, 20))
        assert "page 1 of 4" in screen_text(app)
        await pilot.click(CardGrid, offset=(60, 1), times=2)
        assert getattr(app.screen, "model_id", None) == identifier("model", 2)


async def test_the_wheel_turns_pages_that_fit_the_screen(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v")
        await pilot._post_mouse_events([events.MouseScrollDown], CardGrid, offset=(5, 5), button=0)
        assert "page 2 of 4" in screen_text(app)
        await pilot._post_mouse_events([events.MouseScrollUp], CardGrid, offset=(5, 5), button=0)
        assert "page 1 of 4" in screen_text(app)


async def test_search_and_order_apply_to_cards(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v", "slash", *"sql", "enter")
        assert grid(app).has_focus
        assert "page 1 of 1" in screen_text(app)
        assert "8 of 37 models" in screen_text(app)
        await pilot.press("S", "g")
        assert current_id(app) == identifier("model", 36)
        await pilot.press("slash", "z", "z", "z")
        assert "No matching models" in screen_text(app)


async def test_the_cursor_stays_on_its_card_when_models_arrive_before_it(
    library: Library, open_app: Open
) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v", "pagedown")
        library.put_models(
            *(model_row(100 + n, created_at="2026-11-23T11:00:00+00:00") for n in range(5))
        )
        await until(pilot, lambda: grid(app).total == 42)
        assert current_id(app) == identifier("model", 12)
        assert grid(app).cursor == 17


async def test_a_key_draws_two_cards_and_not_the_page(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v")
        drawn: list[int] = []
        render = grid(app).render_line

        def counted(y: int) -> object:
            drawn.append(y)
            return render(y)

        grid(app).render_line = counted  # type: ignore[assignment,method-assign]
        await pilot.press("right")
        assert 0 < len(drawn) <= 5, "one row of cards"


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (160, 48), (200, 60), (61, 70), (300, 20)])
async def test_hostile_names_stay_in_their_cards(
    library: Library, open_app: Open, size: tuple[int, int]
) -> None:
    library.fill(count=1)
    library.put_models(
        *(model_row(1 + index, name=name) for index, name in enumerate(HOSTILE_NAMES))
    )
    app = open_app()
    async with app.run_test(size=size) as pilot:
        await pilot.press("v")
        text = screen_text(app)
        assert all(cell_len(line) == size[0] for line in text.splitlines())
        assert all(character.isprintable() for character in text.replace("\n", ""))
        assert "[red]" in text


async def test_ascii_cards_are_ascii(library: Library, open_app: Open) -> None:
    library.fill(count=5)
    library.put_models(
        *(model_row(5 + index, name=name) for index, name in enumerate(HOSTILE_NAMES))
    )
    app = open_app(ascii_only=True)
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("v", "space")
        assert screen_text(app).isascii(), screen_text(app)


@given(
    st.text(max_size=60).map(terminal_safe),
    st.integers(20, 90),
    st.integers(4, 13),
    st.booleans(),
    st.booleans(),
    st.one_of(st.none(), st.floats(allow_nan=True)),
    st.lists(st.floats(-10, 10), max_size=60).map(tuple),
)
def test_any_card_fills_exactly_its_cells(
    text: str,
    width: int,
    height: int,
    ascii_only: bool,
    is_marked: bool,
    figure: float | None,
    sparkline: tuple[float, ...],
) -> None:
    model = ModelSummary(
        "id", text, "1", text, text or None, text, text or None, 3, "excellent", figure, figure,
        figure, figure, None, None, downloaded=is_marked, sparkline=sparkline,
    )  # fmt: skip
    lines = card_lines(model, CardContext(width, height, ascii_only), is_marked=is_marked)
    assert len(lines) == height
    for line in lines:
        assert sum(cell_len(part) for part, _ in line) == width
        assert not ascii_only or all(part.isascii() for part, _ in line)


def test_a_long_name_continues_in_the_second_line_of_a_small_card() -> None:
    model = ModelSummary(
        "id", "Customer Support Emails - 2026-11-26", "1", "stored", "Customer Support Emails",
        "preset", "meta-llama/Llama-3.1-8B-Instruct", 3, "excellent", None, None, None, None, None,
        None, downloaded=False,
    )  # fmt: skip
    for is_marked in (False, True):
        lines = card_lines(model, CardContext(22, 4), is_marked=is_marked)
        texts = ["".join(part for part, _ in line).rstrip(" ●") for line in lines]
        assert texts[:2] == ["Customer Support", "Emails - 2026-11-26"]
        assert "excellent" in texts[2]


@given(st.integers(20, 400), st.integers(5, 200))
def test_cards_fit_into_the_width_and_a_page_is_shown_whole_where_that_is_possible(
    width: int, height: int
) -> None:
    layout = card_layout(width, height)
    assert layout.columns * layout.rows == CARDS_PER_PAGE
    assert layout.columns * layout.width <= width
    if width >= 80 and height >= 20:
        assert layout.rows * layout.height - 1 <= height


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=80).map(tuple),
    st.integers(1, 50),
    st.integers(1, 9),
    st.booleans(),
)
def test_a_curve_of_several_rows_fills_its_cells_and_stands_on_the_ground(
    values: tuple[float, ...], width: int, height: int, ascii_only: bool
) -> None:
    rows = area_chart(values, width, height, ascii_only=ascii_only)
    assert [len(row) for row in rows] == [width] * height
    assert height == 1 or " " not in rows[-1]
