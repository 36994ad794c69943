"""The GPU worker: a RunPod-like endpoint, and the presigned URLs of the files that it made."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode
from xml.sax.saxutils import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from lora_tui.clock import parse_timestamp
from lora_tui.sandbox.backend import GPU_KEY, SIGNING_SECRET, Backend, Call, json_response
from lora_tui.sandbox.file_response import UnsatisfiableError, file_response, is_unmodified
from lora_tui.sandbox.objects import WORKER_BUCKET

FILES_PATH: Final = "/worker-files"


def artifacts(backend: Backend, call: Call) -> Response:
    """`GET training/artifacts/{id}`: the planned endpoint, absent unless switched on."""
    if (refusal := _refused(call)) is not None:
        return refusal
    if not backend.faults.get("worker_planned_endpoint"):
        status = int(backend.faults.get("worker_planned_status"))
        return json_response({"error": "not found"}, status)
    job = _job(backend, call.path_params["job"])
    if job is None or job["status"] != "COMPLETED":
        return json_response({"error": "job not found"}, 404)
    return json_response(
        {
            "download_urls": _download_urls(backend, call, job),
            "model_metadata": json.loads(job["metadata"]),
        }
    )


def status(backend: Backend, call: Call) -> Response:
    """`GET status/{id}`: the job and, once completed, its output."""
    if (refusal := _refused(call)) is not None:
        return refusal
    job = _job(backend, call.path_params["job"])
    if job is None:
        return json_response({"error": "request does not exist"}, 404)
    body: dict[str, Any] = {"id": job["id"], "status": job["status"]}
    if job["error"]:
        body["error"] = job["error"]
    if job["status"] == "COMPLETED":
        files_key, metadata_key = job["dialect"].split(",")
        body["delayTime"] = 2188
        body["executionTime"] = 4_211_904
        body["output"] = {
            files_key: _download_urls(backend, call, job),
            metadata_key: json.loads(job["metadata"]),
        }
    return json_response(body)


def cancel(backend: Backend, call: Call) -> Response:
    """`POST cancel/{id}`: the training of the sandbox then stops the run and writes its status.

    A job that has ended keeps its status, which is answered.
    """
    if (refusal := _refused(call)) is not None:
        return refusal
    job = _job(backend, call.path_params["job"])
    if job is None:
        return json_response({"error": "request does not exist"}, 404)
    state = job["status"]
    if state in ("IN_QUEUE", "IN_PROGRESS"):
        state = "CANCELLED"
        backend.database.execute(
            "UPDATE worker_jobs SET status = ? WHERE id = ?", (state, job["id"])
        )
    return json_response({"id": job["id"], "status": state})


async def file(backend: Backend, request: Request) -> Response:
    """`GET|HEAD /worker-files/{job}/{file}?X-Amz-…`: authorized by the signature in the URL."""
    if "authorization" in request.headers:
        text = (
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature"
        )
        return _xml(
            400, "InvalidArgument", f"{text} query string parameter or Authorization header"
        )
    query = {name: values[0] for name, values in parse_qs(request.url.query).items()}
    name = f"{request.path_params['job']}/{request.path_params['file']}"
    signature = query.pop("X-Amz-Signature", "")
    if not query or not hmac.compare_digest(_signature(name, query).encode(), signature.encode()):
        text = "The request signature we calculated does not match the signature you provided."
        return _xml(403, "SignatureDoesNotMatch", text)
    signed_at = parse_timestamp(_spread(query["X-Amz-Date"]))
    assert signed_at is not None, "the signature covers the date"
    if backend.now() >= signed_at + timedelta(seconds=float(query["X-Amz-Expires"])):
        return _xml(403, "AccessDenied", "Request has expired")
    stored = await run_in_threadpool(backend.objects.find, WORKER_BUCKET, name)
    if stored is None or _vanished(backend, "vanish_files", request.path_params["job"]):
        return _xml(404, "NoSuchKey", "The specified key does not exist.")
    if is_unmodified(request, stored, to_the_second=True):
        return Response(status_code=304, headers={"etag": f'"{stored.etag}"'})
    try:
        return await file_response(backend, request, stored, {}, guarded=True)
    except UnsatisfiableError as error:
        answer = _xml(416, "InvalidRange", "The requested range is not satisfiable")
        answer.headers["content-range"] = f"bytes */{error.size}"
        return answer


def _refused(call: Call) -> Response | None:
    given = call.headers.get("authorization", "")
    if hmac.compare_digest(given.encode(), f"Bearer {GPU_KEY}".encode()):
        return None
    return Response(status_code=401)


def _job(backend: Backend, job_id: str) -> Any:
    if _vanished(backend, "vanish", job_id):
        return None
    return backend.database.row("SELECT * FROM worker_jobs WHERE id = ?", (job_id,))


def _vanished(backend: Backend, setting: str, job_id: str) -> bool:
    switched = backend.faults.get(setting)
    return switched is True or (isinstance(switched, list) and job_id in switched)


def _download_urls(backend: Backend, call: Call, job: Any) -> dict[str, str]:
    return {
        name: _presigned(backend, call.origin, f"{job['id']}/{name}")
        for name in json.loads(job["files"])
    }


def _presigned(backend: Backend, origin: str, name: str) -> str:
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": "MAKE-BELIEVE/demo/s3/aws4_request",
        "X-Amz-Date": backend.now().strftime("%Y%m%dT%H%M%S.%fZ"),
        "X-Amz-Expires": str(backend.faults.get("presigned_seconds")),
        "X-Amz-SignedHeaders": "host",
    }
    query["X-Amz-Signature"] = _signature(name, query)
    return f"{origin}{FILES_PATH}/{quote(name)}?{urlencode(query)}"


def _signature(name: str, query: dict[str, str]) -> str:
    text = "\n".join([name, *(f"{key}={query[key]}" for key in sorted(query))])
    return hmac.new(SIGNING_SECRET, text.encode(), hashlib.sha256).hexdigest()


def _spread(compact: str) -> str:
    """`20261123T091655.591234Z` in the extended form."""
    date, _, time = compact.partition("T")
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}T{time[:2]}:{time[2:4]}:{time[4:]}"


def _xml(status_code: int, code: str, message: str) -> Response:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )
    return Response(body, status_code, media_type="application/xml")
