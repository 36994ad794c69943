"""Following runs in trouble: kills, faults, late and repeated points, jobs that end meanwhile.

After each episode the cache is healthy, and has no point that the backend has not; in the end, when
all runs have ended and nothing goes wrong any more, it has all of them. A webhook then knows each
run that failed, and got no more repeats than processes were killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from lora_tui.cache import metrics
from lora_tui.cache.connection import open_cache
from lora_tui.cache.integrity import find_damage
from lora_tui.domain import MetricPoint
from lora_tui.errors import LoraTuiError
from lora_tui.json_values import read_object
from lora_tui.sandbox import Sandbox
from tests.alerts.conftest import listening
from tests.backends.backend import backend_of
from tests.backends.seed import Row, Seed
from tests.campaign.campaign import Figures

RUNS: Final = 4
PATIENCE: Final = 60.0
"""Seconds until a cache without faults must be equal."""
_FAULTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("refused", {"error_rate": 0.3, "status": 503}),
    ("too many", {"fail_next": 2, "status": 429, "retry_after": 0}),
    ("dropped answer", {"drop_after": 100, "drop_next": 3}),
    ("late answer", {"latency": 0.2}),
    ("malformed", {"malformed": 2}),
)


class LiveWorld(AbstractContextManager["LiveWorld"]):
    """A project with runs that log points, and a machine that follows them."""

    def __init__(self, home: Path, seed: int) -> None:
        self._chance = random.Random(f"live {seed}")
        self._stack = ExitStack()
        self.home = home
        sandbox = Sandbox.start(models=0, waiting_jobs=0, migrated=seed % 2 == 1)
        self._stack.callback(sandbox.stop)
        self.sandbox = sandbox
        backend = backend_of(sandbox)
        self._owner = backend.alice
        self._seed = self._stack.enter_context(Seed.of(backend))
        self._written: list[Row] = []
        self._steps: dict[str, int] = {}
        self._jobs: list[Row] = []
        self._ended: set[str] = set()
        self._failed: dict[str, datetime] = {}
        self._webhook = self._stack.enter_context(listening())
        self._kills = 0
        self._start_runs()

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def episode(self, figures: Figures) -> None:
        """One process that follows, while runs log, end and begin; it may be killed."""
        chance = self._chance
        marks = {"followed runs"}
        if chance.random() < 0.5:
            name, fault = chance.choice(_FAULTS)
            marks.add(name)
            self.sandbox.faults(path="/rest/v1", **fault)
        killed = chance.random() < 0.6
        pause = threading.Event()
        with self._following() as process:
            ends_at = time.monotonic() + chance.uniform(1.0, 5.0)
            while time.monotonic() < ends_at:
                with suppress(AssertionError, httpx.HTTPError, ValueError):
                    marks |= self._log(chance)
                pause.wait(0.1)
            if killed:
                marks.add("kill -9")
                figures.kills += 1
                figures.engine_kills += 1
                self._kills += 1
                process.send_signal(signal.SIGKILL)
        self.sandbox.clear_faults()
        figures.processes += 1
        figures.episodes += 1
        figures.ends[process.returncode] += 1
        figures.trouble.update(marks)
        if process.returncode not in (0, -9):
            figures.violations.append(f"a follower ended with {process.returncode}")
        self._start_runs()

    def broken(self) -> Iterator[str]:
        """What is wrong with the cache now, a sentence each."""
        for path in self._caches():
            with closing(open_cache(path)) as db:
                if (damage := find_damage(db)) is not None:
                    yield f"the cache is damaged: {damage}"
                for job in self._jobs:
                    there = {_plain(row) for row in self._points(job["id"])}
                    here = [_cached(point) for point in metrics.get_points(db, job["id"])]
                    if len(here) != len(set(here)):
                        yield "a point is in the cache twice"
                    if set(here) - there:
                        yield f"the cache has points that nobody logged: {set(here) - there}"

    def broken_in_the_end(self) -> Iterator[str]:
        """End all runs, follow them without faults, and compare everything."""
        for job in self._jobs:
            if job["id"] not in self._ended:
                self._end(job)
        start, pause, missing = time.monotonic(), threading.Event(), ["nothing was followed"]
        with self._following():
            while missing and time.monotonic() - start < PATIENCE:
                pause.wait(0.5)
                with suppress(LoraTuiError):
                    missing = list(self._missing())
        yield from missing
        yield from self._missing()
        yield from self.broken()
        told = [body["event_id"] for body in self._webhook.got]
        if (repeats := len(told) - len(set(told))) > self._kills:
            yield f"{repeats} alerts were repeated, and {self._kills} processes were killed"

    def _missing(self) -> Iterator[str]:
        yield from self._untold()
        for path in self._caches():
            with closing(open_cache(path)) as db:
                if unfinished := metrics.unfinished_jobs(db):
                    yield f"{len(unfinished)} runs were not read to their end"
                for job in self._jobs:
                    if not metrics.is_drawn(db, job["id"]):
                        continue  # it ended before anybody followed it, and nobody has opened it
                    there = {_plain(row) for row in self._points(job["id"])}
                    here = {_cached(point) for point in metrics.get_points(db, job["id"])}
                    if there - here:
                        yield f"{len(there - here)} of {len(there)} points are missing"
                    if not metrics.get_curve(db, job["id"]) and there:
                        yield "a run with points has no curve"

    def _untold(self) -> Iterator[str]:
        """Runs that failed after the first look for alerts, and of which no alert came."""
        told = {body["job_id"] for body in self._webhook.got if body["kind"] == "job_failed"}
        for note in (self.home / "state" / "alerts").glob("*.json"):
            began = datetime.fromisoformat(read_object(note, 1 << 20)["began"])
            untold = [job for job, end in self._failed.items() if end > began and job not in told]
            if untold:
                yield f"{len(untold)} runs failed, and no alert told of them"

    # What the others do -----------------------------------------------------------------------

    def _start_runs(self) -> None:
        while len(self._jobs) - len(self._ended) < RUNS:
            moment = datetime.now(UTC).isoformat()
            columns = {"status": "running", "started_at": moment, "completed_at": None}
            self._jobs.append(self._seed.job(self._owner, **columns))

    def _log(self, chance: random.Random) -> set[str]:
        """Log points of the running jobs, as they come; what was special about them."""
        marks = set()
        for job in self._jobs:
            if job["id"] in self._ended or chance.random() < 0.3:
                continue
            for _ in range(chance.choice((1, 1, 2, 40))):
                self._point(job, datetime.now(UTC))
            match chance.random():
                case number if number < 0.1:
                    marks.add("late points")
                    late = timedelta(seconds=chance.uniform(0, 240))
                    self._point(job, datetime.now(UTC) - late)
                case number if number < 0.2 and self._written:
                    marks.add("points twice")
                    row = chance.choice(self._written)
                    self._insert([row], "resolution=merge-duplicates")
                    self._point(job, datetime.fromisoformat(row["timestamp"]))
                case number if number < 0.23:
                    marks.add("a point of the future")
                    self._point(job, datetime.now(UTC) + timedelta(days=400))
                case number if number < 0.26:
                    marks.add("a job ends")
                    self._end(job)
        return marks

    def _point(self, job: Row, moment: datetime) -> None:
        step = self._steps[job["id"]] = self._steps.get(job["id"], -1) + 1
        row = {
            "job_id": job["id"],
            "timestamp": moment.isoformat(),
            "epoch": 1,
            "step": step,
            "training_loss": round(2.0 / (1 + step / 100), 6),
        }
        self._written += self._insert([row])

    def _insert(self, rows: list[Row], prefer: str = "") -> list[Row]:
        answer = httpx.post(
            f"{self.sandbox.url}/rest/v1/metrics_points",
            json=rows,
            headers={
                "apikey": self.sandbox.service_key,
                "Authorization": f"Bearer {self.sandbox.service_key}",
                "Prefer": f"return=representation,{prefer}".rstrip(","),
            },
            trust_env=False,
        )
        assert answer.is_success, answer.text
        written: list[Row] = answer.json()
        return written

    def _end(self, job: Row) -> None:
        status = self._chance.choice(("completed", "failed", "cancelled"))
        moment = datetime.now(UTC)
        changed = {"status": status, "completed_at": moment.isoformat()}
        self._seed.changed("training_jobs", job["id"], **changed)
        if status == "failed":
            self._failed[job["id"]] = moment
        self._ended.add(job["id"])
        self._point(job, datetime.now(UTC))  # the last one comes after the end

    # What is there ----------------------------------------------------------------------------

    def _points(self, job_id: str) -> list[Row]:
        found: list[Row] = []
        filters = {"job_id": f"eq.{job_id}", "order": "timestamp,id"}
        while page := self._seed.rows("metrics_points", **filters, offset=str(len(found))):
            found += page
        return found

    def _caches(self) -> list[Path]:
        return sorted((self.home / "cache").rglob("*.sqlite3"))

    @contextmanager
    def _following(self) -> Iterator[subprocess.Popen[bytes]]:
        account = {"LORA_TUI_EMAIL": self._owner.email, "LORA_TUI_PASSWORD": self._owner.password}
        home = {"LORA_TUI_HOME": str(self.home), "LORA_TUI_NO_KEYRING": "1"}
        home |= {"LORA_TUI_ALERT_URL": self._webhook.url, "LORA_TUI_ALLOW_PRIVATE_URLS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.follower"],
            env=os.environ | self.sandbox.environment() | account | home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it is signed in
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def live_campaign(home: Path, seed: int, *, episodes: int, seconds: float) -> Figures:
    """Episodes in one world, by number or by time; then everything is compared."""
    figures = Figures(seed)
    start = time.monotonic()
    with LiveWorld(home, seed) as world:
        while figures.episodes < episodes and time.monotonic() - start < seconds:
            world.episode(figures)
            for sentence in world.broken():
                figures.violations.append(f"live {seed}, episode {figures.episodes}: {sentence}")
        for sentence in world.broken_in_the_end():
            figures.violations.append(f"live {seed}, in the end: {sentence}")
        figures.requests = len(world.sandbox.requests())
    figures.seconds = time.monotonic() - start
    return figures


def _plain(row: Row) -> str:
    return json.dumps([row["id"], row["step"], float(row["training_loss"])])


def _cached(point: MetricPoint) -> str:
    return json.dumps([point.id, int(point.step or 0), point.training_loss])
