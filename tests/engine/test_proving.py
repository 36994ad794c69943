"""The engine proves a model on a server: progress, one result kept, and a proof can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from lora_tui.cache.connection import open_existing
from lora_tui.cache.served import get_served
from lora_tui.config.load import load_profile
from lora_tui.config.table import Profile
from lora_tui.deployments.record import open_deployments, owner_key
from lora_tui.domain.servers import Loaded
from lora_tui.engine.proving import Proofs
from lora_tui.errors import CancelledError, NotConfiguredError, UnreachableError
from tests.commands.conftest import sandbox, signed_in, synced
from tests.conftest import Run
from tests.serving.fake_client import FakeClient

__all__ = ["sandbox", "signed_in", "synced"]


class World:
    """A signed-in account whose profile has the server `gpu-1`, which is a fake."""

    def __init__(self, run: Run, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
        config = Path(run("config", "path", "--json").data["path"])
        config.parent.mkdir(parents=True, exist_ok=True)
        with config.open("a") as file:
            file.write('\n[profiles.default.servers.gpu-1]\nurl = "http://gpu"\nkind = "vllm"\n')
        monkeypatch.setattr("lora_tui.serving.prove.open_server", lambda _profile, _name: client)
        self.profile = load_profile()
        whoami = run("whoami", "--json").data
        from lora_tui.account import sessions

        self.owner = sessions.cache_owner(self.profile, whoami["user_id"])
        self.path = self.profile.cache_path(self.owner.user_id)
        self.model_id = run("list", "--json").data["models"][0]["id"]
        self.told: list[tuple[str, Any]] = []
        self.proofs = Proofs(
            lambda: self.profile, self.owner, self.cache, lambda *event: self.told.append(event),
            read_header=lambda _: 1 / 0,  # type: ignore[arg-type,return-value]
        )  # fmt: skip
        owner = owner_key(self.profile, self.owner.user_id)
        with open_deployments(self.profile.paths) as deployments:
            deployments.note_loaded(
                Loaded(
                    owner,
                    "gpu-1",
                    "http://gpu",
                    "mine",
                    self.model_id,
                    "Mine",
                    "v1",
                    "/a",
                    "",
                    "2026-11-30T12:00:00Z",
                )
            )

    @contextmanager
    def cache(self) -> Iterator[Connection]:
        with closing(open_existing(self.path, self.owner)) as db:
            yield db


@pytest.fixture
def client() -> FakeClient:
    return FakeClient({"mine": lambda numbers: [x + 0.25 for x in numbers]})


@pytest.fixture
def world(signed_in: Path, run: Run, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(run, client, monkeypatch)


def test_a_proof_is_told_as_it_goes_and_kept(world: World) -> None:
    said = world.proofs.prove_model(model_id=world.model_id, server="gpu-1")
    assert said.startswith("changes the answers, 0.250 nats a token")
    events = [data for name, data in world.told if name == "proving"]
    assert events[0] == {"model_id": world.model_id, "server": "gpu-1", "done": 0, "of": 25}
    assert events[-1]["of"] == 0
    assert world.told[-1] == ("cache", None)
    with world.cache() as db:
        [proof] = get_served(db, world.model_id).proofs
    assert (proof.server, proof.version) == ("gpu-1", "v1")


def test_a_cancelled_proof_keeps_nothing_and_the_next_one_may_begin(
    world: World, client: FakeClient
) -> None:
    asked = threading.Event()
    cancelled = threading.Event()

    def wait() -> None:
        asked.set()
        cancelled.wait(20)

    client.before = wait
    errors: list[BaseException] = []

    def prove() -> None:
        try:
            world.proofs.prove_model(model_id=world.model_id, server="gpu-1")
        except CancelledError as error:
            errors.append(error)

    thread = threading.Thread(target=prove)
    thread.start()
    assert asked.wait(20)
    with pytest.raises(CancelledError, match="already"):
        world.proofs.prove_model(model_id=world.model_id, server="gpu-1")
    world.proofs.cancel_proof(model_id=world.model_id)
    cancelled.set()
    thread.join()
    assert len(errors) == len(client.asked) == 1
    with world.cache() as db:
        assert not get_served(db, world.model_id).proofs
    client.before = lambda: None
    assert world.proofs.prove_model(model_id=world.model_id, server="gpu-1")
    world.proofs.stop()
    with pytest.raises(CancelledError):
        world.proofs.prove_model(model_id=world.model_id, server="gpu-1")


def test_offline_and_without_an_account_nobody_is_asked(world: World, client: FakeClient) -> None:
    def unset() -> Profile:
        raise NotConfiguredError("No project is configured yet")

    cases = ((lambda: world.profile, UnreachableError), (unset, NotConfiguredError))
    for profile, kind in cases:
        proofs = Proofs(profile, world.owner, world.cache, lambda *_: None, read_header=None)
        with pytest.raises(kind):
            proofs.prove_model(model_id=world.model_id, server="gpu-1")
    assert not client.asked
