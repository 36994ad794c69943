"""An alert reaches a webhook or a command once, in the JSON of its kind, and no secret leaks."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lora_tui import clock
from lora_tui.alerts import command, sender
from lora_tui.alerts import webhook as webhooks
from lora_tui.alerts.alert import Alert, Kind, Project, Shape, body_of, event_id, shape_of
from lora_tui.alerts.command import AlertCommandError, run_command
from lora_tui.alerts.sender import AlertSender, project_of, send
from lora_tui.alerts.sent import MOST, keep, open_sent
from lora_tui.config.table import Profile
from lora_tui.errors import ConfigError, LoraTuiError, UnreachableError
from lora_tui.harvest.source import Target
from lora_tui.secret import Secret
from tests.alerts.conftest import Webhook
from tests.certificates import server_side

PROJECT = Project("work", "https://project.example")


def alert(number: int = 0, **changes: object) -> Alert:
    made = Alert(
        event_id=event_id(PROJECT, Kind.FAILED, number),
        kind=Kind.FAILED,
        title="Training failed: <@everyone> *emails*",
        message="CUDA out of memory & more",
        at=clock.now(),
        project="work",
        job_id="job",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts."""
    policy = webhooks.RETRY.copy_with(backoff_factor=0)
    monkeypatch.setattr(webhooks, "RETRY", policy)


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("https://hooks.slack.com/services/T/B/x", Shape.SLACK),
        ("https://discord.com/api/webhooks/1/x", Shape.DISCORD),
        ("https://hooks.slack.com.evil.example/x", Shape.PLAIN),
        ("https://alerts.example/", Shape.PLAIN),
    ],
)
def test_the_host_tells_the_shape(url: str, shape: Shape) -> None:
    assert shape_of(url) is shape


def test_the_backend_s_text_mentions_nobody_and_is_no_markup() -> None:
    slack = json.loads(body_of(alert(), Shape.SLACK))
    assert "<@everyone>" not in slack["text"]
    assert slack["blocks"][0]["text"]["type"] == "plain_text"
    discord = json.loads(body_of(alert(), Shape.DISCORD))
    assert discord["allowed_mentions"] == {"parse": []}
    assert "\\*emails\\*" in discord["embeds"][0]["title"]


@pytest.mark.parametrize("shape", list(Shape))
def test_each_shape_holds_the_event_s_id(shape: Shape) -> None:
    one, again = alert(), alert(at=clock.now() + timedelta(hours=1))
    assert one.event_id == again.event_id
    assert one.event_id.encode() in body_of(one, shape)


def test_an_event_is_sent_once_also_by_another_process(profile: Profile, webhook: Webhook) -> None:
    assert AlertSender(profile).send_new([alert(1), alert(2)]) == 2
    assert AlertSender(profile).send_new([alert(1), alert(2), alert(3)]) == 1
    assert [body["event_id"] for body in webhook.got] == [alert(n).event_id for n in (1, 2, 3)]


def test_while_one_process_sends_another_does_nothing(profile: Profile, webhook: Webhook) -> None:
    with open_sent(profile, clock.now()):
        assert AlertSender(profile).since() is None
        assert AlertSender(profile).send_new([alert()]) == 0
    assert webhook.got == []


