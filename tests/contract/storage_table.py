"""The table of Storage's answers (tests/contract/storage/*.toml), and which servers agree.

    python -m tests.contract.storage_table                    our sandbox, on both backends
    python -m tests.contract.storage_table --url U --key K    any server

Each option can come from the environment: LORA_TUI_CONTRACT_URL, …_KEY and so on. Rows are asked in
order, in a new folder; values that differ from run to run are matched by their shape.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sys
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.backend import SIGNING_SECRET, StorageKind, make_token
from lora_tui.sandbox.storage.s3_signature import ACCESS_KEY_ID, SECRET_ACCESS_KEY

DIRECTORY: Final = Path(__file__).parent / "storage"
SUBJECTS: Final = (
    "s3",  # before the rows that let time pass: a signature is valid for minutes
    "uploads",
    "browsing",
    "signing",
    "sessions",
    "resumable",
    "names",
    "reported",
    "removal",
)
"""The files of the table, in the order in which they are asked."""

OPTIONS: Final = (
    "url", "key", "anon-key", "email", "password", "jwt-secret", "backend",
    "s3-key-id", "s3-secret",
)  # fmt: skip
_SHAPES: Final[Mapping[str, str]] = {
    "any": r"[^<]+",
    "uuid": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "second": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z",
    "date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
    "token": r"[\w-]+\.[\w-]+\.[\w-]+",
    "location": r"\S*/upload/resumable/[\w-]+",
}
_WATCHED: Final = (
    "accept-ranges",
    "cache-control",
    "content-range",
    "etag",
    "expires",
    "location",
    "tus-complete",
    "tus-resumable",
    "upload-expires",
    "upload-metadata",
    "upload-offset",
    "x-robots-tag",
)
"""Headers that are not there unless the row says so."""
_WORD: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Row:
    """One request and what is expected of its answer, on one backend."""

    subject: str
    name: str
    caller: str
    method: str
    path: str
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    body: str | None
    wait: float
    keep: str | None
    status: int
    answer: str | None
    answer_headers: Mapping[str, str]
    answer_metadata: Mapping[str, str]
    words: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """How a row went; `reason` is empty where it agrees."""

    row: Row
    verdict: Literal["agrees", "differs", "not tried"]
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.row.subject}: {self.row.name}: {self.reason}"


@dataclass(frozen=True)
class Server:
    """A server to ask. Rows of callers without a session there are skipped."""

    url: str
    kind: StorageKind
    keys: Mapping[str, str]
    sessions: Mapping[str, str]
    owner: str
    pass_time: Callable[[float], None] = time.sleep


class _UnknownError(Exception):
    """A row needs a value that is missing."""


def rows(kind: StorageKind) -> list[Row]:
    """The rows of the table as they hold for one backend."""
    shared = tomllib.loads((DIRECTORY / "headers.toml").read_text("utf-8"))
    found: list[Row] = []
    for subject in SUBJECTS:
        content = tomllib.loads((DIRECTORY / f"{subject}.toml").read_text("utf-8"))
        for raw in content.get("row", []):
            found += _read(subject, raw, {}, kind, shared)
        for group in content.get("group", []):
            for name in group["names"]:
                for raw in group["row"]:
                    found += _read(subject, raw, _spellings(name), kind, shared)
    return found


def ask(server: Server, table: Sequence[Row]) -> list[Outcome]:
    """Ask a server all rows, in order."""
    run = str(uuid.uuid4())
    folder = f"{server.owner}/{run}/raw"
    known = {
        "owner": server.owner,
        "parent": f"{server.owner}/{run}",
        "folder": folder,
        "unknown_upload": _base64url(f"lora-models/{folder}/x.bin/{uuid.uuid4()}"),
    }
    with httpx.Client(base_url=f"{server.url}/storage/v1", trust_env=False, timeout=60) as http:
        try:
            return [_try(server, http, row, known) for row in table]
        finally:
            remove_leftovers(server, http, folder)


def remove_leftovers(server: Server, http: httpx.Client, folder: str) -> None:
    """Remove what the rows have stored in their folder."""
    headers = _credentials(server, "service")
    answer = http.post("/object/list/lora-models", headers=headers, json={"prefix": folder})
    entries = _json(answer) if answer.is_success else None
    names = []
    for entry in entries if isinstance(entries, list) else ():
        if entry.get("id") is None:
            remove_leftovers(server, http, f"{folder}/{entry['name']}")
        else:
            names.append(f"{folder}/{entry['name']}")
    if names:
        http.request("DELETE", "/object/lora-models", headers=headers, json={"prefixes": names})
    if len(names) >= 100:  # as many as a list has unless told otherwise
        remove_leftovers(server, http, folder)


@contextmanager
def sandbox_server(kind: StorageKind) -> Iterator[Server]:
    """Our sandbox, on one of the two backends."""
    with Sandbox.start(models=0, waiting_jobs=0, storage=kind) as sandbox:
        moved = 0.0

        def pass_time(seconds: float) -> None:
            nonlocal moved
            moved += seconds
            sandbox.faults(clock_offset=moved)

        yield Server(
            url=sandbox.url,
            kind=kind,
            keys={
                "service": sandbox.service_key,
                "anon": sandbox.anon_key,
                "s3-key-id": ACCESS_KEY_ID,
                "s3-secret": SECRET_ACCESS_KEY,
            },
            sessions=_made_sessions(SIGNING_SECRET, sandbox.user_id, sandbox.other_user_id),
            owner=sandbox.user_id,
            pass_time=pass_time,
        )


def given_server(options: Mapping[str, str | None]) -> Server:
    """The server that the options name. Without an owner's session fewer rows are asked."""
    url, key = str(options["url"]).rstrip("/"), str(options["key"])
    keys = {"service": key} | ({"anon": options["anon-key"]} if options["anon-key"] else {})
    if options["s3-key-id"] and options["s3-secret"]:
        keys |= {name: options[name] for name in ("s3-key-id", "s3-secret")}
    owner, sessions = str(uuid.uuid4()), {}
    if options["jwt-secret"]:
        sessions = _made_sessions(options["jwt-secret"].encode(), owner, str(uuid.uuid4()))
    if options["email"]:
        answer = httpx.post(
            f"{url}/auth/v1/token?grant_type=password",
            headers={"apikey": str(keys.get("anon", key))},
            json={"email": options["email"], "password": options["password"]},
            trust_env=False,
        )
        answer.raise_for_status()
        sessions["owner"] = answer.json()["access_token"]
        owner = answer.json()["user"]["id"]
    kind: StorageKind = "file" if options["backend"] == "file" else "s3"
    return Server(url, kind, {name: str(value) for name, value in keys.items()}, sessions, owner)


