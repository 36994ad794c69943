"""Searches files for credentials before they leave this machine.

A token in a tokenizer's configuration, or in the pickled arguments of a training, is readable by
everybody who may download the model. Patterns follow the documented forms of each kind; a match is
named by its kind, never shown.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lora_tui.json_values import mapping, parse_json
from lora_tui.secret import is_held_in

_OVERLAP: Final = 16 << 10
"""Bytes of each piece that are searched again with the next one: longer than any token."""


@dataclass(frozen=True)
class _Kind:
    name: str
    starts: tuple[bytes, ...]
    """One of them is in every match: searching for it is much faster than the pattern."""
    pattern: re.Pattern[bytes]
    inside_words: bool = False
    """Whether a letter or a digit may precede a match."""


def _kind(name: str, pattern: bytes, *starts: bytes, inside_words: bool = False) -> _Kind:
    return _Kind(name, starts, re.compile(pattern), inside_words)


_JWT: Final = "a JSON Web Token"
_BY_NAME: Final = (
    rb"[\"'](?i:(?:hf_|hub_|auth_|use_auth_|access_|api_|bearer_|refresh_)?token"
    rb"|(?:api|secret|private|service_role|aws_secret_access|secret_access)_?key"
    rb"|client_secret|password|passwd)[\"']\s*:\s*[\"'][^\s\"']{12,}[\"']"
)
_WANDB: Final = rb"(?i:wandb_?(?:api_?)?key)[\"'\s:=]{1,8}[0-9a-f]{40}|wandb_v1_\w{20,}"
_SK: Final = (
    rb"sk-(?:[A-Za-z0-9]{1,12}-){0,3}(?:[A-Za-z0-9_]{16,}|(?=[A-Za-z_-]{0,60}\d)[A-Za-z0-9_-]{20,})"
)
_KINDS: Final = (
    _kind("a Hugging Face token", rb"(?:hf_|api_org_)[A-Za-z0-9]{20,}", b"hf_", b"api_org_"),
    # OpenAI, Anthropic and others: `sk-`, `sk-proj-`, `sk-ant-api03-`
    _kind("an API key (sk-…)", _SK, b"sk-"),
    _kind("a payment key", rb"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}", b"k_live_", b"k_test_"),
    _kind("an AWS access key", rb"A(?:KIA|SIA)[0-9A-Z]{12,}", b"AKIA", b"ASIA"),
    _kind(
        "a GitHub token",
        rb"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}",
        *(b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    ),
    _kind("a GitLab token", rb"gl(?:pat|dt|ptt|rt)-[A-Za-z0-9_-]{20,}", b"gl"),
    _kind("a Slack token", rb"x(?:ox[a-z]|app)-[A-Za-z0-9-]{10,}", b"xox", b"xapp-"),
    _kind("a Google API key", rb"AIza[0-9A-Za-z_-]{30,}", b"AIza"),
    _kind("a Google OAuth secret", rb"(?:GOCSPX-|ya29\.)[A-Za-z0-9_-]{20,}", b"GOCSPX-", b"ya29."),
    _kind(
        "a private key",
        rb"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        b"PRIVATE KEY",
        inside_words=True,
    ),
    _kind(
        "a Supabase secret key",
        rb"sb_secret_[A-Za-z0-9_-]{10,}|sbp_[A-Za-z0-9_]{20,}",
        *(b"sb_secret_", b"sbp_"),
    ),
    _kind(_JWT, rb"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}", b"eyJ"),
    _kind("a Weights & Biases key", _WANDB, b"wandb", b"WANDB", inside_words=True),
    _kind("a RunPod key", rb"rpa_[A-Za-z0-9]{30,}", b"rpa_"),
    _kind("a Replicate token", rb"r8_[A-Za-z0-9]{30,}", b"r8_"),
    _kind("a Groq key", rb"gsk_[A-Za-z0-9]{30,}", b"gsk_"),
    _kind(
        "a package registry token",
        rb"npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{50,}",
        *(b"npm_", b"pypi-"),
    ),
    _kind("a Databricks token", rb"dapi[0-9a-f]{32}", b"dapi"),
    _kind("a SendGrid key", rb"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", b"SG."),
    _kind(
        "a password in a URL",
        rb"://[^\s/:@\"'<>{}]{1,200}:[^\s/:@\"'<>{}]{4,200}@[A-Za-z0-9]",
        b"://",
        inside_words=True,
    ),
    _kind(
        "a secret by its name",
        _BY_NAME,
        *(b"oken", b"OKEN", b"ey", b"EY", b"ecret", b"ECRET", b"assw", b"ASSW"),
        inside_words=True,
    ),
)
_WORD: Final = re.compile(rb"[A-Za-z0-9_]")


def credential_kinds(pieces: Iterable[bytes]) -> tuple[str, ...]:
    """The kinds of credentials in a file that is given in pieces, such as `a GitHub token`."""
    found: dict[str, None] = {}
    before = b""
    for piece in pieces:
        text = before + piece
        for kind in _KINDS:
            if kind.name not in found:
                found |= dict.fromkeys(_matches(kind, text))
        if is_held_in(text):
            found["a key that this program is configured with"] = None
        before = text[-_OVERLAP:]
    return tuple(found)


def _matches(kind: _Kind, text: bytes) -> Sequence[str]:
    if not any(start in text for start in kind.starts):
        return ()
    for match in kind.pattern.finditer(text):
        at = match.start()
        if kind.inside_words or not at or not _WORD.match(text, at - 1):
            return (kind.name if kind.name != _JWT else _kind_of_jwt(match[0]),)
    return ()


def _kind_of_jwt(token: bytes) -> str:
    payload = token.split(b".")[1]
    try:
        claims = mapping(parse_json(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4))))
    except (ValueError, binascii.Error, RecursionError):
        return _JWT
    return "a Supabase service role key" if claims.get("role") == "service_role" else _JWT
