"""What one sees and can do on a model's page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from textual.pilot import Pilot

from lora_tui import clock
from lora_tui.app import LoraTuiApp
from lora_tui.cache.transfer_queue import TransferState
from lora_tui.errors import CancelledError, DiskError, UnreachableError
from lora_tui.screens.choose_files import ChooseFilesScreen
from lora_tui.screens.models import ModelsScreen
from lora_tui.widgets.charts.metric_charts import MetricCharts
from lora_tui.widgets.file_list import FileList
from lora_tui.widgets.styled_lines import StyledLines
from tests.tui.conftest import (
    Open,
    model_page,
    screen_text,
    show_model,
    toasts,
    type_at_once,
    until,
)
from tests.tui.library import (
    HOSTILE_NAMES,
    NOW,
    FakeWriters,
    Library,
    failing,
    identifier,
)
from tests.tui.whole_model import (
    CONFIGURATION,
    DIRECTORY,
    HIGH,
    JOB,
    MIB,
    MODEL,
    NARROW,
    WIDE,
    finish,
    put_model,
    put_points,
    queue_files,
    report,
)


def footer(app: LoraTuiApp) -> str:
    return screen_text(app).splitlines()[-1]


async def test_every_figure_of_the_web_pages_is_shown_as_they_write_it(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, HIGH):
        text = screen_text(app)
    for figure in (
        "4/5", "★★★★☆", "good convergence", "0.8214", "0.9345", "2.55", "48.3 %", "12,480",
        "2.31 h", "$4.36", "18,420", "brightrun_lora_v4", "NVIDIA A100 80GB", "1.0.0", "stored",
    ):  # fmt: skip
        assert figure in text


@pytest.mark.slow
async def test_known_hyperparameters_come_first_and_unknown_ones_are_not_lost(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, WIDE):
        text = screen_text(app)
    known = [
        "Base model", "Rank", "Alpha", "Dropout", "Learning rate", "Batch size", "Warm-up steps",
        "Weight decay", "optimizer",
    ]  # fmt: skip
    places = [text.index(label) for label in known]
    assert places == sorted(places)
    assert "adamw_8bit" in text
    assert "2e-4" in text


async def test_the_second_opinion_is_shown_beside_the_stars_with_its_reasons(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, WIDE):
        text = screen_text(app)
    assert "Second opinion  healthy" in text
    assert "Suggested rating: 5/5, 1 star more than the stored" in text
    assert "✓ The smoothed training loss fell from" in text


@pytest.mark.slow
async def test_a_run_without_metrics_has_no_second_opinion(
    library: Library, open_app: Open
) -> None:
    put_model(library)
    app = open_app()
    async with model_page(app, WIDE):
        assert "Second opinion" not in screen_text(app)


async def test_a_small_terminal_shows_figures_and_chart_on_the_first_page(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, NARROW):
        screen = app.screen
        text = screen_text(app)
        chart = screen.query_one(MetricCharts)
        assert chart.region.bottom <= 22
    assert "0.8214" in text
    assert "validation" in text


@pytest.mark.slow
async def test_the_keys_of_vi_and_the_paging_keys_scroll(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        screen = app.screen
        page = screen.query_one("#page")
        assert "Hyperparameters" not in screen_text(app)
        await pilot.press("j", "j", "k")
        assert page.scroll_offset.y == 1
        await pilot.press("G")
        await until(pilot, lambda: page.is_vertical_scroll_end)
        assert identifier("model", 0) in screen_text(app)
        await pilot.press("g", "pagedown")
        assert page.scroll_offset.y > 10
        await pilot.press("pageup")
        assert page.scroll_offset.y == 0


async def test_escape_goes_back_to_the_list(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("escape")
        assert isinstance(app.screen, ModelsScreen)


async def test_d_downloads_all_files(model: Library, writers: FakeWriters, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: ("download", MODEL) in writers.asked)


@pytest.mark.slow
async def test_files_to_download_can_be_chosen(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ChooseFilesScreen))
        await pilot.press("n", "j", "space", "enter")
        await until(pilot, lambda: ("download", MODEL, "adapter_config.json") in writers.asked)


@pytest.mark.slow
async def test_choosing_nothing_downloads_nothing(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        screen = app.screen
        await pilot.press("D", "n", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert not any(call[0] == "download" for call in writers.asked)


async def test_the_file_selection_shows_the_size_that_a_download_found(
    library: Library, open_app: Open
) -> None:
    unsized = {**CONFIGURATION, "files": {}}
    library.begin("no sizes", lambda: put_model(library, configuration=unsized))
    queue_files(library)
    report(library, "adapter_model.safetensors", TransferState.DONE, 48 * MIB)
    report(library, "adapter_config.json", TransferState.CANCELLED, 0)
    report(library, "tokenizer.json", TransferState.CANCELLED, 0)
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, ChooseFilesScreen))
        lines = [line for line in screen_text(app).splitlines() if "] adapter_model" in line]
        assert "48.0 MiB  downloaded" in lines[0]


async def test_files_that_are_here_are_not_chosen_again(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    queue_files(model)
    report(model, "adapter_model.safetensors", TransferState.DONE, 48 * MIB)
    report(model, "adapter_config.json", TransferState.FAILED, 0, "gone")
    report(model, "tokenizer.json", TransferState.CANCELLED, 0)
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("D", "enter")
        expected = ("download", MODEL, "adapter_config.json", "tokenizer.json")
        await until(pilot, lambda: expected in writers.asked)


@pytest.mark.slow
async def test_a_download_shows_bytes_rate_and_time_left_and_then_where_the_files_are(
    model: Library, writers: FakeWriters, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = open_app()
    async with model_page(app, WIDE) as pilot:
        queue_files(model)
        await halfway(model, monkeypatch, app, pilot)
        text = screen_text(app)
        assert "24.0 MiB of 48.0 MiB  4.0 MiB/s  00:06 left" in text
        assert "queued" in text
        finish(model)
        app.poll_cache()
        await until(pilot, lambda: "verified" in screen_text(app))
        text = screen_text(app)
        assert text.count("✓ verified") == 3
        assert str(DIRECTORY) in text
        assert "left" not in text


async def halfway(
    library: Library, monkeypatch: pytest.MonkeyPatch, app: LoraTuiApp, pilot: Pilot[None]
) -> None:
    """Half of the first file has come, at 4 MiB a second; the screen has seen it come."""
    files = app.screen.query_one(FileList)
    for second in (0, 1, 2):
        monkeypatch.setattr(clock, "now", lambda second=second: NOW + timedelta(seconds=second))
        done = 16 * MIB + second * 4 * MIB
        report(library, "adapter_model.safetensors", TransferState.RUNNING, done)
        app.poll_cache()
        share = f"{100 * done // (48 * MIB)} %"
        await until(pilot, lambda share=share: share in text_of(files))
    monkeypatch.setattr(clock, "now", lambda: NOW)


def text_of(widget: StyledLines) -> str:
    return "\n".join("".join(text for text, _ in line) for line in widget.lines(100))


@pytest.mark.slow
async def test_x_stops_a_running_download(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("x")
        assert ("cancel_download", MODEL) not in writers.asked
        queue_files(model)
        app.poll_cache()
        await until(pilot, lambda: "Stop" in footer(app))
        await pilot.press("x")
        await until(pilot, lambda: ("cancel_download", MODEL) in writers.asked)


async def test_x_right_after_d_stops_the_download_that_only_begins(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    """The engine has not put its files into the queue yet."""
    go_on = threading.Event()

    def fetch(_model_id: str) -> None:
        go_on.wait()
        queue_files(model)
        writers.let_go.wait()
        raise CancelledError("The download was stopped")

    writers.on_download = fetch
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        type_at_once(app, "d", "x")
        await until(pilot, lambda: ("download", MODEL) in writers.asked)
        go_on.set()
        await until(pilot, lambda: ("cancel_download", MODEL) in writers.asked)
        await until(pilot, lambda: any("Download stopped" in toast for toast in toasts(app)))


@pytest.mark.slow
async def test_a_file_that_failed_says_why(model: Library, open_app: Open) -> None:
    queue_files(model)
    report(model, "tokenizer.json", TransferState.FAILED, 0, "The checksum is wrong")
    finish(model)
    app = open_app()
    async with model_page(app, WIDE):
        text = screen_text(app)
    assert "✗ failed" in text
    assert "The checksum is wrong" in text


@pytest.mark.slow
async def test_a_finished_download_is_announced_with_its_directory(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    def fetch(_model_id: str) -> None:
        queue_files(model)
        finish(model)

    writers.on_download = fetch
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: bool(toasts(app)))
        (toast,) = toasts(app)
    assert str(DIRECTORY) in toast


async def test_a_download_that_fails_says_what_to_do(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    writers.on_download = failing(DiskError("The disk is full", remedy="free some space"))
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: bool(toasts(app)))
        (toast,) = toasts(app)
    assert "The disk is full" in toast
    assert "free some space" in toast


async def test_a_curve_that_is_not_here_is_fetched_and_drawn(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    put_model(library)
    go_on = threading.Event()

    def load(_job_id: str) -> None:
        go_on.wait()
        put_points(library)

    writers.on_load_curve = load
    app = open_app()
    async with app.run_test(size=NARROW) as pilot:
        app.open_model(MODEL)
        await until(pilot, lambda: "loading curve…" in screen_text(app))
        go_on.set()
        await until(pilot, lambda: "smoothed" in screen_text(app))
    assert ("load_curve", JOB) in writers.asked


async def test_offline_the_missing_curve_says_so_and_what_to_do(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    put_model(library)
    writers.on_load_curve = failing(UnreachableError("No answer", remedy="check the network"))
    app = open_app()
    async with model_page(app, NARROW):
        text = screen_text(app)
        assert "The curve can't be loaded: No answer" in text
        assert "check the network" in text
        assert toasts(app) == []


@pytest.mark.slow
async def test_offline_a_curve_that_is_here_is_shown_without_a_complaint(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    writers.on_load_curve = failing(UnreachableError("No answer"))
    app = open_app()
    async with model_page(app, NARROW):
        assert "smoothed" in screen_text(app)
        assert "No answer" not in screen_text(app)
        assert toasts(app) == []


async def test_a_run_that_logged_nothing_says_so(library: Library, open_app: Open) -> None:
    put_model(library)
    app = open_app()
    async with model_page(app, NARROW):
        assert "No metric points were logged for this run" in screen_text(app)
        assert "Log" not in footer(app)


async def test_the_crosshair_reads_the_values_off(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        assert "step" not in screen_text(app)
        await pilot.press("left")
        assert "step 11,970" in screen_text(app)
        assert "╍╍ 0.9430" in screen_text(app)
        await pilot.press("left")
        assert "step 11,970" not in screen_text(app)
        await pilot.press("right", "right", "right")
        assert "step 11,970" in screen_text(app)


async def test_l_and_f_change_how_the_curve_is_drawn(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("l", "f")
        text = screen_text(app)
        assert "log scale" in text
        assert "smoothed" not in text
        await pilot.press("l", "f")
        assert "log scale" not in screen_text(app)
        assert "smoothed" in screen_text(app)


async def test_new_points_appear_while_one_looks(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        assert "20,000" not in screen_text(app)
        put_points(model, 800)
        app.poll_cache()
        await until(pilot, lambda: "20,000" in screen_text(app))


async def test_y_copies_the_id(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("y")
        assert app.clipboard == MODEL


async def test_a_model_that_was_deleted_meanwhile_says_so_and_escape_leaves(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        model.delete_models(0)
        app.poll_cache()
        await until(pilot, lambda: "This model is gone" in screen_text(app))
        assert "0.8214" not in screen_text(app)
        assert "Download" not in footer(app)
        await pilot.press("d", "D", "l", "left", "escape")
        assert isinstance(app.screen, ModelsScreen)


@pytest.mark.slow
async def test_odd_json_leaves_a_page_that_can_be_read(library: Library, open_app: Open) -> None:
    put_model(
        library,
        quality_metrics=None,
        training_summary=[],
        configuration="nonsense",
        artifacts=7,
        dataset_id="",
        job_id="",
    )
    app = open_app()
    async with model_page(app, WIDE):
        text = screen_text(app)
    assert "not rated" in text
    assert "not recorded" in text
    assert "This model has no files." in text
    assert "has no training job" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_no_remote_text_can_run_the_terminal_or_the_markup(
    library: Library, open_app: Open, name: str
) -> None:
    put_model(
        library,
        name=name,
        version=name,
        description=name,
        artifacts={name: "u/m/f"},
        configuration={"hyperparameters": {name: name}, "gpu_config": {"type": name}},
    )
    put_points(library)
    app = open_app()
    async with model_page(app, WIDE):
        text = screen_text(app)
        assert app.is_running
    assert "\x1b" not in text
    assert "\u202e" not in text
    if "[red]" in name:
        assert "[red]Markup[/red]" in text


@pytest.mark.slow
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_any_size_is_drawn_while_the_terminal_is_resized(
    model: Library, open_app: Open, ascii_only: bool
) -> None:
    queue_files(model)
    app = open_app(ascii_only=ascii_only)
    async with model_page(app, WIDE) as pilot:
        await pilot.press("left", "left")
        for size in ((110, 30), (109, 30), (80, 24), (60, 15), (20, 5), (1, 1), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "0.8214" in screen_text(app)


@pytest.mark.slow
async def test_ascii_only_means_ascii_only(model: Library, open_app: Open) -> None:
    queue_files(model)
    report(model, "adapter_config.json", TransferState.DONE, 620)
    report(model, "tokenizer.json", TransferState.RUNNING, MIB)
    app = open_app(ascii_only=True)
    async with model_page(app, WIDE) as pilot:
        await pilot.press("left")
        page = screen_text(app).splitlines()[:-1]
    assert [line for line in page if not line.isascii()] == []


class TestPictures:
    """How the page looks. `pytest --snapshot-update` after a change that is meant."""

    async def _shown(self, pilot: Pilot[None], *keys: str) -> None:
        app = pilot.app
        assert isinstance(app, LoraTuiApp)
        await show_model(app, pilot)
        await pilot.press(*keys)

    def test_a_model_on_a_small_terminal(
        self, model: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        assert snap_compare(open_app(), terminal_size=NARROW, run_before=self._shown)

    def test_a_model_on_a_wide_terminal_with_the_crosshair(
        self, model: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await self._shown(pilot, "left", *["left"] * 30)

        assert snap_compare(open_app(), terminal_size=WIDE, run_before=shown)

    def test_a_run_without_metrics(
        self, library: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        put_model(
            library,
            quality_metrics={"overall_score": 3, "convergence_quality": "unknown"},
            training_summary={},
        )
        assert snap_compare(open_app(), terminal_size=NARROW, run_before=self._shown)

    @pytest.mark.parametrize("size", [NARROW, WIDE])
    def test_a_download_half_way(
        self,
        model: Library,
        open_app: Open,
        snap_compare: Callable[..., bool],
        monkeypatch: pytest.MonkeyPatch,
        size: tuple[int, int],
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await self._shown(pilot)
            app = pilot.app
            assert isinstance(app, LoraTuiApp)
            queue_files(model)
            await halfway(model, monkeypatch, app, pilot)
            if size == NARROW:
                await pilot.press("pagedown")

        assert snap_compare(open_app(), terminal_size=size, run_before=shown)

    def test_a_hostile_name(
        self, library: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        put_model(library, name=" ".join(HOSTILE_NAMES[:3]), description=HOSTILE_NAMES[4])
        put_points(library)
        assert snap_compare(open_app(), terminal_size=NARROW, run_before=self._shown)

    def test_a_terminal_that_knows_only_ascii(
        self, model: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        assert snap_compare(open_app(ascii_only=True), terminal_size=NARROW, run_before=self._shown)

    def test_a_model_that_is_gone(
        self, model: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await self._shown(pilot)
            app = pilot.app
            assert isinstance(app, LoraTuiApp)
            model.delete_models(0)
            app.poll_cache()
            await until(pilot, lambda: "This model is gone" in screen_text(app))

        assert snap_compare(open_app(), terminal_size=NARROW, run_before=shown)

    def test_choosing_files(
        self, model: Library, open_app: Open, snap_compare: Callable[..., bool]
    ) -> None:
        async def shown(pilot: Pilot[None]) -> None:
            await self._shown(pilot, "D", "j", "space")

        assert snap_compare(open_app(), terminal_size=NARROW, run_before=shown)
