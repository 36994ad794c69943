"""Files that the worker has put into the bucket itself are verified and published in place."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lora_tui import clock
from lora_tui.harvest.artifact_rows import NAMESPACE, Identity, artifact_id_of
from lora_tui.harvest.events import (
    Event,
    FileStored,
    ResultExpiring,
    ResultLost,
    UploadVerified,
)
from lora_tui.harvest.in_bucket import MANIFEST, find_upload
from lora_tui.sandbox.objects import md5_etag, multipart_etag
from tests.harvest.hostile import CONFIG, WEIGHTS, HostileWorker, adapter_files, send
from tests.harvest.mortal import CrashError, mortal
from tests.harvest.world import World, failures
from tests.push.adapter import weights

SCRIPT = Path(__file__).parents[2] / "contrib" / "worker" / "upload_model.py"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("upload_model", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


UPLOADER = _script()


class SandboxBucket(UPLOADER.Bucket):  # type: ignore[name-defined, misc]
    """The script's bucket, by the standard upload in place of S3."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken_after: int | None = None
        """How many uploads succeed."""

    def upload(self, file: Path, key: str) -> None:
        if self.broken_after is not None:
            self.broken_after -= 1
            if self.broken_after < 0:
                raise ConnectionError("the line is cut")
        put(self.world, key, file.read_bytes())

    def put_json(self, key: str, text: str) -> None:
        put(self.world, key, text.encode())

    def etag(self, key: str) -> str:
        answer = self.world.http.get(f"/storage/v1/object/info/lora-models/{key}")
        return str(answer.json()["etag"]).strip('"')

    def delete(self, keys: list[str]) -> None:
        remove(self.world, *keys)


def put(world: World, path: str, content: bytes) -> None:
    kind = "application/json" if path.endswith(".json") else "application/octet-stream"
    answer = world.http.post(
        f"/storage/v1/object/lora-models/{path}",
        content=content,
        headers={"Content-Type": kind, "x-upsert": "true"},
    )
    assert answer.status_code == 200, answer.text


def remove(world: World, *paths: str) -> None:
    world.http.request("DELETE", "/storage/v1/object/lora-models", json={"prefixes": list(paths)})


