"""Storage's errors: the real status is in the body, the HTTP status is 400 for nearly all."""

from __future__ import annotations

from starlette.responses import Response

from lora_tui.sandbox.backend import json_response


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
