"""Pictures of states that are rare in a demo: odd curves, nothing to reach, few colours."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.cache import metrics
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.metadata import SyncErrorKind
from lora_tui.cache.metric_columns import ReadRun
from lora_tui.clock import timestamp_text
from lora_tui.config.paths import find_paths
from lora_tui.config.shown import Settings
from lora_tui.config.table import Profile
from lora_tui.curves.metrics_series import TRAINING, MetricRun
from lora_tui.domain import MetricPoint
from lora_tui.screens import metrics_screen
from tests.tui.conftest import Open, show_model
from tests.tui.library import HOSTILE_NAMES, NOW, Library, model_row, notice_row
from tests.tui.test_harvest import Made, make, put_all_states
from tests.tui.test_snapshots import LARGE, SMALL, Compare
from tests.tui.whole_model import JOB, put_model, put_points

__all__ = ["make"]  # a fixture
FEW_COLOURS: Final = pytest.mark.parametrize("theme", ["ansi", "mono"])


def log(library: Library, losses: Sequence[float | None]) -> None:
    """These training losses, every tenth with a validation loss."""
    points = [
        MetricPoint(
            id=f"{number:06}",
            timestamp=timestamp_text(NOW + timedelta(seconds=number)),
            step=number * 10.0,
            epoch=None,
            training_loss=loss,
            validation_loss=loss if number % 10 == 0 else None,
        )
        for number, loss in enumerate(losses)
    ]
    with closing(open_cache(library.path)) as db, transaction(db, Topic.CURVES):
        metrics.add_points(db, JOB, points)
        metrics.draw_curve(db, JOB)


def falling(count: int) -> list[float]:
    return [0.7 + 1.6 * math.exp(-5 * n / count) + 0.1 * math.sin(n * 2.3) for n in range(count)]


class TestCurves:
    @pytest.mark.parametrize(
        "losses",
        [
            [*falling(60), *[math.nan] * 30, math.inf, *falling(9)],
            [math.nan] * 12,
            [1.25],
            [0.5] * 50,
        ],
        ids=["broken off by NaN and inf", "nothing but NaN", "one point", "always the same"],
    )
    def test_curve(
        self, library: Library, open_app: Open, snap_compare: Compare, losses: list[float]
    ) -> None:
        put_model(library)
        log(library, losses)
        assert snap_compare(open_app(), terminal_size=(100, 40), run_before=self._shown)

    def test_a_million_points(
        self,
        library: Library,
        open_app: Open,
        snap_compare: Compare,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        put_model(library)
        put_points(library)
        steps = array("d", range(1_000_000))
        losses = array("d", falling(1_000)) * 1_000
        run = MetricRun([TRAINING])
        run.add(steps, [None] * len(steps), steps, {TRAINING: losses})
        monkeypatch.setattr(metrics_screen, "read_metrics", lambda _db, job_id: ReadRun(run, None))
        assert snap_compare(open_app(), terminal_size=(100, 40), run_before=self._shown)

    async def _shown(self, pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        await show_model(pilot.app, pilot)


@FEW_COLOURS
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x48"])
def test_compare(
    library: Library, open_app: Open, snap_compare: Compare, theme: str, size: tuple[int, int]
) -> None:
    library.fill()
    keys = [*["space"] * 4, "c", "b", "right"]
    assert snap_compare(open_app(theme=theme), press=keys, terminal_size=size)


@FEW_COLOURS
def test_harvest(
    library: Library,
    make: Made,
    snap_compare: Compare,
    theme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, _high: 1.0)
    app = make(theme=theme)
    put_all_states(app, library)
    assert snap_compare(app, press=["h", "j"], terminal_size=SMALL)


@FEW_COLOURS
@pytest.mark.parametrize("keys", [("j",), (*"jjjj", "enter")], ids=["list", "typing"])
def test_settings(
    library: Library,
    open_app: Open,
    home: Path,
    snap_compare: Compare,
    theme: str,
    keys: Sequence[str],
) -> None:
    del home
    library.fill(count=3)
    paths = find_paths({"LORA_TUI_HOME": "/nowhere/lora-tui"})
    profile = Profile("work", paths, "https://p.example", "k")
    settings = Settings(profile, Path("/nowhere/lora-tui/cache/work.sqlite3"), environment={})
    app = open_app(settings=settings, theme=theme)

    async def shown(pilot: Pilot[Any]) -> None:
        await pilot.press("comma", *keys)

    assert snap_compare(app, terminal_size=SMALL, run_before=shown)


@pytest.mark.parametrize("theme", ["dark", "mono"])
def test_serving(library: Library, open_app: Open, snap_compare: Compare, theme: str) -> None:
    library.fill()
    assert snap_compare(open_app(theme=theme), press=["enter", "s", "2"], terminal_size=SMALL)


@pytest.mark.parametrize(
    "keys", [("space", "space", "c"), ("n",)], ids=["compare", "notifications"]
)
@pytest.mark.parametrize("size", [(60, 15), (200, 60)], ids=["60x15", "200x60"])
def test_sizes(
    library: Library,
    open_app: Open,
    snap_compare: Compare,
    keys: Sequence[str],
    size: tuple[int, int],
) -> None:
    library.fill()
    library.put_notices(*(notice_row(number, read=True) for number in range(8)))
    assert snap_compare(open_app(), press=keys, terminal_size=size)


@pytest.mark.parametrize(
    "error_kind", [SyncErrorKind.LOGIN, SyncErrorKind.DENIED], ids=["ended", "denied"]
)
def test_no_way_to_the_backend(
    library: Library, open_app: Open, snap_compare: Compare, error_kind: SyncErrorKind
) -> None:
    library.fill()
    library.put_state(error="The session has ended", error_kind=error_kind)
    assert snap_compare(open_app(), terminal_size=SMALL)


def test_hostile_notifications(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.fill(count=0)
    library.put_models(*(model_row(n, name=name) for n, name in enumerate(HOSTILE_NAMES)))
    library.put_notices(
        *(notice_row(n, title=name, message=name) for n, name in enumerate(HOSTILE_NAMES))
    )
    assert snap_compare(open_app(), press=["n"], terminal_size=SMALL)


def test_help_of_the_chart(library: Library, open_app: Open, snap_compare: Compare) -> None:
    library.fill()
    keys = ["space", "space", "c", "question_mark", "pagedown"]
    assert snap_compare(open_app(), press=keys, terminal_size=SMALL)
