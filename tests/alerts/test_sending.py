"""An alert reaches a webhook or a command once, in the JSON of its kind, and no secret leaks."""

from __future__ import annotations

import errno
import json
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from lora_tui import clock
from lora_tui.alerts import command, sender
from lora_tui.alerts import webhook as webhooks
from lora_tui.alerts.alert import Alert, Kind, Project, Shape, body_of, event_id, shape_of
from lora_tui.alerts.command import AlertCommandError, run_command
from lora_tui.alerts.due import lost
from lora_tui.alerts.sender import AlertSender, project_of, required_channels
from lora_tui.alerts.sent import MOST, keep, open_sent
from lora_tui.config.table import Profile
from lora_tui.errors import ConfigError, DiskError, LoraTuiError, UnreachableError
from lora_tui.harvest.source_connection import Target
from lora_tui.secret import Secret
from tests.alerts.conftest import Webhook
from tests.certificates import server_side
from tests.pseudo_terminal import PATIENCE
from tests.raw_server import Answer, RawServer, head

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


def send(profile: Profile, one: Alert) -> None:
    """As `lora-tui alerts test` does."""
    for channel in required_channels(profile):
        channel.send(one)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    passed = [time.monotonic()]
    monkeypatch.setattr(sender.time, "monotonic", lambda: passed[0])

    def let_pass(seconds: float) -> None:
        passed[0] += seconds

    return let_pass


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts."""
    policy = webhooks.RETRY.copy_with(backoff_factor=0)
    monkeypatch.setattr(webhooks, "RETRY", policy)


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("https://hooks.slack.com/services/T/B/x", Shape.SLACK),
        ("https://hooks.slack-gov.com/services/T/B/x", Shape.SLACK),
        ("https://discord.com/api/webhooks/1/x", Shape.DISCORD),
        ("https://canary.discord.com/api/webhooks/1/x", Shape.DISCORD),
        ("https://discord.com/api/webhooks/1/x/slack", Shape.SLACK),
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
    assert discord["content"] == ""
    assert "\\*emails\\*" in discord["embeds"][0]["title"]


HOSTILE = (
    "<!channel> @everyone @here <@U1> <https://evil.example|x> *b* [a](https://x) :smile: &lt;"
)


def test_no_text_notifies_a_channel_or_becomes_a_link() -> None:
    hostile = alert(title=HOSTILE, message=HOSTILE, project=HOSTILE)
    slack = json.loads(body_of(hostile, Shape.SLACK))
    # the fallback is markup for servers that take Slack's JSON (Mattermost), which know "@here"
    assert not re.search(r"[<>]|@(everyone|here|U1)|&(?!amp;|lt;|gt;)", slack["text"])
    assert slack["mrkdwn"] is slack["unfurl_links"] is slack["unfurl_media"] is False
    texts = [
        slack["blocks"][0]["text"],
        slack["blocks"][1]["text"],
        *slack["blocks"][2]["elements"],
    ]
    assert {text["type"] for text in texts} == {"plain_text"}
    assert {text["emoji"] for text in texts} == {False}
    [embed] = json.loads(body_of(hostile, Shape.DISCORD))["embeds"]
    for text in (embed["title"], embed["description"]):
        assert not re.search(r"(?<!\\)[<@*\[\]():]", text)


@pytest.mark.parametrize("letter", ["a", "*", "\\", "😀", "&", "@"])
def test_no_text_is_longer_than_the_services_take(letter: str) -> None:
    long = alert(title=letter * 3_000, message=letter * 5_000, project=letter * 3_000)
    slack = json.loads(body_of(long, Shape.SLACK))
    header, section, context = slack["blocks"]
    assert units(header["text"]["text"]) <= 150
    assert units(section["text"]["text"]) <= 3_000
    assert units(context["elements"][0]["text"]) <= 300
    assert len(slack["text"]) < 40_000
    [embed] = json.loads(body_of(long, Shape.DISCORD))["embeds"]
    assert units(embed["title"]) <= 256
    assert units(embed["description"]) <= 4_096
    assert units(embed["footer"]["text"]) <= 2_048
    assert sum(units(embed[key]) for key in ("title", "description")) <= 5_000
    assert not re.search(r"(?<!\\)(\\\\)*\\$", embed["title"].rstrip("…"))
    assert long.event_id in embed["footer"]["text"]
    assert long.event_id in context["elements"][0]["text"]


def test_an_empty_message_leaves_no_text_empty() -> None:
    slack = json.loads(body_of(alert(message=""), Shape.SLACK))
    assert all(slack["blocks"][number]["text"]["text"] for number in (0, 1))


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize("shape", list(Shape))
def test_each_shape_holds_the_event_s_id(shape: Shape) -> None:
    one, again = alert(), alert(at=clock.now() + timedelta(hours=1))
    assert one.event_id == again.event_id
    assert one.event_id.encode() in body_of(one, shape)


def test_an_event_is_sent_once_also_by_another_process(profile: Profile, webhook: Webhook) -> None:
    assert AlertSender(profile).send_new([alert(1), alert(2)]) == 2
    assert AlertSender(profile).send_new([alert(1), alert(2), alert(3)]) == 1
    assert [body["event_id"] for body in webhook.got] == [alert(n).event_id for n in (1, 2, 3)]


def test_a_result_is_not_said_to_be_lost_once_its_model_was_told(
    profile: Profile, webhook: Webhook
) -> None:
    project = project_of(profile)
    finished = alert(event_id=event_id(project, Kind.FINISHED, "job"), kind=Kind.FINISHED)
    gone = lost("job", "name", "No model was made of it", project, clock.now())
    assert AlertSender(profile).send_new([finished]) == 1
    assert AlertSender(profile).send_new([gone]) == 0  # somebody has deleted the model
    other = lost("other", "name", "No model was made of it", project, clock.now())
    assert AlertSender(profile).send_new([other]) == 1
    assert [body["kind"] for body in webhook.got] == ["job_finished", "result_lost"]


def test_while_one_process_sends_another_does_nothing(profile: Profile, webhook: Webhook) -> None:
    with open_sent(profile, clock.now()):
        assert AlertSender(profile).since() is None
        assert AlertSender(profile).send_new([alert()]) == 0
    assert webhook.got == []


def test_a_passing_fault_is_repeated_and_a_longer_one_is_tried_again_later(
    profile: Profile, webhook: Webhook, later: Callable[[float], None]
) -> None:
    webhook.statuses = [503, 429]
    assert AlertSender(profile).send_new([alert(1)]) == 1
    webhook.statuses = [503] * 5
    one = AlertSender(profile)
    assert one.send_new([alert(2)]) == 0
    assert isinstance(one.failure, UnreachableError)
    assert one.send_new([alert(2)]) == 0  # it waits
    later(3_600)
    assert one.send_new([alert(2)]) == 1


def test_a_pause_for_which_the_webhook_asks_is_kept(
    profile: Profile,
    webhook: Webhook,
    later: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # no attempts within a round: they would wait
    monkeypatch.setattr(webhooks, "RETRY", webhooks.RETRY.copy_with(total=0))
    webhook.statuses = [429]
    webhook.retry_after = "900"
    one = AlertSender(profile)
    assert one.send_new([alert(1)]) == 0
    later(800)
    assert one.send_new([alert(1)]) == 0
    assert one.retry_seconds is not None
    assert 0 < one.retry_seconds <= 100
    later(101)
    assert one.send_new([alert(1)]) == 1


@pytest.mark.parametrize("status", [400, 500, 413])
def test_a_refused_alert_holds_up_no_other_now_or_later(
    profile: Profile, webhook: Webhook, later: Callable[[float], None], status: int
) -> None:
    webhook.statuses = [status]
    one = AlertSender(profile)
    assert one.send_new([alert(1), alert(2)]) == 1
    assert one.send_new([alert(1), alert(3)]) == 1
    assert [body["event_id"] for body in webhook.got] == [alert(n).event_id for n in (1, 2, 3)]
    later(60)
    assert one.send_new([alert(1)]) == 1


def test_a_webhook_that_refuses_everything_is_asked_three_times_a_round(
    profile: Profile, webhook: Webhook, later: Callable[[float], None]
) -> None:
    webhook.statuses = [404] * 100
    one = AlertSender(profile)
    alerts = [alert(number) for number in range(50)]
    one.send_new(alerts)
    one.send_new(alerts)
    assert len(webhook.got) == 3
    later(3_600)
    one.send_new(alerts)
    assert len(webhook.got) == 6


def test_the_webhook_is_not_sent_again_because_the_command_fails(
    profile: Profile, webhook: Webhook, tmp_path: Path, later: Callable[[float], None]
) -> None:
    good = tmp_path / "there"
    both = profile._replace(alert_command=f"test -e {good}")
    one = AlertSender(both)
    for _ in range(3):
        assert one.send_new([alert(1)]) == 0
        later(3_600)
    assert AlertSender(both).send_new([alert(1)]) == 0  # another process
    assert len(webhook.got) == 1
    good.touch()
    later(3_600)
    assert one.send_new([alert(1)]) == 1
    assert AlertSender(both).send_new([alert(1)]) == 0
    assert len(webhook.got) == 1


def test_the_command_runs_although_the_webhook_is_down(
    profile: Profile, webhook: Webhook, tmp_path: Path, later: Callable[[float], None]
) -> None:
    webhook.statuses = [503] * 5
    both = profile._replace(alert_command=f"touch {tmp_path / 'ran'}")
    one = AlertSender(both)
    one.send_new([alert(1)])
    assert (tmp_path / "ran").exists()
    later(3_600)
    (tmp_path / "ran").unlink()
    assert one.send_new([alert(1)]) == 1
    assert not (tmp_path / "ran").exists()


def test_a_channel_that_is_removed_or_new_repeats_no_alert(
    profile: Profile, webhook: Webhook, tmp_path: Path
) -> None:
    keep(profile, alert(1))
    AlertSender(profile._replace(alert_command="false")).send_new()
    assert AlertSender(profile).send_new([alert(2)]) == 1
    with_command = profile._replace(alert_command=f"touch {tmp_path / 'ran'}")
    assert AlertSender(with_command).send_new([alert(2)]) == 0
    assert [body["event_id"] for body in webhook.got] == [alert(n).event_id for n in (1, 2)]
    assert not (tmp_path / "ran").exists()


def no_answer(_request: str) -> Iterator[bytes]:
    yield b""


def half_an_answer(_request: str) -> Iterator[bytes]:
    yield b"HTTP/1.1 20"


def endless_head(_request: str) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-More: " + b"x" * 4_000 + b"\r\n"


def nothing_for_long(_request: str) -> Iterator[bytes]:
    threading.Event().wait(PATIENCE)
    yield b""


@pytest.mark.parametrize("answer", [no_answer, half_an_answer, endless_head, nothing_for_long])
def test_a_webhook_that_closes_hangs_or_babbles_is_one_error_and_waits(
    profile: Profile, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT", httpx.Timeout(0.2))
    server = RawServer(answer)
    try:
        one = AlertSender(profile._replace(alert_url=Secret(f"{server.url}/s3cr3t-path")))
        assert one.send_new([alert(1), alert(2)]) == 0
        assert isinstance(one.failure, UnreachableError)
        assert "s3cr3t-path" not in f"{one.failure} {one.failure.details}"
        assert one.retry_seconds is not None
    finally:
        server.close()


def test_an_endless_body_is_not_read(profile: Profile) -> None:
    def endless(_request: str) -> Iterator[bytes]:
        yield head("Content-Type: text/plain")
        while True:
            yield b"x" * 65_536

    server = RawServer(endless)
    try:
        send(profile._replace(alert_url=Secret(server.url)), alert())
    finally:
        server.close()


def test_a_full_disk_repeats_no_alert_and_holds_up_none(
    profile: Profile, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = AlertSender(profile)
    one.since()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("lora_tui.alerts.sent.write_file", full)
        assert one.send_new([alert(1), alert(2)]) == 2
        assert one.send_new([alert(1), alert(2), alert(3)]) == 1
        assert isinstance(one.failure, DiskError)
    assert one.send_new([alert(1), alert(2), alert(3), alert(4)]) == 1
    assert AlertSender(profile).send_new([alert(n) for n in (1, 2, 3, 4)]) == 0
    assert [body["event_id"] for body in webhook.got] == [alert(n).event_id for n in (1, 2, 3, 4)]


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


def test_a_command_may_print_megabytes_read_nothing_and_leave_a_process(tmp_path: Path) -> None:
    program = tmp_path / "program.sh"
    program.write_text(
        "#!/bin/sh\nhead -c 8000000 /dev/zero; head -c 8000000 /dev/zero >&2; sleep 0.2 &\nexit 0\n"
    )
    program.chmod(0o700)
    run_command(str(program), b"x" * 1_000_000)


def test_a_command_in_the_home_directory_may_begin_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    program = tmp_path / "tell.sh"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/got\n")
    program.chmod(0o700)
    run_command("~/tell.sh", b"{}")
    assert (tmp_path / "got").read_text() == "{}"


def test_a_webhook_that_does_not_answer_is_no_matter_of_the_cache(profile: Profile) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        url = Secret(f"http://127.0.0.1:{closed.getsockname()[1]}/hook")
        with pytest.raises(UnreachableError) as caught:
            send(profile._replace(alert_url=url), alert())
    assert caught.value.remedy is not None
    assert "alert_url" in caught.value.remedy
    assert "--offline" not in caught.value.remedy
