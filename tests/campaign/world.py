"""The project and the machine of a campaign."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Final

import httpx

from lora_tui.sandbox.backend import StorageKind
from tests.backends.backend import backend_of
from tests.backends.seed import Row, Seed, artifact_row
from tests.cache.damage import damage
from tests.campaign.application import Application
from tests.campaign.disk import Disk
from tests.campaign.episode import Episode, Sitting
from tests.campaign.plants import Outside, Plants, plain_files
from tests.campaign.processes import Ended, Process
from tests.harvest.test_crashes import environment
from tests.harvest.world import World as HarvestWorld

PATIENCE: Final = 120.0
"""Seconds until a process counts as hanging."""
_SERVICE: Final = 3.0
"""Seconds that a service runs, if it is not killed, before it is asked to end."""
_LOOK: Final = 0.02
_ODD_JSON: Final = (5, "5", [1], True, {"final_loss": "NaN"}, {"loss_curve": 2**63}, {"a": [{}]})


class _Remote(HarvestWorld):
    """A sandbox whose odd models are left out of the checks: they were not harvested."""

    def __init__(self, home: Path, **options: Any) -> None:
        super().__init__(home, **options)
        self.odd: set[str] = set()

    def artifacts(self) -> dict[str, Row]:
        return {job: row for job, row in super().artifacts().items() if row["id"] not in self.odd}


class World(AbstractContextManager["World"]):
    """A sandbox with completed jobs, and a user's home directory."""

    def __init__(
        self, home: Path, jobs: int, *, migrated: bool, storage: StorageKind = "s3"
    ) -> None:
        self.home = home
        self._stack = ExitStack()
        self._disk = self._stack.enter_context(Disk(home))
        beside = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lora-tui-clock-"))
        self._clock = Path(beside) / "skew"
        self.outside = Outside(Path(beside) / "outside")
        self.plants = Plants(home, self.outside)
        self.deliverable = migrated
        """The deployed schema, without our migration, lets nobody read the bucket."""
        self.remote = self._stack.enter_context(
            _Remote(home, waiting_jobs=jobs, migrated=migrated, storage=storage)
        )
        backend = backend_of(self.remote.sandbox)
        self.owner = backend.alice
        self.seed = self._stack.enter_context(Seed.of(backend))
        rows = self.remote.jobs()
        self.jobs = [row["id"] for row in rows]
        self.sources = {row["id"]: self.remote.source_files(row["external_job_id"]) for row in rows}
        """What the worker has made: by job, the checksums of the files."""
        self._datasets: list[Row] = []
        self._edits = 0
        self.was_behind = False
        """Whether the backend's clock was, at times: rows then bear moments that were read past."""

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    # What happens in it -----------------------------------------------------------------------

    def run_episode(self, episode: Episode) -> list[Ended]:
        """Run the processes of an episode, with its remote changes and kills."""
        sandbox = self.remote.sandbox
        if episode.plant is not None:
            self._prepare()
        elif episode.application is not None:
            self.run("sync")  # so that there are models to open
        commands = self._named(episode)
        sandbox.forget_requests()
        for fault in episode.faults:
            sandbox.faults(**fault)
            self.was_behind |= fault.get("clock_offset", 0) < 0
        self._set_clock(episode.clock_skew)
        if episode.damage is not None:
            for path in self.caches():
                damage(path, episode.damage)
        if episode.plant is not None:
            self.plants.plant(*episode.plant)
        try:
            with ExitStack() as running:
                running.enter_context(self._disk.with_free(episode.disk_free))
                processes: list[Process | Application] = [
                    running.enter_context(self._start(arguments, episode)) for arguments in commands
                ]
                if episode.application is not None:
                    processes.append(running.enter_context(self.sit_down(episode.application)))
                for edit in episode.edits:
                    with suppress(AssertionError, httpx.HTTPError, ValueError):
                        self.edit(edit)  # the faults are the same for all
                return self._wait(processes, episode)
        finally:
            sandbox.clear_faults()

    def run(self, *arguments: str, days_later: int = 0, **faults: Any) -> Ended:
        """Run one process, without faults or with those given."""
        settings = (faults,) if faults else ()
        skew = days_later * 86_400.0
        return self.run_episode(Episode(0, (arguments,), settings, clock_skew=skew))[0]

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
            case "odd model":
                self._odd_model(chance)
            case "odd job":
                # one that waits: its columns become those of a model
                job = chance.choice(self.jobs)
                column = chance.choice(("hyperparameters", "gpu_config", "current_metrics"))
                self.seed.changed("training_jobs", job, **{column: chance.choice(_ODD_JSON)})
            case "odd dataset":
                name = chance.choice(("\x1b[2J", "\u202e", "x" * 50_000, "=cmd()", "[/]"))
                self._datasets.append(
                    self.seed.dataset(self.owner, name=name, total_tokens=2**63 - 1)
                )
            case _:
                raise ValueError(kind)

    def _prepare(self) -> None:
        """Download something without faults, so that something can be planted beside it."""
        models = [model for model in self.model_ids() if model is not None]
        self.run("sync")
        if models and self.deliverable:
            self.run("download", models[self._edits % len(models)])

    def _odd_model(self, chance: random.Random) -> None:
        """A model with random values in its columns; its job was never to be harvested."""
        job = self.seed.job(self.owner, status="cancelled", external_job_id=None, final_cost="NaN")
        size = chance.choice((2**63, 2**63 - 1, -1, "9" * 30, 1e300))
        odd = {name: chance.choice(_ODD_JSON) for name in ("training_summary", "quality_metrics")}
        configuration = {"files": {"a.bin": {"size": size, "sha256": 5}}}
        row = artifact_row(job) | odd | {"configuration": configuration, "artifacts": {}}
        self.remote.odd.add(row["id"])
        self.remote.insert("model_artifacts", row)

    # What is there ----------------------------------------------------------------------------

    def model_ids(self) -> list[str | None]:
        """Model ids by the index of the job; None if it has no model yet."""
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
        planted = self.plants.places
        for path in self._delivered():
            ours = path.name == "lora-tui.json" or ".part" in path.name or path.name[0] == "."
            if not ours and path not in planted:
                found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def records(self) -> dict[Path, Row]:
        """The records in the directories of downloads."""
        return {
            path.parent: json.loads(path.read_text())
            for path in self._delivered()
            if path.name == "lora-tui.json"
        }

    def _delivered(self) -> list[Path]:
        return plain_files(self.home / "downloads") + plain_files(self.home / "shared")

    def open_cache_file(self, path: Path) -> closing[sqlite3.Connection]:
        """Past our own code."""
        return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=15))

    # ------------------------------------------------------------------------------------------

    def _named(self, episode: Episode) -> list[tuple[str, ...]]:
        """The episode's commands with ids in the place of MODEL."""
        ids = [model for model in self.model_ids() if model is not None] or ["no-model"]
        return [
            tuple(
                ids[int(word[5:]) % len(ids)]
                if word.startswith("MODEL")
                else word.replace("SHARED", str(self.home / "shared"))
                for word in arguments
            )
            for arguments in episode.commands
        ]

    def sit_down(self, sitting: Sitting, until: Callable[[], bool] | None = None) -> Application:
        """Start the application on a terminal; see `Application`."""
        return Application(self.home, self._environment(), sitting, until=until)

    def _environment(self) -> dict[str, str]:
        sandbox = self.remote.sandbox
        return (
            os.environ
            | environment(self.remote)
            | {
                "LORA_TUI_EMAIL": sandbox.email,
                "LORA_TUI_PASSWORD": sandbox.password,
                "LORA_TUI_NO_KEYRING": "1",
                "HOME": str(self.outside.home),
                "TMPDIR": str(self.outside.temporary),
            }
        )

    def _start(self, words: tuple[str, ...], episode: Episode) -> Process:
        return Process(
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
            self._environment(),
        )

    def _wait(self, processes: Sequence[Process | Application], episode: Episode) -> list[Ended]:
        start = time.monotonic()
        services = [process for process in processes if process.serves]
        jump, suspend, take_over = episode.clock_jump, episode.suspend, episode.take_over
        calm_after, ends_at = episode.calm_after, PATIENCE
        watched = any((jump, suspend, take_over, episode.kill_after is not None))
        pause = threading.Event()
        while any(process.running for process in processes):
            seconds = time.monotonic() - start
            requests = self.remote.sandbox.requests() if watched else []
            heard = len(requests)
            if calm_after is not None and seconds >= calm_after:
                self.remote.sandbox.clear_faults()
                calm_after, ends_at = None, seconds + PATIENCE
            if jump is not None and heard >= jump[0]:
                self._set_clock(episode.clock_skew + jump[1])
                jump = None
            if suspend is not None and heard >= suspend[0]:
                processes[0].suspend(suspend[1])
                suspend = None
            if take_over and (upload := _open_upload(requests)) is not None:
                take_over -= 1
                with suppress(httpx.HTTPError):
                    self.remote.http.head(upload, headers={"Tus-Resumable": "1.0.0"})
            late = seconds > ends_at
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


def _open_upload(requests: Sequence[Row]) -> str | None:
    """The address of a resumable upload that a process writes to at this moment."""
    return next(
        (
            entry["path"]
            for entry in reversed(requests)
            if entry["method"] == "PATCH" and entry["status"] is None
        ),
        None,
    )
