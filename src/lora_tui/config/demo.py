"""The profiles of the demo: nothing has to be configured, and each start has another port.

The demo notes where its backend is, so that other commands read its cache at any time, and reach
its backend while it runs.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lora_tui.config.paths import Paths
from lora_tui.config.table import DEMO_PROFILES, Profile
from lora_tui.domain.servers import ServerKind
from lora_tui.errors import ConfigError, UnreachableError
from lora_tui.files import disk_error, write_private_file
from lora_tui.json_values import read_object
from lora_tui.secret import Secret

BELIEVABLE, HOSTILE = DEMO_PROFILES

_BACKEND: Final = "backend.json"
_PORT: Final = re.compile(r"http://127\.0\.0\.1:(\d{1,5})")
_PROBE_SECONDS: Final = 1.0
_MOST_BYTES: Final = 64 << 10


def state_directory(paths: Paths, name: str) -> Path:
    """Where the backend of this demo keeps its data."""
    return paths.state_dir / name


def note_backend(paths: Paths, name: str, backend: Mapping[str, str]) -> None:
    """Note `backend`, which is `Sandbox.environment`, for other commands. Raises DiskError."""
    path = state_directory(paths, name) / _BACKEND
    try:
        write_private_file(path, json.dumps(dict(backend)))
    except OSError as error:
        raise disk_error(error, "The demo's address can't be stored", path) from error


def profile_from_note(paths: Paths, name: str) -> Profile:
    """The profile of a demo that has run here. Raises ConfigError where none has."""
    note = read_object(state_directory(paths, name) / _BACKEND, _MOST_BYTES)
    try:
        if all(isinstance(value, str) for value in note.values()):
            profile = demo_profile(paths, name, note)
            if _PORT.fullmatch(profile.url):
                return profile
    except KeyError:
        pass
    raise ConfigError("The demo has not run here yet", remedy=f"run `{_command(name)}`")


def known_demos(paths: Paths) -> list[str]:
    """The demos that have run here."""
    return [name for name in DEMO_PROFILES if (state_directory(paths, name) / _BACKEND).exists()]


def demo_profile(paths: Paths, name: str, backend: Mapping[str, str]) -> Profile:
    """The profile of a demo whose `Sandbox.environment` is this."""
    return Profile(
        name=name,
        paths=paths,
        url=backend["SUPABASE_URL"],
        anon_key=backend["SUPABASE_ANON_KEY"],
        service_key=Secret(backend["SUPABASE_SERVICE_ROLE_KEY"]),
        gpu_url=backend["GPU_CLUSTER_API_URL"],
        gpu_key=Secret(backend["GPU_CLUSTER_API_KEY"]),
        email=backend["LORA_TUI_EMAIL"],
        password=Secret(backend["LORA_TUI_PASSWORD"]),
        allow_private_urls=True,
        background_harvest=True,  # a run that completes becomes a model while one looks
        identity=name,
        servers=_servers(backend),
    )


def _servers(backend: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The server of the demo, which loads adapters from this machine's disk; `{}` without one."""
    url = backend.get("LORA_TUI_DEMO_SERVER")
    return {} if url is None else {"demo": {"url": url, "kind": ServerKind.VLLM.value}}


def require_running(profile: Profile) -> None:
    """Raise UnreachableError where the demo of this profile does not run now."""
    port = int(profile.url.rpartition(":")[2])
    try:
        socket.create_connection(("127.0.0.1", port), _PROBE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UnreachableError(
            "The demo is not running, so only what is stored on this machine can be shown",
            remedy=f"start `{_command(profile.name)}` in another terminal",
        ) from error


def _command(name: str) -> str:
    return "lora-tui demo --hostile" if name == HOSTILE else "lora-tui demo"
