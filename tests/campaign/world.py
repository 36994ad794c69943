"""One project and one machine that a campaign happens to."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import httpx

from tests.backends.backend import backend_of
from tests.backends.seed import Row, Seed
from tests.cache.damage import damage
from tests.campaign.disk import Disk
from tests.campaign.plan import Episode
from tests.harvest.test_crashes import environment
from tests.harvest.world import World as HarvestWorld

PATIENCE: Final = 120.0
"""Seconds after which a process counts as hanging."""
_SERVICE: Final = 3.0
"""Seconds that a service has when nobody kills it; then it is asked to end."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_LOOK: Final = 0.02


@dataclass(frozen=True)
class Ended:
    """How a process ended; `code` is negative where a signal ended it."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str
    hung: bool = False


class World(AbstractContextManager["World"]):
    """A sandbox with finished jobs, and the home of somebody who works on it."""

    def __init__(self, home: Path, jobs: int, *, migrated: bool) -> None:
        self.home = home
        self._stack = ExitStack()
        self._disk = self._stack.enter_context(Disk(home))
        weather = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lora-tui-clock-"))
        self._clock = Path(weather) / "skew"
        self.deliverable = migrated
        """The deployed schema, without our migration, lets nobody read the bucket."""
        self.remote = self._stack.enter_context(
            HarvestWorld(home, waiting_jobs=jobs, migrated=migrated)
        )
        backend = backend_of(self.remote.sandbox)
        self.owner = backend.alice
        self.seed = self._stack.enter_context(Seed.of(backend))
        self.jobs = [row["id"] for row in self.remote.jobs()]
        self._datasets: list[Row] = []
        self._edits = 0
        self.was_behind = False
        """Whether the backend's clock was, at times: rows then bear moments that were read past."""

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    # What happens in it -----------------------------------------------------------------------

    def live_through(self, episode: Episode) -> list[Ended]:
        """Start the episode's processes, change rows meanwhile, kill them if it says so."""
        sandbox = self.remote.sandbox
        commands = self._named(episode)
        sandbox.forget_requests()
        for fault in episode.faults:
            sandbox.faults(**fault)
            self.was_behind |= fault.get("clock_offset", 0) < 0
        self._set_clock(episode.clock_skew)
        if episode.damage is not None:
            for path in self.caches():
                damage(path, episode.damage)
        try:
            with ExitStack() as running:
                running.enter_context(self._disk.with_free(episode.disk_free))
                processes = [
                    running.enter_context(self._start(arguments, episode)) for arguments in commands
                ]
                for edit in episode.edits:
                    with suppress(AssertionError, httpx.HTTPError, ValueError):
                        self.edit(edit)  # the weather is the same for everybody
                return self._wait(processes, episode)
        finally:
            sandbox.clear_faults()

    def run(self, *arguments: str, days_later: int = 0, **faults: Any) -> Ended:
        """One process, in good weather or in that which is given."""
        weather = (faults,) if faults else ()
        skew = days_later * 86_400.0
        return self.live_through(Episode(0, (arguments,), weather, clock_skew=skew))[0]

    def edit(self, kind: str) -> None:
        """Change something at the backend as somebody else would."""
        self._edits += 1
        chance = random.Random(self._edits)
        match kind:
            case "rename model":
                models = list(self.remote.artifacts().values())
                if models:
                    row = chance.choice(models)
                    self.seed.changed("model_artifacts", row["id"], name=f"Renamed {self._edits}")
            case "rename dataset":
                rows = self.seed.rows("datasets", user_id=f"eq.{self.owner.user_id}", order="id")
                row = chance.choice(rows)
                self.seed.changed("datasets", row["id"], name=f"Set {self._edits}")
            case "new dataset":
                self._datasets.append(self.seed.dataset(self.owner))
            case "delete dataset":
                if self._datasets:
                    self.seed.removed("datasets", self._datasets.pop()["id"])
            case "read notice":
                for row in self.remote.notifications()[:1]:
                    self.seed.changed("notifications", row["id"], read=True)
            case _:
                raise ValueError(kind)

    # What is there ----------------------------------------------------------------------------

    def model_ids(self) -> list[str | None]:
        """By the index of the job; None where it has no model yet."""
        artifacts = self.remote.artifacts()
        return [artifacts[job]["id"] if job in artifacts else None for job in self.jobs]

    def caches(self) -> list[Path]:
        """The cache databases of this machine."""
        return sorted((self.home / "cache").glob("*/*.sqlite3")) + sorted(
            (self.home / "cache").glob("*.sqlite3")
        )

    def downloaded(self) -> dict[Path, str]:
        """Files under their final names, with their checksums."""
        found: dict[Path, str] = {}
        for path in sorted((self.home / "downloads").rglob("*")):
            ours = path.name == "lora-tui.json" or ".part" in path.name or path.name[0] == "."
            if path.is_file() and not ours:
                found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def open_cache_file(self, path: Path) -> closing[sqlite3.Connection]:
        """Past our own code."""
        return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=15))

    # ------------------------------------------------------------------------------------------

    def _named(self, episode: Episode) -> list[tuple[str, ...]]:
        """The episode's commands with ids in the place of MODEL."""
        ids = [model for model in self.model_ids() if model is not None] or ["no-model"]
        return [
            tuple(
                ids[int(word[5:]) % len(ids)] if word.startswith("MODEL") else word
                for word in arguments
            )
            for arguments in episode.commands
        ]

    def _start(self, words: tuple[str, ...], episode: Episode) -> _Process:
        return _Process(
            words,
            [
                sys.executable,
                "-m",
                "tests.campaign.child",
                str(self._clock),
                str(self._disk.file_limit(episode.disk_free)),
                "-v",
                *words,
            ],
            os.environ
            | environment(self.remote)
            | {
                "LORA_TUI_EMAIL": self.remote.sandbox.email,
                "LORA_TUI_PASSWORD": self.remote.sandbox.password,
                "LORA_TUI_NO_KEYRING": "1",
            },
        )

    def _wait(self, processes: Sequence[_Process], episode: Episode) -> list[Ended]:
        start = time.monotonic()
        services = [process for process in processes if process.serves]
        jump = episode.clock_jump
        pause = threading.Event()
        while any(process.running for process in processes):
            seconds = time.monotonic() - start
            counts = jump is not None or episode.kill_after is not None
            heard = len(self.remote.sandbox.requests()) if counts else 0
            if jump is not None and heard >= jump[0]:
                self._set_clock(episode.clock_skew + jump[1])
                jump = None
            late = seconds > PATIENCE
            if late or (episode.kill_after is not None and heard >= episode.kill_after):
                return [process.killed(hung=late) for process in processes]
            if seconds > _SERVICE and not any(
                process.running for process in processes if not process.serves
            ):
                for process in services:
                    process.ask_to_end()
            pause.wait(_LOOK)
        return [process.killed() for process in processes]

    def _set_clock(self, skew: float) -> None:
        new = self._clock.with_name("new")
        new.write_text(str(skew))
        new.replace(self._clock)


class _Process(AbstractContextManager["_Process"]):
    """A child; what it says goes to files, so that it never waits for a reader."""

    def __init__(self, words: tuple[str, ...], command: list[str], env: dict[str, str]) -> None:
        self._words = words
        self._asked = False
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._child = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )

    def __exit__(self, *exception: object) -> None:
        self._child.kill()
        self._child.wait()
        self._out.close()
        self._err.close()

    @property
    def serves(self) -> bool:
        """Whether it runs until somebody ends it."""
        return "--interval" in self._words

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    def ask_to_end(self) -> None:
        """As a service manager does; once is enough."""
        if not self._asked:
            self._asked = True
            self._child.terminate()

    def killed(self, *, hung: bool = False) -> Ended:
        """End it, if it has not ended, and say what it said."""
        hung = hung and self.running
        self._child.kill()
        code = self._child.wait()
        return Ended(self._words, code, _text(self._out), _text(self._err), hung)


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")
