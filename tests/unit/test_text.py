"""Remote text can't run the terminal, and remote names can't leave their directory."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.filenames import distinct_file_names, safe_file_name, slug
from lora_tui.text import cell_width, fit, fit_ends, terminal_safe

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
    assert cell_width(fit_ends(terminal_safe(text), width)) == width


def test_a_name_that_is_cut_keeps_the_date_at_its_end() -> None:
    name = "Customer Support Emails - 2026-11-23"
    assert fit_ends(name, 28) == "Customer Support…2026-11-23 "
    assert fit_ends(name, 22) == "Customer Su…2026-11-23"
    assert fit_ends(name, 36) == name


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
        ("COM¹.txt", "_COM¹.txt"),
        ("name. . ", "name"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("..", "unnamed"),
        ("adapter_config.json", "adapter_config.json"),
        ("a\x1b[31m.bin", "a[31m.bin"),
    ],
)
def test_known_tricks_with_names_come_to_nothing(remote: str, local: str) -> None:
    assert safe_file_name(remote) == local


ENDINGS = (".part", ".part.json", ".part.new")
alike = st.text(st.sampled_from("aAäÄa\u0308ıİiIſsßK\u212akﬁ.-_/ \ufe0f\u3164"), max_size=5)
ours = (
    st.sampled_from(["lora-tui.json", "LORA-TUI.json", "lora\u200b-tui.json", "x", "X", "x.part"])
    | st.sampled_from(["x.PART", "x.part_", "x.part.json", "x.part.json_", "x.ｐａｒｔ", "con"])
    | st.sampled_from(["COM¹", "..", "", "unnamed", "a" * 300])
)
names = wild | alike | ours | st.tuples(alike | ours, ours).map("".join)


@given(st.lists(names, max_size=10), st.randoms())
def test_any_names_give_as_many_files_on_any_file_system(names: list[str], random: Random) -> None:
    local = distinct_file_names(names, taken={"lora-tui.json"}, endings=ENDINGS)
    shuffled = list(names)
    random.shuffle(shuffled)
    again = distinct_file_names(shuffled, taken={"lora-tui.json"}, endings=ENDINGS)
    assert again == local, "the same names give the same files"
    beside = [f"{name}{ending}" for name in local.values() for ending in ("", *ENDINGS)]
    beside.append("lora-tui.json")
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        for fold in (str.casefold, str.lower, str.upper):
            seen = {
                unicodedata.normalize(form, fold(unicodedata.normalize(form, n))) for n in beside
            }
            assert len(seen) == 4 * len(set(names)) + 1
    for name in local.values():
        assert safe_file_name(name) == name
        assert len(name.encode()) <= 200


def test_a_file_that_needs_no_other_name_keeps_its_own() -> None:
    local = distinct_file_names(["A/config.json", "config.json", "Config.json"])
    assert local["config.json"] != local["Config.json"]
    assert "Config.json" in local.values()
    assert distinct_file_names(["../config.json", "config.json"])["config.json"] == "config.json"


def test_a_slug_is_plain_and_never_empty() -> None:
    assert slug("Customer Support – Réponses (v2)") == "customer-support-reponses-v2"
    assert slug("日本語") == "model"
