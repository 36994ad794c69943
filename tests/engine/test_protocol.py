"""What the application and the engine say to each other arrives as it was sent, or is refused."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui import errors
from lora_tui.account.sessions import KeyringSessionError
from lora_tui.cache.metadata import Owner
from lora_tui.engine import protocol
from lora_tui.engine.protocol import (
    Answer,
    Event,
    Hello,
    Message,
    Ready,
    Request,
    encode,
    error_document,
    error_of,
    read_message,
)
from lora_tui.errors import (
    EngineEndedError,
    LoraTuiError,
    NotSignedInError,
    UnreachableError,
)
from lora_tui.transfers.connection import UntrustedError

FAMILY = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, LoraTuiError)
    ),
    key=lambda kind: kind.__name__,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
NUMBERS = st.integers(0, 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OPTIONAL = st.none() | TEXT
ERRORS = st.builds(
    lambda kind, message, details, remedy: kind(message, details=details, remedy=remedy),
    st.sampled_from(FAMILY),
    TEXT,
    OPTIONAL,
    OPTIONAL,
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        profile=OPTIONAL,
        config_file=st.none() | TEXT.map(lambda name: Path("/etc") / name.replace("\0", "")),
        offline=st.booleans(),
        owner=st.none() | st.builds(Owner, TEXT, TEXT),
        demo=OPTIONAL,
        build=TEXT,
        protocol=NUMBERS,
    ),
    st.builds(Ready, NUMBERS, TEXT, NUMBERS),
    st.builds(Request, NUMBERS, TEXT, st.dictionaries(TEXT, JSON, max_size=3)),
    st.builds(Answer, NUMBERS, JSON),
    st.builds(Event, TEXT, JSON),
)


def read(line: bytes) -> Message | None:
    return read_message(io.BytesIO(line))


def parts(error: LoraTuiError) -> tuple[Any, ...]:
    return type(error), str(error), error.details, error.remedy, error.exit_code


@given(MESSAGES)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert read(line) == message


@given(ERRORS, NUMBERS)
def test_an_error_arrives_with_its_kind_sentence_details_and_remedy(
    error: LoraTuiError, number: int
) -> None:
    answer = read(encode(Answer(number, error=error)))
    assert isinstance(answer, Answer)
    assert answer.error is not None
    assert parts(answer.error) == parts(error)
    refusal = read(encode(error))
    assert isinstance(refusal, LoraTuiError)
    assert parts(refusal) == parts(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyringSessionError("locked"), NotSignedInError),
        (UntrustedError("certificate"), UnreachableError),
    ],
)
def test_an_error_of_another_module_arrives_as_what_the_family_knows_of_it(
    error: LoraTuiError, kind: type[LoraTuiError]
) -> None:
    arrived = error_of(error_document(error))
    assert parts(arrived) == (kind, str(error), error.details, error.remedy, kind.exit_code)


@pytest.mark.parametrize("kind", ["NewError", "ExitCode", "Exception", "annotations", "", 7, None])
def test_an_error_of_a_kind_that_is_not_known_is_an_error_all_the_same(kind: object) -> None:
    error = error_of({"kind": kind, "message": "no", "details": None, "remedy": "wait"})
    assert parts(error) == parts(LoraTuiError("no", remedy="wait"))


def test_messages_follow_each_other_and_the_end_is_none() -> None:
    sent: list[Message] = [Ready(1), Answer(2, [1.5, "ü\n"]), Event("harvest", {})]
    stream = io.BytesIO(b"".join(map(encode, sent)))
    assert [read_message(stream) for _ in range(4)] == [*sent, None]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"Traceback (most recent call last):\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'"id"\n',
        b'{"id": 1}\n',
        b'{"id": "1", "ok": 1}\n',
        b'{"id": 1, "error": "no"}\n',
        b'{"id": 1, "error": {}}\n',
        b'{"id": 1, "do": "sync", "with": []}\n',
        b'{"hello": {}}\n',
        b'{"hello": {"protocol": 1, "build": "", "profile": null, "config": 7, "offline": 0,'
        b' "owner": [1, 2, 3, 4], "demo": null}}\n',
        b'{"ready": {"pid": "x", "build": "", "protocol": 1}}\n',
        b'{"ready": []}\n',
        b'{"refused": null}\n',
        b'{"event": 5, "data": 1}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"id": 1, "ok": 1}',
        b'{"id": 1, "o',
        b'{"id": ' + b"9" * 5000 + b', "ok": 1}\n',
    ],
)
def test_nonsense_and_half_lines_are_refused_and_not_quoted(line: bytes) -> None:
    with pytest.raises(EngineEndedError) as raised:
        read(line)
    assert str(raised.value) == "The engine sent something that is no message"
    assert raised.value.details is not None
    assert raised.value.details.isidentifier()


@given(st.binary(max_size=200))
def test_no_bytes_raise_another_error(line: bytes) -> None:
    with contextlib.suppress(EngineEndedError):
        read(line)


@given(st.dictionaries(st.sampled_from(["id", "ok", "do", "with", "error", "event"]), JSON))
def test_no_json_raises_another_error(document: Any) -> None:
    with contextlib.suppress(EngineEndedError):
        read(json.dumps(document).encode() + b"\n")


def test_a_line_that_is_too_long_is_neither_sent_nor_read(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = encode(Answer(1, "x" * 50))
    monkeypatch.setattr(protocol, "MAX_LINE", len(longest))
    assert read(longest) == Answer(1, "x" * 50)
    too_long = longest.replace(b"xx", b"xxx", 1)
    with pytest.raises(LoraTuiError, match="too long"):
        encode(Answer(1, "x" * 51))
    stream = io.BytesIO(too_long + longest)
    with pytest.raises(EngineEndedError):
        read_message(stream)
    assert stream.tell() == len(longest)  # no more was read than that


def test_what_was_typed_is_not_in_the_text_of_a_request() -> None:
    request = Request(1, "sign_in", {"email": "me@example.org", "password": "open sesame"})
    assert "sesame" not in f"{request} {request!r}"
