"""Storage's answers are those of the real server, row by row (tests/contract/storage/*.toml)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.storage_table import (
    SUBJECTS,
    Outcome,
    Server,
    ask,
    given_server,
    main,
    options_of,
    report,
    rows,
    sandbox_server,
)

GIVEN = options_of(os.environ)
SERVERS = ["s3", "file", *(["given"] if GIVEN["url"] and GIVEN["key"] else [])]


@pytest.fixture(scope="module", params=SERVERS)
def outcomes(request: pytest.FixtureRequest) -> list[Outcome]:
    """How all rows went on one server."""
    with _server(request.param) as server:
        found = ask(server, rows(server.kind))
    print(f"{request.param}: {report(found)}")
    return found


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_answer_is_that_of_the_real_server(outcomes: list[Outcome], subject: str) -> None:
    asked = [outcome for outcome in outcomes if outcome.row.subject == subject]
    assert asked
    assert [str(outcome) for outcome in asked if outcome.verdict == "differs"] == []


def test_the_sandbox_is_asked_every_row(outcomes: list[Outcome]) -> None:
    left_out = [str(outcome) for outcome in outcomes if outcome.verdict == "not tried"]
    assert left_out == [] or (GIVEN["url"] and GIVEN["key"])


@contextmanager
def _server(name: str) -> Iterator[Server]:
    if name == "given":
        yield given_server(GIVEN)
    else:
        with sandbox_server("file" if name == "file" else "s3") as server:
            yield server


def test_a_server_that_can_t_be_asked_is_named_in_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--url", "http://127.0.0.1:9", "--key", "k"]) == 5
    assert capsys.readouterr().err == "http://127.0.0.1:9 can't be asked: ConnectError\n"
    assert main(["--url", "http://127.0.0.1:9"]) == 2
    assert "LORA_TUI_CONTRACT_KEY is missing" in capsys.readouterr().err
