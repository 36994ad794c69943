"""Objects are signed, fetched, stored, listed and removed as in Supabase Storage."""

from __future__ import annotations

import hashlib
import json
import struct
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lora_tui.sandbox import Sandbox
from lora_tui.sandbox.database import Database
from lora_tui.sandbox.objects import Objects
from lora_tui.sandbox.postgrest.tables import table_statements
from lora_tui.sandbox.storage.downloads import decode_uri
from tests.sandbox.client import WEIGHTS, Client, clients, tus_metadata

BINARY = {"Content-Type": "application/octet-stream"}


def upload(client: Client, path: str, body: bytes, **headers: str) -> int:
    answer = client.storage(
        "POST", f"object/lora-models/{path}", content=body, headers=BINARY | headers
    )
    return answer.status_code


# Signed URLs


def test_a_signed_url_is_relative_and_needs_no_key(reader: Client) -> None:
    path = reader.newest()
    answer = reader.storage(
        "POST", f"object/sign/lora-models/{path}", json={"expiresIn": 60}
    ).json()
    assert answer["signedURL"].startswith(f"/object/sign/lora-models/{path}?token=")
    assert reader.http.get(f"/storage/v1{answer['signedURL']}").status_code == 200


def test_signing_many_reports_errors_row_by_row(reader: Client) -> None:
    good = reader.newest()
    answer = reader.storage(
        "POST",
        "object/sign/lora-models",
        json={"expiresIn": 60, "paths": [good, "nobody/nothing"]},
    )
    first, second = answer.json()
    assert (first["path"], first["error"]) == (good, None)
    assert reader.http.get(f"/storage/v1{first['signedURL']}").status_code == 200
    assert second["signedURL"] is None
    assert second["error"]


def test_some_stacks_spell_the_key_another_way(sandbox: Sandbox, user: Client) -> None:
    sandbox.faults(signed_url_key="signedUrl")
    answer = user.storage(
        "POST", f"object/sign/lora-models/{user.newest()}", json={"expiresIn": 60}
    )
    assert set(answer.json()) == {"signedUrl"}


def test_a_signed_url_expires(sandbox: Sandbox, user: Client) -> None:
    url = user.sign(user.newest(), seconds=60)
    assert user.http.get(url).status_code == 200
    sandbox.faults(clock_offset=61)
    answer = user.http.get(url)
    assert answer.status_code == 400
    assert answer.json()["error"] == "InvalidJWT"


def test_a_signed_token_opens_its_own_object_only(reader: Client) -> None:
    token = reader.sign(reader.newest()).partition("?")[2]
    other = reader.newest(1)
    answer = reader.http.get(f"/storage/v1/object/sign/lora-models/{other}?{token}")
    assert (answer.status_code, answer.json()["error"]) == (400, "InvalidSignature")
    for forged, error in (
        ("", "Error"),
        ("token=", "InvalidJWT"),
        ("token=a.b.c", "InvalidJWT"),
        (f"{token[:-2]}xx", "InvalidJWT"),
    ):
        answer = reader.http.get(f"/storage/v1/object/sign/lora-models/{other}?{forged}")
        assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_another_accounts_object_looks_like_a_missing_one(
    reader: Client, other_reader: Client
) -> None:
    answers = [
        other_reader.storage("POST", f"object/sign/lora-models/{path}", json={"expiresIn": 60})
        for path in (reader.newest(), "nobody/nothing")
    ]
    assert answers[0].status_code == answers[1].status_code == 400
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["message"] == "Object not found"


def test_before_the_migration_only_the_service_role_signs() -> None:
    with (
        Sandbox.start(models=1, waiting_jobs=0, migrated=False) as sandbox,
        clients(sandbox) as (user, _, service, _),
    ):
        path = user.newest()
        answer = user.storage("POST", f"object/sign/lora-models/{path}", json={"expiresIn": 60})
        assert answer.json()["message"] == "Object not found"
        assert user.http.get(service.sign(path)).status_code == 200


def test_a_name_with_signs_is_signed_as_it_was_sent(user: Client, service: Client) -> None:
    path = f"{user.sandbox.user_id}/odd/a b+c&d=e,(f)@1.json"
    assert upload(service, quote(path), b"{}") == 200
    assert user.http.get(user.sign(quote(path, safe="/+&=,()@"))).content == b"{}"
    refused = user.http.get(user.sign(quote(path)).replace("+", "%2B"))
    assert (refused.status_code, refused.json()["error"]) == (400, "InvalidSignature")


