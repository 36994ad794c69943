"""Whatever the backend, the worker, files and the environment say: no command lets it act."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_tui.sandbox import Sandbox
from tests.conftest import Ran, Run, set_environment
from tests.front import Front
from tests.hostile import ACTS, HOSTILE, acting, planted_answer
from tests.seeded import short_curves


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with short_curves(), Sandbox.start(models=4, waiting_jobs=2) as sandbox:
        yield sandbox


@pytest.fixture
def front(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A project, a login server and a worker all of whose text is hostile."""
    set_environment(shared, monkeypatch)
    monkeypatch.setattr("httpx_retries.retry.time.sleep", lambda _seconds: None)
    with Front(shared.url) as front:
        front.rewrite = planted_answer
        monkeypatch.setenv("SUPABASE_URL", front.url)
        monkeypatch.setenv(
            "GPU_CLUSTER_API_URL", front.url + shared.gpu_url.removeprefix(shared.url)
        )
        yield front


def harmless(ran: Ran) -> Ran:
    for text in (ran.out, ran.err):
        assert not acting(text), (acting(text), text)
    assert "Traceback" not in ran.err
    assert "unexpected" not in ran.err.lower()
    return ran


def test_no_command_lets_the_text_of_a_backend_act(front: Front, run: Run, tmp_path: Path) -> None:
    assert harmless(run("login")).code == 0
    for arguments in (["whoami"], ["whoami", "--json"], ["-vv", "sync", "--full"], ["sync"]):
        assert harmless(run(*arguments)).code == 0
    models = json.loads(run("list", "--json").out)["data"]["models"]
    model, other = models[0]["id"], models[1]["id"]
    named = run("show", model).out
    assert "planted [red]x[/red] [/] [@click=app.quit]q[/]" in named
    to = str(tmp_path / "to")
    for arguments in (
        ["list"],
        ["list", "--jsonl"],
        ["list", "--csv"],
        ["list", "--search", "planted"],
        ["list", "--dataset", "planted"],
        ["jobs"],
        ["jobs", "--json"],
        ["jobs", "--csv"],
        ["jobs", "--search", "planted"],
        ["jobs", "show", models[0]["job_id"]],
        ["jobs", "show", models[0]["job_id"], "--json"],
        ["show", model],
        ["show", model, "--json"],
        ["show", "planted"],
        ["compare", model, other, "--all"],
        ["compare", model, other, "--csv"],
        ["compare", model, other, "--markdown"],
        ["compare", model, other, "--json"],
        ["report", model],
        ["report", model, "--format", "html"],
        ["serve-config", model, "--for", "vllm"],
        ["serve-config", model, "--for", "peft"],
        ["serve-config", model, "--for", "llama.cpp"],
        ["serve-config", model, "--for", "ollama"],
        ["urls", model],
        ["urls", model, "--json"],
        ["inspect", model],
        ["download", model, "--to", to],
        ["download", model, "--to", to, "--json"],
        ["download", model, HOSTILE],
        ["verify", to],
        ["verify", to, "--json"],
        ["library"],
        ["library", "--json"],
        ["doctor"],
        ["doctor", "--json"],
        ["cache", "info"],
        ["--harvest", "--once", "--dry-run"],
        ["-vv", "--harvest", "--once", "--health-file", str(tmp_path / "health.json")],
        ["report", model, "--output", str(tmp_path / "report.md")],
        ["report", model, "--output", str(tmp_path / "report.html")],
        ["--harvest", "--once", "--json"],
        ["harvest", "status"],
        ["harvest", "status", "--json"],
        ["harvest", "retry"],
        ["__complete", "bash", "lora-tui", "show", ""],
        ["__complete", "fish", "lora-tui", "download", model, ""],
        ["__complete", "zsh", "lora-tui", "list", "--dataset", ""],
        ["logout", "--keep-cache"],
    ):
        harmless(run(*arguments))
    written = ["health.json", "report.md", "report.html"]
    for name in written:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not acting(text), name
        assert "planted" in text or name == "health.json"


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_no_error_of_a_server_acts(front: Front, run: Run, status: int) -> None:
    assert run("login").code == 0
    assert run("sync").code == 0
    model = json.loads(run("list", "--json").out)["data"]["models"][0]["id"]
    body: dict[str, str] = dict.fromkeys(("code", "error_code", "error", "msg", "message"), HOSTILE)
    body |= {"details": HOSTILE, "hint": HOSTILE, "error_description": HOSTILE}
    body["statusCode"] = str(status)
    front.say("/", status, body, Retry_After="0", X_Odd=ACTS.encode().decode("latin-1")[:3])
    for arguments in (
        ["login"],
        ["-vv", "sync"],
        ["urls", model],
        ["urls", model, "--json"],
        ["inspect", model],
        ["doctor"],
        ["--harvest", "--once"],
        *([["download", model]] if status == 404 else []),
        ["logout"],
    ):
        harmless(run(*arguments))


@pytest.mark.parametrize("answer", [HOSTILE.encode("utf-8", "replace"), ACTS.encode(), b"\x9b2J"])
def test_no_answer_that_is_no_json_acts(front: Front, run: Run, answer: bytes) -> None:
    assert run("login").code == 0
    for status in (200, 400, 404, 500):
        front.rules.clear()
        front.say("/", status, answer, Content_Type="text/plain")
        for arguments in (["login"], ["-vv", "sync"], ["--harvest", "--once"]):
            harmless(run(*arguments))


