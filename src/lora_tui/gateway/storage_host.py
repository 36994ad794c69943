"""The host that large files are sent to: the storage's own name, where the project has one.

A hosted project answers at `PROJECT.supabase.co`; `PROJECT.storage.supabase.co` leads to the same
storage without the gateway in between, and the vendor recommends it for large files. It is used
only after it has shown our bucket to our key; otherwise large files take the ordinary host.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx

from lora_tui.errors import LoraTuiError
from lora_tui.gateway.http import build_client
from lora_tui.gateway.responses import check, read_json
from lora_tui.gateway.retry import SOON
from lora_tui.gateway.upload_body import LARGE_BODY
from lora_tui.text import terminal_safe

_HOSTED: Final = re.compile(r"https://([a-z0-9-]{1,63})\.supabase\.co/?", re.ASCII)
RETRY_SECONDS: Final = 600.0
"""After so many seconds a host that could not be used is tried again."""
_log: Final = logging.getLogger("lora_tui.gateway")


def storage_url(url: str) -> str | None:
    """The storage's own address of a project; None where its URL is not of the hosted service."""
    found = _HOSTED.fullmatch(url)
    return f"https://{found[1]}.storage.supabase.co" if found else None


@dataclass(frozen=True)
class Host:
    """One address of the storage."""

    url: str
    client: httpx.Client

    @property
    def base(self) -> str:
        """The URL that the paths of the storage's requests are appended to."""
        return f"{self.url.rstrip('/')}/storage/v1"


class StorageHosts:
    """The two hosts of one project's storage. Safe to use from several threads."""

    def __init__(
        self, ordinary: Host, auth: httpx.Auth, bucket: str, direct_url: str | None
    ) -> None:
        """`direct_url`: the address for large files, if there is another than the ordinary one."""
        self._ordinary = ordinary
        self._auth = auth
        self._bucket = bucket
        self._direct_url = direct_url
        self._lock = threading.Lock()
        self._direct: Host | None = None
        self._usable = False
        self._refused_until = 0.0

    def for_large_files(self) -> Host:
        """The host that large files are sent to now; the first call asks whether it answers."""
        if self._direct_url is None:
            return self._ordinary
        with self._lock:
            if not self._usable and time.monotonic() >= self._refused_until:
                self._usable = self._answers()
                self._refused_until = time.monotonic() + RETRY_SECONDS
            return self._direct if self._usable and self._direct is not None else self._ordinary

    def failed(self, host: Host) -> None:
        """A request to this host was not answered: ask again before it is used again."""
        with self._lock:
            if host is self._direct:
                self._usable, self._refused_until = False, 0.0

    def close(self) -> None:
        """Close the connections to the host of large files; the ordinary one is not ours."""
        if self._direct is not None:
            self._direct.client.close()

    def _answers(self) -> bool:
        assert self._direct_url is not None
        if self._direct is None:
            client = build_client(self._direct_url, auth=self._auth, retry=SOON)
            self._direct = Host(self._direct_url, client)
        what = "look up the bucket"
        path = f"{self._direct.base}/bucket/{quote(self._bucket, safe='')}"
        try:
            # over a connection of the kind that sends large files, so that the first one has it
            answer = self._direct.client.get(path, extensions=dict(LARGE_BODY))
            body = read_json(check(answer, what), what)
        except LoraTuiError as error:
            host = terminal_safe(httpx.URL(self._direct_url).host, limit=100)
            _log.info("large files take the ordinary host, not %s: %s", host, error)
            return False
        return isinstance(body, dict) and body.get("name") == self._bucket
