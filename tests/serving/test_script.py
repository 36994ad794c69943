"""The script that fetches on the server's machine: checked, resumable, no secret in an argument."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lora_tui.errors import (
    BackendError,
    DiskError,
    ExpiredLinkError,
    IntegrityError,
    LoraTuiError,
    UnreachableError,
    UsageError,
)
from lora_tui.secret import Secret
from lora_tui.serving.script import ScriptFile, delivery_script, run_script, shell_command

VIA = "sh -c 'exec sh -s'"
"""A command like `ssh HOST`, on this machine."""
NAME = "support-1-abc123"
CONFIG = b'{"peft_type": "LORA"}'
WEIGHTS = os.urandom(300_000)


class Bucket(ThreadingHTTPServer):
    """A storage with ranges, whose links expire on request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.refused = 0
        """The status of every answer; 0 for the objects."""
        self.cut_after: int | None = None
        self.ranges: list[str | None] = []

    def file(self, name: str, body: bytes, *, sha256: str | None = None) -> ScriptFile:
        path = f"/object/sign/lora-models/u/{len(self.objects)}"
        self.objects[path] = body
        link = Secret(f"http://127.0.0.1:{self.server_address[1]}{path}?token=eyJh.e30.x")
        return ScriptFile(name, len(body), sha256 or hashlib.sha256(body).hexdigest(), link)


class _Handler(BaseHTTPRequestHandler):
    server: Bucket

    def do_GET(self) -> None:
        bucket = self.server
        bucket.ranges.append(self.headers.get("Range"))
        body = bucket.objects[self.path.partition("?")[0]]
        if bucket.refused:
            self.send_error(bucket.refused)
            return
        begin = int(re.sub(r"\D", "", self.headers.get("Range") or "0"))
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(body) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        rest = body[begin:]
        self.wfile.write(rest if bucket.cut_after is None else rest[: bucket.cut_after])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = Bucket()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def files(bucket: Bucket) -> list[ScriptFile]:
    return [
        bucket.file("adapter_config.json", CONFIG),
        bucket.file("adapter_model.safetensors", WEIGHTS),
    ]


def deliver(place: Path, files: list[ScriptFile], via: str = VIA) -> list[str]:
    told: list[str] = []
    script = delivery_script(str(place), NAME, files, expires="16:00")
    run_script(via, script, told.append, has_terminal=False)
    return told


