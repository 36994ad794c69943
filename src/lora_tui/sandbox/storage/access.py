"""Access to Storage: sessions, policies, the bucket, the object names that it accepts, its errors.

The real status of an error is in the body; the HTTP status is 400 for nearly all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lora_tui.clock import parse_timestamp
from lora_tui.sandbox.backend import (
    Backend,
    BadTokenError,
    Call,
    Caller,
    EarlyTokenError,
    ExpiredTokenError,
    MalformedTokenError,
    NoApiKeyError,
    json_response,
)
from lora_tui.sandbox.objects import BUCKET, BUCKET_TYPES, StoredObject

LONGEST_KEY: Final = 1024
_LONGEST_FILE_NAME: Final = 255
_KEY: Final = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")

Action = Callable[[Caller], Response]


def answer(backend: Backend, call: Call, act: Action) -> Response:
    """Call `act` with the caller; a StorageError becomes its answer."""
    try:
        check_authorization(backend, call)
        return act(session(backend, call))
    except StorageError as error:
        return error.response()


def check_authorization(backend: Backend, request: Request | Call) -> None:
    """Raise StorageError without Authorization, unless there is a key: the gateway adds it then."""
    if "authorization" in request.headers:
        return
    try:
        backend.caller(request)
    except NoApiKeyError:
        raise invalid_request("headers must have required property 'authorization'") from None


def session(backend: Backend, request: Request | Call) -> Caller:
    """The caller. Raises StorageError without a valid session or key.

    Storage itself ignores `apikey`: if that is missing or wrong, Authorization decides.
    """
    try:
        return backend.caller(request)
    except NoApiKeyError:
        _, _, token = request.headers.get("authorization", "").partition(" ")
    except BadTokenError as error:
        raise access_denied(token_message(error)) from None
    try:
        return backend.caller_of_token(token)
    except BadTokenError as error:
        raise access_denied(token_message(error)) from None


def session_of_reader(backend: Backend, request: Request | Call) -> Caller:
    """The caller that reads an object or its metadata.

    Raises StorageError without a valid session: a private bucket looks missing then.
    """
    try:
        return session(backend, request)
    except StorageError:
        raise bucket_not_found() from None


def token_message(error: BadTokenError) -> str:
    """Storage's message about an invalid token."""
    match error:
        case ExpiredTokenError():
            return '"exp" claim timestamp check failed'
        case EarlyTokenError():
            return '"nbf" claim timestamp check failed'
        case MalformedTokenError():
            return "Invalid Compact JWS"
        case _:
            return str(error)


def check_bucket(name: str) -> str:
    """The name of the bucket. Raises StorageError if it does not exist."""
    if name != BUCKET:
        raise bucket_not_found()
    return name


def check_key(backend: Backend, name: str) -> None:
    """Raise StorageError if an object can't have this name."""
    if _KEY.fullmatch(name) is None or len(name) > LONGEST_KEY:
        raise invalid_key(name)
    if backend.storage == "file" and any(
        len(part) > _LONGEST_FILE_NAME for part in name.split("/")
    ):
        raise internal_error()


def check_type(content_type: str) -> None:
    """Raise StorageError unless the bucket allows exactly this type; parameters count."""
    if content_type not in BUCKET_TYPES:
        raise invalid_type(content_type)


def check_write(backend: Backend, caller: Caller, bucket: str, name: str, *, upsert: bool) -> None:
    """Raise StorageError if the policies or an existing object forbid the write."""
    if not caller.is_service:
        raise access_denied("new row violates row-level security policy")
    if not upsert and find(backend, bucket, name) is not None:
        raise already_exists()


def find(backend: Backend, bucket: str, name: str) -> StoredObject | None:
    """The object, for any caller; there is one bucket."""
    return backend.objects.find(bucket, name) if bucket == BUCKET else None


def readable(backend: Backend, caller: Caller, bucket: str, name: str) -> StoredObject:
    """The object, if the caller may read it. Raises StorageError, also if it is another owner's."""
    found = find(backend, bucket, name)
    if found is None or not may_read(backend, caller, name):
        raise object_not_found()
    return found