def upload(
    world: World,
    job: dict[str, Any],
    contents: dict[str, bytes] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """What the worker does at the end of a job; `changes` are of the manifest."""
    files = {}
    for name, content in (contents or adapter_files()).items():
        files[name] = world.home / name
        files[name].write_bytes(content)
    manifest: dict[str, Any] = UPLOADER.upload_model(
        SandboxBucket(world),
        files,
        user_id=job["user_id"],
        job_id=job["id"],
        external_job_id=job["external_job_id"],
    )
    if changes:
        write_manifest(world, job, {**manifest, **changes})
    return manifest


def folder(job: dict[str, Any]) -> str:
    return f"{job['user_id']}/{artifact_id_of(job['id'])}"


def write_manifest(world: World, job: dict[str, Any], manifest: object) -> None:
    put(world, f"{folder(job)}/{MANIFEST}", json.dumps(manifest).encode())


def paths_of(world: World, job: dict[str, Any]) -> set[str]:
    start = f"{folder(job)}/"
    return {path.removeprefix(start) for path in world.objects() if path.startswith(start)}


def found(events: list[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def check_model(world: World, job: dict[str, Any], events: list[Event]) -> None:
    """The job's model has the uploaded files and nothing else, and was announced once."""
    artifact = world.artifacts()[job["id"]]
    assert artifact["artifacts"] == {name: f"{folder(job)}/{name}" for name in adapter_files()}
    assert artifact["configuration"]["files"] == {
        name: {
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            **({} if name == CONFIG else {"sha256_by": "worker"}),
        }
        for name, content in adapter_files().items()
    }
    assert paths_of(world, job) == set(adapter_files())
    (linked,) = (row for row in world.jobs() if row["id"] == job["id"])
    assert linked["artifact_id"] == artifact["id"]
    told = [row["metadata"]["job_id"] for row in world.notifications()]
    assert told.count(job["id"]) == 1
    assert not failures(events)


@pytest.fixture
def one(new_world: Callable[..., World]) -> World:
    """One job is waiting."""
    return new_world(waiting_jobs=1)


@pytest.fixture
def job(one: World) -> dict[str, Any]:
    return one.jobs()[0]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One job is waiting; for tests that only look at an upload."""
    with World(tmp_path_factory.mktemp("shared"), waiting_jobs=1) as world:
        yield world


@pytest.fixture
def worker() -> Iterator[HostileWorker]:
    with HostileWorker() as worker:
        yield worker


def test_an_upload_becomes_a_model_without_the_worker_and_without_a_byte_sent(
    one: World, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.harvest.in_bucket.FIRST_READ", 64)
    upload(one, job)
    one.sandbox.faults(vanish=[job["external_job_id"]])  # its result is gone
    one.sandbox.forget_requests()

    result, planned = one.run(dry_run=True)
    assert (result.failed, one.artifacts()) == (0, {})
    (told,) = found(planned, UploadVerified)
    assert (told.files, told.whole) == (3, True)

    one.sandbox.forget_requests()
    result, events = one.run()
    requests = one.sandbox.requests()

    assert result.harvested == 1
    read = [entry for entry in requests if entry["path"].startswith("/storage/v1/object/sign/")]
    opened = [entry for entry in read if entry["method"] == "GET"]
    assert {entry["path"].rpartition("/")[2] for entry in opened} == {MANIFEST, CONFIG, WEIGHTS}
    assert all(entry["range"] for entry in opened)
    assert not [entry for entry in requests if entry["path"].startswith("/v2/")]
    assert not [entry for entry in requests if "/upload/" in entry["path"]]
    (told,) = found(events, UploadVerified)
    assert told.bytes == sum(map(len, adapter_files().values()))
    header = 8 + int.from_bytes(adapter_files()[WEIGHTS][:8], "little")
    assert told.bytes_read < 64 + header + len(adapter_files()[CONFIG]) + 1500
    assert sum(entry["sent"] for entry in opened) < told.bytes_read + 1500
    assert [event.sent for event in found(events, FileStored)] == [False] * 3
    check_model(one, job, events)


@pytest.mark.parametrize("migrated", [True, False])
def test_a_job_whose_files_are_in_the_bucket_does_not_expire(
    new_world: Callable[..., World], migrated: bool
) -> None:
    world = new_world(waiting_jobs=3, migrated=migrated)
    uploaded, damaged, other = world.jobs()
    soon = clock.timestamp_text(clock.now() - timedelta(minutes=25))
    for job in (uploaded, damaged, other):
        world.change(f"training_jobs?id=eq.{job['id']}", completed_at=soon)
    upload(world, uploaded)
    upload(world, damaged, job_id="another")  # so the worker's files are needed
    world.sandbox.faults(path="/rest/v1/model_artifacts", method="POST", fail_next=-1)
    world.sandbox.faults(path="/worker-files", fail_next=-1)
    _, events = world.run()
    warned = {event.job_id for event in found(events, ResultExpiring)}
    assert warned == {damaged["id"], other["id"]}


def test_a_crash_after_any_write_is_finished_and_leaves_no_manifest(
    new_world: Callable[..., World],
) -> None:
    world = new_world(waiting_jobs=3, migrated=False)
    for job in world.jobs():
        upload(world, job)
    for last in (1, 2, 3, 4):  # after the artifact, the link, the notification, the next artifact
        with pytest.raises(CrashError):
            world.run(mortal(world.harvester(), last))
    _, events = world.run()
    world.run()
    for job in world.jobs():
        check_model(world, job, events)


def test_two_harvesters_make_one_model_of_an_upload(
    new_world: Callable[..., World],
) -> None:
    one = new_world(waiting_jobs=1, migrated=False)
    (job,) = one.jobs()
    upload(one, job)
    other = one.harvester()
    started = []

    def interfere(event: Event) -> None:
        if isinstance(event, UploadVerified) and not started:
            started.append(event)
            one.run(other)

    _, events = one.run(one.harvester(), emit=interfere)
    check_model(one, job, events)


def test_files_that_are_missing_in_an_upload_come_from_the_worker(
    one: World, job: dict[str, Any], worker: HostileWorker
) -> None:
    upload(one, job)
    remove(one, f"{folder(job)}/{WEIGHTS}")
    put(one, f"{folder(job)}/tokenizer_config.json", b"{1}")  # of other bytes
    _, events = one.run(one.harvester(gpu_url=worker.url))

    (told,) = found(events, UploadVerified)
    assert (told.files, told.whole) == (1, False)
    sent = {event.file: event.sent for event in found(events, FileStored)}
    assert sent == {CONFIG: False, WEIGHTS: True, "tokenizer_config.json": True}
    files = one.artifacts()[job["id"]]["configuration"]["files"]
    assert not any("sha256_by" in entry for entry in files.values())
    assert one.artifacts()[job["id"]]["configuration"]["weights"]
    assert paths_of(one, job) == set(adapter_files())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 2}, "no manifest of version 1"),
        ({"job_id": "5b0ad6ff-7f0c-4b0f-9c39-6f6b6a0a1d52"}, "of another job (5b0ad6ff"),
        ({"external_job_id": "an earlier run\x1b[31m"}, "of another run (an earlier run"),
        ({"files": {}}, "names no files"),
        ({"files": {"../escape.json": {}}}, "a name that can't be stored"),
        ({"files": {"a/b.json": {}}}, "a name that can't be stored"),
        ({"files": {MANIFEST: {}}}, "which can't be stored"),
        ({"files": {"ünï.json": {}}}, "which can't be stored"),
        ({"files": {f"{n}.json": {} for n in range(101)}}, "more files than a model can have"),
        ({"files": {WEIGHTS: {"size": -1}}}, f"no usable size of {WEIGHTS}"),
        ({"files": {WEIGHTS: {"size": True}}}, f"no usable size of {WEIGHTS}"),
        ({"files": {WEIGHTS: {"size": 1 << 70}}}, f"no usable size of {WEIGHTS}"),
        ({"files": {WEIGHTS: {"size": 1, "sha256": "x"}}}, f"no SHA-256 of {WEIGHTS}"),
        ({"files": {WEIGHTS: {"size": 1, "sha256": "0" * 64, "etag": 1}}}, f"no ETag of {WEIGHTS}"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_named_as_the_reason(
    shared: World, changes: dict[str, Any], reason: str
) -> None:
    (job,) = shared.jobs()
    upload(shared, job, **changes)
    storage, identity = shared.harvester().storage, Identity.of(job)
    found = find_upload(storage, identity, storage.list(identity.folder))
    assert not found.is_whole
    assert found.files == {}
    assert reason in str(found.problem)
    assert "\x1b" not in str(found.problem)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (MANIFEST, b"[" * 100_000, "no manifest of version 1"),
        (MANIFEST, b" " * ((1 << 20) + 1), "larger than any manifest"),
        (WEIGHTS, None, f"The worker's upload of {WEIGHTS} is not in the bucket"),
        (WEIGHTS, b"short", f"{WEIGHTS} in the bucket has 5 bytes, its manifest says"),
        ("tokenizer_config.json", b"[]", "another ETag than its manifest says"),
    ],
)
def test_what_the_bucket_has_otherwise_is_named_as_the_reason(
    shared: World, name: str, content: bytes | None, reason: str
) -> None:
    (job,) = shared.jobs()
    upload(shared, job)
    path = f"{folder(job)}/{name}"
    remove(shared, path) if content is None else put(shared, path, content)
    storage, identity = shared.harvester().storage, Identity.of(job)
    found = find_upload(storage, identity, storage.list(identity.folder))
    assert not found.is_whole
    assert reason in str(found.problem)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (WEIGHTS, weights()[:-1], "cut short or padded"),
        (WEIGHTS, b"", "The file is empty"),
        (CONFIG, b"{}", "The configuration is empty"),
        (CONFIG, None, "holds no adapter_config.json"),
        (WEIGHTS, None, "holds no weights"),
    ],
)
def test_uploaded_files_that_no_loader_could_use_are_named_as_the_reason(
    shared: World, name: str, content: bytes | None, reason: str
) -> None:
    (job,) = shared.jobs()
    files = {
        key: value for key, value in {**adapter_files(), name: content}.items() if value is not None
    }
    upload(shared, job, files)
    storage, identity = shared.harvester().storage, Identity.of(job)
    found = find_upload(storage, identity, storage.list(identity.folder))
    assert not found.is_whole
    assert reason in str(found.problem)


def test_an_upload_that_stays_broken_is_lost_with_its_reason_and_is_not_removed(
    one: World, job: dict[str, Any]
) -> None:
    upload(one, job)
    put(one, f"{folder(job)}/{WEIGHTS}", b"short")
    one.sandbox.faults(vanish=[job["external_job_id"]])
    before = paths_of(one, job)

    _, events = one.run()

    failure = failures(events)[job["id"]]
    assert failure.reason.startswith(f"{WEIGHTS} in the bucket has 5 bytes")
    assert "the GPU worker no longer has the result" in failure.reason
    assert failure.permanent
    assert "harvest retry" in str(failure.remedy)
    assert len(found(events, ResultLost)) == 1
    assert paths_of(one, job) == before

    put(one, f"{folder(job)}/{WEIGHTS}", adapter_files()[WEIGHTS])  # mended by hand
    one.retry_all()
    _, events = one.run()
    check_model(one, job, events)


def test_an_upload_without_its_manifest_is_not_taken_as_whole_but_told(
    shared: World, worker: HostileWorker
) -> None:
    (job,) = shared.jobs()
    upload(shared, job)
    remove(shared, f"{folder(job)}/{MANIFEST}")
    external = job["external_job_id"]
    worker.statuses[external] = {"id": external, "status": "COMPLETED", "output": {"ok": True}}
    _, events = shared.run(shared.harvester(gpu_url=worker.url), dry_run=True)
    failure = failures(events)[job["id"]]
    assert f"no {MANIFEST} beside them" in failure.reason
    assert not failure.permanent

    # but where the result is gone, these may be the files of a harvest that died
    worker.statuses[external] = lambda handler: send(
        handler, b'{"error":"request does not exist"}', status=404, kind="application/json"
    )
    _, events = shared.run(shared.harvester(gpu_url=worker.url), dry_run=True)
    assert failures(events)[job["id"]].reason.startswith("The GPU worker")


def test_an_upload_of_an_earlier_run_gives_way_to_the_workers_files(
    one: World, job: dict[str, Any], worker: HostileWorker
) -> None:
    upload(one, job, external_job_id="the run before")
    put(one, f"{folder(job)}/checkpoint.bin", b"left behind")
    _, events = one.run(one.harvester(gpu_url=worker.url))
    assert {event.file for event in found(events, FileStored) if event.sent} <= set(adapter_files())
    assert paths_of(one, job) == set(adapter_files())
    files = one.artifacts()[job["id"]]["configuration"]["files"]
    assert not any("sha256_by" in entry for entry in files.values())


def test_a_file_replaced_after_its_check_is_not_published_and_orphan_removal_waits_for_the_job(
    new_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lora_tui.harvest.publish.ORPHAN_AGE", timedelta(0))
    world = new_world(waiting_jobs=1, migrated=False)
    (job,) = world.jobs()
    upload(world, job)

    other = bytes(byte ^ 1 for byte in adapter_files()[WEIGHTS])

    def replace(event: Event) -> None:
        if isinstance(event, UploadVerified):
            put(world, f"{folder(job)}/{WEIGHTS}", other)

    _, events = world.run(emit=replace)
    assert "replaced" in failures(events)[job["id"]].reason
    assert world.artifacts() == {}
    assert (world.home / "cache" / "harvest" / f"{artifact_id_of(job['id'])}.json").exists()
    world.sandbox.faults(vanish=[job["external_job_id"]])
    world.retry_all()
    assert failures(world.run()[1])[job["id"]].permanent
    world.run()
    assert paths_of(world, job) == {*adapter_files(), MANIFEST}

    world.http.delete(f"/rest/v1/training_jobs?id=eq.{job['id']}")
    world.run()
    assert paths_of(world, job) == set()


def test_the_script_of_the_worker_removes_what_it_has_uploaded_if_it_fails(
    shared: World,
) -> None:
    (job,) = shared.jobs()
    remove(shared, *(f"{folder(job)}/{name}" for name in paths_of(shared, job)))
    bucket = SandboxBucket(shared)
    bucket.broken_after = 1
    file = shared.home / CONFIG
    file.write_bytes(adapter_files()[CONFIG])
    ids = {"user_id": job["user_id"], "job_id": job["id"], "external_job_id": "x"}
    with pytest.raises(ConnectionError):
        UPLOADER.upload_model(bucket, {CONFIG: file, WEIGHTS: file}, **ids)
    assert paths_of(shared, job) == set()


def test_the_script_computes_the_folder_and_the_etags_as_lora_tui_and_s3_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UPLOADER, "PART_BYTES", 5)
    file = tmp_path / "file"
    file.write_bytes(b"twelve bytes")
    local = UPLOADER.Checksums.of(file)
    assert local.etags == (md5_etag(file), multipart_etag(file, [5, 5, 2]))
    job_id = "0b0ad6ff-7f0c-4b0f-9c39-6f6b6a0a1d52"
    assert UPLOADER.model_folder("USER", job_id.upper()) == f"user/{artifact_id_of(job_id)}"
    assert (UPLOADER.NAMESPACE, UPLOADER.MANIFEST) == (NAMESPACE, MANIFEST)
