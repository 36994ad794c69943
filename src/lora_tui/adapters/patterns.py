"""Matches the regular expressions of an `adapter_config.json` as PEFT does, in bounded time.

The expressions are untrusted, and Python's `re` can take exponential time for a short one. So
only plain names, and expressions with one repeat of one character and one choice, go to `re`.
Other expressions are matched here by following all alternatives at once: the state is the set of
positions that can be reached, which grows no larger than the name. Supported are literals, `.`,
classes, escapes, groups, `|`, repeats, anchors and lookahead; without back-references the order of
alternatives does not change whether there is a match, so the answer is that of `re`. Whatever is
not supported, or takes too many steps, is reported as undecided and never guessed. A timeout or
another process would do the same at a price that `inspect` would feel.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_PATTERN: Final = 2_000
"""Characters of a pattern that is still matched."""

_STEPS: Final = 300_000
"""Work for all the modules of one adapter; a second or two for the slowest."""
_KEYS_A_STEP: Final = 50
"""How many plain keys are compared with a name in the time of one step."""
_CHARACTERS_A_STEP: Final = 500
"""How many characters `re` compares in the time of one step here."""
_MAX_DEPTH: Final = 40
_PLAIN: Final = re.compile(r"\^?(?:[A-Za-z0-9_-]|\\?\.)+")
_ENDING: Final = r"(.*\.)?({})$"
"""As PEFT builds it of a key: utils/other.py, get_pattern_key."""
_WHOLE: Final = r"(?:{})\Z"
_PART: Final = r"(^|.*\.){}($|\..*)"
"""As PEFT builds it of a name in `modules_to_save`: tuners/tuners_utils.py."""
_DOT: Final = re.compile(r"\\?\.")
_ANY: Final = "\0"
_LAST_PART: Final = re.compile(r"[A-Za-z0-9_-]+\Z")
_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "d": str.isdecimal,
    "D": lambda c: not c.isdecimal(),
    "w": lambda c: c.isalnum() or c == "_",
    "W": lambda c: not (c.isalnum() or c == "_"),
    "s": str.isspace,
    "S": lambda c: not c.isspace(),
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}

Test = Callable[[str], bool]
"""Whether one character matches."""


class Work:
    """Steps that are left for one adapter."""

    def __init__(self, steps: int = _STEPS) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Raises _OutOfStepsError when there are none left."""
        self.left -= steps
        if self.left < 0:
            self.left = -1
            raise _OutOfStepsError


class _OutOfStepsError(Exception):
    """The pattern took more steps than a pattern of PEFT takes."""


class _UnsupportedError(Exception):
    """The pattern has syntax beyond what is matched here."""


Step = Callable[[str, set[int], Work], set[int]]
"""Maps positions in a name to the positions that are reached from them."""


@dataclass(frozen=True)
class Found:
    """The answer to `first_match`."""

    key: str | None
    """None where no key matches."""
    decided: bool = True
    """False where a key could not be evaluated before one matched."""


