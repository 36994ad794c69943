"""The bucket: signed links, lists of objects, uploads (also in resumable pieces), removal.

Only the token of a signed link is taken from a response; host and path are always our own. Raises
LoraTuiErrors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import quote, urlsplit

import httpx

from lora_tui import formats
from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    LoraTuiError,
    NotFoundError,
    TooLargeError,
    UnreachableError,
)
from lora_tui.gateway.headers import byte_count
from lora_tui.gateway.http import REPEATABLE, ClientOwner, build_client
from lora_tui.gateway.responses import check, read_json
from lora_tui.gateway.resumable import CHUNK, ResumableUpload, metadata
from lora_tui.gateway.retry import RETRY, RetryPolicy
from lora_tui.gateway.storage_host import Host, StorageHosts
from lora_tui.gateway.upload_body import (
    LARGE_BODY,
    UPLOAD_TIMEOUT,
    checked_content_type,
    content_type_of,
    exact_bytes,
)
from lora_tui.gateway.vendor import bucket_client, translated
from lora_tui.text import without_secrets

if TYPE_CHECKING:
    from storage3._sync.file_api import SyncBucketProxy

BUCKET: Final = "lora-models"
LINK_SECONDS: Final = 3600

_OBJECTS_A_PAGE: Final = 100
MOST_OBJECTS: Final = 200_000
"""The limit of objects in a folder; a server that lists more is considered faulty."""
_PATHS_A_REMOVAL: Final = 500
_DEEPEST: Final = 20
"""Folders in one another; a server that lists more is considered faulty."""
_UNQUOTED: Final = "!$&'()*+,;=:@"
"""Characters that must not be percent-encoded: the service computes a link's token over the URL
after JavaScript's decodeURI, which leaves `%3D` and the like, so the token would not match."""


@dataclass(frozen=True)
class ObjectInfo:
    """The metadata of one object."""

    path: str
    size: int | None
    """Bytes."""
    etag: str | None
    content_type: str | None
    updated_at: str | None = None


