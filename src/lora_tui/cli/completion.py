"""Completes a command line: candidates from the grammar, the cache and the configuration.

The shells' scripts (completions/) call `lora-tui __complete SHELL WORD…`; the last word is the
unfinished one. Nothing here uses the network, opens a keyring, or changes a file.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lora_tui.errors import LoraTuiError
from lora_tui.text import terminal_safe

if TYPE_CHECKING:
    from lora_tui.config.table import Profile

FILES: Final = ":files"
DIRECTORIES: Final = ":directories"
"""Printed instead of candidates: the shell completes names of files itself."""

_MOST: Final = 200
_TAGS: Final = "SELECT trim(tags), '' FROM own_marks WHERE tags <> ''"
_BASH_BREAKS: Final = re.compile("[:=]+")
"""The characters at which bash splits an unquoted word."""


def print_candidates(shell: str, words: Sequence[str]) -> None:
    """Print the candidates for the last word. Prints nothing on any error: a shell waits for it."""
    from lora_tui.cli.grammar import build_parser

    try:
        lines = complete(build_parser(), shell, words)
    except Exception:  # no cache, no configuration, or half-written ones: no candidates
        return
    sys.stdout.writelines(f"{line}\n" for line in lines)


def complete(parser: argparse.ArgumentParser, shell: str, words: Sequence[str]) -> list[str]:
    """Return lines for the shell's script: `=VALUE<tab>DESCRIPTION`, FILES or DIRECTORIES."""
    there = 0
    *before, current = list(words) or [""]
    if shell == "bash":
        before, current, there = _split_for_bash(words)
    line = _read(parser, before)
    lines: list[str] = []
    for value, description in _candidates(line, current):
        if value in (FILES, DIRECTORIES):
            lines.append(value)
        elif value.startswith(current):
            text = terminal_safe(description, limit=80)
            lines.append(f"={value[there:]}\t{text}" if text else f"={value[there:]}")
    return list(dict.fromkeys(lines))[:_MOST]


@dataclass
class _Line:
    """The words before the unfinished one, parsed."""

    parser: argparse.ArgumentParser
    values: dict[str, str] = field(default_factory=dict)
    """The values of options and positionals, by destination."""
    used: set[str] = field(default_factory=set)
    waiting: argparse.Action | None = None
    """The option whose value comes next."""
    taken: int = 0
    """The number of complete positionals of `parser`."""
    only_positionals: bool = False

    @property
    def positional(self) -> argparse.Action | None:
        actions = [action for action in self.parser._actions if not action.option_strings]
        return actions[self.taken] if self.taken < len(actions) else None


def _read(parser: argparse.ArgumentParser, words: Iterable[str]) -> _Line:
    line = _Line(parser)
    for word in words:
        if line.waiting is not None:
            line.values[line.waiting.dest] = word
            line.waiting = None
        elif word == "--":
            line.only_positionals = True
        elif word.startswith("-") and not line.only_positionals:
            name, joined, value = word.partition("=")
            action = line.parser._option_string_actions.get(name)
            if action is None:
                continue
            line.used.update(action.option_strings)
            if joined:
                line.values[action.dest] = value
            elif action.nargs is None:
                line.waiting = action
        else:
            _take(line, word)
    return line


def _take(line: _Line, word: str) -> None:
    action = line.positional
    if isinstance(action, argparse._SubParsersAction):
        parser = action.choices.get(word)
        if parser is not None:
            line.parser, line.taken = parser, 0
    elif action is not None:
        line.values[action.dest] = word
        if action.nargs not in ("*", "+"):
            line.taken += 1


def _candidates(line: _Line, current: str) -> Iterator[tuple[str, str]]:
    if line.waiting is not None:
        yield from _values(line, line.waiting, current)
        return
    if current.startswith("-") and not line.only_positionals:
        name, joined, value = current.partition("=")
        action = line.parser._option_string_actions.get(name)
        if joined and action is not None:
            for found, description in _values(line, action, value):
                yield (found if found.startswith(":") else f"{name}={found}"), description
            return
        for action in line.parser._actions:
            repeatable = isinstance(action, argparse._CountAction)
            if action.help != argparse.SUPPRESS:
                for name in action.option_strings:
                    if name.startswith("--") and (repeatable or name not in line.used):
                        yield name, action.help or ""
        return
    action = line.positional
    if isinstance(action, argparse._SubParsersAction):
        for choice in action._choices_actions:
            yield choice.dest, choice.help or ""
    elif action is not None:
        yield from _values(line, action, current)


