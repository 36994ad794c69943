"""Clients and helpers for the tests of the vendor's client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from supabase import Client

from lora_tui.sandbox import Sandbox
from tests.backends.backend import backend_of

BUCKET = "lora-models"
WEIGHTS = bytes(range(256)) * 40
BINARY: Any = {"content-type": "application/octet-stream"}

Rows = list[dict[str, Any]]
Connect = Callable[[str], Client]


def sign_in(client: Client, sandbox: Sandbox, password: str | None = None) -> Any:
    return client.auth.sign_in_with_password(
        {"email": sandbox.email, "password": password or sandbox.password}
    )


def rows(answer: Any) -> Rows:
    return cast(Rows, answer.data)


def notification(sandbox: Sandbox, **columns: Any) -> dict[str, Any]:
    return {"user_id": sandbox.user_id, "type": "note", "title": "t", "message": "m", **columns}


def of_alice(sandbox: Sandbox) -> Any:
    return backend_of(sandbox).alice