class Storage(ClientOwner):
    """One bucket of one project. Safe to use from several threads; close it at the end."""

    def __init__(
        self,
        url: str,
        auth: httpx.Auth,
        bucket: str = BUCKET,
        *,
        client: httpx.Client | None = None,
        retry: RetryPolicy = RETRY,
        large_files_url: str | None = None,
    ) -> None:
        """`large_files_url`: another address of the same storage, for large files."""
        self._url = url
        self._bucket = bucket
        super().__init__(client or build_client(url, auth=auth, retry=retry))
        self._retry = retry
        ordinary = Host(url, self._client)
        self._base = ordinary.base
        self._hosts = StorageHosts(ordinary, auth, bucket, large_files_url)

    def close(self) -> None:
        """Close the connections."""
        self._hosts.close()
        super().close()

    def host_for_large_files(self) -> str:
        """The URL that large files are sent to; the first call asks whether it answers."""
        return self._hosts.for_large_files().url

    @property
    def url(self) -> str:
        """The URL of the project, whose host all signed links have."""
        return self._url

    @cached_property
    def _objects(self) -> SyncBucketProxy:
        return bucket_client(self._url, self._bucket, self._client)

    def sign(self, path: str, *, expires_in: int = LINK_SECONDS) -> str:
        """A link to an object, valid for `expires_in` seconds; anyone who has it can read it."""
        if "?" in path:  # the service signs such a name only in the body of a request
            answer = self.sign_at_once([path], expires_in=expires_in).get(path)
            if isinstance(answer, LoraTuiError):
                raise answer
            if answer is not None:
                return answer
        what = "make a download link"
        with translated(what, repeatable=True, unusable="the answer holds none"):
            signed = self._objects.create_signed_url(_name_for_vendor(path), expires_in)
        return self._link(path, signed["signedURL"])

    def sign_many(
        self, paths: Iterable[str], *, expires_in: int = LINK_SECONDS
    ) -> dict[str, str | LoraTuiError]:
        """A link, or the reason why there is none, for each path.

        Raises only errors that concern all paths: AuthenticationError, UnreachableError.
        """
        wanted = list(dict.fromkeys(paths))
        answers = self.sign_at_once(wanted, expires_in=expires_in) if len(wanted) > 1 else {}
        for path in wanted:
            if path not in answers:
                try:
                    answers[path] = self.sign(path, expires_in=expires_in)
                except (AuthenticationError, UnreachableError):
                    raise
                except LoraTuiError as error:
                    answers[path] = error
        return {path: answers[path] for path in wanted}

    def sign_at_once(
        self, paths: Sequence[str], *, expires_in: int = LINK_SECONDS
    ) -> dict[str, str | LoraTuiError]:
        """What one request for the links of all paths gives; empty if the stack has no such call.

        Raises only errors that concern all paths: AuthenticationError, UnreachableError.
        """
        what = "make download links"
        wanted = [path for path in paths if _is_valid(path)]
        if not wanted:
            return {}
        response = self._client.post(
            f"{self._base}/object/sign/{quote(self._bucket, safe='')}",
            json={"expiresIn": expires_in, "paths": wanted},
            extensions=REPEATABLE,
        )
        try:
            rows = read_json(check(response, what), what)
        except AuthenticationError:
            raise
        except LoraTuiError:
            return {}
        answers: dict[str, str | LoraTuiError] = {}
        for row in rows if isinstance(rows, list) else []:
            path = row.get("path") if isinstance(row, Mapping) else None
            if not isinstance(path, str) or path not in wanted:
                continue
            signed = row.get("signedURL") or row.get("signedUrl")
            if row.get("error"):
                answers[path] = NotFoundError(
                    "Could not make a download link: it does not exist or is not yours",
                    details=without_secrets(row["error"]),
                )
            elif isinstance(signed, str):
                with suppress(BackendError):  # without a token: asked for alone
                    answers[path] = self._link(path, signed)
        return answers

    def info(self, path: str) -> ObjectInfo:
        """Size, ETag and type of an object. Raises NotFoundError."""
        what = f"look up {_name(path)}"
        try:
            with translated(what) as exchange:
                return _object_info(path, self._objects.info(_name_for_vendor(path)))
        except LoraTuiError as failure:
            error, refusal = failure, exchange.response
        if refusal is None or refusal.is_success:
            raise error
        if not isinstance(error, NotFoundError) and refusal.status_code != 404:
            raise error
        # Not every stack has this call; a list tells whether the object or the call is missing.
        folder, _, _ = path.rpartition("/")
        for found in self.list(folder):
            if found.path == path:
                return found
        raise error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects directly in a folder, by name, without its subfolders."""
        for name, entry in self._entries(prefix):
            if entry.get("id") and "/" not in name:
                yield _object_info(_joined(prefix, name), entry)

    def list_below(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a folder, those of its subfolders included.

        Raises BackendError where the server lists them without end.
        """
        folders, seen = [prefix], set[str]()
        while folders:
            folder = folders.pop()
            for name, entry in self._entries(folder):
                path = _joined(folder, name)
                if path in seen:
                    continue
                seen.add(path)
                if len(seen) > MOST_OBJECTS or path.count("/") > _DEEPEST:
                    raise _endless("list the stored files")
                if entry.get("id"):
                    yield _object_info(path, entry)
                elif _is_valid(path):
                    folders.append(path)

    def _entries(self, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What is directly in a folder: names and entries; those of subfolders have no id."""
        folder = prefix.strip("/")
        start = f"{folder}/" if folder else ""
        offset = 0
        seen: set[str] = set()
        what = "list the stored files"
        while True:
            with translated(what, repeatable=True):
                entries: Any = self._objects.list(
                    folder,
                    {
                        "limit": _OBJECTS_A_PAGE,
                        "offset": offset,
                        "sortBy": {"column": "name", "order": "asc"},
                    },
                )
            if not isinstance(entries, list):
                raise BackendError(f"Could not {what}: the answer is no list")
            before = len(seen)
            for entry in entries:
                if not isinstance(entry, dict) or str(entry.get("name")) in seen:
                    continue
                seen.add(str(entry.get("name")))
                if entry.get("name"):
                    # some stacks list whole paths, and objects of subfolders too
                    yield str(entry["name"]).removeprefix(start), entry
            if len(entries) < _OBJECTS_A_PAGE or len(seen) == before:
                return  # a page without a new name is a repetition
            if len(seen) > MOST_OBJECTS:
                raise _endless(what)
            offset += len(entries)

    def has_visible_objects(self, prefix: str) -> bool:
        """Whether anything in a folder can be listed, subfolders included."""
        with translated("list the stored files", repeatable=True):
            entries: Any = self._objects.list(_checked(prefix), {"limit": 1, "offset": 0})
        return isinstance(entries, list) and bool(entries)

    def upload(
        self,
        path: str,
        body: BinaryIO | Iterator[bytes],
        *,
        size: int,
        content_type: str | None = None,
        upsert: bool = False,
    ) -> None:
        """Store an object in one request; not retried, because the body can be read only once.

        The object appears when all of it has arrived; of a broken request nothing stays. Raises
        ConflictError if the object exists and `upsert` is off, IntegrityError if the body
        is not of that size, TooLargeError (the service's default limit is 50 MB).
        """
        source = _Source()
        with self._large_host(size, source) as host:
            response = host.client.post(
                f"{host.base}/object/{quote(self._bucket, safe='')}/{quoted_path(path)}",
                content=source.watched(exact_bytes(body, size)),
                headers={
                    "Content-Type": checked_content_type(content_type or content_type_of(path)),
                    "Content-Length": str(size),
                    "x-upsert": "true" if upsert else "false",
                },
                timeout=UPLOAD_TIMEOUT,
                extensions=dict(LARGE_BODY) if size > CHUNK else None,
            )
        with self._limit_named(path, size):
            check(response, f"store {_name(path)}")

    def upload_resumable(
        self,
        path: str,
        open_at: Callable[[int], Iterator[bytes]],
        *,
        size: int,
        content_type: str | None = None,
        upsert: bool = False,
        upload_url: str | None = None,
        on_created: Callable[[str], None] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Store an object in pieces (TUS 1.0.0), resumed after broken connections and restarts.

        `open_at(offset)` gives the bytes from an offset to the end. `on_created` is called with the
        URL of the upload, which a later call may pass as `upload_url` while the server keeps it (1
        to 24 hours; then the upload starts again); `on_progress` is called with the number of
        stored bytes. Raises what `upload` raises.
        """
        source = _Source()
        with self._limit_named(path, size), self._large_host(size, source) as host:
            upload = ResumableUpload(
                client=host.client,
                retry=self._retry,
                base=host.base,
                what=f"store {_name(path)}",
                size=size,
                headers={
                    "Upload-Length": str(size),
                    "Upload-Metadata": metadata(
                        bucketName=self._bucket,
                        objectName=_checked(path),
                        contentType=checked_content_type(content_type or content_type_of(path)),
                        cacheControl="3600",
                    ),
                },
                upsert=upsert,
                is_stored=lambda: self._is_stored(path, size),
                on_created=on_created or (lambda _url: None),
                on_progress=on_progress or (lambda _offset: None),
            )
            upload.run(lambda offset: source.watched(open_at(offset)), upload_url)

    def delete(self, paths: Iterable[str]) -> Sequence[str]:
        """Remove objects; the paths of those that were removed, as the service says.

        Missing objects, and those that the key may not remove, are no error: they are left out.
        """
        wanted = [_checked(path) for path in paths]
        removed: list[str] = []
        for start in range(0, len(wanted), _PATHS_A_REMOVAL):
            with translated("remove stored files"):
                answer: Any = self._objects.remove(wanted[start : start + _PATHS_A_REMOVAL])
            entries = answer if isinstance(answer, list) else []
            removed += [str(e["name"]) for e in entries if isinstance(e, dict) and e.get("name")]
        return removed

    @contextmanager
    def _large_host(self, size: int, source: _Source) -> Iterator[Host]:
        """The host for a file of this size; a failure of the one for large files is remembered.

        What the source of the bytes raises is no failure of the host.
        """
        if size <= CHUNK:
            yield Host(self._url, self._client)
            return
        host = self._hosts.for_large_files()
        try:
            yield host
        except UnreachableError:
            if not source.failed:
                self._hosts.failed(host)
            raise

    @contextmanager
    def _limit_named(self, path: str, size: int) -> Iterator[None]:
        """Raise a TooLargeError of the block anew, with the limit and the place where it is set."""
        try:
            yield
        except TooLargeError as error:
            limit = self._size_limit()
            what = f"Could not store {_name(path)}: its {formats.exact_bytes(size)} are more than"
            if limit is not None and size > limit:
                raise TooLargeError(
                    f"{what} the limit of the bucket {self._bucket}, {formats.exact_bytes(limit)}",
                    details=error.details,
                    remedy="raise the bucket's file size limit (file_size_limit) in the project's"
                    " dashboard, under Storage",
                ) from None
            raise TooLargeError(
                f"{what} the project's global upload limit"
                + (
                    ""
                    if limit is None
                    else f" (that of the bucket, {formats.exact_bytes(limit)}, allows it)"
                ),
                details=error.details,
                remedy="raise the global file size limit in the dashboard under Storage, Settings;"
                " it is 50 MB on the free plan",
            ) from None

    def _size_limit(self) -> int | None:
        """The bucket's size limit in bytes; None if it has none, or can't be read."""
        try:
            response = self._client.get(f"{self._base}/bucket/{quote(self._bucket, safe='')}")
            body = read_json(check(response, "look up the bucket"), "look up the bucket")
        except LoraTuiError:
            return None
        limit = body.get("file_size_limit") if isinstance(body, Mapping) else None
        return byte_count(str(limit))

    def _is_stored(self, path: str, size: int) -> bool:
        try:
            return self.info(path).size == size
        except NotFoundError:
            return False

    def _link(self, path: str, signed: str | None) -> str:
        query = urlsplit(signed or "").query
        if not query:
            raise BackendError("Could not make a download link: the answer holds none")
        return f"{self._object('sign', path)}?{query}"

    def _object(self, act: str, path: str) -> str:
        return f"{self._base}/object/{act}/{quote(self._bucket, safe='')}/{quoted_path(path)}"


def quoted_path(path: str) -> str:
    """The path of an object, quoted for a URL as the service signs it. Raises NotFoundError."""
    return "/".join(quote(segment, safe=_UNQUOTED) for segment in _checked(path).split("/"))


def _joined(folder: str, name: str) -> str:
    return f"{folder.strip('/')}/{name}".lstrip("/")


def _endless(what: str) -> BackendError:
    return BackendError(f"Could not {what}: the server sends them without end")


def _is_valid(path: str) -> bool:
    return bool(path) and not any(segment in ("", ".", "..") for segment in path.split("/"))


def _checked(path: str) -> str:
    """The path itself. Raises NotFoundError if it has parts such as `..`."""
    if not _is_valid(path):
        raise NotFoundError(
            "The stored path of this file is not valid", details=without_secrets(path) or None
        )
    return path


def _name_for_vendor(path: str) -> str:
    """The path as storage3 expects it: it decodes percent signs, and quotes as the service signs.

    Raises NotFoundError.
    """
    return _checked(path).replace("%", "%25")


def _name(path: str) -> str:
    return without_secrets(path.rpartition("/")[2], limit=120) or "the file"


def _object_info(path: str, answer: Any) -> ObjectInfo:
    body = answer if isinstance(answer, Mapping) else {}
    metadata = body.get("metadata")
    inner: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    size = next(
        (
            value
            for value in (body.get("size"), inner.get("size"), inner.get("contentLength"))
            if value is not None
        ),
        None,
    )
    etag = body.get("etag") or inner.get("eTag") or inner.get("etag")
    kind = body.get("contentType") or body.get("content_type") or inner.get("mimetype")
    updated = body.get("updated_at") or body.get("last_modified") or inner.get("lastModified")
    return ObjectInfo(
        path=path,
        size=byte_count(str(size)),
        etag=str(etag) if etag else None,
        content_type=str(kind) if kind else None,
        updated_at=str(updated) if updated else None,
    )


class _Source:
    """Notes whether the bytes of an upload could not be read."""

    def __init__(self) -> None:
        self.failed = False

    def watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same bytes."""
        try:
            yield from pieces
        except Exception:
            self.failed = True
            raise
