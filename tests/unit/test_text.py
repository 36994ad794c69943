"""Remote text can't run the terminal, and remote names can't leave their directory."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.filenames import distinct_file_names, safe_file_name, slug
from lora_tui.text import cell_width, fit, terminal_safe

wild = st.text(st.characters(), max_size=80) | st.text(
    st.sampled_from("\x1b[]\x07\x00\x9b\u202e\u2066\u200b\ufeff\r\n\t/\\.: ~acon日👩‍💻e\u0301"),
    max_size=40,
)


@given(wild)
def test_no_control_or_bidi_character_survives(text: str) -> None:
    for character in terminal_safe(text):
        assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


@given(wild)
def test_neutralising_twice_changes_nothing(text: str) -> None:
    assert terminal_safe(terminal_safe(text)) == terminal_safe(text)


def test_an_escape_sequence_is_defused_but_the_name_stays_readable() -> None:
    assert terminal_safe("\x1b]0;owned\x07my model\x1b[31m") == "]0;ownedmy model[31m"
    assert terminal_safe("invoice\u202egpj.exe") == "invoicegpj.exe"


def test_markup_is_left_as_text() -> None:
    assert terminal_safe("[red]x[/red]") == "[red]x[/red]"


def test_a_tower_of_combining_marks_is_cut_down() -> None:
    assert terminal_safe("a" + "\u0301" * 50) == "a" + "\u0301" * 4


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert terminal_safe("x" * 100_000, limit=10) == "x" * 9 + "…"


def test_lines_are_kept_where_they_are_asked_for() -> None:
    assert terminal_safe("a\nb\x00\n c ", lines=True) == "a\nb\nc"
    assert terminal_safe("a\nb") == "a b"


@given(wild, st.integers(1, 30))
def test_a_fitted_text_takes_exactly_its_cells(text: str, width: int) -> None:
    assert cell_width(fit(terminal_safe(text), width)) == width


@given(wild)
def test_a_file_name_is_one_harmless_segment(name: str) -> None:
    safe = safe_file_name(name)
    assert PurePosixPath(safe).name == safe
    assert safe not in ("", ".", "..")
    assert not safe.startswith(".")
    assert not set(safe) & set('/\\:*?"<>|\0')
    assert len(safe.encode()) <= 200
    assert safe_file_name(safe) == safe


@pytest.mark.parametrize(
    ("remote", "local"),
    [
        ("../../etc/passwd", "passwd"),
        ("A\x1f\u0300.json", "\u00c0.json"),
        ("..\\..\\evil.dll", "evil.dll"),
        ("/etc/shadow", "shadow"),
        (".bashrc", "bashrc"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("..", "unnamed"),
        ("adapter_config.json", "adapter_config.json"),
        ("a\x1b[31m.bin", "a[31m.bin"),
    ],
)
def test_known_tricks_with_names_come_to_nothing(remote: str, local: str) -> None:
    assert safe_file_name(remote) == local


@given(st.lists(wild, max_size=8))
def test_names_never_collide_even_by_case(names: list[str]) -> None:
    local = distinct_file_names(names, taken={"lora-tui.json"})
    folded = [name.casefold() for name in local.values()]
    assert len(set(folded)) == len(set(names))
    assert "lora-tui.json" not in folded


def test_a_slug_is_plain_and_never_empty() -> None:
    assert slug("Customer Support – Réponses (v2)") == "customer-support-reponses-v2"
    assert slug("日本語") == "model"
