"""The view of the list is restored at the next start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_tui.cache.models import Sort
from lora_tui.errors import DiskError
from lora_tui.tui.view_state import View, ViewMemory, ViewState
from tests.tui.conftest import Open, screen_text, toasts, until
from tests.tui.library import Library


async def test_view_and_order_are_restored_at_the_next_start(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    path = tmp_path / "state" / "views" / "demo.json"
    async with open_app(views=path).run_test(size=(80, 24)) as pilot:
        await pilot.press("s", "j", "enter", "S", "v")
    app = open_app(views=path)
    async with app.run_test(size=(80, 24)):
        assert "page 1 of 4" in screen_text(app)
        assert "Rating, worst first" in screen_text(app)


async def test_an_unwritable_directory_is_reported_and_does_no_other_harm(
    library: Library, open_app: Open, tmp_path: Path
) -> None:
    library.fill()
    (tmp_path / "file").write_text("")
    app = open_app(views=tmp_path / "file" / "views.json")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("v")
        await until(pilot, lambda: any("saved" in toast for toast in toasts(app)))
        assert "page 1 of 4" in screen_text(app)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"cards"',
        "\x00\xff",
        '{"view": 3, "sort": [], "reverse": "no", "preview": null, "columns": {"a": 1}}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_means_a_first_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "views.json"
    path.write_text(text)
    assert ViewMemory(path).state == ViewState()


def test_the_valid_values_of_a_damaged_file_are_used(tmp_path: Path) -> None:
    path = tmp_path / "views.json"
    path.write_text('{"view": "cards", "sort": "no such", "reverse": true, "columns": ["loss", 3]}')
    state = ViewMemory(path).state
    assert state == ViewState(View.CARDS, Sort.CREATED, reverse=True, columns=("loss",))


def test_writing_leaves_one_complete_file_and_no_other(tmp_path: Path) -> None:
    memory = ViewMemory(tmp_path / "views.json")
    memory.state = ViewState(View.CARDS, Sort.SIZE)
    memory.write()
    memory.state = ViewState(View.TABLE, Sort.LOSS, preview=False)
    memory.write()
    assert ViewMemory(tmp_path / "views.json").state == memory.state
    assert [file.name for file in tmp_path.iterdir()] == ["views.json"]
    assert json.loads((tmp_path / "views.json").read_text())["sort"] == "loss"


def test_a_failed_write_is_tried_again(tmp_path: Path) -> None:
    blocked = tmp_path / "views"
    blocked.write_text("")
    memory = ViewMemory(blocked / "views.json")
    memory.state = ViewState(View.CARDS)
    with pytest.raises(DiskError):
        memory.write()
    blocked.unlink()
    memory.write()
    assert ViewMemory(blocked / "views.json").state == memory.state
