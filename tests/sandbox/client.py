"""A bare HTTP client of the sandbox, for tests that hold it to the protocols."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from lora_tui.sandbox import Sandbox

WEIGHTS = "adapter_model.safetensors"


class Client:
    """Requests on behalf of one caller."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client, headers: dict[str, str]) -> None:
        self.sandbox = sandbox
        self.http = http
        self.headers = headers

    def rest(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return self.http.request(method, f"/rest/v1/{path}", headers=headers, **options)

    def rows(self, path: str) -> list[dict[str, Any]]:
        answer = self.rest("GET", path)
        assert answer.status_code in (200, 206), answer.text
        found: list[dict[str, Any]] = answer.json()
        return found

    def storage(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return self.http.request(method, f"/storage/v1/{path}", headers=headers, **options)

    def sign(self, path: str, seconds: int = 3600) -> str:
        """The address, relative to the sandbox's, of an object in the bucket."""
        answer = self.storage(
            "POST", f"object/sign/lora-models/{path}", json={"expiresIn": seconds}
        )
        assert answer.status_code == 200, answer.text
        return f"/storage/v1{answer.json()['signedURL']}"

    def newest(self, index: int = 0, file: str = WEIGHTS) -> str:
        """The path of a file of the newest model (or of an older one)."""
        row = self.rows(
            "model_artifacts?select=artifacts&deleted_at=is.null&order=created_at.desc"
            f"&limit=1&offset={index}"
        )[0]
        path: str = row["artifacts"][file]
        return path


def sign_in(sandbox: Sandbox, http: httpx.Client, email: str, password: str) -> httpx.Response:
    return http.post(
        "/auth/v1/token?grant_type=password",
        headers={"apikey": sandbox.anon_key},
        json={"email": email, "password": password},
    )


@contextmanager
def clients(sandbox: Sandbox) -> Iterator[tuple[Client, Client, Client, Client]]:
    """Clients for the demo account, the other account, the service role and nobody."""
    with httpx.Client(base_url=sandbox.url, trust_env=False, timeout=30) as http:
        anonymous = {"apikey": sandbox.anon_key}
        sessions = []
        for email, password in (
            (sandbox.email, sandbox.password),
            (sandbox.other_email, sandbox.other_password),
        ):
            token = sign_in(sandbox, http, email, password).json()["access_token"]
            sessions.append(Client(sandbox, http, anonymous | {"Authorization": f"Bearer {token}"}))
        yield (
            sessions[0],
            sessions[1],
            Client(sandbox, http, {"apikey": sandbox.service_key}),
            Client(sandbox, http, anonymous),
        )


def tus_metadata(**values: str) -> str:
    pairs = [f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()]
    return ",".join(pairs)
