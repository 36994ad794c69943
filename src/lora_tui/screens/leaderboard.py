"""Leaderboard: the best few models of each dataset and base model, and what made the difference."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Final, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize

from lora_tui import formats
from lora_tui.cache.changes import Topic
from lora_tui.cache.metadata import get_sync_state
from lora_tui.cache.models import ModelQuery, count_models
from lora_tui.documents.leaderboard import Boards, read_boards
from lora_tui.reports import MAX_COMPARED, MIN_COMPARED
from lora_tui.reports.best import Basis
from lora_tui.reports.leaderboard import HEADINGS, Board, Place, PlaceTexts, place_texts
from lora_tui.screens.list_screen import LIST_KEYS, FullList, ListScreen
from lora_tui.widgets.bindings import bound, key_of
from lora_tui.widgets.cells import fit, fit_ends, normalize_width, wrap
from lora_tui.widgets.screen_bars import TitleBar
from lora_tui.widgets.states import StatePanel, explain_missing_sync

_FEW: Final = 3
"""Models of each group, unless more are asked for."""
_INDENT: Final = "  "
_LOSS, _STEP, _PLACE = 9, 10, 3
_MOST: Final = 116
"""A wider line would part a name from its numbers."""
_MEDIUM: Final = 70
"""Narrower lines have no step of the best validation loss: the name needs its room."""
_WIDE: Final = 100
"""Narrower lines have no training loss, unless that is what decides."""


class Line(NamedTuple):
    """One place of a board."""

    board: Board
    place: Place


class BoardList(FullList, inherit_bindings=False):
    """The list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("list.open", "select", "Open", tooltip="Open the model"),
        *LIST_KEYS,
    ]


