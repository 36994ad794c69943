"""A sandbox with waiting jobs, a harvester on it, and a look at all that a harvest can change."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.harvest.events import Event, JobFailed, as_json, describe
from lora_tui.harvest.harvester import Harvester, connect
from lora_tui.harvest.ledger import Ledger, ledger_path
from lora_tui.harvest.loop import run_cycle
from lora_tui.harvest.outcome import CycleResult
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""The seeded data leads up to this moment, so that two sandboxes hold the same rows."""

Row = dict[str, Any]


class World(AbstractContextManager["World"]):
    """One sandbox for one test. Close it at the end."""

    def __init__(self, home: Path, **options: Any) -> None:
        self.home = home
        self.sandbox = Sandbox.start(**{"models": 0, "waiting_jobs": 4, "now": NOW} | options)
        self.http = httpx.Client(
            base_url=self.sandbox.url,
            headers={"apikey": self.sandbox.service_key},
            trust_env=False,
            timeout=30,
            verify=False,  # all of it is plain http on this machine
        )
        self._plain = httpx.Client(trust_env=False, timeout=30, verify=False)
        self._opened: list[Harvester] = []
        self._ledgers: list[Ledger] = []

    def __exit__(self, *_exception: object) -> None:
        for harvester in self._opened:
            harvester.close()
        for ledger in self._ledgers:
            ledger.close()
        self.http.close()
        self._plain.close()
        self.sandbox.stop()

    # Harvesting

    def profile(self, **changes: Any) -> Profile:
        paths = Paths(
            config_file=self.home / "config.toml",
            cache_dir=self.home / "cache",
            state_dir=self.home / "state",
            home=self.home,
        )
        settings: dict[str, Any] = {
            "name": "test",
            "paths": paths,
            "url": self.sandbox.url,
            "anon_key": self.sandbox.anon_key,
            "service_key": Secret(self.sandbox.service_key),
            "gpu_url": self.sandbox.gpu_url,
            "gpu_key": Secret(self.sandbox.gpu_key),
            "allow_private_urls": True,
        }
        return Profile(**settings | changes)

    def harvester(self, **changes: Any) -> Harvester:
        harvester = connect(self.profile(**changes))
        self._opened.append(harvester)
        return harvester

    def run(
        self,
        harvester: Harvester | None = None,
        *,
        limit: int | None = None,
        dry_run: bool = False,
        emit: Callable[[Event], None] | None = None,
        stop: threading.Event | None = None,
        concurrency: int = 1,
    ) -> tuple[CycleResult, list[Event]]:
        events: list[Event] = []

        def note(event: Event) -> None:
            events.append(event)
            if emit is not None:
                emit(event)

        result = run_cycle(
            harvester or self.harvester(),
            limit=limit,
            dry_run=dry_run,
            emit=note,
            stop=stop or threading.Event(),
            concurrency=concurrency,
        )
        return result, events

    def ledger(self) -> Ledger:
        """What the machine remembers; closed with the world."""
        ledger = Ledger(ledger_path(self.profile()))
        self._ledgers.append(ledger)
        return ledger

    def retry_all(self) -> None:
        """What `lora-tui harvest retry --all` does."""
        harvester = self.harvester()
        harvester.queue.refresh()
        harvester.queue.retry([job.job_id for job in harvester.ledger.jobs()])

    # Looking

    def rows(self, query: str) -> list[Row]:
        answer = self.http.get(f"/rest/v1/{query}")
        assert answer.status_code in (200, 206), answer.text
        found: list[Row] = answer.json()
        return found

    def change(self, query: str, **values: Any) -> None:
        answer = self.http.patch(f"/rest/v1/{query}", json=values)
        assert answer.status_code in (200, 204), answer.text

    def insert(self, table: str, row: Row) -> None:
        answer = self.http.post(f"/rest/v1/{table}", json=row)
        assert answer.status_code == 201, answer.text

    def jobs(self) -> list[Row]:
        """All completed jobs with a result at the worker, the oldest first."""
        return self.rows(
            "training_jobs?status=eq.completed&external_job_id=not.is.null"
            "&order=completed_at,id&select=*,dataset:datasets!dataset_id(name)"
        )

    def points(self, job_id: str) -> list[Row]:
        """All metric points of a job, read in windows that are no concern of the harvest's."""
        found: list[Row] = []
        while True:
            page = self.rows(
                f"metrics_points?job_id=eq.{job_id}&order=timestamp,id&limit=500&offset={len(found)}"
            )
            if not page:
                return found
            found += page

    def artifacts(self) -> dict[str, Row]:
        """By job id."""
        return {row["job_id"]: row for row in self.rows("model_artifacts?order=id")}

    def notifications(self) -> list[Row]:
        return self.rows("notifications?type=eq.artifact_ready&order=id")

    def objects(self) -> dict[str, str]:
        """Path → sha256 of everything in the bucket."""
        found: dict[str, str] = {}
        for user in self._listed(""):
            for folder in self._listed(user):
                for file in self._listed(f"{user}/{folder}"):
                    path = f"{user}/{folder}/{file}"
                    answer = self.http.get(f"/storage/v1/object/authenticated/lora-models/{path}")
                    assert answer.status_code == 200
                    found[path] = hashlib.sha256(answer.content).hexdigest()
        return found

    def source_files(self, external_job_id: str) -> dict[str, str]:
        """File name → sha256 of what the worker's storage holds for a job."""
        status = self._plain.get(
            f"{self.sandbox.gpu_url}/status/{external_job_id}",
            headers={"Authorization": f"Bearer {self.sandbox.gpu_key}"},
        ).json()
        urls = status["output"].get("model_files") or status["output"]["download_urls"]
        return {
            name: hashlib.sha256(self._plain.get(url).content).hexdigest()
            for name, url in urls.items()
        }

    def state(self) -> dict[str, Any]:
        """All that a harvest has to show for itself, without the times at which it did so."""
        times = ("created_at", "updated_at")
        return {
            "links": {job["id"]: job["artifact_id"] for job in self.jobs()},
            "artifacts": {
                job_id: {key: value for key, value in row.items() if key not in times}
                for job_id, row in self.artifacts().items()
            },
            "notifications": [
                {key: value for key, value in row.items() if key not in times}
                for row in self.notifications()
            ],
            "objects": self.objects(),
        }

    def requested(self, method: str, prefix: str) -> list[dict[str, Any]]:
        """What the sandbox was asked, by method and beginning of the path."""
        return [
            entry
            for entry in self.sandbox.requests()
            if entry["method"] == method and entry["path"].startswith(prefix)
        ]

    def check_complete(self) -> None:
        """Every job has one whole artifact, all is linked and announced once, nothing is left."""
        jobs, artifacts, objects = self.jobs(), self.artifacts(), self.objects()
        assert artifacts.keys() == {job["id"] for job in jobs}
        expected: dict[str, str] = {}
        for job in jobs:
            artifact = artifacts[job["id"]]
            assert job["artifact_id"] == artifact["id"]
            source = self.source_files(job["external_job_id"])
            assert artifact["artifacts"].keys() == source.keys()
            for name, path in artifact["artifacts"].items():
                assert path == f"{job['user_id']}/{artifact['id']}/{name}"
                assert artifact["configuration"]["files"][name]["sha256"] == source[name]
                expected[path] = source[name]
        assert objects == expected
        announced = [row["metadata"]["artifact_id"] for row in self.notifications()]
        assert sorted(announced) == sorted(row["id"] for row in artifacts.values())

    def _listed(self, prefix: str) -> list[str]:
        answer = self.http.post(
            "/storage/v1/object/list/lora-models", json={"prefix": prefix, "limit": 1000}
        )
        assert answer.status_code == 200
        return [entry["name"] for entry in answer.json()]


def failures(events: Iterable[Event]) -> dict[str, JobFailed]:
    """By job id."""
    return {event.job_id: event for event in events if isinstance(event, JobFailed)}


def printed(events: Iterable[Event]) -> str:
    """Everything that a user or a log gets to see of these events."""
    return "\n".join(
        line for event in events for line in (describe(event), json.dumps(as_json(event)))
    )