def options_of(environment: Mapping[str, str]) -> dict[str, str | None]:
    """The server to ask, from LORA_TUI_CONTRACT_URL and the other variables."""
    names = {name: f"LORA_TUI_CONTRACT_{name.upper().replace('-', '_')}" for name in OPTIONS}
    return {name: environment.get(variable) or None for name, variable in names.items()}


def report(outcomes: Sequence[Outcome]) -> str:
    """The rows that differ, and the number of those that agree."""
    lines = [str(outcome) for outcome in outcomes if outcome.verdict != "agrees"]
    agree = sum(outcome.verdict == "agrees" for outcome in outcomes)
    tried = sum(outcome.verdict != "not tried" for outcome in outcomes)
    lines.append(f"{agree} of {tried} agree; {len(outcomes) - tried} not tried")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, print, and end with 1 where a row differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract.storage_table")
    for name, value in options_of(os.environ).items():
        parser.add_argument(f"--{name}", default=value)
    given = vars(parser.parse_args(arguments))
    options = {name: given[name.replace("-", "_")] for name in OPTIONS}
    differs = False
    for name, other in (("url", "key"), ("key", "url")):
        if options[name] and not options[other]:
            variable = f"LORA_TUI_CONTRACT_{other.upper()}"
            print(f"{variable} is missing (or --{other}): a server needs both", file=sys.stderr)
            return 2
    if options["url"]:
        try:
            server = given_server(options)
            outcomes = ask(server, rows(server.kind))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
            print(f"{options['url']} can't be asked: {type(error).__name__}", file=sys.stderr)
            return 5
        print(report(outcomes))
        return int(any(outcome.verdict == "differs" for outcome in outcomes))
    kinds: tuple[StorageKind, ...] = ("s3", "file")
    for kind in kinds:
        with sandbox_server(kind) as server:
            outcomes = ask(server, rows(kind))
        print(f"sandbox, {kind}: {report(outcomes)}")
        differs |= any(outcome.verdict == "differs" for outcome in outcomes)
    return int(differs)


# Reading the table