def test_an_escaped_path_is_decoded_as_javascripts_decodeuri_does() -> None:
    for sent, signed in (
        ("a%20b", "a b"),
        ("a%3Db%3db", "a%3Db%3db"),
        ("a%2Fb%3Fc%23d", "a%2Fb%3Fc%23d"),
        ("%C3%A9%E6%97%A5", "é日"),
        ("a=b+c", "a=b+c"),
        ("%2525", "%25"),
        ("100%", "100%"),
    ):
        assert decode_uri(sent) == signed


# Bytes


def test_a_range_is_answered_with_that_part(reader: Client) -> None:
    url = reader.sign(reader.newest())
    whole = reader.http.get(url).content
    size = len(whole)
    for asked, expected in (
        ("bytes=0-0", whole[:1]),
        ("bytes=100-199", whole[100:200]),
        (f"bytes={size - 5}-", whole[-5:]),
        ("bytes=-7", whole[-7:]),
        (f"bytes=10-{size * 2}", whole[10:]),
    ):
        answer = reader.http.get(url, headers={"Range": asked})
        first = size - len(expected) if asked.endswith("-7") else None
        assert answer.status_code == 206, asked
        assert answer.content == expected
        assert answer.headers["content-length"] == str(len(expected))
        if first is not None:
            assert answer.headers["content-range"] == f"bytes {first}-{size - 1}/{size}"


@pytest.mark.parametrize("header", ["If-Range", "If-Match", "If-Unmodified-Since"])
def test_if_range_and_if_match_are_ignored(reader: Client, header: str) -> None:
    url = reader.sign(reader.newest())
    size = int(reader.http.head(url).headers["content-length"])
    for value in ('"another"', "Thu, 01 Jan 2026 00:00:00 GMT"):
        answer = reader.http.get(url, headers={"Range": "bytes=5-", header: value})
        assert (answer.status_code, len(answer.content)) == (206, size - 5)