def _values(line: _Line, action: argparse.Action, current: str) -> Iterator[tuple[str, str]]:
    if action.choices is not None:
        yield from ((str(choice), "") for choice in action.choices)
    elif action.dest == "quality":
        from lora_tui.domain import CONVERGENCES

        listed, comma, _ = current.rpartition(",")
        yield from ((f"{listed}{comma}{name}", "") for name in CONVERGENCES)
    elif action.dest == "profile":
        yield from ((name, "") for name in _profiles(line))
    elif action.dest == "key":
        from lora_tui.config.table import KEYS

        yield from ((key, "") for key in sorted(KEYS))
    elif "SERVER" in (action.metavar, action.dest.upper()):
        if line.parser.prog != "lora-tui servers add":
            yield from _servers(line)
    elif action.dest == "to" or action.metavar == "DIR":
        if current.startswith("@") and line.parser.prog == "lora-tui verify":
            yield from _aliases(line)
        else:
            yield DIRECTORIES, ""
    elif action.dest in ("config", "target") or action.metavar == "FILE":
        if action.dest == "target":
            yield from _models(line, current)
        if action.dest == "file" and "model" in line.values:
            yield from _files_of(line)
        else:
            yield FILES, ""
    elif action.dest in ("x", "y", "by"):
        from lora_tui.cache.model_columns import MODEL_COLUMNS

        wanted = [c for c in MODEL_COLUMNS if c.kind.is_number or action.dest != "y"]
        yield from ((column.name, column.meaning) for column in wanted)
    elif action.dest == "status":
        from lora_tui.domain.job_statuses import STATUSES

        listed, comma, _ = current.rpartition(",")
        yield from ((f"{listed}{comma}{name}", "") for name in ("active", "ended", *STATUSES))
    elif action.dest == "columns" and line.parser.prog == "lora-tui jobs":
        from lora_tui.commands.job_columns import COLUMNS

        listed, comma, _ = current.rpartition(",")
        yield from ((f"{listed}{comma}{column.name}", "") for column in COLUMNS)
    elif action.dest in ("columns", "where", "sort"):
        yield from _model_columns(action.dest, current)
    elif action.dest == "job" and action.nargs is None and not action.option_strings:
        yield from _jobs(line, current)
    elif action.dest == "view":
        yield from ((name, "") for name in _views(line))
    elif action.dest == "model":
        yield from _models(line, current)
        if line.parser.prog == "lora-tui tag":
            yield "list", "all tags"
    elif action.dest == "tag":
        counts = Counter(tag for tags, _ in _rows(line, _TAGS, ()) for tag in tags.split())
        yield from ((tag, f"{count} models") for tag, count in counts.most_common())
    elif action.dest == "alias":
        yield from ((alias.removeprefix("@"), name) for alias, name in _aliases(line))
    elif action.dest == "dataset":
        query = "SELECT name, '' FROM datasets WHERE substr(name, 1, ?) = ? ORDER BY name"
        yield from _rows(line, query, (len(current), current))


def _model_columns(option: str, current: str) -> Iterator[tuple[str, str]]:
    """Yield columns of models for the last name of a list, or the last word of a condition."""
    from lora_tui.cache.model_columns import MODEL_COLUMNS, SYNONYMS

    unfinished = re.split(r"[\s(]" if option == "where" else "[,+]", current)[-1]
    before = current[: len(current) - len(unfinished)]
    if option == "columns" and not before:
        yield "help", "list them"
    yield from ((f"{before}{column.name}", column.meaning) for column in MODEL_COLUMNS)
    if option == "sort":
        yield from ((name, "") for name in SYNONYMS)


def _models(line: _Line, current: str) -> Iterator[tuple[str, str]]:
    """Yield names that only one model has, ids that begin with what was typed, and aliases."""
    if current.startswith("@"):
        yield from _aliases(line)
    named = (
        "SELECT name, substr(id, 1, 8) FROM models WHERE substr(name, 1, ?) = ?"
        " GROUP BY name HAVING count(*) = 1 ORDER BY max(created_at) DESC"
    )
    yield from _rows(line, named, (len(current), current))
    if current and not set(current.lower()) - set("0123456789abcdef-"):
        prefix = current.lower()
        ids = "SELECT id, name FROM models WHERE id >= ? AND id < ? || 'g' ORDER BY id"
        yield from _rows(line, ids, (prefix, prefix))


def _aliases(line: _Line) -> list[tuple[str, str]]:
    """The aliases in use, with their @ and the names of their models."""
    query = (
        "SELECT trim(k.aliases), coalesce(m.name, 'not in the cache') FROM own_marks k"
        " LEFT JOIN models m ON m.id = k.model_id WHERE k.aliases <> ''"
    )
    rows = _rows(line, query, ())
    return sorted((f"@{alias}", name) for aliases, name in rows for alias in aliases.split())


def _jobs(line: _Line, current: str) -> Iterator[tuple[str, str]]:
    """Yield the ids of jobs that begin with what was typed; those that run first."""
    ids = (
        "SELECT j.id, j.status || coalesce(' ' || d.name, '') FROM jobs j"
        " LEFT JOIN datasets d ON d.id = j.dataset_id WHERE j.id >= ? AND j.id < ? || 'g'"
        " ORDER BY j.activity, j.created_at DESC"
    )
    prefix = current.lower()
    if not set(prefix) - set("0123456789abcdef-"):
        yield from _rows(line, ids, (prefix, prefix))


