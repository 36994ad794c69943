"""`try`: one prompt, or a file of them, to the base model and adapters of a server; the tally."""

from __future__ import annotations

import secrets
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Final

from lora_tui import clock, formats
from lora_tui.cache.models import names_of
from lora_tui.commands.context import Context, resolve
from lora_tui.commands.prose import wrapped
from lora_tui.commands.streamed import StreamedText
from lora_tui.commands.style import table_width_of, width_of
from lora_tui.commands.table import Column, sentence_lines, table_lines
from lora_tui.config.servers import find_server
from lora_tui.deployments.record import is_recorded, open_deployments, owner_key
from lora_tui.domain.answers import (
    LETTERS,
    TIE,
    Answer,
    Contestant,
    Progress,
    Round,
    Settings,
    can_win,
    measures,
    state_text,
)
from lora_tui.domain.servers import Vote
from lora_tui.errors import (
    ExitCode,
    NotFoundError,
    PartlyFailedError,
    UsageError,
)
from lora_tui.serving import tally, transcript
from lora_tui.serving.answers import Connect, ask_all
from lora_tui.serving.client import Client
from lora_tui.serving.connect import open_server
from lora_tui.serving.contestants import contestants_of
from lora_tui.serving.prompts import Prompt, prompt_of, prompts_in, read_prompts
from lora_tui.serving.server_names import server_paths
from lora_tui.text import terminal_safe

_INDENT: Final = "  "
_LONGEST_STDIN: Final = 8 << 20
_SKIP: Final = ("s", "")
_COLUMNS: Final = (
    Column("MODEL", 90, least=12),
    Column("COMPARED", 60, right=True),
    Column("WON", 100, right=True),
    Column("TIED", 50, right=True),
    Column("LOST", 40, right=True),
    Column("WIN RATE", 80, right=True),
    Column("95 % INTERVAL", 70, right=True),
)


def try_models(context: Context) -> ExitCode:
    """Ask, and print the answers as they come; or print the tally.

    Raises PartlyFailedError where an answer did not come.
    """
    arguments = context.arguments
    if arguments.tally:
        _print_tally(context)
        return ExitCode.OK
    _check(context)
    prompts = _prompts(context)
    context.require_network()
    server = _server_name(context)
    with context.cache() as db:
        models, names = _models(db, arguments.model)
        places = {
            one: server_paths(db, one, find_server(context.profile, server)) for one in models
        }
    owner = owner_key(context.profile, context.cache_owner().user_id)
    with open_deployments(context.profile.paths) as deployments:
        loaded = deployments.loaded(owner, server=server)
    settings = Settings(
        temperature=arguments.temperature,
        seed=arguments.seed,
        most_tokens=arguments.max_tokens,
        system=arguments.system,
        parallel=arguments.parallel,
    )
    rounds: list[Round] = []
    with closing(open_server(context.profile, server)) as client:
        state = client.state()
        contestants = contestants_of(models, names, loaded, state, lambda one: places.get(one, ()))
        try:
            connect = _connect(context, client, server)
            for one in _rounds(context, connect, server, contestants, prompts, settings):
                rounds.append(one)
                _keep_vote(context, owner, state.url, one)
        finally:  # also what came before ctrl+c
            if arguments.transcript and rounds:
                transcript.write_transcript(Path(arguments.transcript), rounds)
                context.say(f"Written to {terminal_safe(arguments.transcript, limit=400)}")
    return _end(context, rounds)


def _check(context: Context) -> None:
    """Raise UsageError for options that can't be used together, before anything is asked."""
    arguments = context.arguments
    if not arguments.model:
        raise UsageError("No model is named", remedy="name up to six models, or use --tally")
    if arguments.transcript:
        transcript.form_of(Path(arguments.transcript))
    if arguments.blind and not (context.out.isatty() and sys.stdin.isatty()):
        raise UsageError("--blind asks after each prompt, which needs a terminal")
    if arguments.blind and (context.json or arguments.jsonl):
        raise UsageError("--blind is for people", remedy="leave out --json or --jsonl")


def _prompts(context: Context) -> list[Prompt]:
    arguments = context.arguments
    if arguments.prompt is not None:
        return [prompt_of(arguments.prompt)]
    if arguments.prompts not in (None, "-"):
        return read_prompts(Path(arguments.prompts))
    if arguments.blind and arguments.prompts == "-":
        raise UsageError("--blind reads your choices from stdin", remedy="give a file of prompts")
    if arguments.prompts is None and sys.stdin.isatty():
        raise UsageError("There is no prompt", remedy="add --prompt TEXT, or --prompts FILE")
    try:
        text = sys.stdin.read(_LONGEST_STDIN)
    except UnicodeDecodeError:
        raise UsageError("The prompts are not UTF-8 text") from None
    return prompts_in(text)


