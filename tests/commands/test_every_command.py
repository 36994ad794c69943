"""What every command keeps to: one envelope, data on stdout and talk on stderr, no colours, codes.

One row a command; a command without a row fails `test_every_command_has_a_row`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lora_tui.cli.command_table import COMMANDS
from lora_tui.cli.run import main
from lora_tui.config.load import load_profile
from lora_tui.deployments.record import open_deployments, owner_key
from lora_tui.domain.servers import Loaded
from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.vllm import VllmStandIn
from tests.commands.models import whole_model
from tests.conftest import Run
from tests.push.adapter import trainer_state, write_adapter
from tests.serving.adapter_folders import write_adapter as serving_adapter


@dataclass(frozen=True)
class Row:
    """One command, and lines that succeed and fail."""

    line: str
    """A line that succeeds; {model}, {other}, {file}, {adapter} and {new} are filled in."""
    keys: str
    """Keys that the data must have, of a list's first entry where it is a list; `*` is any."""
    wrong: tuple[str, int]
    """A line that fails, and its exit code."""
    offline: int = 0
    """What the line ends with under --offline."""
    serves: bool = False
    """Whether it works until a signal ends it."""


ROWS = {
    "demo": Row("demo --serve-only", "SUPABASE_URL", ("demo", 2), serves=True),
    "login": Row("login", "user_id email kept_in", ("login --email", 2), offline=5),
    "logout": Row("logout", "user_id cache_removed", ("logout --profile none", 2)),
    "whoami": Row("whoami", "user_id email profile url", ("whoami --profile none", 2)),
    "sync": Row("sync", "*", ("sync --config nowhere.toml", 2), offline=5),
    "list": Row("list", "models pagination", ("list --page 0", 2)),
    "view save": Row("view save best --min-stars 4", "name query", ("view save", 2)),
    "view list": Row("view list", "*", ("view list best", 2)),
    "view delete": Row("view delete {view}", "deleted", ("view delete nosuchview", 3)),
    "costs": Row("costs", "by groups total", ("costs --by colour", 2)),
    "sql": Row("sql values(1)", "columns rows", ("sql delete", 2)),
    "show": Row("show {model}", "id name dataset job artifacts", ("show nosuchmodel", 3)),
    "jobs": Row("jobs", "jobs total", ("jobs --status nonsense", 2)),
    "jobs show": Row(
        "jobs show {job}", "id status dataset run_progress model", ("jobs show nosuchjob", 3)
    ),
    "jobs cancel": Row(
        "jobs cancel {waiting}",
        "job_id external_job_id",
        ("jobs cancel {job}", 2),
        offline=5,
    ),
    "metrics": Row("metrics {model}", "job_id model_id points", ("metrics nosuchmodel", 3)),
    "report": Row("report {model}", "*", ("report nosuchmodel", 3)),
    "compare": Row("compare {model} {other}", "*", ("compare {model}", 2)),
    "leaderboard": Row("leaderboard", "boards unknown", ("leaderboard --limit 7", 2)),
    "effect": Row("effect preset cost", "x y runs table sentence", ("effect cost preset", 2)),
    "favorite": Row("favorite {model}", "models", ("favorite nosuchmodel", 3)),
    "tag": Row("tag {model} candidate", "id name tags added removed", ("tag {model} a+b", 2)),
    "note": Row("note {model} good", "id name note before", ("note nosuchmodel good", 3)),
    "alias set": Row(
        "alias set staging {model}", "alias model_id name before", ("alias set a/b {model}", 2)
    ),
    "alias list": Row("alias list", "aliases", ("alias list more", 2)),
    "alias history": Row("alias history production", "alias history", ("alias history none", 3)),
    "alias remove": Row("alias remove production", "alias before", ("alias remove none", 3)),
    "marks export": Row("marks export", "lora_tui_marks models aliases", ("marks export a b", 2)),
    "marks import": Row(
        "marks import {marks}", "changed favorites aliases left_out", ("marks import none.json", 3)
    ),
    "rename": Row("rename {model} again", "id name before", ("rename {model} ''", 2), offline=5),
    "describe": Row(
        "describe {model} good", "id name description before", ("describe none x", 3), offline=5
    ),
    "archive": Row("archive {other}", "models", ("archive nosuchmodel", 3), offline=5),
    "delete": Row("delete {other} --yes", "models", ("delete {other}", 2), offline=5),
    "restore": Row("restore {other}", "models", ("restore nosuchmodel", 3), offline=5),
    "download": Row("download {model} --to {new}", "*", ("download nosuchmodel", 3), offline=5),
    "verify": Row("verify {adapter}", "*", ("verify /nonexistent", 3)),
    "library": Row("library", "*", ("library remove nosuchmodel", 3)),
    "urls": Row(
        "urls {model}",
        "model_id model_name download_urls expires_in_seconds",
        ("urls nosuchmodel", 3),
        offline=5,
    ),
    "push": Row(
        "push {adapter} --dataset {dataset} --dry-run", "*", ("push /nonexistent", 3), offline=5
    ),
    "inspect": Row("inspect {adapter}", "*", ("inspect nosuchmodel", 3)),
    "spectrum": Row("spectrum {adapter}", "*", ("spectrum nosuchmodel", 3)),
    "prove": Row(
        "prove {model} --on {server}",
        "verdict difference noise reasons sentence",
        ("prove {model} --on nosuchserver", 3),
        offline=5,
    ),
    "serve-config": Row("serve-config {model} --for peft", "*", ("serve-config {model}", 2)),
    "try": Row("try --tally", "votes ties models pairs sentences", ("try", 2)),
    "servers": Row("servers", "servers", ("servers nonsense", 2)),
    "servers list": Row("servers list", "servers", ("servers list more", 2)),
    "servers add": Row(
        "servers add gpu-2 http://127.0.0.1:9 --kind vllm --force",
        "name url kind loaded",
        ("servers add a/b http://gpu", 2),
    ),
    "servers remove": Row("servers remove gpu-1", "name forgotten", ("servers remove none", 3)),
    "load": Row(
        "load {model} --to spare --remote /srv --script",
        "script does",
        ("load nosuchmodel --to spare", 3),
        offline=5,
    ),
    "unload": Row("unload {model} --from spare --forget", "unloaded", ("unload {model}", 2)),
    "serve": Row("serve --port {port}", "url", ("serve --host 192.0.2.1", 2), serves=True),
    "doctor": Row("doctor", "*", ("doctor nonsense", 2)),
    "harvest status": Row("harvest status", "*", ("harvest status nonsense", 2)),
    "harvest retry": Row("harvest retry --all", "*", ("harvest retry nosuchjob", 3)),
    "alerts test": Row(
        "alerts test", "sent channels", ("alerts test --profile none", 2), offline=5
    ),
    "config": Row("config", "*", ("config set nonsense 1", 2)),
    "cache": Row("cache", "path bytes models", ("cache nonsense", 2)),
    "schema": Row("schema", "sql", ("schema nonsense", 2)),
    "completion": Row("completion bash", "shell script", ("completion tcsh", 2)),
}
KEPT = ("rename", "describe", "archive", "delete", "restore")
"""Those that change the project, which all tests of this process share."""
ENDING = [name for name, row in ROWS.items() if not row.serves]
Fill = Callable[[str], list[str]]


