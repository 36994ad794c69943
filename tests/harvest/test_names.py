"""Whatever the worker calls a file: it can be downloaded under that name, or is refused clearly."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from lora_tui.config.load import load_profile
from lora_tui.gateway.gpu import WorkerResult
from lora_tui.harvest.artifact_rows import stored_name
from lora_tui.harvest.events import JobHarvested
from lora_tui.harvest.failures import RefusedResultError
from lora_tui.harvest.harvester import connect
from lora_tui.harvest.loop import run_cycle
from lora_tui.harvest.source import checked_files
from lora_tui.sandbox import Sandbox
from tests.conftest import Run
from tests.harvest.test_source import send, serving

TAKEN = [
    "epoch=3,step=100.json",
    "a+b.json",
    "a&b=c.json",
    "a,b;c.json",
    "a:b@c$.json",
    "a!b(c)'d.json",
    "with space.json",
]
NOT_TAKEN = [
    "100%.json",
    "100%25.json",
    "a#b.json",
    "br[ack]{ace}.json",
    'quo"te.json',
    "a~b^c`d|e.json",
    "less<more>.json",
    "what?.json",
    "star*.json",
    "ünï.json",
    "日本.json",
    "emoji😀.json",
]


def served(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b'{"served as": "%s"}' % handler.path.strip("/").encode())


@pytest.fixture
def files() -> Iterator[dict[str, str]]:
    """Files of all kinds of names, with other contents each, and where they are."""
    with serving(served) as port:
        names = [*TAKEN[:5:2], *NOT_TAKEN[:10:3]]
        yield {name: f"http://127.0.0.1:{port}/{number}" for number, name in enumerate(names)}


def test_harvested_files_can_be_downloaded_whatever_their_names(
    configured: Sandbox,
    run: Run,
    tmp_path: Path,
    files: dict[str, str],
    new_worker: Callable[[Any], Any],
) -> None:
    profile = load_profile()._replace(allow_private_urls=True)
    with closing(connect(profile)) as harvester:
        jobs = harvester.rest.jobs_to_harvest(limit=1)
        result = harvester.worker.result(str(jobs[0]["external_job_id"]))
        weights = {name: url for name, url in result.files.items() if name.startswith("adapter_")}
        wanted = {**weights, **files}
        body = {"status": "COMPLETED", "output": {"model_files": wanted}}
        told: list[Any] = []
        run_cycle(
            replace(harvester, worker=new_worker(body)),
            limit=1,
            dry_run=False,
            emit=told.append,
            stop=threading.Event(),
            concurrency=1,
        )
        # which of the jobs comes first depends on how soon the worker drops their files
        (job,) = [event.job_id for event in told if isinstance(event, JobHarvested)]
        row = harvester.rest.artifact_by_job(job)
    assert row is not None
    assert row["artifacts"].keys() == wanted.keys()
    assert all(row["artifacts"][name].endswith(f"/{name}") for name in TAKEN[:5:2])
    run("sync")
    ran = run("download", str(row["id"]), "--to", str(tmp_path / "x"), "--json")
    assert ran.code == 0, ran.err
    here = {
        hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (tmp_path / "x").iterdir()
        if file.name != "lora-tui.json"
    }
    assert here == {facts["sha256"] for facts in row["configuration"]["files"].values()}
    urls = run("urls", str(row["id"]), "--json").data["download_urls"]
    assert urls.keys() == wanted.keys()


def test_names_that_the_bucket_refuses_are_kept_apart() -> None:
    names = [*TAKEN, *NOT_TAKEN, "a~b.json", "a^b.json", "a_b.json", "~", "^", ".~."]
    stored = [stored_name(name) for name in names]
    assert len({name.lower() for name in stored}) == len(names)
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_!.*'() &$@=;:+,-")
    assert all(set(name) <= allowed and len(name) <= 200 for name in stored)
    assert stored == [stored_name(name) for name in names]


def test_two_names_that_would_be_stored_as_one_are_refused() -> None:
    files = dict.fromkeys(("a~b.json", stored_name("a~b.json")), "https://files.example/f")
    with pytest.raises(RefusedResultError, match="told apart"):
        checked_files(WorkerResult("COMPLETED", files, {}))
