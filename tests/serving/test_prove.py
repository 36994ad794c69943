"""What a proof found is kept with model and server, and shown with its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from sqlite3 import Connection

import numpy as np
import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.cache.served import get_served
from lora_tui.config.paths import Paths, find_paths
from lora_tui.deployments.record import is_recorded, open_deployments
from lora_tui.domain.servers import Loaded, Proof, ServedName, Verdict
from lora_tui.errors import BackendError, NotFoundError
from lora_tui.reports.proof_text import proof_notes, proof_of, proof_sentence
from lora_tui.serving.prove import prove_model
from lora_tui.serving.server_names import find_loaded
from tests.adapters.weight_files import pair, write_tensors
from tests.serving.fake_client import FakeClient

LOADED = Loaded(
    owner="me", server="gpu-1", url="http://gpu", name="mine-v1", model_id="m1", model_name="Mine",
    version="v1", server_path="/srv/mine-v1", directory="", loaded_at="2026-11-30T12:00:00Z",
)  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "home"))
    return find_paths()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    with closing(open_cache(tmp_path / "cache.sqlite3")) as connection:
        yield connection


def stronger(numbers: list[float]) -> Sequence[float]:
    return [x + 0.25 for x in numbers]


def test_a_proof_is_kept_with_model_and_server_and_copied_into_the_cache(
    paths: Paths, db: Connection
) -> None:
    proof = prove_model(FakeClient({"mine-v1": stronger}), LOADED, model=None, paths=paths, db=db)
    assert proof.verdict == Verdict.EFFECT
    assert (proof.model_id, proof.server, proof.url) == ("m1", "gpu-1", "http://gpu")
    with open_deployments(paths) as deployments:
        assert deployments.proofs("me") == [proof]
    assert get_served(db, "m1").proofs == (proof,)
    assert proof_sentence(proof).startswith("changes the answers, 0.250 nats a token (noise 0.00")
    assert proof_notes(proof) == ()


def test_an_adapter_without_effect_is_told_with_the_reason_from_its_files(
    paths: Paths, db: Connection, tmp_path: Path
) -> None:
    tensors = pair("model.layers.0.q_proj", np.ones((4, 8)), np.zeros((8, 4)))
    write_tensors(tmp_path / "adapter_model.safetensors", tensors)
    loaded = LOADED._replace(directory=str(tmp_path))
    client = FakeClient({"mine-v1": lambda numbers: numbers})
    proof = prove_model(client, loaded, model=None, paths=paths, db=db)
    assert proof.verdict == Verdict.NO_EFFECT
    assert proof_sentence(proof).startswith(
        "loaded without effect: B is zero in the only module (B·A is)"
    )


def test_answers_that_cannot_be_compared_keep_nothing(paths: Paths, db: Connection) -> None:
    client = FakeClient({"mine-v1": lambda numbers: numbers[1:]})
    with pytest.raises(BackendError):
        prove_model(client, LOADED, model=None, paths=paths, db=db)
    assert not is_recorded(paths)


def test_garbage_is_warned_of_with_the_base_model_that_it_was_trained_for(
    paths: Paths, db: Connection, tmp_path: Path
) -> None:
    tensors = pair("model.layers.0.q_proj", np.ones((4, 8)), np.ones((8, 4)))
    write_tensors(tmp_path / "adapter_model.safetensors", tensors)
    config = '{"peft_type": "LORA", "r": 4, "base_model_name_or_path": "org/large"}'
    (tmp_path / "adapter_config.json").write_text(config)
    client = FakeClient({"mine-v1": lambda numbers: [-12.0] * len(numbers)}, base="org/small")
    loaded = LOADED._replace(directory=str(tmp_path))
    proof = prove_model(client, loaded, model=None, paths=paths, db=db)
    assert "probably into garbage" in proof_sentence(proof)
    [note] = proof_notes(proof)
    assert "trained for org/large" in note


def test_a_proof_of_an_earlier_version_says_so(paths: Paths, db: Connection) -> None:
    proof = prove_model(FakeClient({"mine-v1": stronger}), LOADED, model=None, paths=paths, db=db)
    newer = LOADED._replace(version="v2", name="mine-v2")
    assert proof_of([proof], newer) == proof
    assert proof_sentence(proof, version="v2").startswith(
        "not proved yet; an earlier version (v1): changes the answers"
    )
    assert proof_sentence(proof, version="v1").startswith("changes")
    assert proof_sentence(None) == "not proved yet"


def test_what_a_server_says_cannot_write_to_the_terminal() -> None:
    proof = Proof("me", "m1", "s", "u", "n", "v\x1b[2J", "no effect", 0.0, 0.1, 1, 9,
                  ("bad\x1b]0;title\x07",), "\x1b[31m")  # fmt: skip
    shown = proof_sentence(proof, version="other") + "".join(proof_notes(proof))
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_the_newest_version_that_the_server_still_lists_is_proved() -> None:
    known = [
        LOADED,
        LOADED._replace(name="mine-v2", version="v2", loaded_at="2026-11-30T13:00:00Z"),
        LOADED._replace(name="mine-v3", version="v3", loaded_at="2026-11-30T14:00:00Z"),
    ]
    state = FakeClient({"mine-v1": stronger, "mine-v2": stronger}).state()
    assert find_loaded(known, state, LOADED, ()).name == "mine-v2"


def test_an_adapter_that_was_given_at_the_start_is_found_by_its_path() -> None:
    client = FakeClient({"other": stronger, "theirs": stronger})
    state = client.state()._replace(
        adapters=(ServedName("other", "/models/m10/a.gguf"), ServedName("b", "/models/m1/b.gguf"))
    )
    found = find_loaded([], state, LOADED, ("/models/m1",))
    assert (found.name, found.server_path) == ("b", "/models/m1/b.gguf")
    with pytest.raises(NotFoundError, match="gpu-1 has not loaded this model"):
        find_loaded([], state, LOADED, ("/models/m",))
