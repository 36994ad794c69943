"""Multipart uploads over the S3 protocol of a project's storage, whose parts are sent in parallel.

Requests are signed by botocore (extra `s3`) and sent by our own client, so TLS, proxies, retries
and errors are those of all other requests. Payloads are not part of the signature: the ETag of each
part is its MD5, which the sender compares. S3 keys bypass row-level security.
"""

from __future__ import annotations

import hashlib
import html
import logging
import re
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from lora_tui import clock
from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    DeniedError,
    LoraTuiError,
    NotFoundError,
    TooLargeError,
    UnreachableError,
    missing_extra,
)
from lora_tui.gateway.headers import md5_of_etag, with_retry_after
from lora_tui.gateway.http import REPEATABLE, build_client
from lora_tui.gateway.responses import intercepted_error
from lora_tui.gateway.retry import RETRY, RetryPolicy
from lora_tui.gateway.upload_body import (
    LARGE_BODY,
    UPLOAD_TIMEOUT,
    checked_content_type,
    content_type_of,
)
from lora_tui.secret import Secret
from lora_tui.text import terminal_safe, without_secrets

PARTS_AT_ONCE: Final = 8
"""Over all files of a process; each has a connection."""
_LISTED: Final = 1000
"""Parts or uploads in one answer."""
_MOST_PARTS: Final = 10_000


@dataclass(frozen=True)
class S3Keys:
    """Keys of a project's S3 protocol, made in its settings under Storage."""

    access_key_id: Secret
    secret_access_key: Secret
    region: str
    """That of the project; the service accepts `us-east-1` for all."""


@dataclass(frozen=True)
class S3Upload:
    """An unfinished multipart upload."""

    key: str
    """The path of its object."""
    upload_id: str
    begun: datetime | None


logging.getLogger("botocore").setLevel(logging.ERROR)  # it logs what it signs


