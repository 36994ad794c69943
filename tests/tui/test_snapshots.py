"""Pictures of the list in its states; `pytest --snapshot-update` accepts a change, after a look."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.config.table import THEME_NAMES
from tests.tui.conftest import Open
from tests.tui.library import HOSTILE_NAMES, Library, model_row, notice_row

SMALL, LARGE = (80, 24), (160, 48)
Compare = Callable[..., bool]


@pytest.fixture
def app(library: Library, open_app: Open) -> LoraTuiApp:
    """On an ordinary account."""
    library.fill()
    return open_app()


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_models(app: LoraTuiApp, snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(app, press=["j", "space", "j"], terminal_size=size)


def test_light(app: LoraTuiApp, snap_compare: Compare) -> None:
    assert snap_compare(app, press=["T", "j"], terminal_size=SMALL)


def test_empty(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.put_state()
    assert snap_compare(open_app(), terminal_size=SMALL)


def test_first_sync(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.put_state(synced=None, running=True)
    assert snap_compare(open_app(), terminal_size=SMALL)


def test_offline(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.fill()
    library.put_state(error="No answer from the backend")
    assert snap_compare(open_app(), terminal_size=SMALL)


def test_ascii(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.fill()
    assert snap_compare(open_app(ascii_only=True), press=["j", "space"], terminal_size=SMALL)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_hostile_names(
    library: Library, open_app: Open, snap_compare: Compare, size: tuple[int, int]
) -> None:
    library.fill(count=2)
    library.put_models(
        *(model_row(2 + index, name=name) for index, name in enumerate(HOSTILE_NAMES))
    )
    assert snap_compare(open_app(), terminal_size=size)


def test_no_match(app: LoraTuiApp, snap_compare: Compare) -> None:
    assert snap_compare(app, press=["slash", *"zzz", "enter"], terminal_size=SMALL)


def test_sort_menu(app: LoraTuiApp, snap_compare: Compare) -> None:
    assert snap_compare(app, press=["s"], terminal_size=SMALL)


def test_help(app: LoraTuiApp, snap_compare: Compare) -> None:
    assert snap_compare(app, press=["question_mark"], terminal_size=SMALL)


def test_notifications(library: Library, app: LoraTuiApp, snap_compare: Compare) -> None:
    library.put_notices(*(notice_row(number, read=number > 2) for number in range(8)))
    assert snap_compare(app, press=["n"], terminal_size=SMALL)


def test_no_colour(
    library: Library, open_app: Open, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    library.fill()
    assert snap_compare(open_app(), press=["j", "space"], terminal_size=SMALL)


@pytest.mark.parametrize("theme", THEME_NAMES)
@pytest.mark.parametrize("screen", [["j", "space", "f"], ["enter"]], ids=["models", "model"])
def test_themes(
    library: Library, open_app: Open, snap_compare: Compare, theme: str, screen: list[str]
) -> None:
    library.fill()
    assert snap_compare(open_app(theme=theme), press=screen, terminal_size=SMALL)


def test_too_small(app: LoraTuiApp, snap_compare: Compare) -> None:
    assert snap_compare(app, terminal_size=(39, 12))


class TestCards:
    @pytest.mark.parametrize(
        "size", [(60, 20), SMALL, LARGE, (200, 60)], ids=["60x20", "80x24", "160x48", "200x60"]
    )
    def test_cards(self, app: LoraTuiApp, snap_compare: Compare, size: tuple[int, int]) -> None:
        assert snap_compare(app, press=["v", "right", "space", "down"], terminal_size=size)

    def test_first_sync(self, library: Library, open_app: Open, snap_compare: Compare) -> None:
        library.put_state(synced=None, running=True)
        assert snap_compare(open_app(), press=["v"], terminal_size=SMALL)

    def test_offline(self, library: Library, open_app: Open, snap_compare: Compare) -> None:
        library.fill()
        library.put_state(error="No answer from the backend")
        assert snap_compare(open_app(), press=["v", "end"], terminal_size=SMALL)

    def test_ascii(self, library: Library, open_app: Open, snap_compare: Compare) -> None:
        library.fill()
        app = open_app(ascii_only=True)
        assert snap_compare(app, press=["v", "space"], terminal_size=(100, 40))

    def test_no_colour(
        self,
        library: Library,
        open_app: Open,
        snap_compare: Compare,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        library.fill()
        assert snap_compare(open_app(), press=["v", "space"], terminal_size=SMALL)

    def test_hostile_names(self, library: Library, open_app: Open, snap_compare: Compare) -> None:
        library.fill(count=2)
        library.put_models(
            *(model_row(2 + index, name=name) for index, name in enumerate(HOSTILE_NAMES))
        )
        assert snap_compare(open_app(), press=["v"], terminal_size=(120, 40))


class TestList:
    @pytest.mark.parametrize(
        "size", [(40, 10), (60, 20), (200, 60)], ids=["40x10", "60x20", "200x60"]
    )
    def test_models(self, app: LoraTuiApp, snap_compare: Compare, size: tuple[int, int]) -> None:
        assert snap_compare(app, press=["j", "space", "j"], terminal_size=size)

    def test_without_the_pane(self, app: LoraTuiApp, snap_compare: Compare) -> None:
        assert snap_compare(app, press=["p", "j"], terminal_size=LARGE)

    def test_columns(self, app: LoraTuiApp, snap_compare: Compare) -> None:
        assert snap_compare(app, press=["C", "j", "space"], terminal_size=SMALL)

    def test_marked_range(self, app: LoraTuiApp, snap_compare: Compare) -> None:
        keys = ["j", "shift+down", "shift+down", "d"]
        assert snap_compare(app, press=keys, terminal_size=SMALL)

    def test_failed(self, library: Library, open_app: Open, snap_compare: Compare) -> None:
        library.put_state(synced=None, error="No answer from the backend")
        assert snap_compare(open_app(), terminal_size=SMALL)

    def test_the_pane_in_ascii(
        self, library: Library, open_app: Open, snap_compare: Compare
    ) -> None:
        library.fill()
        assert snap_compare(open_app(ascii_only=True), press=["j"], terminal_size=LARGE)
