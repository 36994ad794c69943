"""Which of a server's adapters a model is, on the screen and for `try`."""

from __future__ import annotations

import pytest

from lora_tui.domain.answers import Contestant
from lora_tui.domain.servers import Loaded, ServedName, ServerState
from lora_tui.errors import NotFoundError, UsageError
from lora_tui.serving.contestants import BASE_MODEL, contestants_of

URL = "http://gpu:8000"


def row(model: str, name: str, at: str = "2026-11-20", *, url: str = URL) -> Loaded:
    return Loaded("owner", "gpu", url, name, model, f"Model {model}", "v1", "/srv", "", at)


def server(*adapters: ServedName) -> ServerState:
    return ServerState("gpu", URL, "llama.cpp", "2026-11-23", True, adapters=adapters)


def test_a_model_that_the_server_was_given_at_its_start_is_found_by_its_path() -> None:
    state = server(ServedName("other", "/srv/b/x.gguf"), ServedName("good", "/srv/a/good.gguf"))
    found = contestants_of({"a": "Support"}, [], [], state, lambda _: ["/srv/a"])
    assert found == [BASE_MODEL, Contestant("a", "Support", "good")]
    with pytest.raises(NotFoundError, match="Support is not loaded on gpu"):
        contestants_of({"a": "Support"}, [], [], state, lambda _: ["/srv/a/good"])


def test_of_several_versions_the_newest_is_asked_that_the_server_still_has() -> None:
    rows = [
        row("a", "a@1", "2026-11-01"),
        row("a", "a@2", "2026-11-02"),
        row("a", "a@3", "2026-11-03"),
    ]
    state = server(ServedName("a@1"), ServedName("a@2"))
    assert contestants_of({"a": "A"}, [], rows, state)[1].adapter == "a@2"


def test_what_was_loaded_at_another_address_of_the_server_does_not_count() -> None:
    state = server(ServedName("support"))
    moved = [row("a", "support", url="http://old:8000")]
    with pytest.raises(NotFoundError):
        contestants_of({"a": "Support"}, [], moved, state)
    (_, found) = contestants_of({}, ["support"], moved, state)
    assert found.id == "name:support"


def test_a_model_that_is_named_twice_is_asked_once_and_seven_adapters_are_refused() -> None:
    state = server(*(ServedName(f"n{n}") for n in range(7)))
    found = contestants_of({"a": "A"}, ["n0", "n0"], [row("a", "n0")], state)
    assert [one.adapter for one in found] == [None, "n0"]
    with pytest.raises(UsageError, match="7 adapters are too many"):
        contestants_of({}, [f"n{n}" for n in range(7)], [], state)
