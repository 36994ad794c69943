"""What a harvest does about files, hosts and answers that are not as they should be."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from lora_tui.gateway.gpu import WorkerResult
from lora_tui.gateway.resumable import CHUNK
from lora_tui.harvest.byte_budget import ByteBudget
from lora_tui.harvest.events import FileStored, ResultLost
from lora_tui.harvest.failures import RefusedResultError
from lora_tui.harvest.source import MOST_FILES, SourceFiles, checked_files
from lora_tui.harvest.source_connection import resolve_target
from lora_tui.harvest.spool import Spool
from tests.harvest.world import World, failures, printed


def test_a_file_that_fails_means_no_artifact_and_the_other_jobs_go_on(world: World) -> None:
    job = world.jobs()[0]
    path = f"/worker-files/{job['external_job_id']}/tokenizer.json"
    world.sandbox.faults(path=path, fail_next=-1, status=500)

    result, events = world.run()

    assert (result.harvested, result.failed) == (3, 1)
    assert not failures(events)[job["id"]].permanent
    assert job["id"] not in world.artifacts()
    assert len(world.notifications()) == 3
    world.sandbox.clear_faults()
    world.retry_all()
    world.run()
    world.check_complete()


def test_a_file_that_is_gone_is_tried_until_the_result_is_and_then_leaves_nothing_behind(
    world: World,
) -> None:
    job = world.jobs()[0]
    path = f"/worker-files/{job['external_job_id']}/tokenizer.json"
    world.sandbox.faults(path=path, fail_next=-1, status=404)

    one_file = replace(world.harvester(), budget=ByteBudget(most_files=1))
    result, events = world.run(one_file)

    assert (result.harvested, result.failed) == (3, 1)
    assert not failures(events)[job["id"]].permanent
    assert any(isinstance(e, FileStored) and e.job_id == job["id"] for e in events)

    world.sandbox.faults(vanish=[job["external_job_id"]])
    world.retry_all()
    _, events = world.run()
    failure = failures(events)[job["id"]]
    assert failure.permanent
    assert "no longer in the worker's storage" in str(failure.details)
    (lost,) = [event for event in events if isinstance(event, ResultLost)]
    assert "no longer in the worker's storage" in str(lost.reason)
    ours = {path for row in world.artifacts().values() for path in row["artifacts"].values()}
    assert world.objects().keys() == ours
    assert len(ours) == 18


def test_a_lost_result_is_told_with_its_reason_and_the_others_go_on(world: World) -> None:
    job = world.jobs()[0]
    world.sandbox.faults(vanish=[job["external_job_id"]])
    result, events = world.run()
    failure = failures(events)[job["id"]]
    assert (result.harvested, result.failed) == (3, 1)
    assert failure.permanent
    assert "30 minutes" in failure.reason


def test_a_source_that_drops_midway_is_resumed_where_it_broke_off(pair: World) -> None:
    pair.sandbox.faults(path="/worker-files", drop_after=300_000, drop_next=6)
    result, _ = pair.run()
    assert (result.harvested, result.failed) == (2, 0)
    dropped = [e for e in pair.requested("GET", "/worker-files") if e["dropped"]]
    assert len(dropped) == 6
    ranges = [e["range"] for e in pair.requested("GET", "/worker-files") if e["range"]]
    assert len(ranges) == 6
    pair.check_complete()


def test_a_source_without_ranges_is_read_again_and_ends_the_same(pair: World) -> None:
    pair.sandbox.faults(path="/worker-files", drop_after=300_000, drop_next=3, ignore_range=True)
    result, _ = pair.run()
    assert (result.harvested, result.failed) == (2, 0)
    pair.sandbox.clear_faults()
    pair.check_complete()


def test_a_file_that_changes_midway_never_becomes_a_mixture(world: World) -> None:
    job = world.jobs()[0]
    path = f"/worker-files/{job['external_job_id']}/adapter_model.safetensors"
    world.sandbox.faults(path=path, drop_after=2_000_000, drop_next=1, change_file_midway=1)
    result, events = world.run()
    assert (result.harvested, result.failed) == (3, 1)
    assert not failures(events)[job["id"]].permanent
    assert job["id"] not in world.artifacts()
    world.sandbox.clear_faults()
    world.retry_all()
    world.run()
    world.check_complete()


@pytest.mark.parametrize("path", ["/storage/v1/object/", "/rest/v1/model_artifacts"])
def test_a_project_that_refuses_for_a_while_makes_no_job_dead(pair: World, path: str) -> None:
    """A quota that is used up, a firewall's mood: time mends it."""
    pair.sandbox.faults(path=path, method="POST", fail_next=-1, status=403)
    _, events = pair.run()
    assert {failure.permanent for failure in failures(events).values()} == {False}
    pair.sandbox.clear_faults()
    pair.retry_all()
    assert pair.run()[0].harvested == 2
    pair.check_complete()


