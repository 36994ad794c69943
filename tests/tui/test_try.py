"""Try: answers of several models side by side, a blind choice, and what becomes of it.

An application costs most of a test here, so each test is a walk through one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from textual import events
from textual.pilot import Pilot

from lora_tui.app import LoraTuiApp
from lora_tui.cache.connection import open_cache, transaction
from lora_tui.cache.served import put_served, put_server_state
from lora_tui.domain.answers import Answer, Contestant, Progress, Settings, to_document
from lora_tui.domain.servers import BASE, Loaded, ServedName, ServerState, Vote
from lora_tui.errors import DiskError, EngineEndedError
from lora_tui.screens.models import ModelsScreen
from lora_tui.screens.try_models import TryScreen
from lora_tui.serving import tally
from lora_tui.widgets.answer_column import AnswerColumn
from lora_tui.widgets.forms import Field
from lora_tui.widgets.prompt_line import PromptLine
from tests.tui.conftest import Open, screen_text, toasts, type_at_once, until
from tests.tui.library import FakeWriters, Library, failing, identifier
from tests.tui.test_snapshots import Compare

FIRST: Final = identifier("model", 0)
SECOND: Final = identifier("model", 1)
TEXTS: Final = {
    BASE: "A LoRA adapter is a small set of weights. It is added to a large model, whose own"
    " weights stay as they are.\n\nTo use it:\n\n1. load the model,\n2. load the adapter too.",
    FIRST: "Dear customer,\n\nthank you for your question. A LoRA adapter is an add-on that teaches"
    " our model your tone of voice, without training all of it again.\n\nKind regards,\nSupport",
    SECOND: "SELECT name, rank\n  FROM adapters\n WHERE base = 'llama-3.1-8b'\n ORDER BY rank;",
}


def loaded(number: int, server: str = "gpu") -> Loaded:
    name = f"adapter-{number}"
    where = (identifier("model", number), f"Model {number}", "v1", f"/srv/{name}", "", "2026-11-20")
    return Loaded("owner", server, "http://gpu:8000", name, *where)


def serve(library: Library, *numbers: int, server: str = "gpu", others: Sequence[str] = ()) -> None:
    """A server that has these models, and adapters that somebody else has loaded."""
    rows = [loaded(number, server) for number in numbers]
    names = tuple(ServedName(name) for name in (*(row.name for row in rows), *others))
    state = ServerState(
        server, "http://gpu:8000", "vllm", "2026-11-23T11:59:00Z", True, base="llama-3.1-8b"
    )
    with closing(open_cache(library.path)) as db, transaction(db):
        put_served(db, rows, [])
        put_server_state(db, state._replace(adapters=names))


@pytest.fixture
def served(library: Library) -> Library:
    """Five models, of which a server has the first two."""
    library.fill(count=5)
    serve(library, 0, 1)
    return library


async def opened(app: LoraTuiApp, pilot: Pilot[Any], *, marked: int = 2) -> TryScreen:
    """With so many models of the list marked."""
    await until(pilot, lambda: isinstance(app.screen, ModelsScreen))
    for _ in range(marked):
        await pilot.press("space")
    await pilot.press("exclamation_mark")
    await until(pilot, lambda: isinstance(app.screen, TryScreen) and app.screen.is_mounted)
    await until(pilot, lambda: not list(app.screen.workers))
    assert isinstance(app.screen, TryScreen)
    return app.screen


async def ask(app: LoraTuiApp, pilot: Pilot[Any], prompt: str = "What is LoRA?") -> str:
    app.screen.query_one(PromptLine).focus()
    app.screen.query_one(PromptLine).show(prompt)
    await pilot.press("enter")
    await until(pilot, lambda: app.screen.focused is None and not list(app.screen.workers))
    return screen_text(app)


async def told(pilot: Pilot[Any], app: LoraTuiApp, words: str) -> None:
    await until(pilot, lambda: any(words in toast for toast in toasts(app)))


def answered(_trial: str, asked: Sequence[Contestant]) -> list[Answer]:
    times = {BASE: (0.085, 42.04), FIRST: (0.123, 39.5), SECOND: (1.24, 8.31)}
    return [
        Answer(Progress.DONE, TEXTS[one.id], *times[one.id], 64 + n, n != 2, "stop")
        for n, one in enumerate(asked)
    ]


def tried(writers: FakeWriters) -> list[tuple[str, ...]]:
    """Server, prompt, and what was asked as the server calls it."""
    return [call[1:] for call in writers.asked if call[0] == "try_models"]


async def test_models_answer_side_by_side_while_text_streams_and_escape_stops_them_first(
    served: Library, writers: FakeWriters, open_app: Open
) -> None:
    goes_on = threading.Event()

    def slowly(trial: str, asked: Sequence[Contestant]) -> list[Answer]:
        begun = [Answer(Progress.STREAMING, "Half of", 0.1), *[Answer()] * (len(asked) - 1)]
        writers.on_answers(trial, [to_document(answer) for answer in begun])
        writers.on_answers("another trial", [to_document(Answer(Progress.DONE, "stale"))])
        goes_on.wait(10)
        return answered(trial, asked)

    def stopped(_trial: str, asked: Sequence[Contestant]) -> list[Answer]:
        writers.let_go.wait(10)
        return [Answer(Progress.CANCELLED, "Half")] * len(asked)

    writers.on_try = slowly
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(app, pilot)
        assert "on gpu  llama-3.1-8b" in screen_text(app)
        type_at_once(app, *"Hi", "enter")
        await until(pilot, lambda: "Half of" in screen_text(app))
        text = screen_text(app)
        assert "answering" in text
        assert "waiting" in text
        assert "stale" not in text
        await pilot.press("1")
        await told(pilot, app, "when all have answered")
        goes_on.set()
        await until(pilot, lambda: "Dear customer" in screen_text(app))
        assert tried(writers) == [("gpu", "Hi", "base", "adapter-0", "adapter-1")]
        text = screen_text(app)
        for words in ("base model", "Customer Support", "SQL Assistant", "first token 85 ms"):
            assert words in text
        assert "42.0 tok/s" in text
        assert "~8.31 tok/s" in text  # of counted pieces
        assert "  FROM adapters" in text  # code keeps its indentation
        await pilot.press("2")  # by name: noted in the transcript, and not counted
        await told(pilot, app, "Only blind choices")
        assert not writers.votes_kept
        await pilot.press("e", "E")
        await until(pilot, lambda: len([c for c in writers.asked if c[0] == "save_text"]) == 2)
        (_, name, text), (_, data_name, data) = (c for c in writers.asked if c[0] == "save_text")
        assert (name, data_name) == ("answers-2026-11-23.md", "answers-2026-11-23.jsonl")
        assert "**Winner:** Customer Support Emails - 2026-11-23, chosen by name" in text
        assert data.count("\n") == 3
        writers.on_try = stopped
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.screen.focused is None)
        await pilot.press("escape")
        await until(pilot, lambda: "cancelled" in screen_text(app))
        assert app.screen is screen
        writers.let_go.clear()
        writers.asked.clear()
        await pilot.press("enter", "enter")
        await until(pilot, lambda: bool(tried(writers)))
        screen.dismiss()  # a screen that is left stops what it asked
        await until(pilot, lambda: ("cancel_try",) in writers.asked)
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen))


async def test_blind_the_names_and_times_are_hidden_until_the_best_is_chosen(
    served: Library, writers: FakeWriters, open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "blind_order", lambda *_: [2, 0, 1])
    writers.on_try = answered
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(app, pilot)
        await pilot.press("escape", "b", "i")  # also before the first prompt
        text = await ask(app, pilot)
        assert tried(writers)[-1][2:] == ("adapter-1", "base", "adapter-0")
        for word in ("base model", "Customer Support", "SQL Assistant", "tok/s", "first token"):
            assert word not in text
        assert "hidden until you choose" in text
        assert "Which is the best? 1 to 3" in text
        await pilot.press("e")  # hidden names are not written
        await told(pilot, app, "There are no answers yet")
        await pilot.press("3")
        await until(pilot, lambda: bool(writers.votes_kept) and not list(app.screen.workers))
        (vote,) = writers.votes_kept
        assert (vote.winner, vote.contestants) == (FIRST, (SECOND, BASE, FIRST))
        await until(pilot, lambda: "1 blind choice" in screen_text(app))
        text = screen_text(app)
        assert "★ C  Customer Support" in text
        assert "nothing is claimed" in text
        await pilot.press("1")  # one choice a prompt
        assert len(writers.votes_kept) == 1
        await ask(app, pilot)
        await pilot.press("x")  # the names without a choice
        assert "Customer Support" in screen_text(app)
        assert len(writers.votes_kept) == 1
        await ask(app, pilot)
        await pilot.press("0")
        await until(pilot, lambda: len(writers.votes_kept) == 2)
        assert writers.votes_kept[1].winner == ""
        monkeypatch.setattr(writers, "note_vote", failing(DiskError("No space left")))
        await ask(app, pilot)
        await pilot.press("1")
        await told(pilot, app, "Choice not kept")


async def test_what_fails_says_so_in_its_column_and_the_rest_stays(
    served: Library, writers: FakeWriters, open_app: Open
) -> None:
    def partly(trial: str, asked: Sequence[Contestant]) -> list[Answer]:
        hostile = "\x1b[2Jgone [red]not markup[/] \u202egpj.exe"
        good = answered(trial, asked)
        return [good[0], Answer(Progress.FAILED, "Half an", error=hostile), good[2]]

    def dies(trial: str, asked: Sequence[Contestant]) -> list[Answer]:
        begun = [Answer(Progress.STREAMING, "Half of", 0.1), *[Answer()] * (len(asked) - 1)]
        writers.on_answers(trial, [to_document(answer) for answer in begun])
        raise EngineEndedError("The engine has ended unexpectedly")

    writers.on_try = partly
    writers.on_refresh_servers = lambda: serve(served, 1)  # it was started again, with one
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(app, pilot)
        text = await ask(app, pilot)
        for words in ("Half an", "failed", "[red]not markup[/] gpj.exe", "SELECT name, rank"):
            assert words in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        await until(pilot, lambda: "Not loaded on gpu: Customer" in screen_text(app))
        assert "l loads it." in screen_text(app)
        await pilot.press("2")
        assert "★" not in screen_text(app)
        await pilot.press("3")
        await until(pilot, lambda: "★ C" in screen_text(app))
        serve(served, 0, 1)
        app.poll_cache()
        await until(pilot, lambda: "Not loaded" not in screen_text(app))
        writers.on_refresh_servers = lambda: None
        writers.on_try = dies
        await ask(app, pilot)
        await until(pilot, lambda: "The engine has ended" in screen_text(app))
        assert "Half of" in screen_text(app)
        writers.on_try = answered
        await pilot.press("enter", "enter")
        await until(pilot, lambda: "Dear customer" in screen_text(app))


async def test_prompts_come_from_a_file_or_the_clipboard_and_an_empty_one_is_not_asked(
    served: Library, writers: FakeWriters, open_app: Open, tmp_path: Path
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(
        '{"messages": [{"role": "system", "content": "Be brief."},'
        ' {"role": "user", "content": "One\\ntwo"}]}\n{"prompt": "Three"}\n'
    )
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        screen = await opened(app, pilot)
        line = screen.query_one(PromptLine)
        await pilot.press("enter")
        await told(pilot, app, "The prompt is empty")
        app.post_message(events.Paste("def f():\n    return 1\n"))
        await until(pilot, lambda: bool(line.value))
        await pilot.press("enter")
        await until(pilot, lambda: tried(writers)[-1:] != [] and not list(screen.workers))
        assert tried(writers)[0][1] == "def f():\n    return 1"
        line.focus()
        line.show(f"@{tmp_path}/missing")
        await pilot.press("enter")
        await told(pilot, app, "can't be read")
        await ask(app, pilot, f"@{file}")
        await until(pilot, lambda: "prompt 1 of 2" in screen_text(app))
        assert line.prompt == "One\ntwo"
        await until(pilot, lambda: not list(screen.workers))
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "prompt 2 of 2" in screen_text(app))
        assert [call[1] for call in tried(writers)][1:] == ["One\ntwo", "Three"]
        await until(pilot, lambda: not list(screen.workers))
        await pilot.press("right_square_bracket")
        await told(pilot, app, "There is no next prompt")


async def test_how_all_are_asked_can_be_chosen_and_a_wrong_value_is_not_taken(
    served: Library, writers: FakeWriters, open_app: Open
) -> None:
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot)
        await pilot.press("escape", "o")
        await until(pilot, lambda: "How they are asked" in screen_text(app))
        fields = {field.id: field.input for field in app.screen.query(Field)}
        for name, wrong, right in (
            ("temperature", "NaN", "0.7"),
            ("seed", "1.5", "42"),
            ("tokens", "0", "64"),
        ):
            fields[name].value = wrong
            await pilot.press("enter")
            assert app.screen.focused is fields[name]
            fields[name].value = right
        fields["system"].value = "Be brief."
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is screen)
        for words in ("system message", "temperature 0.7", "seed 42", "64 tokens at most"):
            assert words in screen_text(app)
        await ask(app, pilot)
        assert writers.tried_with[-1] == Settings(0.7, 42, 64, "Be brief.")
        await pilot.press("o", "escape")  # leaves them as they were
        await until(pilot, lambda: app.screen is screen)
        assert "seed 42" in screen_text(app)


async def test_models_that_are_not_loaded_are_loaded_by_one_key_or_another_server_is_chosen(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(count=5)
    serve(library, 0, server="gpu-1")
    with closing(open_cache(library.path)) as db, transaction(db):
        put_served(db, [loaded(0, "gpu-1"), loaded(2, "gpu-2"), loaded(1, "gpu-2")], [])
    app = open_app()
    async with app.run_test(size=(120, 36)) as pilot:
        await opened(app, pilot)
        assert "on gpu-1" in screen_text(app)
        assert "Not loaded on gpu-1: SQL Assistant - 2026-11-22. l loads it." in screen_text(app)
        await pilot.press("s")
        await until(pilot, lambda: "1 of 2 models" in screen_text(app))
        await pilot.press("j", "enter")
        await until(pilot, lambda: "on gpu-2" in screen_text(app))
        assert "Not loaded on gpu-2: Customer Support Emails" in screen_text(app)
        await pilot.press("l")
        await told(pilot, app, "It is loaded.")
        assert ("load_model", FIRST, "gpu-2") in [call[:3] for call in writers.asked]
        serve(library, 0, 1, server="gpu-2")
        app.poll_cache()
        await until(pilot, lambda: "Not loaded" not in screen_text(app))
        await pilot.press("l")
        await told(pilot, app, "All of these models are loaded there")


async def test_more_columns_than_fit_are_shown_in_turn_and_without_a_server_it_says_how_to_add_one(
    library: Library, writers: FakeWriters, open_app: Open
) -> None:
    library.fill(count=5)
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, marked=0)
        assert "No server to ask" in screen_text(app)
        assert "lora-tui servers add NAME URL" in screen_text(app)
        await pilot.press("escape")
        serve(library, 0, 1, 2, others=["by somebody", "[red]\x1b[2J"])
        screen = TryScreen(())
        app.push_screen(screen)
        await until(pilot, lambda: "on gpu" in screen_text(app))
        await ask(app, pilot)
        assert tried(writers)[-1][2:] == (
            *("base", "adapter-0", "adapter-1", "adapter-2", "by somebody", "[red]\x1b[2J"),
        )
        shown = [column.display for column in screen.query(AnswerColumn)]
        assert shown == [True, True, *[False] * 5]
        assert "Columns 1 to 2 of 6" in screen_text(app)
        await pilot.press(*["right"] * 6)
        await until(pilot, lambda: "Columns 5 to 6 of 6" in screen_text(app))
        assert "[red][2J" in screen_text(app)
        await pilot.resize_terminal(240, 50)
        await until(pilot, lambda: "Columns" not in screen_text(app))
        assert sum(column.display for column in screen.query(AnswerColumn)) == 6
        await pilot.resize_terminal(50, 12)
        assert "Terminal too small" in screen_text(app)


@pytest.mark.parametrize(
    ("size", "state"),
    [((120, 36), "chosen"), ((80, 24), "blind"), ((80, 24), "error")],
    ids=lambda value: value if isinstance(value, str) else "x".join(map(str, value)),
)
def test_picture(
    served: Library,
    writers: FakeWriters,
    open_app: Open,
    snap_compare: Compare,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    state: str,
) -> None:
    monkeypatch.setattr(tally, "blind_order", lambda *_: [2, 0, 1])
    contestants = (BASE, FIRST, SECOND)
    writers.votes_kept += [
        Vote("owner", "gpu", "", "", "", contestants[n % 4 % 3], contestants) for n in range(26)
    ]

    def asked(trial: str, asked_of: Sequence[Contestant]) -> list[Answer]:
        found = answered(trial, asked_of)
        if state == "error":
            error = "gpu refused adapter-0: Call to add_lora method failed: Worker failed"
            found[1] = found[1]._replace(
                progress=Progress.FAILED, text=found[1].text[:60], error=error
            )
        return found

    writers.on_try = asked

    async def shown(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, LoraTuiApp)
        app = pilot.app
        await opened(app, pilot)
        if state != "error":
            await pilot.press("escape", "b", "i")
        await ask(app, pilot)
        if state == "chosen":
            await pilot.press("3")
            await until(pilot, lambda: not list(app.screen.workers))
        await pilot.pause()

    app = open_app(ascii_only=state == "error")
    assert snap_compare(app, terminal_size=size, run_before=shown)