def _read(
    subject: str,
    raw: Mapping[str, Any],
    words: Mapping[str, str],
    kind: StorageKind,
    shared: Mapping[str, Mapping[str, str]],
) -> Iterator[Row]:
    if raw.get("only", kind) != kind:
        return
    expected = {
        name: raw.get(name)
        for name in ("status", "like", "answer", "answer_headers", "answer_metadata")
    }
    if kind == "file" and "file" in raw:
        expected = dict.fromkeys(expected) | dict(raw["file"])
    yield Row(
        subject=subject,
        name=_filled(raw["name"], words),
        caller=raw["as"],
        method=raw["method"],
        path=raw["path"],
        headers=raw.get("headers", {}),
        metadata=raw.get("metadata", {}),
        body=raw.get("body"),
        wait=raw.get("wait", 0),
        keep=raw.get("keep"),
        status=expected["status"],
        answer=expected["answer"],
        answer_headers={**shared.get(expected["like"], {}), **(expected["answer_headers"] or {})},
        answer_metadata=expected["answer_metadata"] or {},
        words=words,
    )


def _spellings(name: str) -> dict[str, str]:
    """A name as it is, with everything escaped, and with as little escaped as a path needs."""
    parts = name.split("/")
    return {
        "name": name,
        "escaped": "/".join(quote(part, safe="") for part in parts),
        "plain": "/".join(quote(part, safe="!$&'()*+,=:;@") for part in parts),
    }


# Asking


def _try(server: Server, http: httpx.Client, row: Row, known: dict[str, str]) -> Outcome:
    words = {**known, **row.words}
    try:
        headers = {name: _filled(value, words) for name, value in row.headers.items()}
        path = _filled(row.path, words, strict=True)
        if row.caller in ("s3", "wrong-s3"):
            url = f"{server.url}/storage/v1{path}"
            headers |= _signed(server, row.method, url, headers, right=row.caller == "s3")
        else:
            headers |= _credentials(server, row.caller)
    except _UnknownError as error:
        return Outcome(row, "not tried", str(error))
    if row.metadata:
        headers["upload-metadata"] = _metadata(row.metadata, words)
    if row.wait:
        server.pass_time(row.wait)
    content = None if row.body is None else _filled(row.body, words).encode()
    try:
        answer = http.request(row.method, path, headers=headers, content=content)
    except httpx.TransportError as error:
        return Outcome(row, "differs", f"no answer ({error!r})")
    if row.keep is not None and answer.is_success:
        known |= _kept(row.keep, answer)
    reasons = list(_differences(row, answer, words))
    return Outcome(row, "differs" if reasons else "agrees", "; ".join(reasons))


def _credentials(server: Server, caller: str) -> dict[str, str]:
    if caller == "nobody":
        return {}
    if caller == "wrong-key":
        return {"apikey": "wrong"}
    key = server.keys.get("service" if caller == "service" else "anon")
    if key is None:
        raise _UnknownError("it needs a public key (anon-key)")
    if caller in ("service", "anon"):
        # an old key is a token itself, which no gateway has to make of it
        return {"apikey": key} | ({"authorization": f"Bearer {key}"} if key[:3] == "eyJ" else {})
    token = "garbage" if caller == "garbage" else server.sessions.get(caller)
    if token is None:
        raise _UnknownError(f"it needs the session of {caller} (email and password, or jwt-secret)")
    return {"apikey": key, "authorization": f"Bearer {token}"}


def _signed(
    server: Server, method: str, url: str, headers: Mapping[str, str], *, right: bool
) -> dict[str, str]:
    """The headers with a signature of the S3 keys, by the vendor-neutral signer."""
    if "s3-key-id" not in server.keys:
        raise _UnknownError("it needs S3 keys (s3-key-id, s3-secret)")
    secret = server.keys["s3-secret"] if right else "not-the-secret"
    signer = _UnsignedPayload(Credentials(server.keys["s3-key-id"], secret), "s3", "us-east-1")
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    signer.add_auth(request)
    return dict(request.headers.items())


class _UnsignedPayload(S3SigV4Auth):  # type: ignore[misc] # botocore has no type hints
    """Signs without the payload."""

    def payload(self, _request: object) -> str:
        return "UNSIGNED-PAYLOAD"


def _made_sessions(secret: bytes, owner: str, other: str) -> dict[str, str]:
    """Valid and invalid sessions, signed with this secret as Auth does."""
    now = int(time.time())
    claims = {"sub": owner, "aud": "authenticated", "role": "authenticated", "iat": now}
    day = {"exp": now + 86_400}
    return {
        "owner": make_token({**claims, **day}, secret),
        "other": make_token({**claims, **day, "sub": other}, secret),
        "expired": make_token({**claims, "exp": now - 60}, secret),
        "early": make_token({**claims, **day, "nbf": now + 3600}, secret),
        "forged": make_token({**claims, **day}, b"a secret that was in use before"),
    }


