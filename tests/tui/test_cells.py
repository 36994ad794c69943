"""Text keeps to its cells, whatever it is made of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lora_tui.text import terminal_safe
from lora_tui.widgets.cells import fit, fit_path, normalize_width, shorten_paths
from lora_tui.widgets.charts.sparkline import sparkline
from lora_tui.widgets.model_columns import MODEL_COLUMNS


@given(st.text(), st.integers(0, 60), st.booleans(), st.booleans())
def test_any_text_fills_exactly_its_cells(
    text: str, width: int, right: bool, ascii_only: bool
) -> None:
    fitted = fit(terminal_safe(text), width, right=right, ascii_only=ascii_only)
    assert cell_len(fitted) == width
    assert fitted.isascii() or not ascii_only


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("adapter", 9, "adapter  "),
        ("adapter", 5, "adap…"),
        ("two words", 5, "two… "),
        ("客户支持", 5, "客户…"),
        ("客户支持", 6, "客户… "),
        ("客", 1, "…"),
        ("👍🏽 ok", 5, "👍 ok"),
        ("🇫🇷", 4, "FR  "),
    ],
)
def test_long_text_ends_in_an_ellipsis(text: str, width: int, shown: str) -> None:
    assert fit(text, width) == shown


def test_ascii_keeps_letters_without_their_accents() -> None:
    assert normalize_width("Zoë – naïve → “ok”", ascii_only=True) == 'Zoe - naive -> "ok"'


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200).map(tuple),
    st.integers(0, 40),
    st.booleans(),
)
def test_a_sparkline_of_any_values_fills_exactly_its_cells(
    values: tuple[float, ...], width: int, ascii_only: bool
) -> None:
    drawn = sparkline(values, width, ascii_only=ascii_only)
    assert cell_len(drawn) == len(drawn) == width
    assert drawn.isascii() or not ascii_only


def test_a_curve_that_falls_is_drawn_falling() -> None:
    falling = tuple(math.exp(-step / 5) for step in range(32))
    drawn = sparkline(falling, 8)
    dots = [(ord(cell) - 0x2800).bit_count() for cell in drawn]
    assert dots == sorted(dots, reverse=True)
    assert dots[0] > dots[-1] > 0


def test_a_curve_that_runs_away_ends_high() -> None:
    assert sparkline((1.0, 1.0, 1.0, 9.0), 4, ascii_only=True) == "...#"


@given(st.integers(55, 300))
def test_columns_never_overlap_nor_leave_the_line(width: int) -> None:
    end = 0
    for placed in MODEL_COLUMNS.layout(width):
        assert placed.left >= end
        assert placed.width > 0
        end = placed.left + placed.width + 1
    assert end - 1 <= width


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, "/home/you/downloads/sql-assistant-2d3e"),
        (37, "…/you/downloads/sql-assistant-2d3e"),
        (30, "…/downloads/sql-assistant-2d3e"),
        (29, "…/sql-assistant-2d3e"),
        (12, "…istant-2d3e"),
    ],
)
def test_a_long_path_loses_whole_components_from_its_beginning(width: int, shown: str) -> None:
    fitted = fit_path("/home/you/downloads/sql-assistant-2d3e", width)
    assert fitted == shown
    assert cell_len(fitted) <= width


def test_only_paths_are_shortened_in_a_text() -> None:
    text = (
        "Can't write to /home/you/downloads/sql-assistant-2d3e\nsee https://p.example/a/b/c/d/e/f"
    )
    assert shorten_paths(text, 22) == (
        "Can't write to …/sql-assistant-2d3e\nsee https://p.example/a/b/c/d/e/f"
    )
    assert shorten_paths("/home/you/my models/sql-assistant-2d3e", 31) == (
        "…/my models/sql-assistant-2d3e"
    )
