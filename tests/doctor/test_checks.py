"""`doctor`: each check with what was seen and what would mend it, whatever is broken."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from lora_tui.config.paths import find_paths
from lora_tui.config.table import Profile
from lora_tui.doctor.alerts import check_alerts
from lora_tui.doctor.findings import Finding
from lora_tui.engine.logs import engine_log
from lora_tui.files import make_private_directory, write_private_file
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.conftest import Ran, Run


def by_name(ran: Ran) -> dict[str, Any]:
    return {check["check"]: check for check in ran.data["checks"]}


def test_a_machine_with_nothing_configured_is_told_what_to_do(run: Run, home: Path) -> None:
    ran = run("doctor", "--json")
    assert ran.code == 7
    found = by_name(ran)
    assert found["config"]["verdict"] == "failed"
    assert "lora-tui demo" in found["config"]["remedy"]
    assert found["state directory"]["verdict"] == "ok"
    assert found["network"]["verdict"] == "skipped"
    assert not home.exists()
    assert "lora-tui demo" in run("doctor").out


def test_a_project_that_is_in_order_ends_with_0(configured: Sandbox, run: Run) -> None:
    run("sync")
    ran = run("doctor", "--json")
    assert {check["verdict"] for check in ran.data["checks"]} <= {"ok", "skipped"}
    assert ran.data["ok"] is True
    assert ran.code == 0
    assert set(by_name(ran)) >= {
        "config", "cache", "terminal", "network", "clock", "auth", "service key", "bucket",
        "worker", "migration", "storage policy", "table datasets", "privacy of notifications",
    }  # fmt: skip


def test_s3_keys_are_tried(configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in configured.s3_environment().items():
        monkeypatch.setenv(name, value)
    assert by_name(run("doctor", "--json"))["s3"]["verdict"] == "ok"
    wrong = "this-secret-is-not-the-right-one"
    monkeypatch.setenv("LORA_TUI_S3_SECRET_ACCESS_KEY", wrong)
    ran = run("doctor", "--json")
    assert by_name(ran)["s3"]["verdict"] == "failed"
    assert "s3_region" in by_name(ran)["s3"]["remedy"]
    monkeypatch.delenv("LORA_TUI_S3_SECRET_ACCESS_KEY")
    assert "set LORA_TUI_S3_SECRET" in by_name(run("doctor", "--json"))["s3"]["remedy"]
    assert wrong not in ran.out + ran.err


class Space:
    """What `os.statvfs` tells of a disk."""

    f_frsize, f_flag, f_files = 4096, 0, 1000

    def __init__(self, free: int, free_files: int) -> None:
        self.f_bavail, self.f_favail = free // self.f_frsize, free_files


@pytest.mark.parametrize(
    ("free", "free_files", "verdict"),
    [(0, 100, "failed"), (8 << 20, 100, "warning"), (1 << 40, 0, "failed"), (1 << 40, 9, "ok")],
)
def test_a_full_disk_is_reported_with_what_to_do(
    run: Run, monkeypatch: pytest.MonkeyPatch, free: int, free_files: int, verdict: str
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: Space(free, free_files))
    found = by_name(run("doctor", "--json"))["state directory"]
    assert found["verdict"] == verdict
    assert verdict == "ok" or "free some space" in found["remedy"]


@pytest.mark.parametrize(
    "number",
    [errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE],
    ids=errno.errorcode.__getitem__,
)
def test_a_lock_that_the_file_system_refuses_is_reported(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    home.mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    found = by_name(run("doctor", "--json"))["file locks"]
    assert found["verdict"] == "failed"
    assert str(home) in found["evidence"]
    assert "LORA_TUI_HOME" in found["remedy"]


def test_it_changes_nothing_in_the_project(configured: Sandbox, run: Run) -> None:
    run("login")
    before = len(configured.requests())
    run("doctor")
    asked = configured.requests()[before:]
    changing = [f"{r['path']}?{r['query']}" for r in asked if r["method"] not in ("GET", "HEAD")]
    no_row = "model_artifacts?user_id=eq.00000000-0000-0000-0000-000000000000"
    harmless = ("/object/sign/", "/rpc/renew_", "/rpc/harvest_status", no_row)
    assert all(any(part in asked for part in harmless) for asked in changing), changing


def test_a_project_that_is_down(configured: Sandbox, run: Run) -> None:
    run("login")
    configured.stop()
    ran = run("doctor", "--json")
    assert ran.code == 7
    assert by_name(ran)["network"]["verdict"] == "failed"
    assert "auth" not in by_name(ran)


@pytest.mark.parametrize(
    ("variable", "check"),
    [
        ("SUPABASE_ANON_KEY", "auth"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service key"),
        ("GPU_CLUSTER_API_KEY", "worker"),
        ("LORA_TUI_PASSWORD", "auth"),
    ],
)
def test_a_wrong_secret_is_named_and_not_shown(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, check: str
) -> None:
    monkeypatch.setenv(variable, "sb_wrong_PLANTED")
    ran = run("doctor", "--json")
    assert ran.code == 7
    assert by_name(ran)[check]["verdict"] == "failed"
    assert by_name(ran)[check]["remedy"]
    assert "PLANTED" not in ran.out + ran.err


def test_nobody_signed_in(configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LORA_TUI_PASSWORD")
    ran = run("doctor", "--json")
    assert "run `lora-tui login`" in by_name(ran)["auth"]["remedy"]
    assert by_name(ran)["worker"]["verdict"] == "ok"


def test_a_clock_that_is_wrong(configured: Sandbox, run: Run) -> None:
    run("login")
    configured.faults(clock_offset=-90)
    found = by_name(run("doctor", "--json"))
    assert found["clock"]["verdict"] == "failed"
    assert "ahead" in found["clock"]["evidence"]


def test_a_damaged_cache_is_found_and_left_alone(
    configured: Sandbox, run: Run, profile: Profile
) -> None:
    run("sync")
    [path] = profile.paths.cache_dir.glob("*.sqlite3")
    for extra in ("-wal", "-shm"):
        path.with_name(path.name + extra).unlink(missing_ok=True)
    path.write_bytes(b"\x00garbage" * 4096)
    found = by_name(run("doctor", "--json"))
    assert found["cache"]["verdict"] == "failed"
    assert path.read_bytes() == b"\x00garbage" * 4096


def test_secrets_that_others_can_read(run: Run, home: Path) -> None:
    home.mkdir()
    file = home / "config.toml"
    file.write_text(
        '[profiles.default]\nurl = "http://127.0.0.1:9"\nanon_key = "a"\nservice_key = "b"\n'
    )
    file.chmod(0o644)
    found = by_name(run("--offline", "doctor", "--json"))
    assert found["config"]["verdict"] == "failed"
    assert "chmod 600" in found["config"]["remedy"]
    file.chmod(0o600)
    assert by_name(run("--offline", "doctor", "--json"))["config"]["verdict"] == "ok"


def test_a_home_that_is_no_directory(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "file" / "below"))
    found = by_name(run("doctor", "--json"))
    assert found["state directory"]["verdict"] == "failed"


def test_offline_asks_nobody(configured: Sandbox, run: Run) -> None:
    run("login")
    before = len(configured.requests())
    assert run("--offline", "doctor").code == 0
    assert len(configured.requests()) == before


def test_the_report_is_one_json_document(configured: Sandbox, run: Run) -> None:
    ran = run("doctor", "--json")
    assert json.loads(ran.out)["success"] is True
    assert ran.err == ""


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "/rest/v1/datasets", "status": 403, "fail_next": -1},
        {"path": "/rest/v1/metrics_points", "status": 400, "fail_next": -1},
        {"path": "/rest/v1/notifications", "malformed": -1},
        {"path": "/storage/v1/object/sign", "status": 400, "fail_next": -1},
        {"path": "/storage/v1/bucket", "status": 404, "fail_next": -1},
        {"path": "/auth/v1/user", "status": 422, "fail_next": -1},
        {"path": "/auth/v1/health", "status": 401, "fail_next": -1},
        {"path": "/v2", "status": 403, "fail_next": -1},
    ],
    ids=lambda fault: f"{fault['path']} {fault.get('status', 'malformed')}",
)
def test_whatever_is_broken_each_check_that_fails_says_what_to_do(
    configured: Sandbox, run: Run, fault: dict[str, Any]
) -> None:
    run("login")
    configured.faults(**fault)
    ran = run("doctor", "--json")
    wrong = [c for c in ran.data["checks"] if c["verdict"] in ("failed", "warning")]
    assert wrong
    assert [c["check"] for c in wrong if not c["remedy"]] == []
    assert ran.code == (7 if any(c["verdict"] == "failed" for c in wrong) else 0)


def test_the_newest_crash_report_and_the_log_are_named_but_not_quoted(run: Run, home: Path) -> None:
    assert not {"crash reports", "log"} & set(by_name(run("doctor", "--json")))
    state = find_paths().state_dir
    for time in ("20261101T100000Z", "20261103T100000Z", "20261102T100000Z"):
        write_private_file(state / "crashes" / f"crash-{time}-7.txt", "a name of a model\n" * 100)
    write_private_file(engine_log(state), "a name of a model\n")
    ran = run("doctor", "--json")
    reports, log = by_name(ran)["crash reports"], by_name(ran)["log"]
    assert reports["verdict"] == "warning"
    newest = state / "crashes" / "crash-20261103T100000Z-7.txt"
    assert reports["evidence"] == f"3 reports, the newest: {newest}, 1.8 KiB, just now"
    assert "send it to the project" in reports["remedy"]
    assert log["verdict"] == "ok"
    assert log["evidence"] == f"{engine_log(state)}, 18 B, just now"
    assert "a name of a model" not in ran.out


def test_odd_things_in_the_place_of_logs_are_no_crash(run: Run, home: Path) -> None:
    state = find_paths().state_dir
    make_private_directory(state / "crashes" / "crash-20261101T100000Z-7.txt")
    (state / "crashes" / "crash-20261102T100000Z-7.txt").symlink_to("/etc/passwd")
    engine_log(state).mkdir()
    found = by_name(run("doctor", "--json"))
    assert "crash reports" not in found
    assert found["log"]["verdict"] == "warning"
    assert "can't be written, so no error is logged" in found["log"]["evidence"]


def alerts_finding(home: Path, **changes: Any) -> Finding:
    del home
    profile = Profile("default", find_paths(), "https://x.example", "k")._replace(**changes)
    return check_alerts(profile)


def test_alerts_that_nobody_wants_are_skipped(home: Path) -> None:
    assert alerts_finding(home).verdict == "skipped"


@pytest.mark.parametrize(
    ("url", "changes", "verdict"),
    [
        ("https://hooks.slack.com/services/T/B/s3cr3t", {}, "ok"),
        ("https://10.0.0.1/s3cr3t", {}, "failed"),
        ("http://localhost:9/s3cr3t", {}, "failed"),
        ("https://2130706433/s3cr3t", {}, "failed"),
        ("https://printer.lan/s3cr3t", {}, "failed"),
        ("https://10.0.0.1/s3cr3t", {"allow_private_urls": True}, "ok"),
        ("https://alerts.example/s3cr3t", {"alert_sender": "harvest"}, "ok"),
        ("https://alerts.example/s3cr3t", {"alert_sender": "harvest", "alert_limit": 9}, "warning"),
    ],
)
def test_the_webhook_is_checked_without_a_request_and_its_url_is_not_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, changes: dict[str, Any], verdict: str
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", None)
    found = alerts_finding(home, alert_url=Secret(url), **changes)
    assert found.verdict == verdict
    assert "s3cr3t" not in f"{found.evidence} {found.remedy}"
    assert verdict == "ok" or found.remedy


def test_the_command_of_alerts_must_exist_and_be_executable(home: Path, tmp_path: Path) -> None:
    program = tmp_path / "tell"
    command = f"{program} --password hunter2"
    found = alerts_finding(home, alert_command=command)
    assert (found.verdict, "no program" in found.evidence) == ("failed", True)
    program.write_text("#!/bin/sh\n")
    found = alerts_finding(home, alert_command=command)
    assert (found.verdict, "not executable" in found.evidence) == ("failed", True)
    program.chmod(0o700)
    found = alerts_finding(home, alert_command=command)
    assert found.verdict == "ok"
    assert "hunter2" not in found.evidence
    assert alerts_finding(home, alert_command="true").verdict == "ok"
    assert alerts_finding(home, alert_command="tell 'x").verdict == "failed"
    assert alerts_finding(home, alert_command=str(tmp_path)).verdict == "failed"


def test_a_limit_that_nobody_hears_of_is_a_warning(home: Path) -> None:
    assert alerts_finding(home, alert_limit=100).verdict == "warning"


def test_doctor_tells_of_alerts(
    configured: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    del configured
    monkeypatch.setenv("LORA_TUI_ALERT_URL", "https://hooks.slack.com/services/T/B/s3cr3t")
    ran = run("doctor", "--offline", "--json")
    assert by_name(ran)["alerts"]["verdict"] == "ok"
    assert "s3cr3t" not in ran.out + ran.err
