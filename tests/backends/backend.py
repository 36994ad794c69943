"""What a contract test knows about the backend that it runs against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from lora_tui.sandbox import Sandbox


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in."""

    email: str
    password: str = field(repr=False)
    user_id: str


@dataclass(frozen=True)
class Backend:
    """A running backend with two accounts that own nothing in common.

    `supports_range` and `supports_tus`: whether its storage honours Range and speaks TUS. The
    hosted service does both.
    """

    name: Literal["sandbox", "lite"]
    url: str
    anon_key: str
    service_key: str = field(repr=False)
    alice: Account
    bob: Account
    supports_range: bool
    supports_tus: bool


@contextmanager
def sandbox_backend(*, migrated: bool = True) -> Iterator[Backend]:
    """Our own stand-in, with next to no rows of its own."""
    with Sandbox.start(models=0, waiting_jobs=0, migrated=migrated) as sandbox:
        yield backend_of(sandbox)


def backend_of(sandbox: Sandbox) -> Backend:
    """A running sandbox as a backend."""
    return Backend(
        name="sandbox",
        url=sandbox.url,
        anon_key=sandbox.anon_key,
        service_key=sandbox.service_key,
        alice=Account(sandbox.email, sandbox.password, sandbox.user_id),
        bob=Account(sandbox.other_email, sandbox.other_password, sandbox.other_user_id),
        supports_range=True,
        supports_tus=True,
    )