def test_a_passing_fault_is_repeated_and_a_longer_one_is_tried_again_later(
    profile: Profile, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook.statuses = [503, 429]
    assert AlertSender(profile).send_new([alert(1)]) == 1
    webhook.statuses = [503] * 5
    one = AlertSender(profile)
    assert one.send_new([alert(2)]) == 0
    assert isinstance(one.failure, UnreachableError)
    assert one.send_new([alert(2)]) == 0  # it waits
    monkeypatch.setattr(sender.time, "monotonic", lambda: 1e12)
    assert one.send_new([alert(2)]) == 1


def test_a_refused_alert_does_not_hold_up_the_others(profile: Profile, webhook: Webhook) -> None:
    webhook.statuses = [400]
    assert AlertSender(profile).send_new([alert(1), alert(2)]) == 1
    assert AlertSender(profile).send_new([alert(1), alert(2)]) == 1


def test_a_kept_alert_is_sent_by_the_next_process(profile: Profile, webhook: Webhook) -> None:
    with open_sent(profile, clock.now()):  # also while another one sends
        keep(profile, alert(7))
    assert AlertSender(profile).send_new() == 1
    assert webhook.got[0]["event_id"] == alert(7).event_id
    assert AlertSender(profile).send_new() == 0


def test_what_is_noted_stays_small_and_a_damaged_note_sends_again(
    profile: Profile, webhook: Webhook
) -> None:
    with open_sent(profile, clock.now()) as sent:
        assert sent is not None
        for number in range(MOST + 50):
            sent._sent[str(number)] = clock.timestamp_text(clock.now() + timedelta(seconds=number))
        sent.save()
        assert "0" not in sent
        assert str(MOST + 49) in sent
    [path] = (profile.paths.state_dir / "alerts").glob("*.json")
    path.write_text("{")
    since = AlertSender(profile).since()
    assert since is not None
    assert since < clock.now() - timedelta(days=1)


def test_the_first_look_sends_nothing_of_the_past(profile: Profile) -> None:
    before = clock.now()
    since = AlertSender(profile).since()
    assert since is not None
    assert since >= before


def test_a_redirect_is_not_followed_and_the_url_is_in_no_message(
    profile: Profile, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook.statuses = [307]
    with pytest.raises(LoraTuiError) as caught:
        send(profile, alert())
    said = f"{caught.value} {caught.value.details} {caught.value.remedy} {caplog.text}"
    assert "s3cr3t-path" not in said
    assert "redirect" in said
    assert len(webhook.got) == 1


@pytest.mark.parametrize(
    "url",
    ["https://10.0.0.1/x", "https://localhost/x", "https://2130706433/x", "https://printer.lan/"],
)
def test_a_private_address_is_refused_unless_it_is_allowed(profile: Profile, url: str) -> None:
    private = profile._replace(alert_url=Secret(url), allow_private_urls=False)
    with pytest.raises(ConfigError, match="private address") as caught:
        send(private, alert())
    assert caught.value.remedy is not None
    assert "allow_private_urls" in caught.value.remedy


def test_a_webhook_over_tls_must_be_the_host_that_the_url_names(
    profile: Profile,
    webhook: Webhook,
    certificate: Path,
    trust: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    webhook.socket = server_side(certificate).wrap_socket(webhook.socket, server_side=True)
    addresses = ("127.0.0.2", "127.0.0.1")  # nobody listens at the first one
    monkeypatch.setattr(webhooks, "resolve_target", lambda *_, **__: Target("localhost", addresses))
    url = f"https://localhost:{webhook.server_port}/x"
    with pytest.raises(UnreachableError, match="certificate"):
        send(profile._replace(alert_url=Secret(url)), alert())
    trust(certificate)
    send(profile._replace(alert_url=Secret(url)), alert(1))
    assert [body["event_id"] for body in webhook.got] == [alert(1).event_id]
    with pytest.raises(UnreachableError, match="certificate"):  # another name
        send(profile._replace(alert_url=Secret(url.replace("localhost", "other.example"))), alert())


def test_without_a_channel_the_remedy_names_the_settings(profile: Profile) -> None:
    with pytest.raises(ConfigError, match="No alerts are configured"):
        send(profile._replace(alert_url=None), alert())
    assert project_of(profile) == PROJECT


def test_a_command_gets_the_json_and_no_secret_in_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    target = tmp_path / "got"
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys, pathlib\n"
        f"pathlib.Path({str(target)!r}).write_text(sys.stdin.read() + str(dict(os.environ)))\n"
    )
    run_command(f"{sys.executable} -S {program}", body_of(alert(), Shape.PLAIN))
    text = target.read_text()
    assert alert().event_id in text
    assert "hunter2" not in text
    assert "PATH" in text


def test_a_command_that_fails_or_hangs_or_is_missing_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AlertCommandError, match="failed"):
        run_command("false", b"{}")
    with pytest.raises(AlertCommandError, match="can't be started"):
        run_command("/nonexistent/program", b"{}")
    with pytest.raises(ConfigError, match="not a command line"):
        run_command("say 'hello", b"{}")
    monkeypatch.setattr(command, "SECONDS", 0.05)
    with pytest.raises(AlertCommandError, match="longer than"):
        run_command("sleep 60", b"{}")
