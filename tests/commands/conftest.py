"""A home that is signed in and synced, made once a file and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.cli.run import main
from lora_tui.sandbox import Sandbox
from tests.conftest import set_environment
from tests.seeded import short_curves


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The project of a file's tests."""
    with short_curves(), Sandbox.start(models=6, waiting_jobs=2) as started:
        yield started


@pytest.fixture(scope="module")
def synced(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a session and a cache of that project, to be copied."""
    directory = tmp_path_factory.mktemp("synced") / "home"
    with pytest.MonkeyPatch.context() as patch:
        set_environment(sandbox, patch)
        patch.setenv("LORA_TUI_HOME", str(directory))
        patch.setenv("LORA_TUI_NO_KEYRING", "1")
        assert main(["sync"]) == 0
    return directory


@pytest.fixture
def signed_in(
    synced: Path, home: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The test's own copy of it; the project has no faults again afterwards."""
    set_environment(sandbox, monkeypatch)
    shutil.copytree(synced, home)
    yield home
    sandbox.clear_faults()
