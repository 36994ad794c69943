"""Everything that is sent over a network: Supabase's Auth, tables and bucket, and the GPU worker.

It may import account (sessions), config, domain and the modules of the root; not the cache. Calls
block, so call it from a thread. Importing it loads httpx, so nothing that only reads the cache
imports it at module level. All failures are LoraTuiErrors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import httpx

from lora_tui.gateway.auth import KeyAuth
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
    def of(cls, url: str, auth: httpx.Auth) -> Self:
        """A gateway whose requests are authorised by `auth`."""
        client = build_client(url, auth=auth)
        return cls(Rest(url, auth, client=client), Storage(url, auth, client=client))

    @classmethod
    def for_service(cls, url: str, service_key: Secret) -> Self:
        """A gateway of the service role, which sees every row: only for the harvest."""
        return cls.of(url, KeyAuth(service_key))

    def close(self) -> None:
        """Close the connections."""
        self.rest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