def test_an_expired_url_is_asked_for_again(pair: World) -> None:
    job = pair.jobs()[0]
    pair.sandbox.faults(path="/worker-files", fail_next=1, status=403)
    result, _ = pair.run()
    assert (result.harvested, result.failed) == (2, 0)
    asked = pair.requested("GET", f"/v2/demo-endpoint/status/{job['external_job_id']}")
    assert len(asked) == 2
    pair.check_complete()


def test_urls_that_are_refused_again_and_again_are_given_up(world: World) -> None:
    world.sandbox.faults(presigned_seconds=0)
    result, events = world.run()
    assert (result.harvested, result.failed) == (0, 4)
    assert not any(failure.permanent for failure in failures(events).values())
    asked = Counter(entry["path"] for entry in world.requested("GET", "/worker-files"))
    assert max(asked.values()) == 2  # one URL, one new URL


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/rest/v1/model_artifacts"),
        ("POST", "/rest/v1/notifications"),
        ("PATCH", "/rest/v1/training_jobs"),
        ("POST", "/storage/v1/object/lora-models"),
        ("PATCH", "/storage/v1/upload/resumable"),
        ("POST", "/storage/v1/upload/resumable"),
    ],
)
@pytest.mark.parametrize("fault", ["refused", "answer lost"])
def test_a_write_that_fails_once_is_made_good_in_the_same_run(
    pair: World, method: str, path: str, fault: str
) -> None:
    settings: dict[str, Any] = {"fail_next": 2} if fault == "refused" else {"drop_after": 0}
    if "resumable" in path:
        pair.sandbox.faults(standard_upload_limit=CHUNK)
    pair.sandbox.faults(method=method, path=path, **settings)
    result, _ = pair.run()
    assert result.failed == 0
    pair.check_complete()


def test_a_tenth_of_all_requests_failing_changes_nothing_in_the_end(world: World) -> None:
    world.sandbox.faults(error_rate=0.1)
    while world.run()[0].failed:
        pass
    world.sandbox.clear_faults()
    world.check_complete()


def test_no_key_of_ours_goes_to_the_hosts_of_the_files(pair: World) -> None:
    pair.run()
    asked = pair.requested("GET", "/worker-files")
    assert asked
    assert {(entry["apikey"], entry["bearer"]) for entry in asked} == {(None, None)}


def test_nothing_that_is_printed_holds_a_presigned_url(pair: World) -> None:
    pair.sandbox.faults(path="/worker-files", fail_next=-1, status=403)
    _, events = pair.run()
    pair.sandbox.faults(path="/worker-files", drop_after=0, drop_next=-1)
    _, more = pair.run()
    text = printed([*events, *more])
    assert failures([*events, *more])
    assert "X-Amz" not in text
    assert pair.sandbox.service_key not in text


