"""Large files go to the storage's own host where it answers; keys go to no other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lora_tui.config.paths import Paths
from lora_tui.config.table import Profile
from lora_tui.errors import UnreachableError
from lora_tui.gateway import storage_host
from lora_tui.gateway.auth import KeyAuth
from lora_tui.gateway.http import build_client
from lora_tui.gateway.resumable import CHUNK
from lora_tui.gateway.storage import Storage
from lora_tui.harvest.harvester import large_files_url
from lora_tui.sandbox import Sandbox
from lora_tui.secret import Secret


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(models=0, waiting_jobs=0) as started:
        yield started


def profile(tmp_path: Path, url: str, storage_url: str | None = None) -> Profile:
    paths = Paths(
        config_file=tmp_path / "config.toml",
        cache_dir=tmp_path,
        state_dir=tmp_path,
        home=tmp_path,
    )
    return Profile("test", paths, url, "sb_publishable_x", storage_url=storage_url)


@pytest.mark.parametrize(
    ("url", "configured", "expected"),
    [
        ("https://abcdefgh.supabase.co", None, "https://abcdefgh.storage.supabase.co"),
        ("https://abcdefgh.supabase.co", "off", None),
        ("https://abcdefgh.supabase.co", "https://files.example", "https://files.example"),
        ("https://api.example.org", None, None),
        ("https://abcdefgh.supabase.co.evil.example", None, None),
        ("https://a.b.supabase.co", None, None),
        ("http://abcdefgh.supabase.co", None, None),
        ("https://abcdefgh.supabase.co:8443", None, None),
        ("https://abcdefgh.supabase.co/path", None, None),
    ],
)
def test_only_a_hosted_project_has_another_host_unless_one_is_configured(
    tmp_path: Path, url: str, configured: str | None, expected: str | None
) -> None:
    assert large_files_url(profile(tmp_path, url, configured)) == expected


def test_large_files_go_to_the_other_host_and_small_ones_do_not(sandbox: Sandbox) -> None:
    own = sandbox.url.replace("127.0.0.1", "localhost")
    auth = KeyAuth(Secret(sandbox.service_key))
    sandbox.forget_requests()
    with Storage(sandbox.url, auth, large_files_url=own) as storage:
        storage.upload("u/h/small.txt", iter([b"x"]), size=1)
        asked = [entry["path"] for entry in sandbox.requests()]
        assert asked == ["/storage/v1/object/lora-models/u/h/small.txt"]
        assert storage.host_for_large_files() == own
        storage.upload("u/h/large.txt", iter([bytes(CHUNK + 1)]), size=CHUNK + 1)
        assert storage.info("u/h/large.txt").size == CHUNK + 1
    asked = [entry["path"] for entry in sandbox.requests()]
    assert asked.count("/storage/v1/bucket/lora-models") == 1


def test_a_source_that_fails_does_not_count_against_the_other_host(sandbox: Sandbox) -> None:
    own = sandbox.url.replace("127.0.0.1", "localhost")

    def broken() -> Iterator[bytes]:
        yield bytes(CHUNK)
        raise UnreachableError("The worker hung up")

    sandbox.forget_requests()
    with Storage(sandbox.url, KeyAuth(Secret(sandbox.service_key)), large_files_url=own) as storage:
        with pytest.raises(UnreachableError, match="The worker hung up"):
            storage.upload("u/h/broken.txt", broken(), size=CHUNK + 1)
        with pytest.raises(UnreachableError, match="The worker hung up"):
            storage.upload_resumable("u/h/broken.txt", lambda _: broken(), size=CHUNK + 1)
        assert storage.host_for_large_files() == own
    asked = [entry["path"] for entry in sandbox.requests()]
    assert asked.count("/storage/v1/bucket/lora-models") == 1


@pytest.mark.parametrize("trouble", ["unreachable", "refuses the key", "another server"])
def test_where_the_other_host_can_t_be_used_the_ordinary_one_is(
    sandbox: Sandbox, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Secret(sandbox.service_key)
    own = sandbox.url.replace("127.0.0.1", "localhost")
    if trouble == "unreachable":
        with socket.create_server(("127.0.0.1", 0)) as free:
            own = f"http://127.0.0.1:{free.getsockname()[1]}"
    elif trouble == "another server":
        page = httpx.MockTransport(lambda _: httpx.Response(200, html="<html>hello</html>"))
        monkeypatch.setattr(
            storage_host,
            "build_client",
            lambda url, **options: build_client(url, transport=page, **options),
        )
    else:
        sandbox.faults(path="/storage/v1/bucket", fail_next=2, status=401)
    with Storage(sandbox.url, KeyAuth(key), large_files_url=own) as storage:
        assert storage.host_for_large_files() == sandbox.url
        body = iter([bytes(CHUNK + 1)])
        storage.upload("u/h/file.txt", body, size=CHUNK + 1, upsert=True)
        assert storage.info("u/h/file.txt").size == CHUNK + 1
    sandbox.clear_faults()
