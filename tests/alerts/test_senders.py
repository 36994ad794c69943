"""Who sends alerts: the application that syncs, or the harvest service; never both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from lora_tui.account.login import sign_in
from lora_tui.account.sessions import cache_owner
from lora_tui.alerts.sender import AlertSender
from lora_tui.config.load import load_profile
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.requests import Requests
from lora_tui.sandbox import Sandbox
from tests.alerts.conftest import Webhook
from tests.conftest import Run, set_environment

UNTIL_ONE_FAILED = 200
"""Seconds after which one of the sandbox's runs has diverged, and one has completed."""


@pytest.fixture
def sandbox(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox.start(models=1, waiting_jobs=1) as started:
        set_environment(started, monkeypatch)
        monkeypatch.setenv("LORA_TUI_ALERT_URL", webhook.url)
        yield started


@pytest.fixture
def synced(sandbox: Sandbox) -> Iterator[Callable[[], None]]:
    """Syncs on schedule, as an open application does, and waits for its alerts."""
    profile = load_profile()
    session = sign_in(profile)
    owner = cache_owner(profile, session.user_id)
    requests = Requests(
        profile.paths,
        profile,
        owner,
        connect=lambda: OnlineWriters(profile),
        tell=lambda _name, _data: None,
    )

    def sync() -> None:
        requests.sync(full=False, scheduled=True)
        if requests._alerts is not None:
            requests._alerts.wait()

    with closing(requests):
        yield sync


def train(sandbox: Sandbox) -> None:
    """Until one run has failed; all of it after the first look."""
    sandbox.faults(clock_offset=UNTIL_ONE_FAILED + 1)
    sandbox.train(UNTIL_ONE_FAILED)
    sandbox.clear_faults()


def kinds(webhook: Webhook) -> list[Any]:
    """Without a result that may expire: seeded rows are up to an hour old."""
    return [body["kind"] for body in webhook.got if body["kind"] != "result_expiring"]


def test_an_open_application_tells_of_a_run_that_failed_once(
    sandbox: Sandbox, synced: Callable[[], None], webhook: Webhook
) -> None:
    synced()
    assert kinds(webhook) == []
    train(sandbox)
    synced()
    synced()
    assert kinds(webhook).count("job_failed") == 1
    assert "diverged" in next(b["message"] for b in webhook.got if b["kind"] == "job_failed")


def test_the_application_leaves_alerts_to_the_harvest_where_that_is_set(
    sandbox: Sandbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("LORA_TUI_ALERT_SENDER", "harvest")
    profile = load_profile()
    requests = Requests(profile.paths, profile, None, connect=lambda: None, tell=print)  # type: ignore[arg-type, return-value]
    with closing(requests):
        assert requests._alerts is None

    assert run("--harvest", "--once").code == 0
    assert kinds(webhook) == ["job_finished"]
    assert any("/5 stars" in body["message"] for body in webhook.got)
    train(sandbox)
    run("--harvest", "--once")
    run("--harvest", "--once")
    assert sorted(kinds(webhook)) == ["job_failed", "job_finished", "job_finished"]
    assert len({body["event_id"] for body in webhook.got}) == len(webhook.got)


def test_the_harvest_sends_nothing_where_the_application_does(
    sandbox: Sandbox, webhook: Webhook, run: Run
) -> None:
    assert run("--harvest", "--once").code == 0
    assert kinds(webhook) == []
    assert AlertSender(load_profile()).since() is not None