class S3Uploads:
    """The multipart uploads of one bucket. Safe to use from several threads."""

    def __init__(
        self,
        host: Callable[[], str],
        keys: S3Keys,
        bucket: str,
        *,
        retry: RetryPolicy = RETRY,
    ) -> None:
        """`host` gives the URL of the project or of its storage. Raises UsageError (the extra)."""
        self._host = host
        self._auth = _SignatureAuth(keys)
        self._bucket = bucket
        self._retry = retry
        self._lock = threading.Lock()
        self._clients: dict[str, httpx.Client] = {}
        self._turns = threading.BoundedSemaphore(PARTS_AT_ONCE)

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def check_bucket(self) -> None:
        """Ask for the bucket. Raises AuthenticationError where the keys are refused."""
        self._ask("GET", "", "list the unfinished uploads", {"uploads": "", "max-uploads": "1"})

    def begin(self, path: str) -> str:
        """Begin an upload of the object `path`; its id."""
        answer = self._ask(
            "POST",
            path,
            "begin an upload",
            {"uploads": ""},
            headers={"Content-Type": checked_content_type(content_type_of(path))},
        )
        upload_id = _value(answer.text, "UploadId")
        if not upload_id:
            raise BackendError("Could not begin an upload: the answer names none")
        return upload_id

    def put_part(
        self, path: str, upload_id: str, number: int, body: Iterable[bytes], size: int
    ) -> str:
        """Send part `number` (from 1), of `size` bytes; the ETag that the server gives it.

        `body` is iterated again for each attempt. Waits while PARTS_AT_ONCE others are sent.
        """
        with self._turns:
            answer = self._ask(
                "PUT",
                path,
                "send a part",
                {"partNumber": str(number), "uploadId": upload_id},
                content=body,
                headers={"Content-Length": str(size)},
                extensions=LARGE_BODY,
            )
        return str(answer.headers.get("etag", "")).strip('"').lower()

    def complete(self, path: str, upload_id: str, etags: Sequence[str]) -> None:
        """Make the object of its parts, whose ETags are given in order; it replaces another."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        answer = self._ask(
            "POST",
            path,
            "finish an upload",
            {"uploadId": upload_id},
            content=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode(),
            headers={"Content-Type": "application/xml"},
        )
        if "<Error>" in answer.text:  # S3 may find out after it has answered 200
            raise self._error(answer, "finish an upload")

    def abort(self, path: str, upload_id: str) -> None:
        """Remove an unfinished upload with its parts; one that is gone is no error."""
        try:
            self._ask("DELETE", path, "remove an unfinished upload", {"uploadId": upload_id})
        except NotFoundError:
            return

    def parts(self, path: str, upload_id: str) -> Mapping[int, str]:
        """Number → ETag of the parts that the server has. Raises NotFoundError."""
        found: dict[int, str] = {}
        after = 0
        while len(found) < _MOST_PARTS:
            query = {"max-parts": str(_LISTED), "uploadId": upload_id}
            if after:
                query["part-number-marker"] = str(after)
            answer = self._ask("GET", path, "list the parts of an upload", query).text
            for part in re.findall(r"<Part>(.*?)</Part>", answer, re.DOTALL):
                number, etag = _value(part, "PartNumber"), md5_of_etag(_value(part, "ETag"))
                if re.fullmatch(r"\d{1,5}", number) and etag:
                    found[int(number)] = etag
            last = max(found, default=0)
            if _value(answer, "IsTruncated") != "true" or last <= after:
                break
            after = last
        return found

    def unfinished(self, prefix: str) -> Sequence[S3Upload]:
        """The unfinished uploads of objects whose paths begin so; the first thousand."""
        query = {"max-uploads": str(_LISTED), "prefix": prefix, "uploads": ""}
        answer = self._ask("GET", "", "list the unfinished uploads", query)
        found = []
        for upload in re.findall(r"<Upload>(.*?)</Upload>", answer.text, re.DOTALL):
            key, upload_id = _value(upload, "Key"), _value(upload, "UploadId")
            if key.startswith(prefix) and upload_id:
                begun = clock.parse_timestamp(_value(upload, "Initiated"))
                found.append(S3Upload(key, upload_id, begun))
        return found

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str],
        *,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] = REPEATABLE,
    ) -> httpx.Response:
        """The answer to a request that is sent again where it fails; all of them may be."""
        host = self._host()
        place = f"{quote(self._bucket, safe='')}/{quote(path, safe='/-_.~')}".rstrip("/")
        ordered = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        response = self._client(host).request(
            method,
            f"{host.rstrip('/')}/storage/v1/s3/{place}?{ordered}",
            content=content,
            headers=headers,
            timeout=UPLOAD_TIMEOUT,
            extensions=dict(extensions),
        )
        if not response.is_success:
            raise self._error(response, what)
        return response

    def _client(self, host: str) -> httpx.Client:
        with self._lock:
            if host not in self._clients:
                self._clients[host] = build_client(host, auth=self._auth, retry=self._retry)
            return self._clients[host]

    def _error(self, response: httpx.Response, what: str) -> LoraTuiError:
        status, text = response.status_code, response.text
        code = _value(text, "Code")
        if status == 413 or code == "EntityTooLarge":
            return TooLargeError(f"Could not {what}: it is larger than the project allows")
        if code in _NOT_HERE:
            return DeniedError(
                f"Could not {what}: the project has no S3 for this bucket", details=f"S3: {code}"
            )
        if status == 429 or status >= 500 or code in ("SlowDown", "InternalError"):
            details = f"S3: {terminal_safe(code, limit=60) or f'HTTP {status}'}"
            pause = response.headers.get("retry-after")
            return UnreachableError(
                f"Could not {what}: the server fails ({status})",
                details=with_retry_after(details, pause) if pause else details,
            )
        if not code:
            return intercepted_error(response, what)
        details = without_secrets(f"S3: {code}: {_value(text, 'Message')}", limit=300)
        if code in _REFUSED_KEYS:
            return AuthenticationError(
                f"Could not {what}: the server does not accept the S3 keys",
                details=details,
                remedy="check LORA_TUI_S3_ACCESS_KEY_ID, LORA_TUI_S3_SECRET_ACCESS_KEY and"
                " s3_region; the keys are made in the project's settings, under Storage",
            )
        if status == 404:
            return NotFoundError(f"Could not {what}: it does not exist", details=details)
        if status == 403:
            return DeniedError(f"Could not {what}: that is not allowed", details=details)
        return BackendError(f"Could not {what}: the server refuses ({status})", details=details)


def etag_of_parts(md5s: Iterable[str]) -> str:
    """The ETag of an object that was sent in parts with these MD5s (hexadecimal, in order)."""
    whole, count = hashlib.md5(usedforsecurity=False), 0
    for md5 in md5s:
        whole.update(bytes.fromhex(md5))
        count += 1
    return f"{whole.hexdigest()}-{count}"


def differs(stored: str | None, expected: str) -> bool:
    """Whether an object's ETag says that it is made of other parts than `etag_of_parts` says.

    An ETag of another form, such as those of a storage that keeps files, says nothing.
    """
    _, _, count = expected.partition("-")
    found = re.fullmatch(rf'"?([0-9a-f]{{32}}-{count})"?', stored or "", re.IGNORECASE)
    return found is not None and found[1].lower() != expected


class _SignatureAuth(httpx.Auth):
    """Signs each request by AWS Signature Version 4, with the hash of no payload."""

    def __init__(self, keys: S3Keys) -> None:
        try:
            from botocore.auth import S3SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.credentials import Credentials
        except ImportError as error:
            raise missing_extra("Sending over S3", "botocore", "s3") from error

        class Signer(S3SigV4Auth):  # type: ignore[misc] # botocore has no type hints
            def payload(self, _request: object) -> str:
                return "UNSIGNED-PAYLOAD"

        credentials = Credentials(keys.access_key_id.reveal(), keys.secret_access_key.reveal())
        self._signer = Signer(credentials, "s3", keys.region)
        self._request = AWSRequest

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx."""
        signed = self._request(
            method=request.method,
            url=str(request.url),
            headers={
                name: request.headers[name]
                for name in ("Host", "Content-Type")
                if name in request.headers
            },
        )
        self._signer.add_auth(signed)
        for name, value in signed.headers.items():
            request.headers[name] = value
        yield request


_NOT_HERE: Final = ("NoSuchBucket", "NotImplemented")

_REFUSED_KEYS: Final = (
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidSignature",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
)


def _value(xml: str, name: str) -> str:
    """The text of the first element of this name; empty if there is none."""
    found = re.search(rf"<{name}>([^<]*)</{name}>", xml)
    return html.unescape(found[1]).strip() if found else ""
