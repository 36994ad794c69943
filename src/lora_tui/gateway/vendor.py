"""The vendor's clients of a project's services, over our HTTP client; their errors in our words.

The package `supabase` is made of `postgrest`, `supabase_auth` and `storage3`. Each is imported when
it is first used, because each takes time. They send, and read what they are answered; connections,
limits, retries and authentication are those of the client that they are given (http.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from lora_tui import __version__
from lora_tui.errors import BackendError, LoraTuiError
from lora_tui.gateway.responses import error_of, read_json
from lora_tui.json_values import json_text, parse_json

if TYPE_CHECKING:
    from postgrest import SyncPostgrestClient
    from storage3._sync.file_api import SyncBucketProxy
    from supabase_auth import SyncGoTrueClient

_HEADERS: Final = {"X-Client-Info": f"lora-tui/{__version__}"}
"""In place of the vendor's own, which names the operating system and its version."""
_log: Final = logging.getLogger("lora_tui.gateway")


@dataclass
class Exchange:
    """One call of a vendor's client, as our HTTP client sees it."""

    repeatable: bool = False
    """Whether a POST of it is safe to repeat: it is retried like a GET."""
    response: httpx.Response | None = None
    """The latest response, whatever its status."""

    def take(self, response: httpx.Response) -> httpx.Response:
        """Keep the response, and return it for the vendor's code."""
        self.response = _with_whole_characters(response)
        return self.response


current_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""The call that this thread is making."""


def tables_client(url: str, client: httpx.Client) -> SyncPostgrestClient:
    """The Data API of a project."""
    from postgrest import SyncPostgrestClient
    from postgrest.constants import DEFAULT_POSTGREST_CLIENT_HEADERS

    return SyncPostgrestClient(
        f"{url.rstrip('/')}/rest/v1",
        headers=DEFAULT_POSTGREST_CLIENT_HEADERS | _HEADERS,
        http_client=client,
        retry_enabled=False,
    )


def auth_client(url: str, client: httpx.Client) -> SyncGoTrueClient:
    """Auth of a project. It stores no session and starts no thread; make one for each call."""
    from supabase_auth import SyncGoTrueClient

    return SyncGoTrueClient(
        url=f"{url.rstrip('/')}/auth/v1",
        headers=dict(_HEADERS),
        auto_refresh_token=False,
        persist_session=False,
        http_client=client,
    )


def bucket_client(url: str, bucket: str, client: httpx.Client) -> SyncBucketProxy:
    """A bucket of a project's Storage."""
    from storage3 import SyncStorageClient

    storage = SyncStorageClient(
        f"{url.rstrip('/')}/storage/v1/", headers=dict(_HEADERS), http_client=client
    )
    return storage.from_(bucket)


def _with_whole_characters(response: httpx.Response) -> httpx.Response:
    """The response; lone surrogates of its JSON are replaced, because pydantic refuses them."""
    content = response.content
    try:
        content.decode()
    except UnicodeDecodeError:
        pass
    else:
        if b"\\ud" not in content and b"\\uD" not in content:
            return response
    try:
        data = parse_json(content)
    except (ValueError, RecursionError):
        return response
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        content=json_text(data).encode(),
        request=response.request,
    )


@contextmanager
def translated(
    what: str,
    *,
    repeatable: bool = False,
    unusable: str = "the answer is not in the form of the service",
) -> Iterator[Exchange]:
    """For one call of a vendor's client: raises LoraTuiErrors in place of its errors.

    Theirs can't be shown: they quote the answer, or the whole request with its keys, and those of
    the services differ. Ours are made from the response, as for all other requests. `what`
    completes "Could not …"; `unusable` says what is wrong with a successful answer that the
    vendor's code can't read.
    """
    exchange = Exchange(repeatable=repeatable)
    token = current_exchange.set(exchange)
    try:
        yield exchange
    except LoraTuiError:
        raise
    except Exception as error:
        # any class: what a hostile answer does to the vendor's code is not known beforehand
        response = exchange.response
        if response is None:  # it was not sent: a mistake of ours
            raise
        if not response.is_success:
            raise error_of(response, what) from None
        read_json(response, what)  # which raises where a page answered, or something without form
        _log.debug("could not %s: %s in the vendor's client", what, type(error).__name__)
        raise BackendError(f"Could not {what}: {unusable}") from None
    finally:
        current_exchange.reset(token)