class LeaderboardScreen(ListScreen[Line]):
    """The boards, read in a thread; enter opens a model, and a key compares those of a board."""

    ABOUT = (
        "The best models of each dataset and base model, by their last validation loss, and in"
        " which settings the first one differs from the others."
    )
    CSS_PATH = ["list_screen.tcss", "leaderboard.tcss"]  # noqa: RUF012 - Textual's own
    HEADING = "Leaderboard"
    TOPICS = frozenset({Topic.MODELS, Topic.DATASETS})
    BINDINGS: ClassVar[list[BindingType]] = [
        bound("screen.back", "back", "Back"),
        bound("app.leaderboard", "back", "Back", show=False),
        bound("leaderboard.compare", "compare", "Compare", tooltip="Compare the models of a group"),
        bound(
            "leaderboard.more",
            "more",
            "More",
            tooltip=f"Show the best {MAX_COMPARED} of each, or the best {_FEW}",
        ),
    ]

    def __init__(self, query: ModelQuery) -> None:
        super().__init__()
        self.model_query = query.unordered
        """Which models are ranked: those that the list showed."""
        self._limit = _FEW
        self._found: Boards | None = None

    def compose_list(self) -> ComposeResult:
        """The list."""
        yield BoardList(id="boards", markup=False)

    def identity(self, row: Line) -> str:
        """The id of the model: each is in one group."""
        return row.place.model.id

    def on_resize(self, event: Resize) -> None:
        """Draw the lines in their new width."""
        del event
        self.call_after_refresh(self.while_alive(self._draw))

    def on_screen_resume(self) -> None:
        """Read the boards again: the page of a model may have fetched its curve."""
        if self._found is not None:
            self.refresh_list()

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show changes of the models; without any also how the sync goes."""
        super().cache_changed(topics)
        if Topic.SYNC in topics and self._found is not None and not self._found.boards:
            self._draw()

    def refresh_list(self) -> None:
        """Read the boards again, beside the event loop: there may be very many models."""
        if self._found is None:
            self._draw()
        else:
            self.query_one(TitleBar).aside = "reading"
        read = partial(read_boards, limit=self._limit, query=self.model_query)
        self.read(read, self._show, exclusive="boards")

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],  # noqa: ARG002 - as Textual calls it
    ) -> bool | None:
        """Offer only actions that apply."""
        if action == "compare":
            return self.chosen is not None
        return action != "more" or bool(self._found and self._found.boards)

    def action_more(self) -> None:
        """Show the best six of each, or the best three."""
        self._limit = MAX_COMPARED if self._limit == _FEW else _FEW
        self.refresh_list()

    def action_compare(self) -> None:
        """Compare the models of the group under the cursor."""
        line = self.chosen
        if line is None:
            return
        ids = [place.model.id for place in line.board.places]
        if len(ids) < MIN_COMPARED:
            self.notify("This group has only one ranked model: there is none to compare it with")
            return
        from lora_tui.screens.compare import CompareScreen

        self.app.push_screen(CompareScreen(ids))

    def open_row(self, row: Line) -> None:
        """Open the model."""
        self.open_model(row.place.model.id)

    def say_empty(self, panel: StatePanel) -> None:
        """Say that the models are being read, or why there are none."""
        if self._found is None:
            models = count_models(self.db, self.model_query)
            panel.show_message(f"Ranking {formats.counted(models, 'model')}", "This takes a moment")
            return
        state = get_sync_state(self.db)
        if not explain_missing_sync(
            panel,
            self.app,
            state,
            "models",
            loading=state.last_success is None and (state.running or self.lora.is_syncing),
            keyring=self.lora.writers.report.waits_for_keyring,
            signed_out=self.lora.login_refused,
        ):
            unknown = self._found.unknown
            none = "There are no models yet."
            if not self.model_query.is_everything:
                none = f"There are no models with {self._narrowed}."
            panel.show_message(
                "No model can be ranked",
                f"{_unknown(unknown)}." if unknown else none,
                f"{key_of(self.app, 'app.sync')} syncs again",
            )

    @property
    def _narrowed(self) -> str:
        """The search and the filters in words; empty without any."""
        if self.model_query.is_everything:
            return ""
        from lora_tui.views.words import query_text

        return query_text(self.model_query)

    def _show(self, found: Boards) -> None:
        self._found = found
        self._draw()

    def _draw(self) -> None:
        found = self._found
        if found is None:
            self.show_rows([])
            return
        lines: list[tuple[Line | None, Content]] = []
        for board in found.boards:
            if lines:
                lines.append((None, Content("")))
            lines += self._lines_of(board)
        if lines and found.unknown:
            text = f"{_unknown(found.unknown)}: not ranked."
            lines += [(None, Content("")), (None, Content.styled(text, "$secondary"))]
        self.show_rows(lines)
        title = self.query_one(TitleBar)
        groups = len(found.boards)
        counted = formats.counted(groups, "group") if groups else ""
        title.detail = "  ".join(filter(None, (counted, self._narrowed)))
        title.aside = f"best {self._limit} of each"

    def _lines_of(self, board: Board) -> Iterator[tuple[Line | None, Content]]:
        width, ascii_only = min(self.line_width, _MOST), self.ascii_only
        name = board.dataset_name or board.dataset_id
        count = f"{len(board.places)} of {formats.counted(board.models, 'model')}"
        what = f"{name}, {board.base_model}"
        room = width - len(count) - 2
        heading = fit_ends(
            normalize_width(what, ascii_only=ascii_only), room, ascii_only=ascii_only
        )
        yield None, Content.assemble((heading, "bold $primary"), "  ", (count, "$secondary"))
        row = partial(_row, width=width, basis=board.basis, ascii_only=ascii_only)
        if board.places:
            yield None, Content.styled(row(HEADINGS), "$secondary")
        for place in board.places:
            style = "bold $foreground" if place.place == 1 else "$foreground 90%"
            yield Line(board, place), Content.styled(row(place_texts(place)), style)
        for sentence in board.sentences:
            text = normalize_width(sentence, ascii_only=ascii_only)
            for line in wrap(text, width - len(_INDENT)):
                yield None, Content.styled(f"{_INDENT}{line}", "$secondary")


def _row(cells: PlaceTexts, width: int, *, basis: Basis | None, ascii_only: bool) -> str:
    """The cells, as wide as the line; the name takes what is left."""
    numbers = []
    if basis is not Basis.TRAINING:
        numbers += [
            (cells.last, _LOSS),
            (cells.last_step, _STEP),
            (cells.lowest, _LOSS + 2),
        ]
        if width >= _MEDIUM:
            numbers.append((cells.lowest_step, _STEP))
    if basis is Basis.TRAINING or width >= _WIDE:
        numbers.append((cells.training, _LOSS + 2))
    right = "".join(fit(text, size, right=True, ascii_only=ascii_only) for text, size in numbers)
    room = width - _PLACE - 4 - len(right)
    place = fit(cells.place, _PLACE, right=True)
    return f"{place}  {fit_ends(cells.name, room, ascii_only=ascii_only)}  {right}"


def _unknown(models: int) -> str:
    are = "is" if models == 1 else "are"
    return f"{formats.counted(models, 'model')} {are} of an unknown dataset or base model"
