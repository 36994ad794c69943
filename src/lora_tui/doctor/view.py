"""A project as one role sees it: through our gateway, and past the owner filter of its queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import httpx

from lora_tui.gateway.http import build_client
from lora_tui.gateway.responses import check, read_json
from lora_tui.gateway.rest import Rest
from lora_tui.gateway.storage import Storage

_NO_ID = "00000000-0000-0000-0000-000000000000"


class View:
    """Close it at the end."""

    def __init__(self, url: str, auth: httpx.Auth) -> None:
        self._client = build_client(url, auth=auth)
        self.rest = Rest(url, auth, client=self._client)
        self.storage = Storage(url, auth, client=self._client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def sample(self, table: str) -> None:
        """Read one row, whosesoever. Raises what stands against it."""
        self._rows(table, {"select": "id"})

    def has_any(self, table: str) -> bool:
        """Whether any row can be seen at all."""
        return bool(self._rows(table, {"select": "id"}))

    def has_foreign(self, table: str, user_id: str) -> bool:
        """Whether a row that is not this user's can be seen."""
        return bool(self._rows(table, {"select": "id", "user_id": f"neq.{user_id}"}))

    def jobs_with_metrics(self) -> Iterator[str]:
        """The jobs whose metric points can be seen, one request each."""
        last = _NO_ID
        while True:
            rows = self._rows(
                "metrics_points",
                {"select": "job_id", "job_id": f"gt.{last}", "order": "job_id.asc"},
            )
            if not rows:
                return
            last = str(rows[0].get("job_id"))
            yield last

    def object_paths(self, user_id: str, *, limit: int) -> list[str]:
        """Paths in the bucket: a file of each of the user's newest models."""
        rows = self._rows(
            "model_artifacts",
            {
                "select": "artifacts",
                "user_id": f"eq.{user_id}",
                "deleted_at": "is.null",
                "order": "created_at.desc",
            },
            limit=limit,
        )
        artifacts = [row.get("artifacts") for row in rows]
        firsts = [next(iter(a.values()), None) for a in artifacts if isinstance(a, dict)]
        return [path for path in firsts if isinstance(path, str) and path]

    def _rows(
        self, table: str, query: Mapping[str, str], *, limit: int = 1
    ) -> list[Mapping[str, Any]]:
        what = f"read {table}"
        response = self._client.get(f"/rest/v1/{table}", params={**query, "limit": str(limit)})
        rows = read_json(check(response, what), what)
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
