"""Why a server refused a request: its own words, and what we know of the reason."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import httpx

from lora_tui.errors import (
    AuthenticationError,
    BackendError,
    ConflictError,
    InterceptedError,
    LoraTuiError,
    NotFoundError,
    UnreachableError,
)
from lora_tui.json_values import parse_json
from lora_tui.text import without_secrets

_MOST_WORDS: Final = 400
"""Characters of the server's own words that are shown."""


class NotANumberError(BackendError):
    """The adapter's answers are no numbers: its weights, or the base model's, have NaN in them."""

    default_remedy = "look at its weights with `lora-tui spectrum`"


class NoRuntimeLoadingError(BackendError):
    """The server was started without the right to load adapters while it runs."""

    default_remedy = "start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora"


class _Reason(NamedTuple):
    """What words of a server mean."""

    words: re.Pattern[str]
    reason: str
    remedy: str | None = None


def refusal(response: httpx.Response, what: str, *, server: str, path: str) -> LoraTuiError:
    """The error that an unsuccessful response means.

    `what` completes "Could not …". `server` is the name in the profile, `path` what was asked.
    """
    status = response.status_code
    words = server_words(response.content)
    details = words or f"HTTP {status}"
    if 300 <= status < 400:
        return InterceptedError(
            f"Could not {what}: the server redirects to another address",
            remedy=f"correct its address with `lora-tui servers add {server} URL --force`",
        )
    if _is_page(response):
        return InterceptedError(
            f"Could not {what}: a web page answers instead of the server (HTTP {status})",
            remedy=f"correct its address with `lora-tui servers add {server} URL --force`",
        )
    if status in (401, 403):
        return AuthenticationError(
            f"Could not {what}: the server does not accept the key",
            details=details,
            remedy=key_remedy(server),
        )
    if status == 503:
        return UnreachableError(
            f"Could not {what}: the server is not ready",
            details=details,
            remedy="wait until it has loaded its model, and try again",
        )
    if status in (502, 504):  # of a proxy: the server may have done what it was asked
        return UnreachableError(
            f"Could not {what}: what stands before the server got no answer from it ({status})",
            details=details,
            remedy="look whether the server runs, and try again",
        )
    if status == 429:
        return UnreachableError(
            f"Could not {what}: the server asks to slow down",
            details=details,
            remedy="wait a minute and try again",
        )
    if path.endswith("lora_adapter"):
        return _refused_adapter(status, response.content, words, what)
    if "Out of range float values" in words:
        return NotANumberError(f"Could not {what}: its answer is not a number", details=details)
    if status == 404:
        return NotFoundError(f"Could not {what}: the server does not have it", details=details)
    if status >= 500:
        return BackendError(
            f"Could not {what}: the server fails ({status})",
            details=details,
            remedy="look at the log of the server",
        )
    return BackendError(f"Could not {what}: the server refuses ({status})", details=details)


def key_remedy(server: str) -> str:
    """How to give a server its key."""
    from lora_tui.account.server_keys import variable_of  # late: most servers have none

    return (
        f"give its key: `lora-tui servers add {server} URL --key - --force`,"
        f" or set {variable_of(server)}"
    )


def sentence(error: LoraTuiError) -> str:
    """An error in one line, with its details."""
    return f"{error} ({error.details})" if error.details else str(error)


def server_words(content: bytes) -> str:
    """A server's own words about an error, short, without secrets, safe for a terminal."""
    try:
        body = parse_json(content)
    except (ValueError, RecursionError):
        return "" if content.lstrip()[:1] == b"{" else _short(content.decode("utf-8", "replace"))
    if not isinstance(body, dict):
        return _short(body) if isinstance(body, str) else ""
    error = body.get("error")
    inner = error.get("message") if isinstance(error, dict) else error
    found = (inner, body.get("message"), body.get("detail"))
    return next((_short(text) for text in found if isinstance(text, str) and text.strip()), "")


def _refused_adapter(status: int, content: bytes, words: str, what: str) -> LoraTuiError:
    if status in (404, 405) and _is_unknown_address(content):
        return NoRuntimeLoadingError(
            f"Could not {what}: this server does not load adapters while it runs",
            details=words or f"HTTP {status}",
        )
    kind: type[LoraTuiError] = BackendError
    if status == 404:
        kind = NotFoundError
    elif "already been loaded" in words:
        kind = ConflictError
    for reason in _REASONS:
        if reason.words.search(words):
            return kind(f"Could not {what}: {reason.reason}", details=words, remedy=reason.remedy)
    if status == 404:
        return kind(f"Could not {what}: the server does not have it", details=words or None)
    return kind(
        f"Could not {what}: the server refuses it ({status})",
        details=words or None,
        remedy="look at the log of the server" if status >= 500 else None,
    )


def _is_unknown_address(content: bytes) -> bool:
    """Whether nothing lies at the address: FastAPI says so in `detail`, llama-server in words."""
    try:
        body = parse_json(content)
    except (ValueError, RecursionError):
        return True
    if not isinstance(body, dict):
        return True
    error = body.get("error")
    return not error or (isinstance(error, dict) and error.get("message") == "File Not Found")


def _is_page(response: httpx.Response) -> bool:
    kind = response.headers.get("content-type", "").lower()
    return "html" in kind or response.content[:200].lstrip().startswith(b"<")


def _short(text: object) -> str:
    return without_secrets(text, limit=_MOST_WORDS)


_MOVED: Final = (
    "say where the server sees the files, by `--local DIR --remote PATH` of `lora-tui servers add`,"
    " or fetch them there with `--via`"
)
_REASONS: Final = tuple(
    _Reason(re.compile(words, re.IGNORECASE), reason, remedy)
    for words, reason, remedy in (
        ("already been loaded", "it has another adapter of this name", "unload that one first"),
        (
            "LoRA is not enabled",
            "it was started without LoRA",
            "start vLLM with --enable-lora",
        ),
        (
            "greater than max_lora_rank",
            "the adapter's rank is above the server's limit",
            "start vLLM with a higher --max-lora-rank",
        ),
        ("conflicts with a served base model", "its base model has this name", None),
        (
            "No adapter found|No such file|adapter_config.json",
            "the server finds no adapter at this path of its disk",
            _MOVED,
        ),
        ("use_dora|DoRA", "vLLM can't serve DoRA", "merge it into the base model"),
        (
            "modules_to_save",
            "vLLM can't serve modules that were trained whole (modules_to_save)",
            "merge it into the base model",
        ),
        ("bias is not supported|lora_bias", "vLLM can't serve an adapter with biases", None),
        (
            "init_lora_weights",
            "vLLM can't serve an adapter that changes its base (PiSSA and the like)",
            "convert it with PEFT first",
        ),
        (
            "expected target modules|unsupported LoRA weight",
            "its tensors have names that this base model does not have",
            "compare it with `lora-tui inspect`",
        ),
        (
            "size of tensor|shape mismatch|incorrect shape",
            "its sizes are not those of the server's base model",
            "load it into a server of its own base model",
        ),
        (
            "has no attribute 'shape'|SafetensorError|deserializ|invalid header|zip archive",
            "its file is incomplete",
            "check it with `lora-tui verify`, and load it again",
        ),
        ("cannot be found|not found", "the server does not have it", None),
    )
)