def contents(place: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


WHOLE = {f"{NAME}/adapter_config.json": CONFIG, f"{NAME}/adapter_model.safetensors": WEIGHTS}


def test_files_arrive_checked_and_under_their_final_name_alone(
    tmp_path: Path, files: list[ScriptFile]
) -> None:
    place = tmp_path / "srv" / "it's, here"

    told = deliver(place, files)

    assert contents(place) == WHOLE
    assert [path.name for path in place.iterdir()] == [NAME]
    assert told[-1].startswith("file 2 of 2")


def test_a_second_run_finds_them_and_fetches_nothing(
    tmp_path: Path, files: list[ScriptFile], bucket: Bucket
) -> None:
    deliver(tmp_path, files)
    bucket.ranges.clear()

    assert deliver(tmp_path, files) == ["it was there already"]
    assert bucket.ranges == []


def test_a_directory_with_other_contents_is_refused_and_not_changed(
    tmp_path: Path, files: list[ScriptFile]
) -> None:
    deliver(tmp_path, files)
    changed = tmp_path / NAME / "adapter_model.safetensors"
    changed.chmod(0o644)
    changed.write_bytes(b"other")

    with pytest.raises(DiskError, match="other contents; nothing was changed"):
        deliver(tmp_path, files)

    assert changed.read_bytes() == b"other"


def test_a_delivery_that_broke_off_continues_where_it_was(
    tmp_path: Path, files: list[ScriptFile], bucket: Bucket
) -> None:
    part = tmp_path / f"{NAME}.part"
    part.mkdir()
    (part / "adapter_model.safetensors").write_bytes(WEIGHTS[:100_000])

    deliver(tmp_path, files)

    assert contents(tmp_path) == WHOLE
    assert "bytes=100000-" in bucket.ranges


def test_connections_that_break_are_tried_again_with_what_is_there(
    tmp_path: Path, files: list[ScriptFile], bucket: Bucket
) -> None:
    bucket.cut_after = 150_000

    deliver(tmp_path, files)

    assert contents(tmp_path) == WHOLE


def test_the_configuration_comes_last_as_a_server_may_serve_any_folder_that_has_one(
    tmp_path: Path, bucket: Bucket
) -> None:
    files = [bucket.file(name, CONFIG) for name in ("adapter_config.json", "z.json", "a.json")]
    script = delivery_script(str(tmp_path), NAME, files, expires="").reveal()

    places = [script.index(f"./{name}") for name in ("a.json", "z.json", "adapter_config.json")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, ExpiredLinkError, "may have expired"),
        (403, ExpiredLinkError, "may have expired"),
    ],
)
def test_an_expired_link_is_told_and_what_was_fetched_is_kept(
    tmp_path: Path,
    files: list[ScriptFile],
    bucket: Bucket,
    status: int,
    kind: type[LoraTuiError],
    words: str,
) -> None:
    part = tmp_path / f"{NAME}.part"
    part.mkdir()
    (part / "adapter_model.safetensors").write_bytes(WEIGHTS[:100_000])
    bucket.refused = status

    with pytest.raises(kind, match=words) as raised:
        deliver(tmp_path, files)

    assert "token" not in f"{raised.value} {raised.value.details}"
    assert (part / "adapter_model.safetensors").read_bytes() == WEIGHTS[:100_000]
    assert not (tmp_path / f"{NAME}.lock").exists()


def test_other_bytes_than_were_announced_are_removed(tmp_path: Path, bucket: Bucket) -> None:
    files = [bucket.file("adapter_model.safetensors", WEIGHTS, sha256="0" * 64)]

    with pytest.raises(IntegrityError, match="another size or checksum"):
        deliver(tmp_path, files)

    assert contents(tmp_path) == {}
    assert not (tmp_path / NAME).exists()


def test_a_file_that_gets_too_large_for_the_disk_is_told(
    tmp_path: Path, files: list[ScriptFile]
) -> None:
    with pytest.raises(DiskError, match="can't be written"):
        deliver(tmp_path, files, via="sh -c 'ulimit -f 100; trap \"\" XFSZ; exec sh -s'")

    assert not (tmp_path / NAME).exists()


def test_a_machine_without_a_tool_is_told_which(tmp_path: Path, files: list[ScriptFile]) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "mkdir", "cat", "tr", "cut", "sha256sum", "wc", "rm"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)

    with pytest.raises(UsageError, match="neither curl nor GNU wget"):
        deliver(tmp_path / "srv", files, via=f"sh -c 'PATH={tools} exec sh -s'")

    (tools / "sha256sum").unlink()
    with pytest.raises(UsageError, match="neither sha256sum nor shasum nor openssl"):
        deliver(tmp_path / "srv", files, via=f"sh -c 'PATH={tools} exec sh -s'")


@pytest.mark.parametrize("name", ["--output=x", "it's", "$(touch HIT)", "`touch HIT`", "ä ö", "-K"])
def test_hostile_file_names_are_only_names(tmp_path: Path, bucket: Bucket, name: str) -> None:
    deliver(tmp_path, [bucket.file(name, CONFIG)])

    assert contents(tmp_path) == {f"{NAME}/{name}": CONFIG}


