"""Every remote byte but those of downloads: Supabase's Auth, tables and bucket, the GPU worker.

Synchronous; call it from a thread. Importing it loads httpx, so nothing that only reads the cache
imports it at module level. All failures are of the error family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import httpx

from lora_tui.gateway.auth import KeyAuth, SessionAuth
from lora_tui.gateway.http import build_client
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import Storage
from lora_tui.secret import Secret

__all__ = ["Gateway"]


@dataclass(frozen=True)
class Gateway:
    """The tables and the bucket of one project, over one pool of connections."""

    rest: Rest
    storage: Storage

    @classmethod
    def for_user(cls, url: str, auth: SessionAuth) -> Self:
        """As a signed-in user."""
        return cls._of(url, auth)

    @classmethod
    def for_service(cls, url: str, service_key: Secret) -> Self:
        """As the service role, which sees every row: for the harvest alone."""
        return cls._of(url, KeyAuth(service_key))

    @classmethod
    def _of(cls, url: str, auth: httpx.Auth) -> Self:
        client = build_client(url, auth=auth)
        return cls(Rest(url, auth, client=client), Storage(url, auth, client=client))

    def close(self) -> None:
        """Close the connections."""
        self.rest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