def may_read(backend: Backend, caller: Caller, name: str) -> bool:
    """Whether a policy lets the caller see an object of this name."""
    if caller.is_service:
        return True
    return backend.migrated and caller.user_id is not None and name.startswith(f"{caller.user_id}/")


def storage_time(text: str) -> str:
    """A moment as Storage writes it: milliseconds, and Z."""
    moment = parse_timestamp(text)
    assert moment is not None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def object_body(call: Call) -> Mapping[str, Any]:
    """The body, which has to be a JSON object. Raises StorageError."""
    try:
        body = call.json()
    except ValueError:
        raise invalid_request(
            "Body is not valid JSON but content-type is set to 'application/json'"
        ) from None
    if not isinstance(body, Mapping):
        raise invalid_request("body must be object")
    return body


def required(body: Mapping[str, Any], name: str) -> Any:
    """A property that has to be there. Raises StorageError."""
    if name not in body:
        raise invalid_request(f"body must have required property '{name}'")
    return body[name]


def integer(value: object, name: str, *, least: int) -> int:
    """An integer, given as a number or as text. Raises StorageError."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        value = int(value)
    if value is None or isinstance(value, bool):
        value = int(value or 0)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise invalid_request(f"body/{name} must be integer")
    if value < least:
        raise invalid_request(f"body/{name} must be >= {least}")
    return value


class StorageError(Exception):
    """An error; `status` is the one in the body."""

    def __init__(
        self, status: int, error: str, message: str, code: str, *, http_status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.code = code
        self.http_status = http_status

    def response(self) -> Response:
        """The answer."""
        body = {
            "statusCode": str(self.status),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        }
        return json_response(body, self.http_status)


def object_not_found() -> StorageError:
    """The object does not exist, or the caller may not read it."""
    return StorageError(404, "not_found", "Object not found", "NoSuchKey")


def bucket_not_found() -> StorageError:
    """The bucket does not exist, or it is private and there is no valid session."""
    return StorageError(404, "Bucket not found", "Bucket not found", "NoSuchBucket")


def invalid_request(message: str) -> StorageError:
    """A body, query or header that does not fit the schema of its route."""
    return StorageError(400, "Error", message, "InvalidRequest")


def no_content() -> StorageError:
    """A form without a file."""
    return StorageError(400, "InvalidRequest", "No content provided", "InvalidRequest")


def invalid_key(name: str) -> StorageError:
    """A name of an object with characters that Storage does not accept."""
    return StorageError(400, "InvalidKey", f"Invalid key: {name}", "InvalidKey")


def invalid_type(content_type: str) -> StorageError:
    """A content type that the bucket does not accept."""
    message = f"mime type {content_type} is not supported"
    return StorageError(415, "invalid_mime_type", message, "InvalidMimeType")


def already_exists() -> StorageError:
    """There is an object of this name, and `x-upsert` is not `true`."""
    return StorageError(409, "Duplicate", "The resource already exists", "KeyAlreadyExists")


def too_large() -> StorageError:
    """More than the project or the bucket allows."""
    message = "The object exceeded the maximum allowed size"
    return StorageError(413, "Payload too large", message, "EntityTooLarge")


def access_denied(message: str) -> StorageError:
    """A session that is not valid, or a policy that forbids to write."""
    return StorageError(403, "Unauthorized", message, "AccessDenied")


def invalid_link(message: str) -> StorageError:
    """The token of a signed link is no token, not ours, or too old."""
    return StorageError(400, "InvalidJWT", message, "InvalidJWT")


def foreign_link() -> StorageError:
    """The token of a signed link was made for another path."""
    return StorageError(400, "InvalidSignature", "Invalid signature", "InvalidSignature")


def invalid_range() -> StorageError:
    """A range that the `file` backend can't satisfy or does not understand."""
    return StorageError(
        416, "invalid_range", "invalid range provided", "InvalidRange", http_status=416
    )


def internal_error() -> StorageError:
    """The backend failed in a way that the service did not expect."""
    return StorageError(500, "Internal", "Internal Server Error", "InternalError", http_status=500)