@pytest.mark.parametrize(
    "link", ["http://h/a?t=x y", 'http://h/"', "http://h/\nLINK\ntouch HIT", "-o"]
)
def test_a_link_that_could_leave_its_place_makes_no_script(tmp_path: Path, link: str) -> None:
    file = ScriptFile("a", 1, "0" * 64, Secret(link))

    with pytest.raises(BackendError):
        delivery_script(str(tmp_path), NAME, [file], expires="")


@pytest.mark.parametrize("directory", ["adapters", "~/x", "/srv/../etc", "/srv/\n", ""])
def test_a_directory_that_is_no_absolute_path_makes_no_script(directory: str) -> None:
    with pytest.raises(UsageError, match="absolute"):
        delivery_script(directory, NAME, [], expires="")


def test_a_script_that_was_cut_off_does_nothing(tmp_path: Path, files: list[ScriptFile]) -> None:
    script = delivery_script(str(tmp_path), NAME, files, expires="").reveal()
    for end in range(0, len(script) - len("main\n"), 199):
        subprocess.run(["sh", "-s"], input=script[:end].encode(), capture_output=True, check=False)

    assert list(tmp_path.iterdir()) == []


def test_no_link_is_in_an_argument_of_a_program(tmp_path: Path, files: list[ScriptFile]) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    noted = tmp_path / "arguments"
    for name in ("curl", "sed", "cat"):
        real = shutil.which(name)
        program = tools / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{noted}\nexec {real} "$@"\n')
        program.chmod(0o755)

    deliver(tmp_path / "srv", files, via=f"sh -c 'PATH={tools}:$PATH exec sh -s'")

    assert "-K" in noted.read_text()
    assert "token" not in noted.read_text()
    assert "token" not in " ".join(shell_command("ssh gpu-1"))


def test_wget_does_where_there_is_no_curl(
    tmp_path: Path, files: list[ScriptFile], bucket: Bucket
) -> None:
    if shutil.which("wget") is None:
        return  # the image of a developer may lack it
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in (
        *("sh", "mkdir", "cat", "tr", "cut", "sha256sum", "wc", "rm"),
        *("wget", "grep", "df", "du", "awk", "mv", "chmod", "sleep"),
    ):
        (tools / name).symlink_to(str(shutil.which(name)))
    part = tmp_path / "srv" / f"{NAME}.part"
    part.mkdir(parents=True)
    (part / "adapter_model.safetensors").write_bytes(WEIGHTS[:100_000])

    deliver(tmp_path / "srv", files, via=f"sh -c 'PATH={tools} exec sh -s'")

    assert contents(tmp_path / "srv") == WHOLE
    assert "bytes=100000-" in bucket.ranges


def test_a_delivery_that_was_killed_is_continued_and_its_lock_taken_over(
    tmp_path: Path, files: list[ScriptFile]
) -> None:
    lock = tmp_path / f"{NAME}.lock"
    lock.mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    (lock / "pid").write_text(f"{ended.pid}\n")

    deliver(tmp_path, files)

    assert contents(tmp_path) == WHOLE


def test_two_deliveries_of_one_version_do_not_write_at_once(
    tmp_path: Path, files: list[ScriptFile]
) -> None:
    lock = tmp_path / f"{NAME}.lock"
    lock.mkdir()
    (lock / "pid").write_text(f"{os.getpid()}\n")

    with pytest.raises(DiskError, match=f"process {os.getpid()} delivers it already"):
        deliver(tmp_path, files)

    assert lock.exists()


def test_a_connection_that_ends_in_the_middle_is_no_delivery(
    tmp_path: Path, files: list[ScriptFile]
) -> None:
    with pytest.raises(UnreachableError, match="before it was finished") as raised:
        deliver(tmp_path, files, via="sh -c 'echo refused: eyJh.e30.x >&2; exit 255'")

    assert raised.value.details is not None
    assert "exit code 255" in raised.value.details
    assert "eyJh" not in raised.value.details
    with pytest.raises(UnreachableError):
        deliver(tmp_path, files, via="sh -c 'exit 0'")
