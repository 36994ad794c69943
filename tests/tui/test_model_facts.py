"""A model's page beyond its curve: the job's timeline, the adapter's header, serving, checksums."""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path

import pytest
from rich.cells import cell_len

from lora_tui.adapters.header import read_header
from lora_tui.adapters.inspection import Adapter
from lora_tui.cache import downloaded
from lora_tui.cache.changes import Topic
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.domain import Model
from lora_tui.errors import UnreachableError
from lora_tui.screens.snippets import SnippetsScreen
from lora_tui.widgets.model_page import stages_of, timeline_lines
from tests.tui.conftest import Open, model_page, screen_text, toasts, until
from tests.tui.library import FakeWriters, Library, failing, model_row
from tests.tui.whole_model import CONFIGURATION, HIGH, MODEL, NARROW, put_model


def header(rank: int) -> bytes:
    """The beginning of an adapter with one module."""
    shapes = {"A": [rank, 64], "B": [64, rank]}
    table, at = {}, 0
    for side, shape in shapes.items():
        size = shape[0] * shape[1] * 2
        name = f"base_model.model.layers.0.q_proj.lora_{side}.weight"
        table[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def lines_of(model: Model, width: int = 60, *, ascii_only: bool = False) -> list[str]:
    lines = timeline_lines(stages_of(model), width, ascii_only=ascii_only)
    return ["".join(text for text, _ in line) for line in lines]


def timed(**times: str | None) -> Model:
    job = {"id": "j", "status": "completed", **times}
    return Model.from_row({**model_row(0), "job": job, "created_at": "2026-11-23T12:00:00Z"})


@pytest.mark.slow
async def test_the_timeline_of_the_job_shows_waiting_and_training_time(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, HIGH):
        text = screen_text(app)
    text = text[text.index("Timeline") :]
    order = ["Queued", "04:00  ━ waiting", "Started", "2:18:18", "training", "Completed"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_missing_or_unordered_times_have_no_duration() -> None:
    text = lines_of(
        timed(
            queued_at="2026-11-23T10:00:00Z",
            started_at=None,
            completed_at="2026-11-23T13:00:00Z",
        )
    )
    assert "○ Started" in text[3]
    assert "not recorded" in text[3]
    assert not any("00:00" in line and "━" in line for line in text)
    assert "in total" not in text[0]


def test_the_timeline_fits_its_place_and_a_terminal_of_ascii() -> None:
    whole = timed(
        queued_at="2026-11-23T09:00:00Z",
        started_at="2026-11-23T09:00:01Z",
        completed_at="2026-11-23T11:59:00Z",
    )
    for width in (44, 51, 76, 120):
        assert max(map(cell_len, lines_of(whole, width))) <= width
    assert all(line.isascii() for line in lines_of(whole, ascii_only=True))


@pytest.mark.slow
async def test_i_reads_and_shows_the_header_in_the_bucket(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    writers.on_read_adapter = lambda _id: Adapter(
        "adapter_model.safetensors", read_header(header(16)), None
    )
    app = open_app()
    async with model_page(app, HIGH) as pilot:
        assert "Not inspected" in screen_text(app)
        await pilot.press("i")
        await until(pilot, lambda: "q_proj" in screen_text(app))
        text = screen_text(app)
    assert ("read_adapter", MODEL) in writers.asked
    assert "BF16" in text
    assert "2,048" in text


async def test_i_scrolls_to_the_adapter_and_says_at_once_that_its_header_is_read(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    may_answer = threading.Event()

    def read(_id: str) -> Adapter:
        may_answer.wait(30)
        return Adapter("adapter_model.safetensors", read_header(header(16)), None)

    writers.on_read_adapter = read
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        assert "Reading the header" not in screen_text(app)
        await pilot.press("i")
        await until(pilot, lambda: "Reading the header" in screen_text(app))
        may_answer.set()
        await until(pilot, lambda: "q_proj" in screen_text(app))
        await pilot.press("home")
        await until(pilot, lambda: "q_proj" not in screen_text(app))
        await pilot.press("i")  # it was read already
        await until(pilot, lambda: "q_proj" in screen_text(app))
    assert writers.asked.count(("read_adapter", MODEL)) == 1


async def test_the_adapter_says_what_reading_its_header_costs(
    model: Library, open_app: Open
) -> None:
    app = open_app()
    async with model_page(app, HIGH):
        assert "128 KiB" in screen_text(app)


@pytest.mark.slow
async def test_a_header_that_can_not_be_read_says_why(
    model: Library, writers: FakeWriters, open_app: Open
) -> None:
    writers.on_read_adapter = failing(UnreachableError("The backend can't be reached"))  # type: ignore[assignment]
    app = open_app()
    async with model_page(app, HIGH) as pilot:
        await pilot.press("i")
        await until(pilot, lambda: "The backend can't be reached" in screen_text(app))
        assert "→ check the network" in screen_text(app)
        assert "--offline" not in screen_text(app)


async def test_the_header_of_a_downloaded_adapter_is_read_and_checked_automatically(
    model: Library, writers: FakeWriters, open_app: Open, tmp_path: Path
) -> None:
    place = tmp_path / "adapter"
    place.mkdir()
    (place / "adapter_model.safetensors").write_bytes(header(16))
    config = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
    (place / "adapter_config.json").write_text(json.dumps(config))
    db = open_cache(model.path)
    with transaction(db, Topic.MODELS):
        downloaded.put_downloaded(db, MODEL, place)
    db.close()
    app = open_app()
    async with model_page(app, HIGH) as pilot:
        await until(pilot, lambda: "local file" in screen_text(app))
        assert "has rank 16" in screen_text(app)
    assert ("read_adapter", MODEL) not in writers.asked


@pytest.mark.slow
async def test_s_shows_how_to_serve_it_and_y_copies_that(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, SnippetsScreen))
        assert "vllm serve meta-llama/Llama-3.1-8B-Instruct" in screen_text(app)
        assert "Not downloaded yet" in screen_text(app)
        for key, word in (("2", "PeftModel"), ("right", "llama-server"), ("4", "FROM")):
            await pilot.press(key)
            assert word in screen_text(app)
        await pilot.press("1", "y")
        assert app.clipboard.startswith("vllm serve")
        assert "Copied: Snippet for vLLM" in toasts(app)
        await pilot.press("escape")
        assert not isinstance(app.screen, SnippetsScreen)


@pytest.mark.slow
async def test_what_a_server_refuses_is_said_below_its_snippet(
    model: Library, open_app: Open, tmp_path: Path
) -> None:
    place = tmp_path / "adapter"
    place.mkdir()
    (place / "adapter_model.safetensors").write_bytes(header(16))
    config = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "use_dora": True, "use_rslora": True}
    (place / "adapter_config.json").write_text(json.dumps(config))
    db = open_cache(model.path)
    with transaction(db, Topic.MODELS):
        downloaded.put_downloaded(db, MODEL, place)
    db.close()
    app = open_app()
    async with model_page(app, (80, 24)) as pilot:
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, SnippetsScreen))
        assert "vLLM refuses DoRA" in screen_text(app)
        await pilot.press("3")
        assert "is a placeholder" in screen_text(app)
        await pilot.press("pagedown", "pagedown")
        await until(pilot, lambda: "rsLoRA" in screen_text(app))
        await pilot.press("y")
        assert "DoRA" not in app.clipboard


async def test_checksums_are_copied_as_sha256sum_reads_them(model: Library, open_app: Open) -> None:
    app = open_app()
    async with model_page(app, NARROW) as pilot:
        await pilot.press("Y")
    assert app.clipboard.splitlines()[0] == f"{'0' * 64}  adapter_model.safetensors"


@pytest.mark.slow
async def test_settings_of_no_known_name_are_shown_too(library: Library, open_app: Open) -> None:
    put_model(library, configuration={**CONFIGURATION, "trainer": {"packing": True}})
    app = open_app()
    async with model_page(app, HIGH):
        assert '{"packing": true}' in screen_text(app)