def test_every_command_has_a_row() -> None:
    words = [
        f"{command.name} {inner.name}" if command.inner else command.name
        for command in COMMANDS
        for inner in command.inner or (command,)
    ] + [command.name for command in COMMANDS if command.inner and command.run]
    assert sorted(words) == sorted(ROWS)


@pytest.fixture
def fill(
    signed_in: Path,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_port: int,
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
) -> Iterator[Fill]:
    """Lines with what they need in place: a login, a cache, an adapter."""
    monkeypatch.setenv("LORA_TUI_ALERT_COMMAND", "true")
    spare = '[profiles.default.servers.spare]\nurl = "http://127.0.0.1:9"\nkind = "vllm"\n'
    signed_in.joinpath("config.toml").write_text(spare)
    run("login")  # the copied session may have been ended by the row of `logout`
    changes = request.node.callspec.params["name"] in KEPT
    if changes:
        run("sync")
    models = run("list", "--json").data["models"]
    model = whole_model(run)
    run("view", "save", "mine", "--min-stars", "2")
    _add_server(run)
    marks = tmp_path / "marks.json"
    run("alias", "set", "production", model)
    run("marks", "export", str(marks))
    values = {
        "{model}": model,
        "{view}": "mine",
        "{marks}": str(marks),
        "{other}": next(m["id"] for m in models if m["id"] != model),
        "{dataset}": models[0]["dataset_id"],
        "{job}": models[0]["job_id"],
        "{waiting}": run("jobs", "--status", "queued", "--json").data["jobs"][0]["id"],
        "{adapter}": str(
            write_adapter(tmp_path / "adapter", state=trainer_state([2.0, 1.0], {1: 1.5}))
        ),
        "{new}": str(tmp_path / "new"),
        "{port}": str(free_port),
    }
    if "prove" in str(request.node.name):
        values["{server}"] = server_with(request, run, tmp_path, model)

    def filled(line: str) -> list[str]:
        return [values.get(word, word).strip("'") for word in line.split()]

    yield filled
    if changes:
        put_back(sandbox, [row for row in models if row["id"] in values.values()])


def put_back(sandbox: Sandbox, rows: list[dict[str, Any]]) -> None:
    """Write the columns that a user may change as they were."""
    key = sandbox.service_key
    for row in rows:
        httpx.patch(
            f"{sandbox.url}/rest/v1/model_artifacts",
            params={"id": f"eq.{row['id']}"},
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            json={name: row[name] for name in ("name", "description", "status", "deleted_at")},
            trust_env=False,
        ).raise_for_status()


