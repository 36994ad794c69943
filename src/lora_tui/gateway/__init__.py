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
from lora_tui.gateway.s3 import S3Keys, S3Uploads
from lora_tui.gateway.storage import BUCKET, Storage
from lora_tui.secret import Secret

__all__ = ["Gateway"]


@dataclass(frozen=True)
class Gateway:
    """The tables and the bucket of one project, over one pool of connections."""

    rest: Rest
    storage: Storage
    s3: S3Uploads | None = None
    """The bucket's multipart uploads, where S3 keys are configured."""

    @classmethod
    def of(cls, url: str, auth: httpx.Auth) -> Self:
        """A gateway whose requests are authorised by `auth`."""
        client = build_client(url, auth=auth)
        return cls(Rest(url, auth, client=client), Storage(url, auth, client=client))

    @classmethod
    def for_service(
        cls,
        url: str,
        service_key: Secret,
        *,
        large_files_url: str | None = None,
        s3_keys: S3Keys | None = None,
    ) -> Self:
        """A gateway of the service role, which sees every row: only for harvest and push.

        `large_files_url`: another address of the project's storage, for large uploads. Raises
        UsageError where S3 keys are given and the extra is not installed.
        """
        auth = KeyAuth(service_key)
        client = build_client(url, auth=auth)
        storage = Storage(url, auth, client=client, large_files_url=large_files_url)
        s3 = None if s3_keys is None else S3Uploads(storage.host_for_large_files, s3_keys, BUCKET)
        return cls(Rest(url, auth, client=client), storage, s3)

    def close(self) -> None:
        """Close the connections."""
        if self.s3 is not None:
            self.s3.close()
        self.storage.close()
        self.rest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