FILES = {
    "adapter_config.json": json.dumps(
        {
            "base_model_name_or_path": HOSTILE,
            "peft_type": HOSTILE,
            "task_type": HOSTILE,
            "r": 8,
            "lora_alpha": HOSTILE,
            "target_modules": [HOSTILE],
            "modules_to_save": [HOSTILE],
            HOSTILE: HOSTILE,
        }
    ),
    "trainer_state.json": json.dumps(
        {"log_history": [{"loss": HOSTILE, "step": 1, HOSTILE: HOSTILE}], HOSTILE: HOSTILE}
    ),
    "tokenizer.json": HOSTILE.encode("utf-8", "replace").decode(),
    "lora-tui.json": json.dumps(
        {
            "model_id": HOSTILE,
            "name": HOSTILE,
            "version": HOSTILE,
            "project": HOSTILE,
            "files": {HOSTILE: {"size": 1, "sha256": HOSTILE, "path": HOSTILE}},
        }
    ),
}


def weights() -> bytes:
    """A safetensors file whose header is hostile."""
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    name = f"base_model.model.{HOSTILE}.lora_A.weight"
    odd = {"dtype": HOSTILE, "shape": [1], "data_offsets": [4, 8]}
    header = {"__metadata__": {HOSTILE: HOSTILE, "format": HOSTILE}, name: entry, HOSTILE: odd}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


def test_no_file_on_the_disk_acts(front: Front, run: Run, tmp_path: Path) -> None:
    assert run("login").code == 0
    assert run("sync").code == 0
    for name in ("plain", "od\x1b]0;d\x07 \u202edir"):
        directory = tmp_path / name
        directory.mkdir()
        for file, text in FILES.items():
            (directory / file).write_text(text)
        (directory / "adapter_model.safetensors").write_bytes(weights())
        (directory / "x\x1b[31m\u202e.json").write_text("{")
        for arguments in (
            ["inspect", str(directory)],
            ["inspect", str(directory), "--json"],
            ["inspect", str(directory / "adapter_model.safetensors")],
            ["inspect", str(directory / "adapter_config.json")],
            ["verify", str(directory)],
            ["verify", str(directory), "--json"],
            ["library", "remove", str(directory)],
            ["push", str(directory), "--dry-run"],
            ["-vv", "push", str(directory), "--dry-run"],
            ["push", str(directory / "nothing here")],
            ["download", "planted", "--to", str(directory)],
            ["report", "planted", "--output", str(directory)],
        ):
            harmless(run(*arguments))


@pytest.mark.parametrize(
    ("variable", "commands"),
    [
        ("SUPABASE_URL", "list doctor"),
        ("SUPABASE_ANON_KEY", "login"),
        ("LORA_TUI_PROFILE", "list config"),
        ("LORA_TUI_EMAIL", "login whoami"),
        ("LORA_TUI_HOME", "login library doctor"),
        ("LORA_TUI_ACCESS_TOKEN", "whoami"),
        ("GPU_CLUSTER_API_URL", "doctor"),
        ("https_proxy", "login"),
        ("SSL_CERT_FILE", "login"),
        ("LORA_TUI_LIMIT_RATE", "list"),
    ],
)
def test_no_value_of_the_environment_acts(
    front: Front,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variable: str,
    commands: str,
) -> None:
    value = ACTS.replace("\x00", "") + "x"
    values = [value, f"https://{value}/"]
    if variable == "LORA_TUI_HOME":
        values = [str(tmp_path / value)]
    for value in values:
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            for command in commands.split():
                harmless(run(command))
                harmless(run("-vv", command))


def test_no_word_of_the_command_line_or_the_configuration_acts(
    front: Front, run: Run, home: Path
) -> None:
    home.mkdir(exist_ok=True)
    quoted = json.dumps(HOSTILE.replace("\ud800", ""), ensure_ascii=True)
    quoted = re.sub(r"\\ud[89ab]..\\ud[c-f]..", "", quoted)
    for text in (
        f"[profiles.default]\n{quoted} = 1\n",
        f"[profiles.{quoted}]\nurl = 1\n",
        f"[ui]\ntheme = {quoted}\n",
        f"[ui]\n{quoted} = 1\n",
        f"[keys]\n{quoted} = {quoted}\n",
        f"[profiles.default]\nurl = {quoted}\nanon_key = {quoted}\ndownloads = {quoted}\n",
        HOSTILE.replace("\ud800", ""),
    ):
        (home / "config.toml").write_text(text)
        for arguments in (["list"], ["config"], ["config", "profiles"], ["config", "keys"]):
            harmless(run(*arguments))
    (home / "config.toml").unlink()
    odd = HOSTILE.replace("\ud800", "\udcff").replace("\0", "")
    for arguments in (
        [odd],
        ["show", odd],
        ["list", f"--{odd}"],
        ["list", "--sort", odd],
        ["list", "--quality", odd],
        ["--profile", odd, "list"],
        ["--config", odd, "list"],
        ["config", "set", odd, odd],
        ["verify", odd],
        ["serve-config", odd, "--for", odd],
        ["completion", odd],
    ):
        harmless(run(*arguments))


def test_a_session_that_somebody_has_written_does_not_act(
    front: Front, run: Run, home: Path
) -> None:
    assert run("login").code == 0
    (session,) = (home / "state" / "sessions").iterdir()
    data: dict[str, Any] = json.loads(session.read_text())
    session.write_text(json.dumps(data | {"email": HOSTILE}))
    harmless(run("whoami"))
    session.write_text(json.dumps(data | {"email": "", "user_id": HOSTILE}))
    for command in ("whoami", "list", "sync", "doctor"):
        harmless(run(command))
