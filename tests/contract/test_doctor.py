"""`doctor` finds the open tables closed by our migration; test_deployed.py tells what before it."""

from __future__ import annotations

import uuid

import pytest

from tests.backends.backend import Backend
from tests.backends.seed import Seed
from tests.conftest import Run

HOLES = ("metrics_points", "notifications", "cost_records")


def verdicts(
    run: Run, backend: Backend, monkeypatch: pytest.MonkeyPatch, *, service: bool
) -> tuple[int, dict[str, str], dict[str, str]]:
    """Exit code, verdicts and remedies by check, as Bob."""
    monkeypatch.setenv("SUPABASE_URL", backend.url)
    monkeypatch.setenv("SUPABASE_ANON_KEY", backend.anon_key)
    monkeypatch.setenv("LORA_TUI_EMAIL", backend.bob.email)
    monkeypatch.setenv("LORA_TUI_PASSWORD", backend.bob.password)
    if service:
        monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", backend.service_key)
    ran = run("doctor", "--json")
    checks = ran.data["checks"]
    return (
        ran.code,
        {check["check"]: check["verdict"] for check in checks},
        {check["check"]: check["remedy"] or "" for check in checks},
    )


def fill(backend: Backend) -> None:
    """Rows of Alice's in each table, and a model of Bob's with a file in the bucket."""
    with Seed.of(backend) as seed:
        seed.one_in_each_table(backend.alice)
        path = seed.stored(f"{backend.bob.user_id}/{uuid.uuid4()}/adapter_model.bin", b"weights")
        seed.artifact(backend.bob, artifacts={"adapter_model.bin": path})


@pytest.mark.parametrize("service", [False, True])
def test_after_the_migration_all_is_well(
    run: Run, backend: Backend, monkeypatch: pytest.MonkeyPatch, service: bool
) -> None:
    fill(backend)
    code, found, _ = verdicts(run, backend, monkeypatch, service=service)
    for check in (*(f"privacy of {table}" for table in HOLES), "storage policy", "migration"):
        assert found[check] == "ok", check
    assert found["bucket"] == ("ok" if service else "skipped")
    assert code == 0


def test_after_it_the_public_key_shows_no_row_to_anybody(
    run: Run, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(backend)
    monkeypatch.setenv("SUPABASE_URL", backend.url)
    monkeypatch.setenv("SUPABASE_ANON_KEY", backend.anon_key)
    checks = {check["check"]: check for check in run("doctor", "--json").data["checks"]}
    for table in HOLES:
        assert checks[f"privacy of {table}"]["verdict"] == "skipped"
        assert "reads no row" in checks[f"privacy of {table}"]["evidence"]