def _server_name(context: Context) -> str:
    if context.arguments.on:
        return str(context.arguments.on)
    names = sorted(context.profile.servers)
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(
            "The profile has no servers",
            remedy="`lora-tui servers add NAME URL` adds one",
        )
    raise UsageError(
        "The profile has several servers",
        details=formats.some_of(names, 10),
        remedy="name one with --on",
    )


def _models(db: sqlite3.Connection, references: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Models (id → name), and what may be the name of an adapter on the server."""
    models: dict[str, str] = {}
    names: list[str] = []
    for reference in references:
        try:
            found = resolve(db, reference)
        except NotFoundError:
            if reference.startswith("@"):
                raise
            names.append(reference)
        else:
            models[found.id] = found.name
    return models, names


def _connect(context: Context, client: Client, server: str) -> Connect:
    """The one connection of the command; for answers at once a new one for each."""
    if context.arguments.parallel:
        return lambda: open_server(context.profile, server)
    return lambda: nullcontext(client)


def _rounds(
    context: Context,
    connect: Connect,
    server: str,
    contestants: Sequence[Contestant],
    prompts: Sequence[Prompt],
    settings: Settings,
) -> Iterator[Round]:
    """Ask prompt after prompt, and print each round."""
    blind, session = bool(context.arguments.blind), secrets.token_hex(8)
    shows = context.out.isatty() and not (context.json or context.arguments.jsonl)
    if not shows and not context.json and not context.arguments.jsonl:
        context.out.write(transcript.MARKDOWN_TITLE)
    for number, prompt in enumerate(prompts, 1):
        shown = list(contestants)
        if blind:
            shown = [shown[n] for n in tally.blind_order(len(shown), session, number)]
        if shows:
            answers = _shown(context, connect, shown, prompt, settings, number, len(prompts))
        else:
            answers = _asked(connect, shown, prompt, settings)
        one = Round(prompt.text, server, tuple(shown), tuple(answers), settings)
        if blind:
            one = _choose(context, one)
        if context.arguments.jsonl:
            context.out.write(transcript.as_jsonl([one]))
            context.out.flush()
        elif not shows and not context.json:
            context.out.write(transcript.round_markdown(number, one))
            context.out.flush()
        yield one


def _asked(
    connect: Connect, contestants: Sequence[Contestant], prompt: Prompt, settings: Settings
) -> list[Answer]:
    answers = [Answer()] * len(contestants)

    def take(place: int, answer: Answer) -> None:
        answers[place] = answer

    ask_all(connect, contestants, prompt, settings, take=take)
    return answers


def _shown(
    context: Context,
    connect: Connect,
    contestants: Sequence[Contestant],
    prompt: Prompt,
    settings: Settings,
    number: int,
    of: int,
) -> list[Answer]:
    """Ask, and print each answer as it comes; all at once, they are printed when all have ended."""
    blind, width = bool(context.arguments.blind), width_of(context) or 80
    title = f"Prompt {formats.count(number)} of {formats.count(of)}: " if of > 1 else ""
    for line in wrapped(title + terminal_safe(prompt.text, limit=2_000), width):
        context.out.write(f"{line}\n")
    answers = [Answer()] * len(contestants)
    texts: dict[int, StreamedText] = {}

    def take(place: int, answer: Answer) -> None:
        if place not in texts:
            name = "" if blind else f"  {terminal_safe(contestants[place].name, limit=200)}"
            context.out.write(f"\n{LETTERS[place]}{name}\n")
            texts[place] = StreamedText(context.out.write, width, indent=_INDENT)
        texts[place].feed(answer.text[len(answers[place].text) :])
        answers[place] = answer
        if answer.progress.has_ended:
            texts[place].end()
            for line in wrapped(_ending(answer, blind=blind), width - len(_INDENT)):
                context.out.write(f"{_INDENT}{line}\n")
        context.out.flush()

    if settings.parallel:
        answers[:] = _asked(connect, contestants, prompt, settings)
        done, answers = answers, [Answer()] * len(contestants)
        for place, answer in enumerate(done):
            take(place, answer)
    else:
        ask_all(connect, contestants, prompt, settings, take=take)
    context.out.write("\n")
    return answers


def _ending(answer: Answer, *, blind: bool) -> str:
    """How it ended; blind without what tells the models apart."""
    if answer.progress is Progress.FAILED:
        return "(no answer)" if blind else f"({answer.error})"
    return f"({', '.join((*measures(answer, timed=not blind), state_text(answer)))})"


def _choose(context: Context, one: Round) -> Round:
    """Ask which answer is the best, then tell the names."""
    width = width_of(context) or 80
    places = can_win(one.answers)
    winner: str | None = None
    if len(places) < 2:
        context.say("Fewer than two have answered: nothing to choose.")
    else:
        keys = {str(n + 1): n for n in places} | {LETTERS[n].lower(): n for n in places}
        which = ", ".join(f"{n + 1}" for n in places)
        while True:
            context.talk.write(f"Which is the best: {which}, t for a tie, s to skip? ")
            context.talk.flush()
            line = sys.stdin.readline()
            typed = line.strip().lower()
            if typed in keys:
                winner = one.contestants[keys[typed]].id
            elif typed == "t":
                winner = TIE
            elif typed not in _SKIP or (line and not typed):
                continue
            break
    for place, contestant in enumerate(one.contestants):
        mark = "*" if contestant.id == winner else " "
        answer = one.answers[place]
        told = answer.error or ", ".join((*measures(answer), state_text(answer)))
        name = terminal_safe(contestant.name, limit=200)
        first, *more = wrapped(f"{name} ({told})", width - 5)
        context.out.write(f"{mark} {LETTERS[place]}  {first}\n")
        context.out.writelines(f"     {line}\n" for line in more)
    context.out.write("\n")
    return one._replace(winner=winner, blind=True)


def _keep_vote(context: Context, owner: str, url: str, one: Round) -> None:
    if one.winner is None or not one.blind:
        return
    answered = tuple(one.contestants[n].id for n in can_win(one.answers))
    at = clock.timestamp_text(clock.now())
    winner = tally.vote_of(one.winner)
    with open_deployments(context.profile.paths) as deployments:
        deployments.note_vote(Vote(owner, one.server, url, at, one.prompt, winner, answered))


def _end(context: Context, rounds: Sequence[Round]) -> ExitCode:
    """Print the document of --json, and say what did not come."""
    answers = [answer for one in rounds for answer in one.answers]
    failed = sum(answer.progress is Progress.FAILED for answer in answers)
    if context.json:
        context.print_data({"answers": [d for one in rounds for d in transcript.round_data(one)]})
        return ExitCode.PARTLY_FAILED if failed else ExitCode.OK
    if context.arguments.blind:
        context.say("`lora-tui try --tally` shows what the choices add up to.")
    if failed:
        raise PartlyFailedError(
            f"{formats.counted(len(answers) - failed, 'answer')} came, {failed} did not",
            details=next(answer.error for answer in answers if answer.error),
        )
    return ExitCode.OK


def _print_tally(context: Context) -> None:
    votes: list[Vote] = []
    owner = owner_key(context.profile, context.cache_owner().user_id)
    if is_recorded(context.profile.paths):
        with open_deployments(context.profile.paths) as deployments:
            votes = deployments.votes(owner)
    server = context.arguments.on
    votes = [vote for vote in votes if server is None or vote.server == server]
    found = tally.tally_of(votes)
    with context.cache() as db:
        names = names_of(db, [score.id for score in found.scores])
        if context.arguments.model:
            models, _ = _models(db, context.arguments.model)
            found = found.of(models)
    if context.json:
        context.print_data({"server": server, **tally.tally_data(found, names)})
        return
    if context.arguments.jsonl:
        raise UsageError("--tally has no --jsonl", remedy="use --json")
    rows = [_cells(score, names) for score in found.scores]
    lines = table_lines(_COLUMNS, rows, table_width_of(context))
    if lines:
        lines.append("")
    lines += sentence_lines(tally.sentences(found, names), width_of(context), indent="")
    context.out.write("".join(f"{line}\n" for line in lines))


def _cells(score: tally.Score, names: Mapping[str, str]) -> tuple[str, ...]:
    share = formats.share(score.won / score.compared) if score.compared else formats.NO_VALUE
    between = formats.NO_VALUE
    if score.low is not None and score.high is not None:
        between = f"{formats.share(score.low)} to {formats.share(score.high)}"
    counts = (score.compared, score.won, score.tied, score.lost)
    compared, won, tied, lost = map(formats.count, counts)
    return (tally.name_of(score.id, names), compared, won, tied, lost, share, between)
