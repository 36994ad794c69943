"""Texts of a command break between words, by cells; words, numbers and their units stay whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lora_tui.commands.prose import label_lines, wrapped
from lora_tui.commands.table import WIDE, Column, hidden_headings, sentence_lines, table_lines
from lora_tui.text import cell_width, terminal_safe


@given(text=st.text(st.characters(codec="utf-8"), max_size=200), width=st.integers(1, 60))
def test_no_line_is_wider_than_the_terminal_but_for_one_long_word(text: str, width: int) -> None:
    safe = terminal_safe(text)
    lines = wrapped(safe, width)
    assert " ".join(lines).split() == safe.split()
    for line in lines:
        assert cell_width(line) <= width or len(line.split()) <= 2


def test_wide_and_combining_characters_count_by_their_cells() -> None:
    assert wrapped("日本語 日本語 日本語", 13) == ["日本語 日本語", "日本語"]
    assert wrapped("e\u0301e\u0301e\u0301 e\u0301e\u0301", 6) == [
        "e\u0301e\u0301e\u0301 e\u0301e\u0301"
    ]
    assert sentence_lines(["日本語 日本語"], 12, indent="  ") == ["  日本語", "  日本語"]


def test_ids_paths_and_numbers_with_units_are_not_broken() -> None:
    path = "/home/somebody/adapters/" + "a" * 40
    assert wrapped(f"it is in {path} now", 30) == ["it is in", path, "now"]
    assert wrapped("it fell by a lot (68.8 %).", 24) == ["it fell by a lot", "(68.8 %)."]


def test_a_file_gets_each_fact_on_one_line() -> None:
    long = "word " * 40
    assert label_lines("Reason", long, None) == [f"{'Reason':<20} {long}"]
    assert len(label_lines("Reason", long, 60)) > 3


def test_wide_shows_all_columns_in_full() -> None:
    columns = [Column("NAME", 99, least=4, most=8), Column("COST", 1)]
    rows = [("a name of many characters", "$1.00")]
    assert hidden_headings(columns, rows, 10) == ["COST"]
    assert table_lines(columns, rows, WIDE)[1] == "a name of many characters  $1.00"
