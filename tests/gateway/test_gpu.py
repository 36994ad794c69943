"""What asking the GPU worker promises: the files, or one clear reason why there are none."""

from __future__ import annotations

import json

import httpx
import pytest

from lora_tui import errors
from lora_tui.gateway import Gateway
from lora_tui.gateway.gpu import (
    MalformedResultError,
    ResultGoneError,
    ResultPendingError,
    Worker,
    WorkerJobFailedError,
)
from lora_tui.gateway.http import build_client
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret
from tests.gateway.conftest import AT_ONCE, Script

URL = "https://gpu.example/v2/endpoint"
FILES = {"adapter_model.safetensors": "https://files.example/a?X-Amz-Signature=s3cr3t"}


@pytest.fixture
def job_id(service: Gateway) -> str:
    job: str = service.rest.jobs_to_harvest(limit=1)[0]["external_job_id"]
    return job


def at_status(answer: httpx.Response, planned: int = 404) -> tuple[Worker, Script]:
    def handle(request: httpx.Request) -> httpx.Response:
        if "/training/artifacts/" in request.url.path:
            return httpx.Response(planned, json={"error": "no such path"})
        return httpx.Response(answer.status_code, content=answer.content)

    script = Script(handle)
    client = build_client(URL, transport=script.transport, retry=AT_ONCE)
    return Worker(URL, Secret("key"), client=client), script


@pytest.mark.parametrize(
    "settings",
    [
        {"worker_planned_endpoint": True},
        {"worker_planned_status": 404},
        {"worker_planned_status": 405},
    ],
)
def test_the_files_are_found_whichever_endpoint_is_there(
    sandbox: Sandbox, job_id: str, settings: dict[str, object]
) -> None:
    sandbox.faults(**settings)
    with Worker(sandbox.gpu_url, Secret(sandbox.gpu_key)) as worker:
        result = worker.result(job_id)
    assert result.status == "COMPLETED"
    assert {"adapter_model.safetensors", "adapter_config.json"} <= result.files.keys()
    assert result.metadata["rank"]
    for url in result.files.values():
        assert httpx.get(url, trust_env=False).status_code == 200


@pytest.mark.parametrize("files", ["model_files", "download_urls"])
@pytest.mark.parametrize("metadata", ["model_metadata", "metadata"])
def test_both_dialects_of_the_output_are_read(files: str, metadata: str) -> None:
    output = {files: FILES, metadata: {"rank": 8}}
    worker, _ = at_status(httpx.Response(200, json={"status": "COMPLETED", "output": output}))
    result = worker.result("job")
    assert (dict(result.files), dict(result.metadata)) == (FILES, {"rank": 8})
    assert "s3cr3t" not in repr(result)


def test_a_result_that_is_gone_is_reported_with_the_reason(sandbox: Sandbox, job_id: str) -> None:
    sandbox.faults(vanish=True)
    with (
        Worker(sandbox.gpu_url, Secret(sandbox.gpu_key)) as worker,
        pytest.raises(ResultGoneError, match="30 minutes") as caught,
    ):
        worker.result(job_id)
    assert caught.value.exit_code == errors.ExitCode.NOT_FOUND


@pytest.mark.parametrize("status", ["IN_QUEUE", "IN_PROGRESS"])
def test_a_job_that_still_runs_is_told_from_a_failed_one(status: str) -> None:
    worker, _ = at_status(httpx.Response(200, json={"id": "job", "status": status}))
    with pytest.raises(ResultPendingError, match="not done"):
        worker.result("job")


@pytest.mark.parametrize(
    ("status", "word"),
    [("FAILED", "failed"), ("CANCELLED", "cancelled"), ("TIMED_OUT", "out of time")],
)
def test_a_failed_job_has_its_reason(status: str, word: str) -> None:
    worker, _ = at_status(
        httpx.Response(
            200, json={"id": "job", "status": status, "error": "CUDA\x1b[31m out of memory"}
        )
    )
    with pytest.raises(WorkerJobFailedError, match=word) as caught:
        worker.result("job")
    assert caught.value.details == "CUDA[31m out of memory"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        5,
        "done",
        {},
        {"status": "FAILED"},
        {"id": "another", "status": "CANCELLED"},
        {"id": "another", "status": "COMPLETED", "output": {"model_files": FILES}},
        {"status": None},
        {"status": "ODD"},
        {"status": 5},
        {"status": "COMPLETED"},
        {"status": "COMPLETED", "output": None},
        {"status": "COMPLETED", "output": "done"},
        {"status": "COMPLETED", "output": [[[]]]},
        {"status": "COMPLETED", "output": {"model_files": {"a": "/relative/a"}}},
        {"status": "COMPLETED", "output": {"model_files": {"a": {"size": 5}}}},
        {"status": "COMPLETED", "output": {"model_files": [{"name": 5, "url": "https://h/a"}]}},
        {
            "status": "COMPLETED",
            "output": {
                "model_files": [
                    {"name": "a", "url": "https://h/1"},
                    {"name": "a", "url": "https://h/2"},
                ]
            },
        },
        {"status": "COMPLETED", "output": {"model_files": {}}},
        {"status": "COMPLETED", "output": {"model_files": ["a"]}},
        {"status": "COMPLETED", "output": {"model_files": {"a": 5}}},
        {"status": "COMPLETED", "output": {"model_files": {"a": ""}}},
        {"status": "COMPLETED", "output": {"model_files": {"a": "file:///etc/passwd"}}},
        {"status": "COMPLETED", "output": {"model_files": {"a": "https://[bad"}}},
        {"status": "COMPLETED", "output": {"model_files": {" ": "https://h.example/a"}}},
        {
            "status": "COMPLETED",
            "output": {"model_files": {f"f{n}": "https://h.example/a" for n in range(5000)}},
        },
    ],
)
def test_an_answer_without_usable_files_is_refused(body: object) -> None:
    worker, _ = at_status(httpx.Response(200, json=body))
    with pytest.raises(MalformedResultError):
        worker.result("job")


