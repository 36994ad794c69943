"""Runs a plain PostgreSQL of its own in a temporary directory, reachable over a socket there alone.

Install it with the system's packages. A missing installation is a failure of the test, not a skip.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

STUB: Final = Path(__file__).with_name("supabase_stub.sql")

_OLDEST: Final = 15
_SUPERUSER: Final = "supabase_admin"
_COMMAND_SECONDS: Final = 60.0
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 15.0
# Where systems put what is not on PATH: Debian keeps every major version in a place of its own.
_PLACES: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)
# Whoever may run a server where we are root, which PostgreSQL refuses.
_UNPRIVILEGED: Final = ("postgres", "nobody")
_NO_NETWORK: Final = "listen_addresses="
_QUICK: Final = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=20",
    "shared_buffers=16MB",
    "autovacuum=off",
)


class PostgresError(Exception):
    """It is not installed, did not start, or refused a statement; `code` is its SQLSTATE."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Database:
    """A database, asked as one role at a time."""

    server: Server
    name: str

    def apply(self, script: Path, *, role: str = "postgres") -> None:
        """Run a file, as one transaction."""
        self.server.psql(self.name, "--single-transaction", "--file", str(script), role=role)

    def copy(self, name: str) -> Database:
        """Another database with the same contents."""
        self.server.psql("template1", "--command", f"create database {name} template {self.name}")
        return Database(self.server, name)

    def rows(self, select: str, *, role: str = _SUPERUSER, user: str | None = None) -> list[Any]:
        """What a SELECT gives this role, with `user` as the one who is signed in."""
        query = f"select coalesce(json_agg(found), '[]') from ({select}) as found"
        return list(json.loads(self.execute(query, role=role, user=user)))

    def execute(self, statement: str, *, role: str = _SUPERUSER, user: str | None = None) -> str:
        """What a statement prints: its values, or `UPDATE 1`. Raises PostgresError."""
        return self.server.psql(self.name, "--command", statement, role=role, user=user).strip()

    def schema(self) -> str:
        """Everything that is defined in it, as SQL."""
        dump = self.server.client("pg_dump", self.name, "--schema-only", role=_SUPERUSER)
        # Its guard against hostile dumps has a new key each time.
        return re.sub(r"^\\(un)?restrict .*$", "", dump, flags=re.MULTILINE)


class Server:
    """A running server; `postgres_server` makes and ends it."""

    def __init__(self, binaries: Path, directory: Path, settings: Sequence[str] = _QUICK) -> None:
        self._binaries = binaries
        self._directory = directory
        self._settings = settings
        self._prefix, self._owner = _unprivileged()

    @property
    def version(self) -> int:
        """The major version."""
        said = self._run([str(self._binaries / "postgres"), "--version"])
        return int(re.findall(r"\d+", said)[0])

    def create(self, name: str) -> Database:
        """A database as a new Supabase project has it, as far as we use that."""
        self.psql("template1", "--command", f"create database {name}")
        database = Database(self, name)
        database.apply(STUB, role=_SUPERUSER)
        return database

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve, and end the process whatever happens."""
        if self._owner:
            shutil.chown(self._directory, *self._owner)
        data = self._directory / "data"
        self._run(
            [
                *self._prefix,
                *(str(self._binaries / "initdb"), "--pgdata", str(data)),
                *("--username", _SUPERUSER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
            ]
        )
        settings = [part for setting in (_NO_NETWORK, *self._settings) for part in ("-c", setting)]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                [
                    *self._prefix,
                    *(str(self._binaries / "postgres"), "-D", str(data)),
                    *("-k", str(self._directory), *settings),
                ],
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                if not self._is_ready(process):
                    log.seek(0)
                    said = log.read().decode(errors="replace")
                    raise PostgresError(f"PostgreSQL did not start:\n{said[-4000:]}")
                yield
            finally:
                _end(process)

    def psql(
        self, database: str, *arguments: str, role: str = _SUPERUSER, user: str | None = None
    ) -> str:
        """Run psql as a role, with the claims that PostgREST would set for this user."""
        claims = {"request.jwt.claims": json.dumps({"sub": user}, separators=(",", ":"))}
        settings = {"role": role} | (claims if user else {})
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        return self.client(
            "psql",
            database,
            *("--no-psqlrc", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"),
            *("--set=VERBOSITY=verbose", *arguments),
            options=options,
        )

    def client(self, program: str, database: str, *arguments: str, **settings: str) -> str:
        """Run one of PostgreSQL's own client programs; what it prints."""
        options = settings.get("options", "")
        command = self.client_command(program, database)
        return self._run([*command, *arguments], PGOPTIONS=options)

    def client_command(self, program: str, database: str) -> list[str]:
        """The words that start a client program as the superuser."""
        place = ["-h", str(self._directory), "-U", _SUPERUSER, "-d", database]
        return [str(self._binaries / program), *place]

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(PostgresError):
                self.psql("template1", "--command", "select 1")
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        return False

    def _run(self, command: list[str], **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd="/",
            env=_environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            code = re.search(r"^(?:psql:\S* )?ERROR:  (\w{5}):", done.stderr, re.MULTILINE)
            raise PostgresError(done.stderr, code[1] if code else None)
        return done.stdout


@contextmanager
def postgres_server(settings: Sequence[str] = _QUICK) -> Iterator[Server]:
    """A server in a temporary directory, both gone at the end.

    Without `settings` it is quick, and loses what it holds when the machine fails.
    """
    binaries = _find_binaries()
    # Not below pytest's own directory or a private TMPDIR: those are closed to the user who runs
    # the server, and the name of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="lora-tui-pg-", dir="/tmp") as directory:
        server = Server(binaries, Path(directory), settings)
        if server.version < _OLDEST:
            raise PostgresError(f"PostgreSQL {_OLDEST} or newer is needed, not {server.version}")
        with server.running():
            yield server


def _find_binaries() -> Path:
    """The directory of `initdb`, of the newest version that there is."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    found = [place for pattern in _PLACES for place in Path("/").glob(f"{pattern[1:]}/initdb")]
    if not found:
        raise PostgresError(
            "PostgreSQL is not installed, and our migration is tested on it;"
            " on Debian: apt-get install postgresql"
        )
    return max(found, key=lambda place: int(re.findall(r"\d+", str(place))[-1])).parent


def _unprivileged() -> tuple[list[str], tuple[str, str] | None]:
    """What stands before the server's command line, and who owns its files where we are root."""
    if os.geteuid() != 0:
        return [], None
    import grp
    import pwd

    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            account = pwd.getpwnam(name)
            group = grp.getgrgid(account.pw_gid).gr_name
            # A test run that is killed takes the server along.
            prefix = ["setpriv", f"--reuid={name}", f"--regid={group}", "--clear-groups"]
            return [*prefix, "--pdeathsig=INT", "--"], (name, group)
    raise PostgresError(f"none of the users {', '.join(_UNPRIVILEGED)} exists")


def _environment() -> dict[str, str]:
    """No setting of the developer's own may choose another server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)
            return
