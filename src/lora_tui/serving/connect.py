"""Connects to a server of the profile, whichever program runs there."""

from __future__ import annotations

from lora_tui.account.server_keys import server_key
from lora_tui.config.servers import Server, find_server
from lora_tui.config.table import Profile
from lora_tui.domain.servers import ServerKind
from lora_tui.errors import BackendError, NotFoundError
from lora_tui.secret import Secret
from lora_tui.serving.client import Client
from lora_tui.serving.llama_cpp import LlamaCpp
from lora_tui.serving.requests import Requests
from lora_tui.serving.vllm import Vllm

_OWNERS = {"vllm": ServerKind.VLLM, "llamacpp": ServerKind.LLAMA_CPP}


def open_server(profile: Profile, name: str) -> Client:
    """A client of the server of this name, with its key.

    Raises NotFoundError where the profile has no such server, and what `server_key` and `connect`
    raise.
    """
    server = find_server(profile, name)
    return connect(server, server_key(profile, server))


def connect(server: Server, key: Secret | None = None) -> Client:
    """A client of this server; it is asked what it is where its kind is not known.

    Raises what `find_kind` raises.
    """
    kind = server.kind or find_kind(server, key)
    return LlamaCpp(server, key) if kind is ServerKind.LLAMA_CPP else Vllm(server, key)


def find_kind(server: Server, key: Secret | None = None) -> ServerKind:
    """What runs at the address of a server: it is asked.

    Raises UnreachableError where nobody answers, or it still loads its model; AuthenticationError;
    BackendError where it is neither of the programs that we know.
    """
    what = f"ask {server.name}"
    requests = Requests(server, key)
    try:
        try:
            models = requests.get("v1/models", what)
        except NotFoundError:
            models = None
        owners = [one.get("owned_by") for one in _list(models) if isinstance(one, dict)]
        for owner in owners:
            if isinstance(owner, str) and owner in _OWNERS:
                return _OWNERS[owner]
        if _has(requests, "lora-adapters", what, list):
            return ServerKind.LLAMA_CPP
        if owners and _has(requests, "version", what, dict):
            return ServerKind.VLLM
    finally:
        requests.close()
    raise BackendError(
        f"What runs at {server.url} is neither vLLM nor llama-server",
        remedy="check the address, or say what it is with `--kind`",
    )


def _list(answer: object) -> list[object]:
    found = answer.get("data") if isinstance(answer, dict) else None
    return found if isinstance(found, list) else []


def _has(requests: Requests, path: str, what: str, kind: type) -> bool:
    try:
        return isinstance(requests.get(path, what), kind)
    except BackendError:
        return False
    except NotFoundError:
        return False