def test_head_returns_the_headers_of_get(reader: Client) -> None:
    url = reader.sign(reader.newest())
    head, get = reader.http.head(url), reader.http.get(url)
    for name in ("content-length", "etag", "last-modified", "accept-ranges", "content-type"):
        assert head.headers[name] == get.headers[name]
    assert head.content == b""
    unchanged = reader.http.get(url, headers={"If-None-Match": head.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_info_list_and_the_bytes_agree(reader: Client) -> None:
    path = reader.newest()
    folder, _, file = path.rpartition("/")
    info = reader.storage("GET", f"object/info/lora-models/{path}").json()
    entries = reader.storage("POST", "object/list/lora-models", json={"prefix": folder}).json()
    listed = {entry["name"]: entry["metadata"] for entry in entries}
    get = reader.storage("GET", f"object/authenticated/lora-models/{path}")
    assert info["size"] == listed[file]["size"] == len(get.content)
    assert info["etag"] == listed[file]["eTag"] == get.headers["etag"]
    assert len(listed) == 6
    page = reader.storage(
        "POST", "object/list/lora-models", json={"prefix": folder, "limit": 2, "offset": 4}
    ).json()
    assert page == entries[4:]
    folders = reader.storage(
        "POST", "object/list/lora-models", json={"prefix": reader.sandbox.user_id}
    ).json()
    assert {entry["id"] for entry in folders} == {None}


def test_the_adapter_files_are_valid(reader: Client) -> None:
    rows = reader.rows(
        "model_artifacts?select=artifacts,configuration&order=created_at.desc&limit=7"
    )
    for row in rows:
        asked = row["configuration"]["hyperparameters"]
        rank = asked.get("rank", asked.get("lora_rank"))
        weights = reader.http.get(reader.sign(row["artifacts"][WEIGHTS])).content
        (length,) = struct.unpack("<Q", weights[:8])
        header = json.loads(weights[8 : 8 + length])
        header.pop("__metadata__")
        end = 0
        for name, tensor in header.items():
            first, last = tensor["data_offsets"]
            rows_, columns = tensor["shape"]
            assert first == end
            assert last - first == rows_ * columns * 2
            assert rank == (rows_ if "lora_A" in name else columns)
            end = last
        assert len(weights) == 8 + length + end
        config = reader.http.get(reader.sign(row["artifacts"]["adapter_config.json"])).json()
        assert (config["peft_type"], config["r"]) == ("LORA", rank)
        assert config["base_model_name_or_path"] == asked["base_model"]
        assert all(any(module in name for name in header) for module in config["target_modules"])
        tokenizer = reader.http.get(reader.sign(row["artifacts"]["tokenizer.json"]))
        assert tokenizer.json()["model"]["type"] == "BPE"


def test_a_manifest_matches_its_files(reader: Client) -> None:
    row = next(
        row
        for row in reader.rows("model_artifacts?select=artifacts,configuration")
        if isinstance(row["configuration"], dict) and "files" in row["configuration"]
    )
    for file, facts in row["configuration"]["files"].items():
        content = reader.http.get(reader.sign(row["artifacts"][file])).content
        assert facts == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


# The standard upload


def test_an_upload_is_stored_once_unless_it_may_replace(service: Client) -> None:
    path = "someone/model/file.bin"
    assert upload(service, path, b"first") == 200
    answer = service.storage(
        "POST", f"object/lora-models/{path}", content=b"second", headers=BINARY
    )
    assert answer.status_code == 400
    assert (answer.json()["statusCode"], answer.json()["error"]) == ("409", "Duplicate")
    old = service.storage("GET", f"object/lora-models/{path}")
    assert old.content == b"first"
    assert upload(service, path, b"third", **{"x-upsert": "true"}) == 200
    new = service.storage("GET", f"object/lora-models/{path}")
    assert new.content == b"third"
    assert new.headers["etag"] != old.headers["etag"]


def test_a_user_cannot_upload(user: Client) -> None:
    answer = user.storage(
        "POST", f"object/lora-models/{user.sandbox.user_id}/x/y", content=b"", headers=BINARY
    )
    assert (answer.status_code, answer.json()["statusCode"]) == (400, "403")


def test_a_type_that_the_bucket_does_not_take_is_refused(service: Client) -> None:
    answer = service.storage(
        "POST", "object/lora-models/a/b.html", content=b"x", headers={"Content-Type": "text/html"}
    )
    assert answer.json()["error"] == "invalid_mime_type"


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_too_large_for_the_standard_upload_is_not_stored(
    sandbox: Sandbox, service: Client, announced: bool
) -> None:
    sandbox.faults(standard_upload_limit=1000)
    body = b"x" * 1001
    answer = service.storage(
        "POST",
        "object/lora-models/a/b.bin",
        content=body if announced else iter([body[:600], body[600:]]),
        headers=BINARY,
    )
    assert (answer.status_code, answer.json()["statusCode"]) == (400, "413")
    assert service.storage("GET", "object/info/lora-models/a/b.bin").status_code == 400
    assert [path.name for path in (sandbox.directory / "objects").glob("unfinished-*")] == []


def test_the_limit_of_the_project_is_that_of_every_upload(
    sandbox: Sandbox, service: Client
) -> None:
    sandbox.faults(project_upload_limit=1000)
    assert upload(service, "a/b.bin", b"x" * 1001) == 400
    assert upload(service, "a/b.bin", b"x" * 1000) == 200
    answer = service.storage(
        "POST",
        "upload/resumable",
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": "1001",
            "Upload-Metadata": tus_metadata(bucketName="lora-models", objectName="a/c.bin"),
        },
    )
    assert (answer.status_code, answer.text) == (413, "Maximum size exceeded\n")


def test_deleted_objects_are_gone(service: Client) -> None:
    for name in ("a/1", "a/2"):
        assert upload(service, name, b"x") == 200
    gone = service.storage(
        "DELETE", "object/lora-models", json={"prefixes": ["a/1", "a/none"]}
    ).json()
    assert [entry["name"] for entry in gone] == ["a/1"]
    left = service.storage("POST", "object/list/lora-models", json={"prefix": "a"}).json()
    assert [entry["name"] for entry in left] == ["2"]


def test_an_object_that_two_requests_remove_at_once_is_named_by_one_of_them(tmp_path: Path) -> None:
    with closing(Database(tmp_path / "db")) as database:
        for statement in table_statements():
            database.execute(statement)
        objects = Objects(database, tmp_path / "objects")
        file = objects.new_file()
        file.write_bytes(b"x")
        put: dict[str, Any] = {
            "content_type": BINARY["Content-Type"],
            "owner": None,
            "moment": "2026-11-20",
        }
        found = objects.put("lora-models", "a/1", file, **put)
        assert [objects.remove(found), objects.remove(found)] == [True, False]


def test_no_object_name_leaves_the_directory_of_objects(sandbox: Sandbox, service: Client) -> None:
    before = {path for path in sandbox.directory.rglob("*") if path.parent.name != "objects"}
    for name in ("a/%2E%2E/b", "%2E%2E/%2E%2E/b", "a//b"):
        assert upload(service, name, b"x") in (200, 400)
    after = {path for path in sandbox.directory.rglob("*") if path.parent.name != "objects"}
    assert after == before
