"""One GET at the worker's storage: to an address that was checked, or by way of the proxy.

Behind a proxy it is the proxy that resolves names and connects: what it may reach is its business.
Names and addresses that are private as far as this machine can tell are refused there, too.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from lora_tui import __version__
from lora_tui.errors import UnreachableError
from lora_tui.gateway.environment import proxy_for
from lora_tui.gateway.file_connection import FileResponse, file_connection
from lora_tui.gateway.limits import BrokenOffError, SlowError
from lora_tui.harvest.failures import SourceUnreachableError
from lora_tui.harvest.guard import target_of

TIMEOUT_SECONDS: Final = 30.0
"""Seconds without a single byte."""


@contextmanager
def get_file(
    url: str, start: int, validator: str | None, *, allow_private: bool
) -> Iterator[FileResponse]:
    """The answer to a GET from byte `start` on; the connection is closed at the end of the block.

    Raises SourceUnreachableError, what `target_of` raises, and ConfigError for a proxy of a kind
    that can't be used.
    """
    target = target_of(url, allow_private=allow_private, by_proxy=proxy_for(url) is not None)
    headers = {
        "User-Agent": f"lora-tui/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
    }
    if start and validator:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    with closing(
        file_connection(
            url,
            connect_seconds=TIMEOUT_SECONDS,
            stall_seconds=TIMEOUT_SECONDS,
            addresses=target.addresses,
        )
    ) as connection:
        try:
            response = connection.get(url, headers)
        except UnreachableError as error:  # the proxy
            raise SourceUnreachableError(
                str(error), details=error.details, remedy=error.remedy
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise broken(error) from None
        yield response


def broken(error: Exception) -> SourceUnreachableError:
    """The failure of a connection, without the error's own text: that may hold the URL, a key."""
    if isinstance(error, SlowError):
        return SourceUnreachableError(
            "The worker's storage sends almost nothing", details=str(error)
        )
    if isinstance(error, BrokenOffError):
        return SourceUnreachableError("The connection to the worker's storage broke off")
    return SourceUnreachableError(
        "The connection to the worker's storage failed", details=type(error).__name__
    )