def server_with(request: pytest.FixtureRequest, run: Run, place: Path, model: str) -> str:
    """The name of a server of the profile that has loaded this model."""
    stand_in = VllmStandIn.start()
    request.addfinalizer(stand_in.stop)
    stand_in.engine.load("mine", str(serving_adapter(place / "served")))
    profile = load_profile()
    profile.paths.config_file.parent.mkdir(parents=True, exist_ok=True)
    with profile.paths.config_file.open("a") as file:
        file.write(f'\n[profiles.default.servers.gpu]\nurl = "{stand_in.url}"\n')
    owner = owner_key(profile, run("whoami", "--json").data["user_id"])
    with open_deployments(profile.paths) as deployments:
        deployments.note_loaded(
            Loaded(owner, "gpu", stand_in.url, "mine", model, "Mine", "1", "/srv", "", "2026-11-30")
        )
    return "gpu"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def document(text: str) -> dict[str, Any]:
    """The one JSON document that this is."""
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def check_data(row: Row, envelope: dict[str, Any]) -> None:
    assert list(envelope) == ["success", "data"]
    assert envelope["success"] is True
    if row.keys != "*":
        assert set(row.keys.split()) <= set(envelope["data"])


@pytest.mark.parametrize("name", ENDING)
def test_json_is_one_document_in_the_envelope_and_talk_stays_off_stdout(
    name: str, fill: Fill, run: Run
) -> None:
    row = ROWS[name]
    for words in (["--json", *fill(row.line)], [*fill(row.line), "--json", "-v"]):
        ran = run(*words)
        assert ran.code == 0, (words, ran)
        check_data(row, document(ran.out))
        assert "Traceback" not in ran.err
        if name in ("login", "logout"):
            run("login")
        if name == "view delete":
            run("view", "save", "mine", "--min-stars", "2")
        if name == "servers remove":
            _add_server(run)


def _add_server(run: Run) -> None:
    run("servers", "add", "gpu-1", "http://127.0.0.1:9", "--kind", "vllm", "--offline", "--force")


@pytest.mark.parametrize("name", ENDING)
def test_text_has_neither_colours_nor_bars_where_it_goes_into_a_file(
    name: str, fill: Fill, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = fill(ROWS[name].line)
    plain = run(*line)
    assert plain.code == 0, plain
    assert "\x1b" not in plain.out + plain.err
    assert "\r" not in plain.out + plain.err
    assert plain.err == "" or plain.err.endswith("\n")


@pytest.mark.parametrize("name", ROWS)
def test_an_error_is_one_line_or_the_envelope_of_errors(name: str, fill: Fill, run: Run) -> None:
    line, code = ROWS[name].wrong
    for words, expected in ((fill(line), code), ([*name.split(), "--no-such-option"], 2)):
        ran = run(*words)
        assert (ran.code, ran.out) == (expected, ""), (words, ran)
        assert ran.err.startswith("lora-tui: ")
        assert ran.err.count("\n") == 1
        ran = run(*words, "--json")
        assert (ran.code, ran.err) == (expected, ""), (words, ran)
        envelope = document(ran.out)
        assert list(envelope) == ["error", "details"]
        assert all(isinstance(text, str) for text in envelope.values())
        assert envelope["error"]


@pytest.mark.parametrize("name", ENDING)
def test_offline_asks_nobody(name: str, fill: Fill, run: Run, sandbox: Sandbox) -> None:
    row = ROWS[name]
    line = fill(row.line)
    before = len(sandbox.requests())
    ran = run("--offline", *line)
    assert ran.code == row.offline, ran
    assert len(sandbox.requests()) == before
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("name", ENDING)
def test_a_reader_who_leaves_is_no_error(
    name: str, fill: Fill, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = fill(ROWS[name].line)
    capsys.readouterr()
    for words in (line, [*line, "--json"], ["show", "nosuchmodel", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as out, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            code = main(words)
        assert code in (0, 3)
        assert "Broken" not in capsys.readouterr().err
        if name == "logout":
            break


@pytest.mark.parametrize("name", ENDING)
def test_a_full_disk_behind_stdout_is_said_in_one_line(
    name: str, fill: Fill, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = fill(f"{ROWS[name].line} --json")
    capsys.readouterr()
    with Path("/dev/full").open("w") as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        code = main(line)
    said = capsys.readouterr().err
    assert code == 1
    assert "lora-tui: The output can't be written: No space left on device.\n" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.serves])
def test_what_serves_says_where_and_ends_on_ctrl_c(name: str, fill: Fill) -> None:
    row = ROWS[name]
    process = subprocess.Popen(
        [sys.executable, "-m", "lora_tui", "--json", *fill(row.line)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if line == "}\n":
            break
    process.send_signal(signal.SIGINT)
    rest, talk = process.communicate(timeout=60)
    check_data(row, document(said))
    assert rest == ""
    assert "Ctrl+C stops it." in talk
    assert "Traceback" not in talk
    assert process.returncode == 0
