"""Try: one prompt, or a file of them, to the base model and adapters of a server, side by side."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from lora_tui import clock
from lora_tui.cache.changes import Topic
from lora_tui.cache.served import server_states
from lora_tui.domain.answers import (
    LETTERS,
    TIE,
    Answer,
    Contestant,
    Progress,
    Round,
    Settings,
    can_win,
    from_document,
)
from lora_tui.domain.servers import Vote
from lora_tui.errors import LoraTuiError
from lora_tui.screens.load_model import load_onto
from lora_tui.screens.server_menu import AskMenu
from lora_tui.screens.try_keys import TRY_KEYS
from lora_tui.screens.try_settings import TrySettingsForm
from lora_tui.screens.try_text import missing_text, settings_text, tally_texts
from lora_tui.serving import tally, transcript
from lora_tui.serving.contestants import Choice, choices_on
from lora_tui.serving.prompts import Prompt, prompt_of, read_prompts
from lora_tui.tui.base_screen import CacheScreen
from lora_tui.widgets.answer_column import LEAST_WIDTH, AnswerColumn, AnswerColumns
from lora_tui.widgets.bindings import key_of
from lora_tui.widgets.cells import normalize_width
from lora_tui.widgets.prompt_line import PromptLine
from lora_tui.widgets.screen_bars import KeyBar, StatusBar, TitleBar
from lora_tui.widgets.states import StatePanel

_FILE_SIGN: Final = "@"
_SHOWN: Final = frozenset({Topic.SERVERS, Topic.MODELS})


class TryScreen(CacheScreen):
    """The columns of one prompt. The engine asks; its events fill the columns."""

    ABOUT = (
        "The base model and adapters of a server answer the same prompt, side by side. Blind, the"
        " names are hidden until you have chosen the best answer, and your choices are counted."
    )
    CSS_PATH = ["try_models.tcss"]  # noqa: RUF012 - Textual's own
    AUTO_FOCUS = ""  # the keys of the screen load what is missing, before a prompt is typed
    BINDINGS: ClassVar[list[BindingType]] = [*TRY_KEYS]

    def __init__(self, model_ids: Sequence[str]) -> None:
        """`model_ids`: none for what the server has loaded."""
        super().__init__()
        self.model_ids = tuple(model_ids)
        self._server = ""
        self._settings = Settings()
        """How the next prompt is asked."""
        self._asked_with = self._settings
        """How this one was."""
        self._choices: list[Choice] = []
        self._blind = False
        """Whether the names of the next prompt are hidden."""
        self._hidden = False
        """Whether the names of these answers are."""
        self._file: list[Prompt] = []
        """The prompts that are still to come."""
        self._of_file = 0
        self._trial = ""
        """The name of the trial that runs; empty where none does."""
        self._session = secrets.token_hex(8)
        self._number = 0
        self._prompt: Prompt | None = None
        self._asked: list[Contestant] = []
        """In the order of the columns."""
        self._answers: list[Answer] = []
        self._winner: str | None = None
        self._rounds: list[Round] = []
        self._first_column = 0
        self._votes: list[Vote] = []
        self._told_of_names = False

    def compose(self) -> ComposeResult:
        """Title, prompt, columns, tally, status and keys."""
        ascii_only = self.ascii_only
        yield TitleBar("Try", ascii_only=ascii_only)
        with Horizontal(id="try-prompt"):
            yield Static(">", id="try-sign", markup=False)
            yield PromptLine(
                placeholder=f"a prompt, or {_FILE_SIGN}FILE with one a line",
                compact=True,
                select_on_focus=False,
            )
        yield AnswerColumns(ascii_only=ascii_only)
        yield Static(id="try-tally", markup=False)
        yield StatePanel(markup=False)
        yield StatusBar(self.db, self.lora.profile, ascii_only=ascii_only)
        yield KeyBar()

    def on_mount(self) -> None:
        """Show whom one can ask; type the prompt at once."""
        self.lora.answers_changed.subscribe(self, self.while_alive(self._take_event))
        self._read_servers()
        if self._choice is not None and not self._choice.missing:
            self.query_one(PromptLine).focus()
        self._read_votes()

    def on_unmount(self) -> None:
        """End the trial that runs: nobody waits for it."""
        self.lora.answers_changed.unsubscribe(self)
        if self._trial:
            self._cancel()

    def on_resize(self, event: Resize) -> None:
        """Show as many columns as have room."""
        super().on_resize(event)
        self.call_after_refresh(self.while_alive(self._draw))

    def cache_changed(self, topics: frozenset[Topic]) -> None:
        """Show what is loaded now."""
        if topics & _SHOWN and not self._trial:
            self._read_servers()
        self.query_one(StatusBar).update_from_cache()

    def check_action(
        self,
        action: str,
        parameters: tuple[object, ...],
    ) -> bool | None:
        """Offer only actions that apply."""
        if action == "choose":
            place = int(str(parameters[0])) - 1
            return self._can_choose and (place < 0 or place in can_win(self._answers))
        if action == "skip":
            return self._hidden and self._has_ended
        if action == "next":
            return bool(self._file) and not self._trial
        if action in ("export", "copy"):
            return bool(self._told_rounds)
        if action == "page":
            return len(self._columns) > self._visible
        if action == "load":
            return self._choice is not None and bool(self._choice.missing)
        return action not in ("ask", "blind", "settings", "server") or bool(self._choices)

    def why_not(self, action: str) -> str:
        """See `CacheScreen.why_not`."""
        if action in ("choose", "skip") and self._trial:
            return "One can choose when all have answered"
        return {
            "choose": "There are no two answers to choose from",
            "skip": "No names are hidden",
            "next": "There is no next prompt: "
            f"{key_of(self.app, 'try.ask')} {_FILE_SIGN}FILE reads a file of them",
            "export": "There are no answers yet",
            "copy": "There are no answers yet",
            "page": "All columns are shown",
            "load": "All of these models are loaded there",
        }.get(action, "")

    # What the keys do ---------------------------------------------------------------------------

    def action_back(self) -> None:
        """Cancel what runs; else go back."""
        if self._trial:
            self._cancel()
        else:
            self.dismiss()

    def action_ask(self) -> None:
        """Go to the prompt."""
        self.query_one(PromptLine).focus()

    @on(PromptLine.Left)
    def leave_prompt(self) -> None:
        """Go to the answers, whose keys choose the server, how to ask, and more."""
        self.set_focus(None)

    @on(PromptLine.Ready)
    def send(self) -> None:
        """Ask what was typed, or the first prompt of the file that it names."""
        typed = self.query_one(PromptLine).prompt
        if self._trial:
            self.notify(f"They still answer: {key_of(self.app, 'screen.back')} stops them")
        elif typed[1:] and typed.startswith(_FILE_SIGN):
            read = partial(read_prompts, Path(typed[1:].strip()).expanduser())
            self.start(read, self._take_file, name="prompts", exclusive="prompts")
        else:
            shown = self._prompt
            if shown is not None and typed == shown.text:
                self._send(shown)  # with the messages that a file gave it
                return
            try:
                self._send(prompt_of(typed))
            except LoraTuiError as error:
                self.lora.show_error(error, title="Not asked")

    def action_next(self) -> None:
        """Ask the next prompt of the file."""
        prompt = self._file.pop(0)
        self.query_one(PromptLine).show(prompt.text)
        self._send(prompt)

    def action_choose(self, number: int) -> None:
        """Choose the answer of a column (1 to 7), or a tie (0)."""
        winner = TIE if number == 0 else self._asked[number - 1].id
        blind = self._hidden
        self._winner, self._hidden = winner, False
        self._rounds[-1] = self._rounds[-1]._replace(winner=winner, blind=blind)
        self._draw()
        if blind:
            answered = [self._asked[n].id for n in can_win(self._answers)]
            assert self._prompt is not None
            note = partial(
                self.lora.writers.note_vote,
                self._server,
                self._prompt.text,
                tally.vote_of(winner),
                answered,
            )
            self.lora.ask(
                note, if_failed="Choice not kept", ended=self.while_alive(self._read_votes)
            )
        elif not self._told_of_names:
            self._told_of_names = True
            self.notify(
                "Noted in the transcript. Only blind choices are counted:"
                f" {key_of(self.app, 'try.blind')} hides the names"
            )

    def action_skip(self) -> None:
        """Show the names without a choice."""
        self._hidden = False
        self._draw()

    def action_blind(self) -> None:
        """Hide the names of the answers to come, or do so no longer."""
        self._blind = not self._blind
        if not self._blind and self._hidden and self._has_ended:
            self._hidden = False
        elif self._answers and self._blind != self._hidden:
            self.notify("From the next prompt on", timeout=3)
        self._draw()

    def action_settings(self) -> None:
        """Choose system message, temperature, seed and length of the prompts to come."""

        def chosen(settings: Settings | None) -> None:
            if settings is not None:
                self._settings = settings
                self._draw()

        self.app.push_screen(TrySettingsForm(self._settings), self.while_alive(chosen))

    def action_load(self) -> None:
        """Load what is missing onto the server, one after the other."""
        choice = self._choice
        for model_id, name in choice.missing.items() if choice is not None else ():
            load_onto(self, self._server, model_id, name)

    def action_server(self) -> None:
        """Choose another server."""

        def chosen(name: str | None) -> None:
            if name is not None and name != self._server:
                self._server = name
                self._read_servers()

        notes = {one.server: one.note for one in self._choices}
        self.app.push_screen(AskMenu(self._server, notes), self.while_alive(chosen))

    def action_page(self, step: int) -> None:
        """Show the next columns at the right, or the previous ones."""
        last = max(0, len(self._columns) - self._visible)
        self._first_column = min(last, max(0, self._first_column + step))
        self._draw()

    def action_export(self, form: str) -> None:
        """Write the transcript."""
        rounds = self._told_rounds
        name = f"answers-{clock.local(clock.now()):%Y-%m-%d}.{form}"
        write = transcript.as_jsonl if form == "jsonl" else transcript.as_markdown
        self.export(name, lambda _: write(rounds))

    def action_copy(self) -> None:
        """Copy the transcript as Markdown."""
        text = transcript.as_markdown(self._told_rounds)
        self.copy_made(lambda _: text, what="Answers as Markdown")

    def action_scroll(self, lines: int) -> None:
        """Scroll all columns."""
        self.query_one(AnswerColumns).scroll_lines(lines)

    def action_scroll_page(self, pages: int) -> None:
        """Scroll all columns by a page."""
        self.query_one(AnswerColumns).scroll_pages(pages)

    def action_scroll_to(self, end: bool) -> None:
        """Scroll all columns to the top or to the end."""
        self.query_one(AnswerColumns).scroll_to_edge(end=end)

    # Asking -------------------------------------------------------------------------------------

    def _take_file(self, prompts: list[Prompt]) -> None:
        self._file, self._of_file = list(prompts), len(prompts)
        self.action_next()

    def _send(self, prompt: Prompt) -> None:
        choice = self._choice
        if choice is None:
            return
        self._number += 1
        self._prompt, self._winner, self._hidden = prompt, None, self._blind
        self._asked_with = self._settings
        self._asked = list(choice.contestants)
        if self._blind:
            order = tally.blind_order(len(self._asked), self._session, self._number)
            self._asked = [self._asked[n] for n in order]
        self._answers = [Answer()] * len(self._asked)
        self._trial = trial = f"{self._session}:{self._number}"
        self._first_column = 0
        self.set_focus(None)
        self.action_scroll_to(False)
        self._draw()
        ask = partial(
            self.lora.writers.try_models,
            trial,
            self._server,
            tuple(self._asked),
            [(message.role, message.content) for message in prompt.messages],
            self._settings,
        )
        self.start(ask, partial(self._end, trial), failed=partial(self._fail, trial), name="trial")

    def _take_event(self, event: tuple[str, Sequence[Any]]) -> None:
        trial, documents = event
        if trial == self._trial:
            self._answers = [from_document(document) for document in documents]
            self._draw()

    def _end(self, trial: str, answers: Sequence[Answer]) -> None:
        if trial != self._trial or self._prompt is None:
            return
        self._trial, self._answers = "", list(answers)
        asked, answered = tuple(self._asked), tuple(answers)
        self._rounds.append(
            Round(self._prompt.text, self._server, asked, answered, self._asked_with)
        )
        self._hidden = self._hidden and self._can_choose  # else the errors say more
        self._draw()
        if any(answer.progress is Progress.FAILED for answer in answers):
            # a server that was started again has nothing loaded any more
            look = self.lora.writers.refresh_servers
            known = self.while_alive(lambda _: self.lora.poll_cache())
            self.start(look, known, failed=_silent, name="servers", exclusive="servers")

    def _fail(self, trial: str, error: LoraTuiError) -> None:
        """The engine can't ask, or has ended: what came stays."""
        told = f"{error}. {self.lora.remedy_of(error)}".rstrip()
        self._end(
            trial,
            [
                answer
                if answer.progress.has_ended
                else answer._replace(progress=Progress.FAILED, error=told)
                for answer in self._answers
            ],
        )

    def _cancel(self) -> None:
        cancel = partial(self.lora.writers.cancel_try, self._trial)
        self.lora.ask(cancel, if_failed="Not stopped")

    # What is shown ------------------------------------------------------------------------------

    @property
    def _has_ended(self) -> bool:
        return bool(self._answers) and not self._trial

    @property
    def _can_choose(self) -> bool:
        return self._has_ended and self._winner is None and len(can_win(self._answers)) > 1

    @property
    def _choice(self) -> Choice | None:
        return next((one for one in self._choices if one.server == self._server), None)

    @property
    def _told_rounds(self) -> list[Round]:
        """What a transcript may tell: not the names that are still hidden."""
        return self._rounds[:-1] if self._hidden and self._has_ended else list(self._rounds)

    @property
    def _columns(self) -> Sequence[Contestant]:
        if self._asked:
            return self._asked
        return self._choice.contestants if self._choice else ()

    @property
    def _visible(self) -> int:
        return max(1, min(len(self._columns) or 1, self.size.width // LEAST_WIDTH))

    def _read_servers(self) -> None:
        """Read what is loaded where, and choose the server that has most of the models."""
        self._choices = choices_on(self.db, self.model_ids, server_states(self.db))
        if self._choice is None:
            self._server = self._choices[0].server if self._choices else ""
        if not self._trial and self._choice and not self._answers:
            self._asked = []
        self._draw()

    def _read_votes(self) -> None:
        votes = self.lora.writers.votes
        self.start(votes, self._show_votes, failed=_silent, name="votes", exclusive="votes")

    def _show_votes(self, votes: Sequence[Vote]) -> None:
        self._votes = list(votes)
        self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self.set_class(not self._choices and not self._answers, "-empty")
        self._draw_title()
        if not self._choices and not self._answers:
            self.query_one(StatePanel).show_message(
                "No server to ask",
                "Nothing is known of a server that answers prompts.",
                "`lora-tui servers add NAME URL` adds one, `lora-tui load MODEL --to NAME` loads a"
                " model into it.",
            )
            self.refresh_bindings()
            return
        columns, visible = self._columns, self._visible
        first = min(self._first_column, max(0, len(columns) - visible))
        for place, column in enumerate(self.query(AnswerColumn)):
            column.display = first <= place < min(len(columns), first + visible)
            if place >= len(columns):
                continue
            contestant = columns[place]
            answer = self._answers[place] if self._answers else None
            column.show(
                LETTERS[place],
                "" if self._hidden else contestant.name,
                answer,
                is_winner=self._winner == contestant.id,
            )
        self._draw_line(columns, first, visible)
        self.refresh_bindings()

    def _draw_title(self) -> None:
        title = self.query_one(TitleBar)
        choice = self._choice
        title.detail = f"on {choice.server}  {choice.base}".rstrip() if choice else ""
        parts = ["blind"] if self._blind else []
        parts += settings_text(self._settings)
        if self._of_file:
            parts.append(f"prompt {self._of_file - len(self._file)} of {self._of_file}")
        title.aside = "  ".join(parts)

    def _draw_line(self, columns: Sequence[Contestant], first: int, visible: int) -> None:
        """Say what one can do now, and what the choices add up to."""
        choice, keys = self._choice, partial(key_of, self.app)
        texts = []
        if choice is not None and choice.missing and not self._hidden:
            texts.append(missing_text(choice, keys("try.load")))
        if self._hidden and self._can_choose:
            texts.append(
                f"Which is the best? {keys('try.choose_1')} to {len(columns)},"
                f" {keys('try.tie')} for a tie, {keys('try.skip')} shows the names."
            )
        elif self._winner == TIE:
            texts.append("A tie.")
        if visible < len(columns):
            texts.append(
                f"Columns {first + 1} to {first + visible} of {len(columns)}:"
                f" {keys('try.left')} {keys('try.right')} show the others."
            )
        if not self._hidden:
            texts += tally_texts(self._votes, columns)
        text = normalize_width(" ".join(texts), ascii_only=self.ascii_only)
        self.query_one("#try-tally", Static).update(Content.styled(text, "$secondary"))


def _silent(_: LoraTuiError) -> None:
    """What is shown stays as it was; the answers, or the note of a vote, say what is wrong."""
