"""Planted secrets are found nowhere but in the stored session: not in logs, tracebacks or files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

from lora_tui.sandbox import Sandbox
from tests.commands.models import whole_model
from tests.conftest import Run
from tests.push.adapter import write_adapter

CALL = "import sys; from lora_tui.cli.run import main; sys.exit(main(sys.argv[1:]))"
# The same, but reading a page of rows ends in an exception that nobody foresaw.
CRASH = (
    "import lora_tui.gateway.rest as rest\n"
    "def page(self, *a, **k):\n"
    "    token = self._client.auth.session.access_token.reveal()\n"
    "    raise RuntimeError('unforeseen')\n"
    f"rest.Rest.page = page\n{CALL}"
)


class Watched:
    """Runs commands in processes of their own and remembers all that others could see of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.seen: dict[str, str] = {}

    def run(self, *arguments: str, code: int, program: str = CALL) -> None:
        name = " ".join(arguments)
        out, err = self._directory / "out", self._directory / "err"
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *arguments],
                env=os.environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
            lines: set[bytes] = set()
            while process.poll() is None:
                lines |= command_lines(process.pid)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.01)
        self.seen[f"stdout of {name}"] = out.read_text()
        self.seen[f"stderr of {name}"] = err.read_text()
        self.seen[f"command lines of {name}"] = repr(lines)
        assert process.returncode == code, (name, out.read_text(), err.read_text())


def command_lines(pid: int) -> set[bytes]:
    """Of a process and of the processes that it started."""
    try:
        own = Path(f"/proc/{pid}/cmdline").read_bytes()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return set()
    return {own}.union(*(command_lines(int(child)) for child in children))


def signed_links(sandbox: Sandbox) -> set[str]:
    """What makes each link to a file in the bucket and at the worker a key."""
    return {
        value
        for request in sandbox.requests()
        for name, values in parse_qs(str(request["query"])).items()
        for value in values
        if name in ("token", "X-Amz-Signature")
    }


def test_no_secret_is_seen_anywhere(
    configured: Sandbox, run: Run, home: Path, tmp_path: Path
) -> None:
    watched = Watched(tmp_path)
    watched.run("-vv", "login", code=0)
    watched.run("-vv", "sync", code=0)
    model = whole_model(run)
    dataset = run("show", model, "--json").data["dataset"]["id"]
    [session] = (home / "state" / "sessions").glob("*.json")
    stored = json.loads(session.read_text())
    for arguments in (
        ("list", "--json"),
        ("show", model, "--json"),
        ("inspect", model),
        ("download", model),
        ("report", model),
        ("push", str(write_adapter(tmp_path / "trained")), "--dataset", dataset),
        ("serve-config", model, "--for", "vllm"),
        ("doctor", "--json"),
        ("config", "show", "--json"),
        ("--harvest", "--once", "--json"),
    ):
        watched.run("-vv", *arguments, code=0)
    watched.run("-vv", "sync", "--full", code=1, program=CRASH)
    assert "Traceback" in watched.seen["stderr of -vv sync --full"]
    configured.faults(path="/rest/v1/datasets", fail_next=9, status=403)
    watched.run("-vv", "sync", code=3)
    configured.clear_faults()
    links = signed_links(configured)
    assert len(links) > 10
    secrets = {
        "the password": configured.password,
        "the service key": configured.service_key,
        "the worker's key": configured.gpu_key,
        "the access token": stored["access_token"],
        "the refresh token": stored["refresh_token"],
        **{f"signed link {number}": token for number, token in enumerate(links)},
    }
    assert all(len(secret) >= 8 for secret in secrets.values())
    files = {
        str(file.relative_to(home)): file.read_bytes().decode("latin-1")
        for file in home.rglob("*")
        if file.is_file() and file != session
    }
    assert any(name.endswith(".sqlite3") for name in files)
    found = [
        (what, where)
        for where, text in {**watched.seen, **files}.items()
        for what, secret in secrets.items()
        if secret in text
    ]
    assert found == []
    assert "DEBUG" in watched.seen["stderr of -vv sync"]