def test_loopback_urls_are_refused_and_never_asked_without_the_setting(world: World) -> None:
    result, events = world.run(world.harvester(allow_private_urls=False))
    assert (result.harvested, result.failed) == (0, 4)
    for failure in failures(events).values():
        assert not failure.permanent
        assert "private address" in failure.reason
    assert world.requested("GET", "/worker-files") == []
    assert world.objects() == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/f",
        "https://127.0.0.1/f",
        "http://127.1/f",
        "http://2130706433/f",
        "http://0x7f000001/f",
        "http://0.0.0.0/f",
        "http://10.1.2.3/f",
        "http://172.16.0.1/f",
        "http://192.168.1.1/f",
        "http://100.64.0.1/f",
        "http://169.254.169.254/latest/meta-data/",
        "http://224.0.0.1/f",
        "http://[::1]/f",
        "http://[fe80::1]/f",
        "http://[fd00::1]/f",
        "http://[::ffff:127.0.0.1]/f",
        "http://[64:ff9b::7f00:1]/f",
        "http://[2002:7f00:1::]/f",
        "ftp://example.org/f",
        "file:///etc/passwd",
        "http://user:word@example.org/f",
        "http://exa mple.org/f",
        "http://example.org:99999/f",
        "http:///f",
    ],
)
def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    with pytest.raises(RefusedResultError):
        resolve_target(url, allow_private=False)


def test_a_public_address_is_accepted_as_it_stands() -> None:
    target = resolve_target("https://93.184.216.34:8443/a/b?c=d", allow_private=False)
    assert (target.host, target.addresses) == ("93.184.216.34", ("93.184.216.34",))


def test_a_name_with_one_private_address_among_others_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
        for address in ("93.184.216.34", "10.0.0.8")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_o: found)
    with pytest.raises(RefusedResultError):
        resolve_target("https://files.example/f", allow_private=False)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    world: World, monkeypatch: pytest.MonkeyPatch, new_worker: Callable[[Any], Any]
) -> None:
    answers = iter(["127.0.0.1"])  # a second look-up of the name would find nothing
    look_up = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return look_up(
            next(answers) if host == "files.example" else host, port, *arguments, **options
        )

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    job = world.jobs()[0]
    port = httpx.URL(world.sandbox.url).port
    real = world.harvester().worker.result(job["external_job_id"]).files["tokenizer.json"]
    url = real.replace(f"127.0.0.1:{port}", f"files.example:{port}")
    worker = new_worker(_completed({"tokenizer.json": url}))
    source = SourceFiles(worker, job["external_job_id"], allow_private_urls=True)
    with Spool(world.home) as spool:
        source.download("tokenizer.json", spool)
        expected = world.source_files(job["external_job_id"])["tokenizer.json"]
        assert spool.wait_for_end().sha256 == expected


@pytest.mark.parametrize(
    "name",
    [
        "../adapter_model.safetensors",
        "..",
        "nested/adapter_model.safetensors",
        "nested\\adapter_model.safetensors",
        ".hidden",
        "con",
        "trailing.",
        "two\nlines",
        "red\x1b[31m.json",
        " leading",
        "right\u202eleft",
        "x" * 300,
    ],
)
def test_a_file_name_that_is_unsafe_is_refused_not_changed(name: str) -> None:
    files = {"adapter_config.json": "https://files.example/f", name: "https://files.example/g"}
    with pytest.raises(RefusedResultError):
        checked_files(WorkerResult("COMPLETED", files, {}))


def test_a_job_with_an_unsafe_file_name_stores_nothing(
    world: World, new_worker: Callable[[Any], Any]
) -> None:
    files = dict(world.harvester().worker.result(world.jobs()[0]["external_job_id"]).files)
    files["red\x1b[31m.json"] = files["tokenizer.json"]
    harvester = replace(world.harvester(), worker=new_worker(_completed(files)))
    result, events = world.run(harvester)
    assert (result.harvested, result.failed) == (0, 4)
    assert not any(failure.permanent for failure in failures(events).values())
    assert "\x1b" not in printed(events)
    assert world.objects() == {}