LINK = FILES["adapter_model.safetensors"]


@pytest.mark.parametrize(
    "output",
    [
        {"model_files": [], "download_urls": FILES},
        {"model_files": ["adapter_model.safetensors"], "download_urls": FILES},
        {"model_files": {}, "download_urls": FILES},
        {"model_files": None, "download_urls": FILES},
        {"model_files": {"adapter_model.safetensors": 5}, "download_urls": FILES},
        {"model_files": {"adapter_model.safetensors": "files/a"}, "download_urls": FILES},
        {"model_files": "here", "download_urls": FILES},
        {"model_files": [{"name": "adapter_model.safetensors", "url": LINK}]},
        {"model_files": [{"filename": "adapter_model.safetensors", "download_url": LINK}]},
        {"model_files": {"adapter_model.safetensors": {"url": LINK, "size": 5}}},
        {"download_urls": json.dumps(FILES)},
        json.dumps({"model_files": FILES}),
        [{"progress": 1}, {"model_files": FILES}],
        [{"name": "adapter_model.safetensors", "url": LINK}],
        {"model_files": FILES, "model_metadata": "none", "metadata": 5},
        {"model_files": FILES, "model_metadata": [1]},
    ],
    ids=lambda output: json.dumps(output)[:60],
)
def test_the_files_are_found_in_every_shape_that_names_them(output: object) -> None:
    body = {"id": "job", "status": "COMPLETED", "output": output}
    worker, _ = at_status(httpx.Response(200, json=body))
    assert dict(worker.result("job").files) == FILES


def test_a_list_of_bare_addresses_gives_each_file_the_last_part_of_its_own() -> None:
    links = ["https://h/x/adapter_config.json?s=1", "https://h/x/adapter%5Fmodel.safetensors?s=2"]
    body = {"id": "job", "status": "COMPLETED", "output": {"model_files": links}}
    worker, _ = at_status(httpx.Response(200, json=body))
    assert [*worker.result("job").files] == ["adapter_config.json", "adapter_model.safetensors"]


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_page_of_a_proxy_is_not_a_response_of_the_worker(status: int) -> None:
    page = httpx.Response(status, content=b"<!DOCTYPE html><title>404</title>")
    worker, _ = at_status(page)
    with pytest.raises(errors.LoraTuiError) as caught:
        worker.result("job")
    assert not isinstance(caught.value, (ResultGoneError, WorkerJobFailedError))


def test_if_the_planned_endpoint_answers_nonsense_the_other_one_is_asked() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if "/training/artifacts/" in request.url.path:
            return httpx.Response(200, content=b"null")
        output = {"id": "job", "status": "COMPLETED", "output": {"download_urls": FILES}}
        return httpx.Response(200, json=output)

    client = build_client(URL, transport=Script(handle).transport, retry=AT_ONCE)
    assert dict(Worker(URL, Secret("key"), client=client).result("job").files) == FILES


def test_an_answer_that_is_no_json_is_refused() -> None:
    worker, _ = at_status(httpx.Response(200, content=b"{"))
    with pytest.raises(errors.BackendError, match="not JSON"):
        worker.result("job")


def test_a_wrong_key_is_reported(sandbox: Sandbox, job_id: str) -> None:
    with (
        Worker(sandbox.gpu_url, Secret("wrong-key")) as worker,
        pytest.raises(errors.AuthenticationError) as caught,
    ):
        worker.result(job_id)
    assert "wrong-key" not in f"{caught.value} {caught.value.details}"


