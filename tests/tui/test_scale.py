"""A hundred thousand models cost a keypress what a hundred do: the rows on the screen, no more."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from lora_tui.app import LoraTuiApp
from lora_tui.cache import metadata
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.models import ModelSummary, Sort
from lora_tui.clock import timestamp_text
from lora_tui.widgets.card_grid import CardGrid
from lora_tui.widgets.model_table import ModelTable
from tests.tui.conftest import Open, screen_text
from tests.tui.library import NOW, FakeWriters, Library, identifier, recount_facets

pytestmark = pytest.mark.slow

SIZE = (100, 30)
COUNT = 100_000
CARDS_PER_PAGE = 64


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of 100,000 models, made by SQLite itself because only its size matters."""
    path = tmp_path_factory.mktemp("large") / "cache.sqlite3"
    library = Library(path)
    library.fill(count=1)
    with closing(open_cache(path)) as db, transaction(db):
        copies(db, COUNT - 1)
        # so that it is opened as what it is: only small tables are checked then (cache/sums.py)
        db.execute("UPDATE sums SET n = ? WHERE name = 'models'", [COUNT])
        recount_facets(db)
        state = metadata.SyncState(NOW, NOW, running=False, error=None)
        metadata.put_sync_state(db, state, process="")
    return path


def copies(db: sqlite3.Connection, count: int) -> None:
    """Models that differ by number, date and loss; each second one is about invoices."""
    drawn = [str(row[0]) for row in db.execute("SELECT name FROM sqlite_master WHERE sql LIKE"
                                               " 'CREATE INDEX%ON models%'")]  # fmt: skip
    definitions = [
        str(db.execute("SELECT sql FROM sqlite_master WHERE name = ?", [name]).fetchone()[0])
        for name in drawn
    ]
    for name in drawn:
        db.execute(f"DROP INDEX {name}")
    db.execute(
        "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)"
        " INSERT INTO models (id, row, name, dataset_id, job_id, stars, convergence, final_loss,"
        " created_at, updated_at) SELECT 'model-' || i, '{}',"
        " CASE i % 2 WHEN 0 THEN 'Invoice ' ELSE 'Letter ' END || i, ?, 'job-' || i, i % 5 + 1,"
        " 'good', (i * 7919 % 100003) / 100003.0, (SELECT min(created_at) FROM models) - i,"
        " ? FROM numbers",
        [count, identifier("dataset", 0), timestamp_text(NOW)],
    )
    db.execute(
        "INSERT INTO models_words (rowid, name) SELECT n, name FROM models WHERE id LIKE 'model-%'"
    )
    for definition in definitions:
        db.execute(definition)


@pytest.fixture
def app(large: Path) -> LoraTuiApp:
    opened = LoraTuiApp(large, FakeWriters(), profile="demo", sync_on_start=False)
    opened.animation_level = "none"
    return opened


def table(app: LoraTuiApp) -> ModelTable:
    return app.screen.query_one(ModelTable)


class Steps:
    """Counts how many times SQLite's virtual machine did a thousand steps."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.thousands = 0
        db.set_progress_handler(self._count, 1_000)

    def _count(self) -> int:
        self.thousands += 1
        return 0

    def since_last(self) -> int:
        counted, self.thousands = self.thousands, 0
        return counted


async def test_a_key_reads_no_more_rows_than_a_few_screens_of_them(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        assert table(app).total == COUNT
        fetch = table(app).rows.fetch
        asked: list[int] = []

        def counted(offset: int, limit: int) -> object:
            asked.append(limit)
            return fetch(offset, limit)

        table(app).rows.fetch = counted  # type: ignore[assignment]
        for key in ("j", "down", "pagedown", "pagedown", "G", "k", "pageup", "pageup", "g", "j"):
            asked.clear()
            await pilot.press(key)
            assert sum(asked) <= 2 * CARDS_PER_PAGE, key


async def test_a_key_in_the_middle_makes_the_cache_work_no_harder_than_at_the_top(
    app: LoraTuiApp,
) -> None:
    async with app.run_test(size=SIZE) as pilot:
        table(app).move_to(COUNT // 2)
        await pilot.pause()
        steps = Steps(app.db)
        for _ in range(8):
            await pilot.press("pagedown")
        assert steps.since_last() <= 60  # going through half of the list takes hundreds


async def test_g_goes_to_the_ends_without_going_through_the_list(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        steps = Steps(app.db)
        await pilot.press("G")
        assert table(app).cursor == COUNT - 1
        assert steps.since_last() <= 20
        await pilot.press("g")
        assert table(app).cursor == 0
        assert steps.since_last() <= 20


async def test_the_selection_stays_when_a_large_list_is_sorted_anew(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        table(app).move_to(40_000)
        before = table(app).current
        assert before is not None
        await pilot.press("space")
        table(app).move_to(40_000)
        for sort in (Sort.LOSS, Sort.QUALITY, Sort.NAME, Sort.SIZE):
            app.screen.post_message(ModelTable.SortChosen(sort))
            await pilot.pause()
            now = table(app).current
            assert now is not None
            assert now.id == before.id
            assert table(app).marked == {before.id}


async def test_each_letter_of_a_search_narrows_a_large_list(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("slash", *"invo")
        assert table(app).total == (COUNT - 1) // 2
        await pilot.press("space", *"99998")
        assert table(app).total == 1
        assert "Invoice 99998" in screen_text(app)
        await pilot.press("escape", "escape")
        assert table(app).total == COUNT


async def test_the_columns_follow_the_width(library: Library, open_app: Open) -> None:
    library.fill()
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        shown = []
        for width in (80, 120, 180):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            heading = next(line for line in screen_text(app).splitlines() if "Conv" in line)
            shown.append(len(heading.split()))
        assert shown == sorted(shown)
        assert shown[0] < shown[-1]


async def test_cards_of_a_large_list_read_no_more_than_their_page(app: LoraTuiApp) -> None:
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("v")
        grid = app.screen.query_one(CardGrid)
        fetch = grid.rows.fetch
        asked: list[int] = []

        def counted(offset: int, limit: int) -> Sequence[ModelSummary]:
            asked.append(limit)
            return fetch(offset, limit)

        grid.rows.fetch = counted
        steps = Steps(app.db)
        for key in ("right", "down", "pagedown", "G", "up", "left_square_bracket", "g"):
            asked.clear()
            await pilot.press(key)
            assert sum(asked) <= 2 * CARDS_PER_PAGE, key
        assert steps.since_last() <= 60
        assert "page 1 of 8,334" in screen_text(app)
