"""A sender that is killed between sending and noting repeats one alert at most, by its event id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from lora_tui.secret import Secret
from tests.alerts.conftest import Webhook

ALERTS = 4

_SENDER = """
import os, signal, sys
from lora_tui import clock
from lora_tui.alerts.alert import Alert, Kind, event_id
from lora_tui.alerts.sender import AlertSender, project_of
from lora_tui.alerts.sent import SentAlerts, keep
from lora_tui.config.load import load_profile

profile, left = load_profile(), int(sys.argv[1])
note = SentAlerts.save

def save(self, *arguments):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    note(self, *arguments)

alerts = [
    Alert(
        event_id=event_id(project_of(profile), Kind.FAILED, number),
        kind=Kind.FAILED,
        title="Training failed",
        message=str(number),
        at=clock.now(),
        project=profile.name,
    )
    for number in range(4)
]
sender = AlertSender(profile)
sender.since()
SentAlerts.save = save
if sys.argv[2] == "kept":
    for alert in alerts:
        keep(profile, alert)
    alerts = []
sender.send_new(alerts)
"""


@pytest.fixture
def environment(webhook: Webhook, home: Path, tmp_path: Path) -> Mapping[str, str]:
    """Of a sender with a webhook, and a command that notes what it gets."""
    del home
    command = tmp_path / "command.sh"
    command.write_text(f"#!/bin/sh\ncat >> {tmp_path}/commanded\necho >> {tmp_path}/commanded\n")
    command.chmod(0o700)
    return os.environ | {
        "SUPABASE_URL": "https://project.example",
        "SUPABASE_ANON_KEY": "sb_publishable_key",
        "LORA_TUI_ALERT_URL": Secret(webhook.url, public=True).reveal(),
        "LORA_TUI_ALERT_COMMAND": str(command),
        "LORA_TUI_ALLOW_PRIVATE_URLS": "1",
    }


def send(environment: Mapping[str, str], killed_at: int, source: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _SENDER, str(killed_at), source],
        env=dict(environment),
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("killed_at", [1, 3, 2 * ALERTS])
@pytest.mark.parametrize("source", ["read anew", "kept"])
def test_each_event_arrives_and_at_most_one_repeats_after_kill_9(
    environment: Mapping[str, str], webhook: Webhook, tmp_path: Path, killed_at: int, source: str
) -> None:
    assert send(environment, killed_at, source) == -signal.SIGKILL
    assert send(environment, 0, source) == 0
    assert send(environment, 0, source) == 0

    times = Counter(body["event_id"] for body in webhook.got)
    commanded = (tmp_path / "commanded").read_text().splitlines()
    assert len(times) == ALERTS
    assert len(commanded) >= ALERTS
    assert len({body["message"] for body in webhook.got}) == ALERTS
    repeats = len(webhook.got) + len(commanded) - 2 * ALERTS
    assert repeats == 1  # what was sent last, over one channel
    assert max(times.values()) <= 2


def test_two_senders_of_one_project_at_once_repeat_nothing(
    environment: Mapping[str, str], webhook: Webhook, tmp_path: Path
) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", _SENDER, "0", "read anew"], env=dict(environment))
        for _ in range(2)
    ]
    assert [process.wait(120) for process in both] == [0, 0]
    assert len({body["event_id"] for body in webhook.got}) == len(webhook.got) == ALERTS
    assert len((tmp_path / "commanded").read_text().splitlines()) == ALERTS
