"""What is pasted is text: no key of it acts, in whatever parts it arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from textual import events

from lora_tui.tui.paste import PasteFilter, PasteParser

PASTED = st.text(st.sampled_from("xy\r\n[201~m;$\x1b"), max_size=30)


def events_of(parts: list[str]) -> list[object]:
    parser = PasteParser()
    return [event for part in parts for event in parser.feed(part)]


@given(PASTED.filter(lambda text: "\x1b[201~" not in text), st.integers(1, 7))
def test_no_key_of_a_paste_acts(text: str, length: int) -> None:
    whole = f"\x1b[200~{text}\x1b[201~j"
    parts = [whole[at : at + length] for at in range(0, len(whole), length)]
    found = events_of(parts if length > 6 else [whole[:6], *parts_of(whole[6:], length)])
    keys = [event.key for event in found if isinstance(event, events.Key)]
    assert keys == ["j"]


def parts_of(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(0, len(text), length)]


def test_a_coloured_text_is_pasted_without_its_escapes() -> None:
    found = events_of(["\x1b[200~\x1b[31mred\x1b[0m\x1b[201~"])
    assert [event.text for event in found if isinstance(event, events.Paste)] == ["[31mred[0m"]


@given(st.lists(st.text(st.sampled_from("ab\x1b[A201~"), max_size=8), max_size=6))
def test_what_is_typed_arrives_at_once_and_unchanged(parts: list[str]) -> None:
    if "\x1b[200~" not in "".join(parts):
        cleaner = PasteFilter()
        assert [cleaner.clean(part) for part in parts] == parts