def _kept(name: str, answer: httpx.Response) -> dict[str, str]:
    """What later rows need of this answer: the id of an upload, or the token of a link."""
    if "location" in answer.headers:
        return {name: answer.headers["location"].rpartition("/")[2]}
    if upload := re.search(r"<UploadId>([^<]+)</UploadId>", answer.text):
        return {name: upload[1]}
    body = _json(answer)
    link = body[0] if isinstance(body, list) and body else body
    signed = link.get("signedURL") or link.get("signedUrl") if isinstance(link, dict) else None
    if not isinstance(signed, str):
        return {}
    _, _, token = signed.rpartition("token=")
    head, _, signature = token.rpartition(".")
    return {name: token, f"{name}_forged": f"{head}.{signature[::-1]}"}


# Comparing


def _differences(row: Row, answer: httpx.Response, words: Mapping[str, str]) -> Iterator[str]:
    if answer.status_code != row.status:
        yield f"status {answer.status_code} instead of {row.status} ({answer.text[:200]!r})"
    expected = dict(row.answer_headers)
    if row.answer_metadata:
        expected["upload-metadata"] = _metadata(row.answer_metadata, words)
    for name, value in expected.items():
        found = answer.headers.get(name)
        if name == "content-type" and value.startswith("application/json"):
            value, found = value.partition(";")[0], (found or "").partition(";")[0]  # always UTF-8
        if found is None or not _fits(value, found, words):
            yield f"{name} {found!r} instead of {value!r}"
    for name in _WATCHED:
        if name in answer.headers and name not in expected:
            yield f"{name} {answer.headers[name]!r} instead of none"
    if row.answer is None:
        return
    if "json" in expected.get("content-type", ""):
        body = _json(answer)
        yield from _unlike(json.loads(row.answer), body, words, "body")
    elif not _fits(row.answer, answer.text.removesuffix("\n"), words):
        yield f"body {answer.text[:200]!r} instead of {row.answer!r}"


def _json(answer: httpx.Response) -> Any:
    """The body, parsed where it is JSON."""
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _unlike(expected: Any, found: Any, words: Mapping[str, str], place: str) -> Iterator[str]:
    """Where two JSON values differ, the order of keys aside."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() ^ found.keys()):
            yield f"{place}.{key} is {'missing' if key in expected else 'too much'}"
        for key in expected.keys() & found.keys():
            yield from _unlike(expected[key], found[key], words, f"{place}.{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{place} has {len(found)} entries instead of {len(expected)}"
        for index, pair in enumerate(zip(expected, found, strict=False)):
            yield from _unlike(*pair, words, f"{place}[{index}]")
    elif isinstance(expected, str) and isinstance(found, str):
        if not _fits(expected, found, words):
            yield f"{place} {found!r} instead of {expected!r}"
    elif type(expected) is not type(found) or expected != found:
        yield f"{place} {found!r} instead of {expected!r}"


def _fits(expected: str, found: str, words: Mapping[str, str]) -> bool:
    pattern, end = "", 0
    for match in _WORD.finditer(expected):
        word = match[1]
        known = words.get(word)
        pattern += re.escape(expected[end : match.start()])
        pattern += _SHAPES.get(word, re.escape(match[0])) if known is None else re.escape(known)
        end = match.end()
    return re.fullmatch(pattern + re.escape(expected[end:]), found, re.DOTALL) is not None


def _filled(text: str, words: Mapping[str, str], *, strict: bool = False) -> str:
    """The text with its words in place. Strictly, one that is not known raises _UnknownError."""

    def word(match: re.Match[str]) -> str:
        if match[1] in words:
            return words[match[1]]
        if strict:
            raise _UnknownError(f"it needs {match[1]} of an earlier row")
        return match[0]

    return _WORD.sub(word, text)


def _metadata(values: Mapping[str, str], words: Mapping[str, str]) -> str:
    filled = {"bucketName": "lora-models", **values}
    return ",".join(
        f"{name} {base64.b64encode(_filled(value, words).encode()).decode()}"
        for name, value in filled.items()
    )


def _base64url(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


if __name__ == "__main__":
    sys.exit(main())
