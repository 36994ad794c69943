"""Verifies AWS Signature Version 4 of requests to Storage's S3 protocol, from the specification.

Written apart from the client's signer, so that the two check each other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import timedelta
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import Request

from lora_tui import clock
from lora_tui.sandbox.backend import Backend, raw_path

ACCESS_KEY_ID: Final = "MAKEBELIEVEACCESSKEY"
SECRET_ACCESS_KEY: Final = "make-believe-secret-of-the-s3-key"
REGIONS: Final = ("us-east-1", "auto", "")
"""Accepted beside the project's own region."""
REGION: Final = "eu-central-1"
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,]+)/(\d{8})/([^/,]*)/s3/aws4_request,"
    r"\s*SignedHeaders=([a-z0-9;-]+),\s*Signature=([0-9a-f]{64})"
)
_DATE: Final = re.compile(r"\d{8}T\d{6}Z")
_MOST_SKEW: Final = timedelta(minutes=15)


class SignatureError(Exception):
    """The signature is missing, malformed or wrong; `code` is S3's, `status` that of the answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def verify(backend: Backend, request: Request) -> None:
    """Raise SignatureError unless the request is signed with the sandbox's S3 key."""
    header = request.headers.get("authorization")
    if header is None:
        raise SignatureError(403, "AccessDenied", "Missing signature")
    found = _AUTHORIZATION.fullmatch(header.strip())
    date = request.headers.get("x-amz-date", "")
    if found is None or _DATE.fullmatch(date) is None:
        raise SignatureError(400, "InvalidSignature", "Invalid signature format")
    access_key, day, region, signed_names, signature = found.groups()
    if access_key != ACCESS_KEY_ID:
        raise SignatureError(403, "InvalidAccessKeyId", "Missing S3 credentials")
    # a region that is not known is replaced by the project's, so the signature then differs
    region = region if region in REGIONS else REGION
    moment = clock.parse_timestamp(
        f"{date[:4]}-{date[4:6]}-{date[6:11]}:{date[11:13]}:{date[13:15]}+00:00"
    )
    if moment is None or abs(backend.now() - moment) > _MOST_SKEW:
        raise SignatureError(403, "RequestTimeTooSkewed", "The request time is too far away")
    names = signed_names.split(";")
    canonical = "\n".join(
        (
            request.method,
            raw_path(request),
            _canonical_query(request.scope["query_string"].decode("latin-1")),
            "".join(f"{name}:{_header(request, name)}\n" for name in names),
            ";".join(names),
            request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        )
    )
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
    key = f"AWS4{SECRET_ACCESS_KEY}".encode()
    for part in (day, region, "s3", "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if "host" not in names or not hmac.compare_digest(key.hex(), signature):
        raise SignatureError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided."
            " Check your key and signing method.",
        )


def _canonical_query(query: str) -> str:
    pairs = [part.partition("=") for part in query.split("&") if part]
    encoded = [
        (quote(unquote(name), safe="-_.~"), quote(unquote(value), safe="-_.~"))
        for name, _, value in pairs
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _header(request: Request, name: str) -> str:
    values = request.headers.getlist(name)
    return ",".join(" ".join(value.split()) for value in values)
