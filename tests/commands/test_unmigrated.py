"""On a project without our migration each command says what is missing, and what brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from lora_tui.cache.connection import open_cache
from lora_tui.cache.transfer_queue import transfers_of
from lora_tui.config.load import load_profile
from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run, set_environment
from tests.seeded import short_curves


@pytest.fixture
def unmigrated(monkeypatch: pytest.MonkeyPatch, run: Run) -> Iterator[Sandbox]:
    with short_curves(), Sandbox.start(models=6, waiting_jobs=0, migrated=False) as sandbox:
        set_environment(sandbox, monkeypatch)
        run("sync")
        yield sandbox


def test_what_needs_a_file_names_the_policy_and_what_brings_it(
    unmigrated: Sandbox, run: Run, tmp_path: Path
) -> None:
    model = whole_model(run)
    for command in (("download", model, "--to", str(tmp_path / "x")), ("urls", model)):
        ran = run(*command)
        assert ran.code == 3
        assert "no storage policy" in ran.err.lower()
        assert "`lora-tui schema`" in ran.err
        assert "harvest" not in ran.err
        assert "lora-tui schema" in run(*command, "--json").error["error"]
    assert "lora-tui schema" in run("inspect", model).err
    doctor = run("doctor").out
    assert "storage policy" in doctor
    assert "lora-tui schema" in doctor


def test_the_list_of_transfers_keeps_the_reason(
    unmigrated: Sandbox, run: Run, tmp_path: Path
) -> None:
    model = whole_model(run)
    run("download", model, "adapter_config.json", "--to", str(tmp_path / "x"))
    user_id = run("whoami", "--json").data["user_id"]
    with closing(open_cache(load_profile().cache_path(user_id))) as db:
        [row] = transfers_of(db, model)
    assert row.error_kind == "HiddenFilesError"
    assert "lora-tui schema" in str(row.error)


def test_files_that_are_really_gone_are_not_blamed_on_a_policy(
    configured: Sandbox, run: Run, tmp_path: Path
) -> None:
    run("sync")
    model = whole_model(run)
    paths = list(run("show", model, "--json").data["artifacts"].values())
    httpx.request(
        "DELETE",
        f"{configured.url}/storage/v1/object/lora-models",
        json={"prefixes": paths},
        headers={"apikey": configured.service_key},
        trust_env=False,
    ).raise_for_status()
    for command in (("download", model, "--to", str(tmp_path / "x")), ("urls", model)):
        ran = run(*command)
        assert ran.code == 3
        assert "policy" not in ran.err