def first_match(keys: Iterable[str], name: str, work: Work | None = None) -> Found:
    """The first key that matches the name of a module, as PEFT's `get_pattern_key` finds it.

    A key matches the whole name or the part after a dot. `work` bounds the effort for all calls
    that share it.
    """
    work = work or Work()
    if work.left < 0:
        return Found(None, decided=False)
    table = _key_table(tuple(keys))
    try:
        work.spend(1 + len(table) // _KEYS_A_STEP)
        for key, ending, plain in table:
            if plain is not None:
                if name.endswith(ending) and plain.matches(name):
                    return Found(key)
                continue
            matched = key == name or _matches(_ENDING, key, name, work)
            if matched is None:
                return Found(None, decided=False)
            if matched:
                return Found(key)
    except _OutOfStepsError:
        return Found(None, decided=False)
    return Found(None)


def matches_whole(pattern: str, name: str, work: Work | None = None) -> bool | None:
    """Whether the pattern matches the whole name; None where it was not evaluated."""
    return _matches(_WHOLE, pattern, name, work or Work())


def matches_part(pattern: str, name: str, work: Work | None = None) -> bool | None:
    """Whether the pattern matches parts of the name between dots; None where not evaluated."""
    return _matches(_PART, pattern, name, work or Work())


def is_invalid(pattern: str) -> bool:
    """Whether Python refuses the pattern where PEFT uses it, as a part of another."""
    if len(pattern) > MAX_PATTERN or _PLAIN.fullmatch(pattern):
        return False
    try:
        _compile(_ENDING.format(pattern))
    except (re.error, RecursionError, OverflowError):
        return True
    return False


def _matches(frame: str, pattern: str, name: str, work: Work) -> bool | None:
    try:
        work.spend(1)
        matcher = _matcher(frame, pattern)
        if isinstance(matcher, re.Pattern):
            work.spend(len(name) ** 2 // _CHARACTERS_A_STEP)
            return matcher.match(name) is not None
        return None if matcher is None else bool(matcher(name, {0}, work))
    except _OutOfStepsError:
        return None


@dataclass(frozen=True)
class _PlainKey:
    """A key without syntax but dots, which match any character, and perhaps `^`."""

    text: str
    """With `_ANY` for a dot that matches any character."""
    dotted: str
    """With dots instead."""
    anchored: bool

    def matches(self, name: str) -> bool:
        """Whether it is the name, or its end after a dot; without `re`, for there are many."""
        start = len(name) - len(self.text)
        if start < 0 or (start > 0 and (self.anchored or name[start - 1] != ".")):
            return False
        end = name[start:]
        return end == self.dotted or all(
            wanted in (_ANY, given) for wanted, given in zip(self.text, end, strict=True)
        )


@lru_cache(maxsize=8)
def _key_table(keys: tuple[str, ...]) -> tuple[tuple[str, str, _PlainKey | None], ...]:
    """Each key with its last part, and what it means if it is a plain name."""
    found = []
    for key in keys:
        last = _LAST_PART.search(key)
        plain = None
        if _PLAIN.fullmatch(key):
            text = _DOT.sub(lambda dot: "." if len(dot[0]) > 1 else _ANY, key.removeprefix("^"))
            plain = _PlainKey(text, text.replace(_ANY, "."), key.startswith("^"))
        found.append((key, last[0] if last else "", plain))
    return tuple(found)


def _compile(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(pattern)


@lru_cache(maxsize=256)
def _matcher(frame: str, pattern: str) -> re.Pattern[str] | Step | None:
    """None where the pattern is invalid, or has syntax that is not supported."""
    whole = frame.format(pattern)
    if _PLAIN.fullmatch(pattern):
        return _compile(whole)
    if len(pattern) > MAX_PATTERN:
        return None
    try:
        compiled = _compile(whole)
        parser, own = _Parser(whole), _Parser(frame.format("x"))
        step, _ = parser.read(), own.read()
    except (re.error, RecursionError, OverflowError, _UnsupportedError):
        return None
    # at most one repeat beside those of the frame: `re` takes quadratic time at worst
    is_simple = (
        parser.repeats - own.repeats <= 1
        and parser.repeated_groups == own.repeated_groups
        and parser.choices - own.choices <= 1
    )
    return compiled if is_simple else step


class _Parser:
    """Reads a pattern that `re` accepts, and refuses what is not supported."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self.repeats = 0
        """Of single characters and classes."""
        self.repeated_groups = 0
        self.choices = 0

    def read(self) -> Step:
        """The whole pattern. Raises _UnsupportedError."""
        step = self._alternatives(0)
        if self._at != len(self._text):
            raise _UnsupportedError
        return step

    def _alternatives(self, depth: int) -> Step:
        """Sequences with `|` between them."""
        if depth > _MAX_DEPTH:
            raise _UnsupportedError
        options = [self._sequence(depth)]
        while self._take("|"):
            options.append(self._sequence(depth))
        if len(options) == 1:
            return options[0]
        self.choices += 1
        return _any_of(options)

    def _sequence(self, depth: int) -> Step:
        steps: list[Step] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            group = self._text[self._at] == "("
            steps.append(self._repeated(self._atom(depth), group=group))
        return _in_order(steps)

    def _atom(self, depth: int) -> Step:
        character = self._next()
        if character == "(":
            return self._group(depth)
        if character == "[":
            return _One(self._set())
        if character == ".":
            return _One(lambda c: c != "\n")
        if character == "^":
            return _at_start
        if character == "$":
            return _at_end_or_line
        if character == "\\":
            return self._escape()
        if character in ("*", "+", "?"):
            raise _UnsupportedError
        return _One(lambda c: c == character)

    def _group(self, depth: int) -> Step:
        look: bool | None = None
        if self._take("?"):
            if self._take("P<"):
                self._at = self._text.index(">", self._at) + 1
            elif self._take("="):
                look = True
            elif self._take("!"):
                look = False
            elif not self._take(":"):
                raise _UnsupportedError
        inner = self._alternatives(depth + 1)
        if not self._take(")"):
            raise _UnsupportedError
        return inner if look is None else _ahead(inner, wanted=look)

    def _escape(self) -> Step:
        character = self._next()
        if character in _CLASSES:
            return _One(_CLASSES[character])
        if character == "Z":
            return _at_end
        if character == "A":
            return _at_start
        if character == "b":
            return _at_word_boundary
        literal = self._literal_escape(character)
        return _One(lambda c: c == literal)

    def _literal_escape(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isalnum():
            raise _UnsupportedError
        return character

    def _set(self) -> Test:
        negated = self._take("^")
        tests: list[Test] = []
        first = True
        while first or not self._take("]"):
            first = False
            low = self._set_member()
            if (
                isinstance(low, str)
                and self._text.startswith("-", self._at)
                and not self._text.startswith("-]", self._at)
            ):
                self._at += 1
                high = self._set_member()
                if not isinstance(high, str):
                    raise _UnsupportedError
                tests.append(_between(low, high))
            else:
                tests.append(_between(low, low) if isinstance(low, str) else low)
        return lambda c: any(test(c) for test in tests) is not negated

    def _set_member(self) -> str | Test:
        character = self._next()
        if character != "\\":
            return character
        character = self._next()
        return _CLASSES.get(character) or self._literal_escape(character)

    def _repeated(self, step: Step, *, group: bool) -> Step:
        """The step with the repeat that follows it, if there is one."""
        low, high = 1, 1
        bounds = re.compile(r"\{(\d*)(,?)(\d*)\}").match(self._text, self._at)
        if self._take("*"):
            low, high = 0, -1
        elif self._take("+"):
            low, high = 1, -1
        elif self._take("?"):
            low, high = 0, 1
        elif bounds is not None and (bounds[1] or bounds[3]):
            self._at = bounds.end()
            low = int(bounds[1] or 0)
            high = int(bounds[3]) if bounds[3] else -1 if bounds[2] else low
        else:
            return step
        if self._take("+"):  # possessive: the order of alternatives would matter
            raise _UnsupportedError
        self._take("?")
        self.repeated_groups += group
        self.repeats += not group
        if isinstance(step, _One) and low <= 1 and high < 0:
            return _run_of(step.test, low)
        return _repeat(step, low, high)

    def _next(self) -> str:
        if self._at == len(self._text):
            raise _UnsupportedError
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, text: str) -> bool:
        taken = self._text.startswith(text, self._at)
        self._at += len(text) if taken else 0
        return taken


@dataclass(frozen=True)
class _One:
    """A step over one character."""

    test: Test

    def __call__(self, text: str, at: set[int], work: Work) -> set[int]:
        work.spend(len(at) + 1)
        return {place + 1 for place in at if place < len(text) and self.test(text[place])}


def _run_of(test: Test, low: int) -> Step:
    """As many characters as there are that match, at least `low`, which is 0 or 1."""

    def step(text: str, at: set[int], work: Work) -> set[int]:
        reached: set[int] = set() if low else set(at)
        for start in at:
            place = start
            while place < len(text) and test(text[place]):
                place += 1
                reached.add(place)
                if place in at:
                    break  # what follows is reached from that start, too
            work.spend(place - start + 1)
        return reached

    return step


def _between(low: str, high: str) -> Test:
    return lambda c: low <= c <= high


def _in_order(steps: list[Step]) -> Step:
    def step(text: str, at: set[int], work: Work) -> set[int]:
        work.spend(1)
        for inner in steps:
            at = inner(text, at, work)
            if not at:
                break
        return at

    return step


def _any_of(options: list[Step]) -> Step:
    def step(text: str, at: set[int], work: Work) -> set[int]:
        work.spend(len(options))
        return set().union(*(option(text, at, work) for option in options))

    return step


def _repeat(inner: Step, low: int, high: int) -> Step:
    """At least `low` and at most `high` times; -1 is without limit."""

    def step(text: str, at: set[int], work: Work) -> set[int]:
        for _ in range(low):
            before, at = at, inner(text, at, work)
            if not at or at == before:
                break
        reached, new, count = set(at), at, low
        while new and (high < 0 or count < high):
            new = inner(text, new, work) - reached
            reached |= new
            count += 1
        return reached

    return step


def _ahead(inner: Step, *, wanted: bool) -> Step:
    def step(text: str, at: set[int], work: Work) -> set[int]:
        return {place for place in at if bool(inner(text, {place}, work)) is wanted}

    return step


def _at_start(_text: str, at: set[int], _work: Work) -> set[int]:
    return at & {0}


def _at_end(text: str, at: set[int], _work: Work) -> set[int]:
    return at & {len(text)}


def _at_end_or_line(text: str, at: set[int], _work: Work) -> set[int]:
    return at & ({len(text), len(text) - 1} if text.endswith("\n") else {len(text)})


def _at_word_boundary(text: str, at: set[int], _work: Work) -> set[int]:
    word = _CLASSES["w"]

    def is_word(place: int) -> bool:
        return 0 <= place < len(text) and word(text[place])

    return {place for place in at if is_word(place - 1) is not is_word(place)}