def _files_of(line: _Line) -> Iterator[tuple[str, str]]:
    from lora_tui.cache import models

    with closing(_cache(line)) as db:
        found = models.find_models(db, line.values["model"])
        model = models.get_model(db, found[0].id) if len(found) == 1 else None
    names = [file.name for file in model.files if file.name == file.label] if model else []
    yield from ((name, "") for name in names)
    endings = Counter(Path(name).suffix for name in names)
    yield from (
        (f"*{end}", f"{count} files") for end, count in endings.items() if end and count > 1
    )


def _rows(line: _Line, query: str, values: tuple[object, ...]) -> list[tuple[str, str]]:
    try:
        with closing(_cache(line)) as db:
            rows = db.execute(f"{query} LIMIT {_MOST}", values).fetchall()
    except (LoraTuiError, LookupError, OSError, sqlite3.Error):
        return []  # nothing configured, nobody signed in, no cache yet
    # a value that a terminal does not show unchanged can't be typed
    return [(str(v), str(d)) for v, d in rows if str(v) == terminal_safe(v, limit=200)]


def _views(line: _Line) -> list[str]:
    """The names of the saved views; a damaged file is left as it is."""
    from lora_tui.json_values import mapping, read_object
    from lora_tui.views.saved import beside

    found = read_object(beside(_profile(line).view_state_path), 1_000_000).get("views")
    return [
        name
        for entry in (found if isinstance(found, list) else [])
        if isinstance(name := mapping(entry).get("name"), str) and name == terminal_safe(name)
    ]


def _servers(line: _Line) -> list[tuple[str, str]]:
    """The servers of the profile, with their addresses."""
    from lora_tui.config.servers import servers_in

    try:
        return [(name, server.url) for name, server in servers_in(_profile(line)).items()]
    except LoraTuiError:
        return []


def _profile(line: _Line) -> Profile:
    from lora_tui.config.kinds import expanded
    from lora_tui.config.load import load_profile

    config = line.values.get("config")
    return load_profile(
        name=line.values.get("profile"),
        config_file=expanded(config, "--config") if config else None,
    )


def _cache(line: _Line) -> sqlite3.Connection:
    from lora_tui.account import sessions
    from lora_tui.sqlite_file import open_for_reading

    profile = _profile(line)
    signed_in = sessions.account_of(profile)
    if signed_in is None:
        raise LookupError
    path = profile.cache_path(signed_in.user_id)
    db = open_for_reading(path, timeout=0.2)
    db.row_factory = sqlite3.Row
    return db


def _profiles(line: _Line) -> list[str]:
    from lora_tui.config.demo import known_demos
    from lora_tui.config.kinds import expanded
    from lora_tui.config.load import read_profiles
    from lora_tui.config.paths import find_paths

    config: Any = line.values.get("config")
    paths = find_paths(config_file=expanded(config, "--config") if config else None)
    return sorted({*read_profiles(paths.config_file), *known_demos(paths)})


def _split_for_bash(words: Sequence[str]) -> tuple[list[str], str, int]:
    """Return the finished words, the unfinished one, and how many of its characters bash keeps.

    Bash passes the words as typed, with quotes. It splits them at `:` and `=`, and replaces only
    the part after the last split.
    """
    *finished, unfinished = _with_aliases_whole(words or [""])
    meant: list[str] = []
    is_cut = False
    for word in finished:
        is_joined, was_cut = is_cut, is_cut
        is_cut = _BASH_BREAKS.fullmatch(word) is not None
        if is_cut and meant and not was_cut:
            if word == "=" and meant[-1].startswith("-"):
                is_cut = False  # `--option=` and its value, which the grammar takes as two words
                continue
            is_joined = True
        text = word if is_cut else _unquoted(word)
        if is_joined and meant:
            meant[-1] += text
        else:
            meant.append(text)
    if _BASH_BREAKS.fullmatch(unfinished) and meant:
        if unfinished == "=" and meant[-1].startswith("-"):
            return meant, "", 0
        start = meant.pop() + unfinished
        return meant, start, len(start)
    if is_cut and unfinished:
        start = meant.pop()
        return meant, start + _unquoted(unfinished, is_open=True), len(start)
    return meant, _unquoted(unfinished, is_open=True), 0


def _with_aliases_whole(words: Sequence[str]) -> list[str]:
    """Join each `@` with what follows: bash passes it as a word, and replaces it all the same."""
    whole: list[str] = []
    for word in words:
        if whole and whole[-1] == "@" and word and not _BASH_BREAKS.fullmatch(word):
            whole[-1] += word
        else:
            whole.append(word)
    return whole


def _unquoted(word: str, *, is_open: bool = False) -> str:
    """Remove quotes and backslashes from a word; with `is_open` its last quote may be missing."""
    for quote in ("", '"', "'") if is_open else ("",):
        try:
            return " ".join(shlex.split(word + quote))
        except ValueError:
            continue
    return re.sub(r"\\(.)", r"\1", word)
