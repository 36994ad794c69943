"""`config set` changes one line of the file and leaves every other byte as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.config.write import set_value, set_values

FIRST = '[profiles.default]\nurl = "https://one.example"\n'


def edited(path: Path, text: str, key: str = "email", value: str = "me@example.com") -> str:
    path.write_bytes(text.encode())
    set_value(path, "default", key, value)
    return path.read_bytes().decode()


@pytest.mark.parametrize(
    "rest",
    [
        "\n# the look\n[ui]\nbell = true\n",
        "# the look\n[ui]\nbell = true\n",
        "\n\n# another project\n\n[profiles.work]\n",
        '[keys]\n"app.sync" = "R"\n',
        "# the end",
    ],
)
def test_a_new_key_comes_directly_after_the_last_key_of_its_table(
    rest: str, tmp_path: Path
) -> None:
    ended = rest if rest.endswith("\n") else f"{rest}\n"
    expected = f'{FIRST}email = "me@example.com"\n{ended}'
    assert edited(tmp_path / "c.toml", FIRST + rest) == expected


def test_a_new_key_follows_the_heading_of_an_empty_table(tmp_path: Path) -> None:
    text = f"[ui] # how it looks\n\n# the project\n{FIRST}"
    expected = f'[ui] # how it looks\ntheme = "dark"\n\n# the project\n{FIRST}'
    assert edited(tmp_path / "c.toml", text, "theme", "dark") == expected


def test_a_new_key_is_indented_like_the_key_above_it(tmp_path: Path) -> None:
    text = '[profiles.default]\n  url = "https://one.example"\n\n# look\n[ui]\n'
    expected = text.replace("\n\n", '\n  email = "me@example.com"\n\n')
    assert edited(tmp_path / "c.toml", text) == expected


def test_the_line_ends_of_windows_are_kept(tmp_path: Path) -> None:
    text = f"{FIRST}\n# look\n[ui]\nbell = true\n".replace("\n", "\r\n")
    expected = text.replace('example"\r\n', 'example"\r\nemail = "me@example.com"\r\n')
    assert edited(tmp_path / "c.toml", text) == expected


@pytest.mark.parametrize(
    "text",
    [
        'profiles.default.url = "https://one.example"\n# x\nui.bell = false\n',
        '[profiles]\ndefault = { url = "https://one.example" } # in one line\n# x\n[ui]\n',
        "# nothing but this",
        "[profiles.default]",
        "[ui]\r\nbell = true",
    ],
)
def test_other_ways_to_write_a_table_are_understood(text: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(text.encode())
    set_values(path, "default", {"email": "me@example.com", "theme": "dark"})
    found = tomllib.loads(path.read_bytes().decode())
    assert found["profiles"]["default"]["email"] == "me@example.com"
    assert found["ui"]["theme"] == "dark"
    assert all(line in path.read_text() for line in text.splitlines() if line.startswith("#"))


def test_removing_a_key_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    assert edited(tmp_path / "c.toml", FIRST, "theme", "") == FIRST


_NOTES = st.lists(
    st.sampled_from(["", "# a note", "  # further in", "#url = 'old'", "# [ui]", "# é ★"]),
    max_size=3,
)
_ENTRIES = {
    "profiles.default": ['url = "https://one.example"  # mine', "email = 'x@example.com'"],
    "profiles.work": ['url = "https://two.example"', "parallel_downloads = 4"],
    "ui": ["bell = true # loud", "sync_interval = 60", "ascii=false"],
    "keys": ['"app.sync" = "R"'],
}


@st.composite
def _files(draw: st.DrawFn) -> list[str]:
    lines = draw(_NOTES)
    for name in draw(st.permutations(list(_ENTRIES)))[: draw(st.integers(0, 4))]:
        lines = [*lines, f"[{name}]", *draw(_NOTES)]
        for entry in draw(st.lists(st.sampled_from(_ENTRIES[name]), unique=True, max_size=3)):
            lines = [*lines, entry, *draw(_NOTES)]
    return lines


@given(lines=_files(), change=st.sampled_from([("email", "me@example.com"), ("theme", "dark")]))
def test_every_other_line_stays_byte_for_byte(
    lines: list[str], change: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("file") / "c.toml"
    text = "".join(f"{line}\n" for line in lines)
    key, value = change
    after = edited(path, text, key, value).splitlines()
    old = next((line for line in lines if line.startswith(key)), None)
    if old is not None:
        assert after == [f'{key} = "{value}"' if line == old else line for line in lines]
        return
    place = after.index(f'{key} = "{value}"')
    heading = "[ui]" if key == "theme" else "[profiles.default]"
    rest = after[:place] + after[place + 1 :]
    if heading not in lines:  # at the end of the file
        assert after[place - 1] == heading
        assert rest == [*lines, *([""] if any(map(str.strip, lines)) else []), heading]
        return
    assert rest == lines
    begin = lines.index(heading)
    table = [number for number, line in enumerate(lines) if line.startswith("[")]
    end = next((number for number in table if number > begin), len(lines))
    entries = [n for n in range(begin, end) if lines[n].strip() and lines[n].lstrip()[0] != "#"]
    assert place == entries[-1] + 1