def test_a_worker_that_fails_for_a_moment_is_asked_again(sandbox: Sandbox, job_id: str) -> None:
    sandbox.faults(fail_next=1, status=502, path="/v2/")
    with Worker(sandbox.gpu_url, Secret(sandbox.gpu_key)) as worker:
        assert worker.result(job_id).files


def test_a_job_id_stays_one_segment_of_the_address() -> None:
    worker, script = at_status(httpx.Response(404))
    with pytest.raises(ResultGoneError):
        worker.result("../../steal?x=1#y")
    paths = [request.url.raw_path.decode() for request in script.requests]
    assert paths == [
        "/v2/endpoint/training/artifacts/..%2F..%2Fsteal%3Fx%3D1%23y",
        "/v2/endpoint/status/..%2F..%2Fsteal%3Fx%3D1%23y",
    ]
    for odd in ("", ".", ".."):
        with pytest.raises(MalformedResultError):
            worker.result(odd)


def test_the_key_is_sent_to_the_worker_and_to_no_redirect(sandbox: Sandbox, job_id: str) -> None:
    with Worker(sandbox.gpu_url, Secret(sandbox.gpu_key)) as worker:
        worker.result(job_id)
    asked = [r for r in sandbox.requests() if r["path"].startswith("/v2/")]
    assert {r["bearer"] for r in asked} == {"gpu"}
    script = Script.of(httpx.Response(307, headers={"Location": "https://evil.example/"}))
    client = build_client(URL, transport=script.transport, retry=AT_ONCE)
    with pytest.raises(errors.UnreachableError, match="another address"):
        Worker(URL, Secret("key"), client=client).result("job")
    assert {request.url.host for request in script.requests} == {"gpu.example"}


@pytest.mark.parametrize("planned", [500, 503, 403, 400, 401, 429])
def test_if_the_planned_endpoint_fails_the_other_one_is_asked(planned: int) -> None:
    body = {"id": "job", "status": "COMPLETED", "output": {"model_files": FILES}}
    worker, _ = at_status(httpx.Response(200, json=body), planned)
    assert dict(worker.result("job").files) == FILES


def test_a_key_that_both_endpoints_refuse_is_reported() -> None:
    worker, _ = at_status(httpx.Response(401, json={"error": "no"}), 401)
    with pytest.raises(errors.AuthenticationError, match="key"):
        worker.result("job")


def test_a_refusal_of_the_planned_endpoint_counts_where_it_is_about_this_job() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        planned = "/training/artifacts/" in request.url.path
        body = {"id": "job", "status": "FAILED", "error": "out of memory"}
        return httpx.Response(400, json=body) if planned else httpx.Response(500)

    client = build_client(URL, transport=Script(handle).transport, retry=AT_ONCE)
    with pytest.raises(WorkerJobFailedError, match="failed"):
        Worker(URL, Secret("key"), client=client).result("job")


@pytest.mark.parametrize(
    "order", [("model_files", "download_urls"), ("download_urls", "model_files")]
)
def test_a_list_with_only_the_configuration_does_not_hide_a_complete_one(
    order: tuple[str, str],
) -> None:
    config = {"adapter_config.json": "https://files.example/c?X-Amz-Signature=1"}
    output = {order[0]: config, order[1]: {**FILES, "config.json": config["adapter_config.json"]}}
    worker, _ = at_status(httpx.Response(200, json={"status": "COMPLETED", "output": output}))
    files = worker.result("job").files
    assert files["adapter_model.safetensors"] == FILES["adapter_model.safetensors"]
    assert len(files) == 2


def test_a_cancellation_follows_no_redirect_so_that_the_key_stays_at_the_worker() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.host == "gpu.example"
        return httpx.Response(307, headers={"location": "https://elsewhere.example/"})

    client = build_client(URL, transport=Script(handle).transport, retry=AT_ONCE)
    with pytest.raises(errors.LoraTuiError):
        Worker(URL, Secret("key"), client=client).cancel("job")


@pytest.mark.parametrize("broken", [httpx.Response(503), httpx.Response(429)])
def test_a_cancellation_is_repeated_after_a_passing_fault(broken: httpx.Response) -> None:
    answers = [broken, httpx.Response(200, json={"id": "job", "status": "CANCELLED"})]
    client = build_client(URL, transport=Script(lambda _: answers.pop(0)).transport, retry=AT_ONCE)
    assert Worker(URL, Secret("key"), client=client).cancel("job") == "CANCELLED"


@pytest.mark.parametrize("body", [{"id": "other", "status": "CANCELLED"}, {"id": "job"}, [], "x"])
def test_an_answer_that_does_not_say_that_this_job_was_cancelled_counts_as_none(
    body: object,
) -> None:
    script = Script(lambda _: httpx.Response(200, json=body))
    client = build_client(URL, transport=script.transport, retry=AT_ONCE)
    with pytest.raises(MalformedResultError):
        Worker(URL, Secret("key"), client=client).cancel("job")