def test_more_files_than_a_model_can_have_are_refused(
    world: World, new_worker: Callable[[Any], Any]
) -> None:
    files = {f"part-{n}.bin": "http://127.0.0.1:9/f" for n in range(MOST_FILES + 1)}
    harvester = replace(world.harvester(), worker=new_worker(_completed(files)))
    result, events = world.run(harvester)
    assert result.failed == 4
    assert not any(failure.permanent for failure in failures(events).values())
    assert world.objects() == {}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        5,
        "done",
        {},
        {"status": "COMPLETED"},
        {"status": "COMPLETED", "output": None},
        {"status": "COMPLETED", "output": "<html>"},
        {"status": "COMPLETED", "output": {"model_files": []}},
        {"status": "COMPLETED", "output": {"model_files": {"a": None}}},
        {"status": "FAILED", "error": "out of memory"},
        {"id": "another", "status": "FAILED", "error": "out of memory"},
        {"status": "SOMETHING ELSE"},
    ],
    ids=json.dumps,
)
def test_an_answer_that_makes_no_sense_is_not_the_end_of_a_job(
    pair: World, new_worker: Callable[[Any], Any], body: Any
) -> None:
    harvester = replace(pair.harvester(), worker=new_worker(body))
    result, events = pair.run(harvester)
    assert result.failed == 2
    assert not any(failure.permanent for failure in failures(events).values())
    assert pair.objects() == {}
    if body is None:  # what was written of the failure is the same for all
        pair.retry_all()
        pair.run()
        pair.check_complete()


def test_a_job_that_the_worker_says_failed_is_over(
    world: World, new_worker: Callable[[Any], Any]
) -> None:
    job = world.jobs()[0]
    body = {"id": job["external_job_id"], "status": "FAILED", "error": "out of memory"}
    _, events = world.run(replace(world.harvester(), worker=new_worker(body)))
    failed = failures(events)
    assert [job_id for job_id, failure in failed.items() if failure.permanent] == [job["id"]]
    assert failed[job["id"]].details == "out of memory"


def test_a_job_that_still_runs_at_the_worker_waits_for_the_next_cycle(
    world: World, new_worker: Callable[[Any], Any]
) -> None:
    harvester = replace(world.harvester(), worker=new_worker({"status": "IN_PROGRESS"}))
    result, events = world.run(harvester)
    assert result.failed == 4
    assert not any(failure.permanent for failure in failures(events).values())


def test_an_unexpected_error_fails_one_job_only(world: World) -> None:
    job = world.jobs()[1]
    real = world.harvester().worker

    class Broken:
        def result(self, external_job_id: str) -> Any:
            if external_job_id == job["external_job_id"]:
                raise RuntimeError("https://host/?X-Amz-Signature=secret")
            return real.result(external_job_id)

    result, events = world.run(replace(world.harvester(), worker=Broken()))  # type: ignore[arg-type]
    assert (result.harvested, result.failed) == (3, 1)
    assert "RuntimeError" in failures(events)[job["id"]].reason
    assert "secret" not in printed(events)


def test_a_large_file_goes_in_one_request_and_is_the_same(pair: World) -> None:
    _, events = pair.run()
    large = [e for e in events if isinstance(e, FileStored) and e.size > CHUNK]
    assert large
    assert pair.requested("POST", "/storage/v1/upload/resumable") == []
    pair.check_complete()


def test_a_large_file_whose_request_breaks_goes_on_in_pieces(pair: World) -> None:
    pair.sandbox.faults(drop_request_after=CHUNK + 1, path="/storage/v1/object/lora-models")
    _, events = pair.run()
    assert [e for e in events if isinstance(e, FileStored) and e.size > CHUNK]
    assert len(pair.requested("POST", "/storage/v1/upload/resumable")) == 1
    pair.check_complete()


def test_a_file_too_large_for_one_request_goes_in_pieces_and_so_do_all_after_it(
    world: World,
) -> None:
    world.sandbox.faults(standard_upload_limit=CHUNK)
    harvester = world.harvester()
    _, events = world.run(harvester)
    large = [e for e in events if isinstance(e, FileStored) and e.size > CHUNK]
    refused = [
        entry
        for entry in world.requested("POST", "/storage/v1/object/lora-models")
        if entry["status"] == 400
    ]
    assert (len(refused), len(world.requested("POST", "/storage/v1/upload/resumable"))) == (
        1,
        len(large),
    )
    world.check_complete()


def _completed(files: dict[str, str]) -> dict[str, Any]:
    return {"status": "COMPLETED", "output": {"model_files": files}}
