"""Collects these tests only for `make real`, which names the cases and the Pythons to use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lora_tui.sandbox import Sandbox
from tests.real import cases, vllm_server
from tests.real.cases import adapters, directory
from tests.real.commands import Journey, User
from tests.real.tiny_llama import write_base
from tests.serving.vllm_contract import Server

collect_ignore_glob = []
if not cases.is_asked_for():
    collect_ignore_glob.append("test_[!v]*.py")
if not vllm_server.is_asked_for():
    collect_ignore_glob.append("test_vllm_*.py")


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real vLLM with a key, for all tests that leave it as it was."""
    place = tmp_path_factory.mktemp("vllm")
    base = write_base(place / vllm_server.BASE)
    with vllm_server.running_vllm(base, place / "log", key="sesame") as server:
        yield server


@pytest.fixture(scope="session")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Somebody at a shell, signed in to a project that a sandbox serves."""
    with Sandbox.start(models=6, waiting_jobs=2) as sandbox:
        yield User(tmp_path_factory.mktemp("home"), sandbox.environment())


@pytest.fixture(scope="session")
def journey(user: User, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """Every adapter that PEFT loads, pushed and downloaded."""
    place = tmp_path_factory.mktemp("downloads")
    dataset = user.dataset()
    sent = {
        name: user.types("push", directory(name), "--dataset", dataset, "--name", name, "--json")
        for name in adapters(loads=True)
    }
    assert user.types("sync").code == 0
    arrived = [name for name, push in sent.items() if push.code == 0]
    back = {
        name: user.types("download", sent[name].data["model_id"], "--to", place / name)
        for name in arrived
    }
    return Journey(sent, back, place)
