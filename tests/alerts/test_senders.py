"""Who sends alerts: the application that syncs, or the harvest service; never both."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lora_tui.account.login import sign_in
from lora_tui.account.sessions import cache_owner
from lora_tui.alerts import sender
from lora_tui.alerts.harvest_events import HarvestAlerts
from lora_tui.alerts.sender import AlertSender
from lora_tui.clock import Backoff
from lora_tui.config.load import load_profile
from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.config.write import set_values
from lora_tui.domain import Row
from lora_tui.engine.online import OnlineWriters
from lora_tui.engine.requests import Requests
from lora_tui.errors import LoraTuiError, UnreachableError
from lora_tui.harvest.events import CycleFinished, ResultLost
from lora_tui.sandbox import Sandbox
from tests.alerts.conftest import Webhook, until
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
        assert requests._alerts is not None
        requests._alerts.look()
        requests._alerts.wait()
    assert not (profile.paths.state_dir / "alerts").exists()

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


LOST = ResultLost(job_id="0000abcd", external_job_id="w-1", completed_at=None, reason="it was slow")


@pytest.fixture
def requests(profile: Profile) -> Iterator[Requests]:
    """Of an application that never syncs, without a cache."""
    with closing(
        Requests(profile.paths, profile, None, connect=lambda: None, tell=print)  # type: ignore[arg-type, return-value]
    ) as made:
        yield made


def test_what_the_harvest_in_the_application_loses_is_told_by_the_application(
    requests: Requests, webhook: Webhook
) -> None:
    assert requests._alerts is not None
    requests._note_event(LOST)
    requests._note_event(LOST)
    requests._alerts.wait()
    assert kinds(webhook) == ["result_lost"]
    assert "it was slow" in webhook.got[0]["message"]


def test_a_changed_setting_of_alerts_needs_no_restart(home: Path, webhook: Webhook) -> None:
    del home
    file = find_paths().config_file
    written = {"url": "https://project.example", "anon_key": "k", "allow_private_urls": "true"}
    set_values(file, "default", written)
    profile = load_profile()
    requests = Requests(profile.paths, profile, None, connect=lambda: None, tell=print)  # type: ignore[arg-type, return-value]
    with closing(requests):
        requests._note_event(LOST)
        set_values(file, "default", {"alert_url": webhook.url})
        with suppress(LoraTuiError):
            requests.call("check_downloads", {})
        requests._note_event(LOST)
        assert requests._alerts is not None
        requests._alerts.wait()
        assert kinds(webhook) == ["result_lost"]
        file.write_text("[broken")
        with suppress(LoraTuiError):
            requests.call("check_downloads", {})
        assert requests._alerts.is_sender


def test_what_was_not_sent_is_tried_again_without_another_event(
    profile: Profile, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "BACKOFF", Backoff(first=0.0, longest=0.0))
    monkeypatch.setattr(sender, "SHORTEST_PAUSE", 0.0)
    webhook.statuses = [400, 400]
    service = HarvestAlerts(profile, lambda _since: [])
    service.note(LOST)
    until(lambda: len(webhook.got) == 3)
    service.close()
    assert len({body["event_id"] for body in webhook.got}) == 1


def test_the_service_sends_what_it_knows_although_the_project_does_not_answer(
    profile: Profile, webhook: Webhook
) -> None:
    def unreachable(_since: datetime) -> list[Row]:
        raise UnreachableError("The project can't be reached")

    service = HarvestAlerts(profile, unreachable)
    service.note(LOST)
    service.note(CycleFinished(harvested=0, failed=0, elsewhere=0, left=0, dry_run=False))
    service.close()
    assert kinds(webhook) == ["result_lost"]


def test_a_full_disk_does_not_keep_an_event_of_the_harvest_from_being_sent(
    profile: Profile, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("lora_tui.alerts.sent.write_file", full)
    service = HarvestAlerts(profile, lambda _since: [])
    service.note(LOST)
    service.close()
    assert kinds(webhook) == ["result_lost"]
